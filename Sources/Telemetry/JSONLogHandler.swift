package import Logging
import Vocabulary

/// Writes each log event as one JSON object on one line: `time`, `level`, `message`, `logger`, then the metadata under flat dotted keys.
///
/// Whatever text a client manages to get into an event stays inside its string, and whatever looks like a credential is masked. A line is
/// formatted without any lock and leaves in a single write.
package struct JSONLogHandler: LogHandler {
    private let label: String
    private let sink: LogSink
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    package init(label: String, level: Logger.Level = .info, sink: LogSink = .standardError, metadataProvider: Logger.MetadataProvider? = nil) {
        self.label = label
        self.logLevel = level
        self.sink = sink
        self.metadataProvider = metadataProvider
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var line = LogLine(time: sink.now(), level: event.level, message: event.message.description, label: label)
        // The event's own metadata wins over the logger's, and that over the provider's.
        var all = metadataProvider?.get() ?? [:]
        all.merge(metadata) { _, own in own }
        if let own = event.metadata { all.merge(own) { _, own in own } }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) {
            line.add(key, value)
        }
        if let error = event.error, all["error"] == nil { line.add("error", .string(String(describing: error))) }
        sink.write(line.finished())
    }
}
