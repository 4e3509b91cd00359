import Contracts
import NIOCore
import Vocabulary

/// All rows of a filter as one file, newest first: a sequence of its pieces, of which memory holds one at a time.
struct UsageExport: AsyncSequence, Sendable {
    enum Format: String, Sendable {
        case json, csv

        var contentType: String {
            switch self {
            case .json: "application/json; charset=utf-8"
            case .csv: "text/csv; charset=utf-8; header=present"
            }
        }
    }

    private let usage: any UsageStore
    private let filter: UsageFilter
    private let format: Format
    private let asOf: WallTime
    /// Read ahead, so that a store that cannot be reached is known before the answer begins.
    private let first: [UsageRow]

    private static let pageRows = 500

    init(usage: any UsageStore, filter: UsageFilter, format: Format, asOf: WallTime) async throws(StoreError) {
        self.usage = usage
        self.filter = filter
        self.format = format
        self.asOf = asOf
        first = try await usage.rows(filter, before: nil, limit: UsageExport.pageRows)
    }

    func makeAsyncIterator() -> Iterator { Iterator(export: self) }

    struct Iterator: AsyncIteratorProtocol {
        private enum Next {
            case opening
            case rows([UsageRow], isFirst: Bool)
            case page(before: Int64)
            case end
        }

        private let export: UsageExport
        private var next = Next.opening

        fileprivate init(export: UsageExport) {
            self.export = export
        }

        /// Reads the next page only when the piece before it has been taken.
        mutating func next() async throws -> ByteBuffer? {
            if case .page(let number) = next {
                next = .rows(try await export.usage.rows(export.filter, before: number, limit: UsageExport.pageRows), isFirst: false)
            }
            switch next {
            case .opening:
                next = .rows(export.first, isFirst: true)
                return ByteBuffer(string: export.opening)
            case .rows(let rows, let isFirst):
                guard let last = rows.last else {
                    next = .end
                    return ByteBuffer(string: export.closing)
                }
                next = rows.count < UsageExport.pageRows ? .rows([], isFirst: false) : .page(before: last.number)
                return ByteBuffer(bytes: export.encode(rows, isFirst: isFirst))
            case .page, .end:
                return nil
            }
        }
    }

    private var opening: String {
        switch format {
        case .json: "{\"object\":\"list\",\"as_of\":\"\(asOf.rfc3339)\",\"data\":["
        case .csv:
            UsageRecord(id: RecordID(boot: 0, loop: 0, sequence: 0), startedAt: asOf, endpoint: .chatCompletions, outcome: .success)
                .fields.map(\.name).joined(separator: ",") + "\r\n"
        }
    }

    private var closing: String {
        switch format {
        case .json: "],\"has_more\":false}\n"
        case .csv: ""
        }
    }

    private func encode(_ rows: [UsageRow], isFirst: Bool) -> [UInt8] {
        switch format {
        case .json:
            var bytes: [UInt8] = []
            for (index, row) in rows.enumerated() {
                bytes.append(contentsOf: isFirst && index == 0 ? "\n".utf8 : ",\n".utf8)
                var json = JSONWriter()
                row.record.write(to: &json)
                bytes.append(contentsOf: json.bytes)
            }
            return bytes
        case .csv:
            let lines = rows.map { row in row.record.fields.map { cell($0.value) }.joined(separator: ",") + "\r\n" }
            return Array(lines.joined().utf8)
        }
    }

    /// A cell after RFC 4180.
    ///
    /// Spreadsheets run a text that begins like a formula, in some languages by a wide sign too, and clients choose some of ours: an apostrophe
    /// makes it a text again.
    private func cell(_ field: UsageField) -> String {
        switch field {
        case .literal(let text):
            return text == "null" ? "" : text
        case .text(let text), .optionalText(let text):
            let isFormula = text.unicodeScalars.first.map { "=+-@\t\r\n＝＋－＠".unicodeScalars.contains($0) } ?? false
            let safe = isFormula ? "'" + text : text
            guard safe.unicodeScalars.contains(where: { ",\"\r\n".unicodeScalars.contains($0) }) else { return safe }
            return "\"" + safe.replacing("\"", with: "\"\"") + "\""
        }
    }
}
