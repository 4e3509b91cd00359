import Glibc
import Identity
import Vocabulary

@testable import Edge
@testable import Settings

/// The small readers of texts from outside: targets, keys, addresses, times, amounts, patterns.
func fuzzNames(_ input: FuzzInput) {
    let text = input.text
    target(text)
    key(input)
    address(text)
    time(text)
    amounts(text)
    patterns(input)
    if let url = try? BaseURL(reading: text) {
        check(!url.host.isEmpty && (1...65535).contains(url.port), "a base URL without a host or a port")
    }
}

private func target(_ text: String) {
    switch RequestTarget(uri: text) {
    case .model, .modelList: check(text.contains("/v1/"), "a model call without its path: \(text)")
    case .modelItem(let id): check(!id.isEmpty, "a model without a name")
    case .unknown(let path): check(path.hasPrefix("/v1"), "unknown: \(path)")
    case .control: break
    }
    if let decoded = percentDecoded(text[...]) {
        check(decoded.utf8.count <= text.utf8.count, "decoding makes a text longer")
        if !text.utf8.contains(UInt8(ascii: "%")) { check(decoded.utf8.elementsEqual(text.utf8), "decoding changes what has no escape") }
    }
}

private func key(_ input: FuzzInput) {
    let isKey = input.bytes.withUnsafeBufferPointer { KeyFormat.isWellFormed($0) }
    check(!isKey || (input.bytes.count == KeyFormat.length && input.text.hasPrefix(KeyFormat.prefix)), "no key: \(input.text)")
}

private func address(_ text: String) {
    for header in ProxyRules.Header.allCases {
        let rules = ProxyRules(trusted: [CIDR("10.0.0.0/8"), CIDR("fd00::/8")].compactMap { $0 }, header: header)
        if let client = rules.client(text) { check(IPAddress(client.description) == client, "the client is \(client)") }
    }
    if let range = CIDR(text) {
        check(CIDR(range.description) == range && range.contains(range.address), "a range that is not itself: \(range)")
    }
    guard let address = IPAddress(text) else {
        // What the C library reads as an address, we must; it takes no zones and no other forms of IPv4 here either.
        var storage = [UInt8](repeating: 0, count: 16)
        check(inet_pton(AF_INET6, text, &storage) != 1 || text.utf8.contains(0), "an address is not read: \(text)")
        return
    }
    check(IPAddress(address.description) == address, "\(text) is written as \(address)")
    var storage = [UInt8](repeating: 0, count: 16)
    check(inet_pton(AF_INET, text, &storage) == 1 || inet_pton(AF_INET6, text, &storage) == 1, "no address, but read as one: \(text)")
}

private func time(_ text: String) {
    guard let time = WallTime(text) else { return }
    let written = time.rfc3339
    // Years of more than four digits cannot be written so that they can be read; Unix seconds reach no further.
    guard written.utf8.count == 27 else { return }
    check(WallTime(written) == time, "\(text) is written as \(written)")
}

private func amounts(_ text: String) {
    if let money = Money(dollars: text) {
        check(money.nanodollars >= 0 && Money(dollars: money.dollars) == money, "\(text) is written as \(money.dollars)")
    }
}

/// A pattern and a text with a zero between them.
private func patterns(_ input: FuzzInput) {
    let halves = input.bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
    guard halves.count == 2, halves[0].count < 200, halves[1].count < 200 else { return }
    let pattern = String(decoding: halves[0], as: UTF8.self)
    let text = String(decoding: halves[1], as: UTF8.self)
    check(Glob(pattern).matches(text) == matches(Array(pattern.utf8), Array(text.utf8)), "\(pattern) against \(text)")
}

/// The meaning of a pattern, by a table of all its beginnings against all of the text's.
private func matches(_ pattern: [UInt8], _ text: [UInt8]) -> Bool {
    var row = [true] + [Bool](repeating: false, count: text.count)
    for symbol in pattern {
        var next = [symbol == UInt8(ascii: "*") && row[0]] + [Bool](repeating: false, count: text.count)
        for index in text.indices {
            next[index + 1] =
                symbol == UInt8(ascii: "*") ? row[index + 1] || next[index] : row[index] && (symbol == UInt8(ascii: "?") || symbol == text[index])
        }
        row = next
    }
    return row[text.count]
}
