package import Logging
import Vocabulary

/// Writes each log event as one JSON object on one line: `time`, `level`, `message`, `logger`, then the metadata under flat dotted keys.
///
/// Whatever text a client manages to get into an event stays inside its string, and whatever looks like a credential is masked. A line is
/// formatted without any lock and leaves in a single write.
package struct JSONLogHandler: LogHandler {
    private let label: String
    private let sink: LogSink
    private let threshold: LogThreshold
    private var ownLevel: Logger.Level?
    /// The process's threshold, until a logger is given a level of its own.
    package var logLevel: Logger.Level {
        get { ownLevel ?? threshold.level }
        set { ownLevel = newValue }
    }
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    package init(label: String, level: Logger.Level = .info, sink: LogSink = .standardError, metadataProvider: Logger.MetadataProvider? = nil) {
        self.init(label: label, threshold: LogThreshold(level), sink: sink, metadataProvider: metadataProvider)
    }

    /// - Parameter threshold: whoever changes it changes it for every logger that was made with it.
    package init(
        label: String, threshold: LogThreshold, sink: LogSink = .standardError, metadataProvider: Logger.MetadataProvider? = nil
    ) {
        self.label = label
        self.threshold = threshold
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
