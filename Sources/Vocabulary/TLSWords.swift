/// The reason in what a TLS library says of an error, which is long, holds numbers, and names source files of whoever built it.
///
/// - Returns: `wrong version number` for `…:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER at /a/path.cc:127…`; each reason once. Text
///   without such words keeps everything but paths.
package func tlsWords(in description: String) -> String {
    let mark = "OPENSSL_internal:"
    var reasons: [String] = []
    for part in description.components(after: mark) {
        let reason = part.prefix { $0.isLetter || $0.isNumber || $0 == "_" }.lowercased().split(separator: "_").joined(separator: " ")
        if !reason.isEmpty, !reasons.contains(reason) { reasons.append(reason) }
    }
    if !reasons.isEmpty { return reasons.joined(separator: ", ") }
    return description.split(separator: " ").filter { !$0.contains("/") }.joined(separator: " ")
}

extension String {
    /// What stands behind each place of a mark, up to the end.
    fileprivate func components(after mark: String) -> [Substring] {
        var parts: [Substring] = []
        var rest = self[...]
        while let place = rest.firstRange(of: mark) {
            rest = rest[place.upperBound...]
            parts.append(rest)
        }
        return parts
    }
}
