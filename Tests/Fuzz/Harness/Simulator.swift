import Foundation

@testable import Simulator

/// The simulator's JSON: whatever it takes, Foundation takes too, and it comes back from its own writing as it was.
func fuzzSimulator(_ input: FuzzInput) {
    guard let value = parsedJSON(input.bytes) else { return }
    let text = value.text
    // Foundation reads no number beyond its own types and no half of a surrogate pair.
    if !input.bytes.contains(where: { (0x30...0x39).contains($0) || $0 == UInt8(ascii: "\\") }) {
        let data = Data(input.bytes)
        check((try? JSONSerialization.jsonObject(with: data, options: [.fragmentsAllowed])) != nil, "taken, but Foundation refuses it")
    }
    guard let again = JSONValue(parsing: text) else { fatalError("its own text is refused: \(text)") }
    check(again == value, "\(text) is another value")
}
