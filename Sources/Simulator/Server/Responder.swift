import NIOCore
import NIOHTTP1
import Synchronization

/// Decides the answer to one whole request. Shared by all connections; no state but counters.
final class Responder: Sendable {
    /// Larger bodies are answered by 413.
    static let maximumBodyBytes = 64 << 20

    let statistics = SimulatorStatistics()
    private let usual: RequestControls
    private let apiKey: String?
    private let faults: FaultSource
    private let recorder = CallRecorder()
    private let run = UInt64.random(in: 0...UInt64.max)
    private let lastID = Atomic<UInt64>(0)

    init(_ options: SimulatorOptions) {
        usual = RequestControls(options)
        apiKey = options.apiKey
        faults = FaultSource(options)
    }

    /// An id that no other answer of this process has, and hardly one of another.
    func uniqueID() -> UInt64 { SeededRandom.mix(run &+ lastID.wrappingAdd(1, ordering: .relaxed).newValue) }

    func answer(_ head: HTTPRequestHead, _ body: ByteBuffer) -> Answer {
        let route = Route(uri: head.uri)
        var controls = usual
        var answer: Answer
        do throws(APIError) {
            let bearer = try read(head.headers, &controls)
            guard !route.isControl else { return try control(route, head) }
            try authorize(bearer)
            guard route != .unknown else { throw APIError.unknownPath(head.method.rawValue, head.uri) }
            guard head.method.rawValue == route.method else { throw APIError.wrongMethod(head.method.rawValue, head.uri) }
            if controls.records { recorder.record(head, body) }
            faults.decide(&controls)
            if let status = controls.errorStatus {
                answer = Answer(APIError.simulated(status: status, code: controls.errorCode))
                answer.retryAfter = controls.retryAfter
            } else {
                answer = try call(route, body, controls)
            }
        } catch {
            answer = Answer(error)
            if error.status == 405 { answer.allow = route.method }
        }
        answer.controls = controls
        answer.label = route.label
        return answer
    }

    /// Takes the controls from the headers.
    ///
    /// - Returns: the value of `Authorization`.
    private func read(_ headers: HTTPHeaders, _ controls: inout RequestControls) throws(APIError) -> String? {
        var bearer: String?
        for (name, value) in headers {
            switch name.utf8.first {
            case UInt8(ascii: "x"), UInt8(ascii: "X"):
                let name = name.lowercased()
                if name.hasPrefix("x-sim-") { try controls.apply(name, value) }
            case UInt8(ascii: "a"), UInt8(ascii: "A"):
                if name.utf8.count == 13, name.lowercased() == "authorization" { bearer = value }
            default:
                continue
            }
        }
        return bearer
    }

    private func authorize(_ bearer: String?) throws(APIError) {
        guard let bearer, bearer.utf8.count > 7, bearer.utf8.starts(with: "Bearer ".utf8) || bearer.prefix(7).lowercased() == "bearer " else {
            throw APIError.missingKey
        }
        guard let apiKey else { return }
        let key = String(decoding: bearer.utf8.dropFirst(7), as: UTF8.self)
        if key != apiKey { throw APIError.wrongKey(key) }
    }

    private func control(_ route: Route, _ head: HTTPRequestHead) throws(APIError) -> Answer {
        guard head.method.rawValue == route.method else { throw APIError.wrongMethod(head.method.rawValue, head.uri) }
        switch route {
        case .calls: return Answer(.whole(recorder.body()))
        case .reset:
            statistics.reset()
            faults.reset()
            recorder.reset()
            return Answer(.whole(statistics.body()))
        default: return Answer(.whole(statistics.body()))
        }
    }

    private func call(_ route: Route, _ body: ByteBuffer, _ controls: RequestControls) throws(APIError) -> Answer {
        switch route {
        case .chatCompletions:
            let request = try Self.reading(body) { bytes throws(APIError) in try ChatRequest(bytes, controls) }
            let chat = ChatAnswer(request, controls, id: uniqueID())
            guard !request.streams else { return Answer(.stream(ChatFrames(chat))) }
            var answer = Answer(.whole(chat.body()))
            answer.tokens = chat.tokens
            return answer
        case .completions:
            let completion = try Self.reading(body) { bytes throws(APIError) in try CompletionAnswer(bytes, controls, id: uniqueID()) }
            guard !completion.streams else { return Answer(.stream(CompletionFrames(completion))) }
            var answer = Answer(.whole(completion.body()))
            answer.tokens = completion.tokens
            return answer
        case .embeddings:
            return Answer(.whole(try Self.reading(body) { bytes throws(APIError) in try EmbeddingAnswer.body(bytes, controls) }))
        case .models:
            return Answer(.whole(ModelList.list()))
        case .model(let id):
            return Answer(.whole(try ModelList.model(id)))
        case .statistics, .reset, .calls, .unknown:
            throw .unknownPath("GET", "/")
        }
    }

    private static func reading<Value>(
        _ body: ByteBuffer, _ read: (UnsafeRawBufferPointer) throws(APIError) -> Value
    ) throws(APIError) -> Value {
        var outcome: Result<Value, APIError> = .failure(.malformedBody)
        body.withUnsafeReadableBytes { bytes in
            do throws(APIError) { outcome = .success(try read(bytes)) } catch { outcome = .failure(error) }
        }
        return try outcome.get()
    }
}
