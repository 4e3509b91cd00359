/// A value that must not appear in logs, listings or dumps.
///
/// Printing, interpolating or reflecting on it shows ``masked``; only ``value`` gives the text away, so every use can be found.
package struct Secret: Sendable, Hashable {
    /// The text itself.
    package let value: String

    package init(_ value: String) {
        self.value = value
    }

    /// Enough to tell two secrets apart: the first three and last four characters of a long one, `***` for a short one.
    package var masked: String {
        // Below this length the seven shown characters would be a good part of the whole.
        guard value.count >= 16 else { return "***" }
        return "\(value.prefix(3))…\(value.suffix(4))"
    }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { masked }
    package var debugDescription: String { masked }
    package var customMirror: Mirror { Mirror(self, children: ["masked": masked]) }
}
