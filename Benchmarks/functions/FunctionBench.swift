import Glibc

/// Runs one function of the hot path again and again, for `Benchmarks/bench-functions` to count its instructions under callgrind.
///
///     FunctionBench --list
///     FunctionBench request-scan-small 1000
///
/// The instructions of an operation are the difference of two runs with different counts, so that what a process needs to start is not in them.
@main
enum FunctionBench {
    static let cases: [Case] = headCases + requestCases + answerCases + keyCases + settlingCases + pathCases

    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        if arguments == ["--list"] {
            for one in cases { print("\(one.name)\t\(one.what)") }
            return
        }
        guard arguments.count == 2, let count = Int(arguments.last ?? ""), count >= 0 else {
            stop("usage: FunctionBench --list | NAME COUNT")
        }
        guard let chosen = cases.first(where: { $0.name == arguments.first }) else {
            stop("there is no case \(arguments.first ?? ""); --list names them")
        }
        do {
            let operation = try chosen.prepare()
            for _ in 0..<count { operation() }
        } catch {
            stop("\(chosen.name): \(error)")
        }
    }

    private static func stop(_ message: String) -> Never {
        print("error: \(message)")
        exit(2)
    }
}
