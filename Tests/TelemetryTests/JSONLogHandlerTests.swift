import Foundation
import Logging
import Synchronization
import Telemetry
import Testing
import Vocabulary

/// Keeps the lines that a handler writes.
private final class Lines: Sendable {
    private let lines = Mutex<[[UInt8]]>([])

    var sink: LogSink {
        LogSink(write: { [self] line in lines.withLock { $0.append(line) } }, now: { WallTime(microseconds: 1_795_224_244_000_007) })
    }

    var all: [[UInt8]] { lines.withLock { $0 } }
}

@Suite struct `A log line` {
    private let lines = Lines()
    private var logger: Logger

    init() {
        let sink = lines.sink
        logger = Logger(label: "martlet.test") { JSONLogHandler(label: $0, level: .debug, sink: sink) }
    }

    /// The last line as an object; it must be one line with one line break, at its end.
    private func last() throws -> [String: Any] {
        let line = try #require(lines.all.last)
        #expect(line.last == 0x0a)
        #expect(line.count { $0 == 0x0a || $0 == 0x0d } == 1)
        return try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
    }

    @Test func `has time, level, message and logger, and metadata as flat keys`() throws {
        logger.info(
            "call settled",
            metadata: [
                "request.id": "r1", "tokens": ["input": "\(3)", "output": .stringConvertible(4)], "models": ["a", "b"],
                "ok": .stringConvertible(true),
            ])
        let line = String(decoding: try #require(lines.all.last), as: UTF8.self)
        #expect(
            line == #"{"time":"2026-11-21T01:24:04.000007Z","level":"info","message":"call settled","logger":"martlet.test","#
                + #""models":["a","b"],"ok":true,"request.id":"r1","tokens.input":"3","tokens.output":4}"# + "\n")
    }

    @Test func `is not written below the level`() {
        logger.trace("too fine")
        #expect(lines.all.isEmpty)
    }

    @Test func `cannot be broken out of`() throws {
        let evil = "x\"}\n{\"level\":\"error\"}\r\u{0}\u{1b}[31m\u{7f}\u{85}\u{9b}\u{2028}\u{2029}\\\t🦉"
        logger.warning("\(evil)", metadata: ["\(evil)": "\(evil)", "list": [.dictionary([evil: .string(evil)])]])
        let object = try last()
        #expect(object["message"] as? String == evil)
        #expect(object[evil] as? String == evil)
        #expect((object["list"] as? [[String: String]])?.first?[evil] == evil)
        let bytes = try #require(lines.all.last)
        #expect(bytes.dropLast().allSatisfy { $0 >= 0x20 && $0 != 0x7f })
        #expect(!String(decoding: bytes, as: UTF8.self).unicodeScalars.contains { ["\u{85}", "\u{9b}", "\u{2028}", "\u{2029}"].contains($0) })
    }

    @Test func `keeps its own keys when metadata has the same`() throws {
        logger.info("m", metadata: ["level": "forged", "time": "t", "a.b": "1", "a": ["b": "2"]])
        let object = try last()
        #expect(object["level"] as? String == "info")
        #expect(object["level_"] as? String == "forged")
        #expect(object["time_"] as? String == "t")
        #expect([object["a.b"] as? String, object["a.b_"] as? String].compactMap { $0 }.sorted() == ["1", "2"])
    }

    @Test func `takes the event's metadata over the logger's`() throws {
        var logger = logger
        logger[metadataKey: "a"] = "logger"
        logger[metadataKey: "b"] = "logger"
        logger.info("m", metadata: ["a": "event"])
        let object = try last()
        #expect(object["a"] as? String == "event")
        #expect(object["b"] as? String == "logger")
    }

    @Test(arguments: [
        "authorization", "Authorization", "api_key", "provider.api_key", "apiKey", "x-api-key", "X-API-Key", "key", "token", "access_token",
        "client_secret", "clientSecret", "password", "db.PASSWORD", "cookie",
    ])
    func `masks values under the names of secrets`(_ key: String) throws {
        logger.info("m", metadata: ["\(key)": "hunter2-in-the-clear", "nested": ["\(key)": ["deep": "hunter2-in-the-clear"]]])
        #expect(try last()[key] as? String == "***")
        #expect(!String(decoding: try #require(lines.all.last), as: UTF8.self).contains("hunter2"))
    }

    @Test(arguments: ["key.id", "keys", "tokens", "input_tokens", "tokens.input", "monkey", "key_id", "provider"])
    func `leaves values under other names as they are`(_ key: String) throws {
        logger.info("m", metadata: ["\(key)": "plain"])
        #expect(try last()[key] as? String == "plain")
    }

    @Test(arguments: [
        ("mk_0123456789abcdefghijABCDEFGHIJ01", "mk_***"), ("sent sk-proj-0123456789_x, twice", "sent sk-***, twice"),
        ("Authorization: Bearer abc.def.ghi", "Authorization: Bearer ***"), ("bearer  x\" y", "bearer  ***\" y"),
        ("basic dXNlcjpwYXNz", "basic ***"), ("http://user:pass@host/x", "http://***@host/x"), ("http://host/x@y", "http://host/x@y"),
        ("risk-0123456789", "risk-0123456789"), ("task sk-1", "task sk-1"), ("mk_short", "mk_short"),
        ("mk_01234567 sk-01234567 Bearer z", "mk_*** sk-*** Bearer ***"), ("é mk_01234567é", "é mk_***é"), ("", ""),
    ])
    func `masks what has the shape of a credential, wherever it stands`(_ text: String, _ masked: String) throws {
        logger.info("\(text)", metadata: ["text": "\(text)", "number": .stringConvertible(text), "list": ["\(text)"]])
        let object = try last()
        #expect(object["message"] as? String == masked)
        #expect(object["text"] as? String == masked)
        #expect(object["number"] as? String == masked)
        #expect(object["list"] as? [String] == [masked])
    }

    @Test func `ends somewhere, however much it is given`() throws {
        let long = String(repeating: "é", count: 20_000)
        logger.info("m", metadata: ["a": "\(long)"])
        let text = try #require(try last()["a"] as? String)
        #expect(text.hasSuffix("…") && text.utf8.count < 9000)
        var metadata: Logger.Metadata = [:]
        for index in 0..<100 { metadata["key\(index)"] = "\(long)" }
        logger.info("m", metadata: metadata)
        #expect(try #require(lines.all.last).count < 80_000)
        #expect(try last()["dropped"] as? Int ?? 0 > 80)
        var deep: Logger.Metadata.Value = "bottom"
        for _ in 0..<50 { deep = ["d": deep] }
        logger.info("m", metadata: ["deep": deep])
        #expect(try last().contains { $0.value as? String == "too deep" })
    }

    @Test func `carries the error of its event`() throws {
        logger.error("failed", error: GatewayError.draining)
        #expect(try last()["error"] as? String == "draining")
    }
}

@Suite struct `Lines of many threads` {
    @Test func `stay whole in one pipe`() async throws {
        let pipe = Pipe()
        let descriptor = pipe.fileHandleForWriting.fileDescriptor
        let sink = LogSink(write: { LogSink.write($0, to: descriptor) })
        let reader = Task.detached { pipe.fileHandleForReading.readDataToEndOfFile() }
        await withTaskGroup(of: Void.self) { group in
            for thread in 0..<8 {
                group.addTask {
                    let logger = Logger(label: "t\(thread)") { JSONLogHandler(label: $0, sink: sink) }
                    for index in 0..<200 {
                        logger.info("line", metadata: ["index": "\(index)", "filler": "\(String(repeating: "x", count: index * 5))"])
                    }
                }
            }
        }
        try pipe.fileHandleForWriting.close()
        let lines = await reader.value.split(separator: 0x0a)
        #expect(lines.count == 1600)
        for line in lines {
            let object = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
            #expect(object?["message"] as? String == "line")
        }
    }
}
