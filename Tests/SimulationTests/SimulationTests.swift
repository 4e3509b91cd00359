import Testing

@Suite struct SimulationTests {
    @Test func `ten thousand schedules break no rule`() {
        var findings: [Schedule.Finding] = []
        for seed in UInt64(1)...10_000 {
            if let finding = Schedule(seed: seed).run() { findings.append(finding) }
        }
        #expect(findings.isEmpty, "\(findings.count) of 10000; the first: \(findings.first.map(\.description) ?? "")")
    }

    @Test(arguments: Flaw.allCases) func `a flaw is found out`(flaw: Flaw) {
        let finding = (UInt64(1)...3_000).lazy.compactMap { Schedule(seed: $0, flaw: flaw).run() }.first
        #expect(finding != nil, "no schedule shows that it \(flaw.rawValue)")
    }

    @Test func `a seed runs the same way each time`() {
        for flaw in Flaw.allCases {
            for seed in UInt64(1)...200 {
                let first = Schedule(seed: seed, flaw: flaw).run()
                let second = Schedule(seed: seed, flaw: flaw).run()
                #expect(first?.trace == second?.trace)
            }
        }
    }
}
