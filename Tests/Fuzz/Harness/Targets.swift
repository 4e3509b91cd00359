import Glibc

/// What is fuzzed, by name.
private let targets: [(name: String, run: @Sendable (FuzzInput) -> Void)] = [
    ("head", fuzzHead),
    ("request", fuzzRequest),
    ("stream", fuzzStream),
    ("answer", fuzzAnswer),
    ("meter", fuzzMeter),
    ("settings", fuzzSettings),
    ("journal", fuzzJournal),
    ("names", fuzzNames),
    ("proxy", fuzzProxy),
    ("management", fuzzManagement),
    ("simulator", fuzzSimulator),
]

/// The target of this process: `MARTLET_FUZZ_TARGET`. A name that is none prints those that are.
private let chosen: @Sendable (FuzzInput) -> Void = {
    let name = getenv("MARTLET_FUZZ_TARGET").map { String(cString: $0) } ?? ""
    if let target = targets.first(where: { $0.name == name }) { return target.run }
    for target in targets { print(target.name) }
    exit(name.isEmpty ? 0 : 2)
}()

/// libFuzzer calls this before anything else.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer) -> Int32 {
    _ = chosen
    return 0
}

/// libFuzzer calls this for every input. https://llvm.org/docs/LibFuzzer.html
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    chosen(FuzzInput(UnsafeBufferPointer(start: size == 0 ? nil : bytes, count: size)))
    return 0
}
