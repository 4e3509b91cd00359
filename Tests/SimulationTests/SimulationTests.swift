import Testing

/// Long loops yield now and then, here and in the other suites: the pool has as many threads as cores, and tests with a clock need their turn.
@Suite struct SimulationTests {
    @Test func `ten thousand schedules break no rule`() async {
        var findings: [Schedule.Finding] = []
        for seed in UInt64(1)...10_000 {
            if seed % 100 == 0 { await Task.yield() }
            if let finding = Schedule(seed: seed).run() { findings.append(finding) }
        }
        #expect(findings.isEmpty, "\(findings.count) of 10000; the first: \(findings.first.map(\.description) ?? "")")
    }

    @Test(arguments: Flaw.allCases) func `a flaw is found out`(flaw: Flaw) {
        let finding = (UInt64(1)...3_000).lazy.compactMap { Schedule(seed: $0, flaw: flaw).run() }.first
        #expect(finding != nil, "no schedule shows that it \(flaw.rawValue)")
    }

    @Test func `a seed runs the same way each time`() async {
        for flaw in Flaw.allCases {
            await Task.yield()
            for seed in UInt64(1)...200 {
                let first = Schedule(seed: seed, flaw: flaw).run()
                let second = Schedule(seed: seed, flaw: flaw).run()
                #expect(first?.trace == second?.trace)
            }
        }
    }
}
