/// Rows for a terminal: columns aligned, numbers to the right, one blank line nowhere.
package struct Table: Sendable {
    /// A column and where its cells are found.
    package struct Column: Sendable {
        package var title: String
        /// Paths into a row, separated by dots; the first that has a value is shown.
        package var paths: [String]
        package var isNumber: Bool

        package init(_ title: String, _ paths: String..., isNumber: Bool = false) {
            self.title = title
            self.paths = paths
            self.isNumber = isNumber
        }
    }

    private let columns: [Column]
    private let rows: [[String]]

    package init(_ columns: [Column], rows: [APIValue]) {
        self.columns = columns
        self.rows = rows.map { row in columns.map { Table.cell(row, $0.paths) } }
    }

    /// The table with its titles, each line ending in a line break.
    package var text: String {
        let lines = [columns.map(\.title)] + rows
        let widths = columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        return lines.map { line in
            var text = ""
            for (index, cell) in line.enumerated() {
                let blanks = String(repeating: " ", count: widths[index] - cell.count)
                text += columns[index].isNumber ? blanks + cell : cell + blanks
                text += "  "
            }
            while text.last == " " { text.removeLast() }
            return text + "\n"
        }.joined()
    }

    /// The fields of one object, one to a line, those of objects within it under dotted names.
    ///
    /// - Parameter first: the names that stand in front of the others, which are in alphabetical order.
    package static func fields(of value: APIValue, first: [String] = []) -> String {
        let all = flattened(value, prefix: "")
        let fields = first.flatMap { name in all.filter { $0.name == name } } + all.filter { !first.contains($0.name) }
        let width = fields.map(\.name.count).max() ?? 0
        return fields.map { "\($0.name)\(String(repeating: " ", count: width - $0.name.count))  \(printable($0.value))\n" }.joined()
    }

    private static func flattened(_ value: APIValue, prefix: String) -> [(name: String, value: String)] {
        guard case .object(let fields) = value else { return prefix.isEmpty ? [] : [(prefix, value.text.flatMap { $0.isEmpty ? nil : $0 } ?? "-")] }
        return fields.sorted { $0.key < $1.key }.flatMap { flattened($0.value, prefix: prefix.isEmpty ? $0.key : "\(prefix).\($0.key)") }
    }

    private static func cell(_ row: APIValue, _ paths: [String]) -> String {
        for path in paths {
            var value: APIValue? = row
            for key in path.split(separator: ".") { value = value?[String(key)] }
            if let text = value?.text, !text.isEmpty { return printable(text) }
        }
        return "-"
    }

    /// A text without control characters: rows hold what clients sent, and a terminal obeys some of that.
    package static func printable(_ text: String) -> String {
        var output = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: output.append("\u{FFFD}")
            default: output.append(scalar)
            }
        }
        return String(output)
    }
}
