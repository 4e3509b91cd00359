import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import Synchronization

/// Decides the answer to one whole request. Shared by all connections; no state but counters and the script.
final class Responder: Sendable {
    /// Larger bodies are answered by 413.
    static let maximumBodyBytes = 64 << 20

    private static let maximumSpoiledTokens = 65_536

    let statistics = SimulatorStatistics()
    private let usual: RequestControls
    private let apiKey: String?
    private let sendsRateLimits: Bool
    private let limiter: RateLimiter?
    private let faults: FaultSource
    private let recorder: CallRecorder
    private let scripts = NIOLockedValueBox<Script?>(nil)
    private let run = UInt64.random(in: 0...UInt64.max)
    private let lastID = Atomic<UInt64>(0)

    init(_ options: SimulatorOptions) {
        usual = RequestControls(options)
        apiKey = options.apiKey
        sendsRateLimits = options.sendsRateLimits
        let isLimited = options.requestsPerMinute != nil || options.tokensPerMinute != nil
        limiter = isLimited ? RateLimiter(requestsPerMinute: options.requestsPerMinute, tokensPerMinute: options.tokensPerMinute) : nil
        faults = FaultSource(options)
        recorder = CallRecorder(maximumCalls: options.recordedCallsMax)
    }

    /// Puts a script in force; calls that have been decided keep what they have.
    func use(_ script: Script?) { scripts.withLockedValue { $0 = script } }

    /// An id that no other answer of this process has, and hardly one of another.
    func uniqueID() -> UInt64 { SeededRandom.mix(run &+ lastID.wrappingAdd(1, ordering: .relaxed).newValue) }

    func answer(_ head: HTTPRequestHead, _ body: ByteBuffer) -> Answer {
        let route = Route(uri: head.uri)
        if route.isControl {
            do throws(APIError) { return try control(route, head, body) } catch {
                var answer = Answer(error)
                if error.status == 405 { answer.allow = route.methods.joined(separator: ", ") }
                return answer
            }
        }
        var controls = usual
        var answer: Answer
        let rule = scripts.withLockedValue { $0 }.flatMap { $0.rule(for: Self.call(head, body, reads: $0.needsBody)) }
        rule?.apply(&controls)
        do throws(APIError) {
            let bearer = try read(head.headers, &controls)
            try authorize(bearer)
            guard route != .unknown else { throw APIError.unknownPath(head.method.rawValue, head.uri) }
            guard route.methods.contains(head.method.rawValue) else { throw APIError.wrongMethod(head.method.rawValue, head.uri) }
            faults.decide(&controls)
            if let status = controls.errorStatus {
                answer = Answer(APIError.simulated(status: status, code: controls.errorCode))
                answer.retryAfter = controls.retryAfter
                answer.retryAfterMilliseconds = controls.retryAfterMilliseconds
            } else {
                answer = try call(route, body, controls)
                limit(&answer, controls, key: bearer ?? "")
            }
        } catch {
            answer = Answer(error)
            if error.status == 405 { answer.allow = route.methods.joined(separator: ", ") }
        }
        answer.sendsRateLimits = sendsRateLimits
        if controls.records {
            answer.entry = recorder.record(head, body)
            let model = Self.call(head, body, reads: true).body?.model
            answer.entry?.decided(rule: rule?.name, model: model, faults: controls.faults, status: answer.status)
        }
        answer.controls = controls
        answer.label = route.label
        return answer
    }

    /// What is to happen while the rest of a request is being read.
    func requestFaults(_ head: HTTPRequestHead) -> [Fault] {
        if let header = head.headers.first(where: { $0.name.utf8.count == 11 && $0.name.lowercased() == "x-sim-fault" }) {
            // A header that cannot be read is told when the request is answered.
            return ((try? Fault.list(header.value)) ?? []).filter { $0.kind.stage == .request }
        }
        if let script = scripts.withLockedValue({ $0 }), script.actsOnRequests, !Route(uri: head.uri).isControl {
            let found = script.requestFaults(for: Self.call(head, ByteBuffer(), reads: false))
            if !found.isEmpty { return found }
        }
        guard !usual.faults.isEmpty, !Route(uri: head.uri).isControl else { return [] }
        return usual.faults.filter { $0.kind.stage == .request }
    }

    /// Counts and keeps a call whose connection a fault ends before the request is whole.
    func brokeOff(_ head: HTTPRequestHead, _ body: ByteBuffer, _ fault: Fault) {
        var controls = usual
        let rule = scripts.withLockedValue { $0 }?.rule(for: Self.call(head, ByteBuffer(), reads: false))
        rule?.apply(&controls)
        if head.headers["x-sim-record"].contains("1") { controls.records = true }
        statistics.callBegan(Route(uri: head.uri).label)
        statistics.callCut()
        guard controls.records else { return }
        let entry = recorder.record(head, body)
        entry.decided(rule: rule?.name, model: nil, faults: [fault], status: 0)
        entry.ended(.reset, frames: 0)
    }

    private static func call(_ head: HTTPRequestHead, _ body: ByteBuffer, reads: Bool) -> ScriptMatch.Call {
        let path = head.uri.utf8.firstIndex(of: UInt8(ascii: "?")).map { String(head.uri[..<$0]) } ?? head.uri
        let bearer = head.headers.first(name: "authorization") ?? ""
        let key = bearer.lowercased().hasPrefix("bearer ") ? String(bearer.dropFirst(7)) : bearer
        var call = ScriptMatch.Call(path: path, key: key, headers: head.headers)
        guard reads else { return call }
        call.body = body.withUnsafeReadableBytes { bytes in
            guard let fields = try? JSONFields(bytes), let model = try? fields.string("model") else { return nil }
            return (model, (try? fields.boolean("stream")) ?? false)
        }
        return call
    }

    /// Counts an answer against the limit that is in force, and turns it into a 429 where there is no room for it.
    private func limit(_ answer: inout Answer, _ controls: RequestControls, key: String) {
        guard answer.status == 200, let limiter = controls.limiter ?? limiter else { return }
        let state = limiter.take(key, tokens: answer.promptTokens + answer.tokens)
        if let exceeded = state.exceeded {
            let limit = (exceeded == "requests" ? state.requests?.limit : state.tokens?.limit) ?? 0
            let wait = goDuration(nanoseconds: state.retryNanoseconds)
            answer = Answer(.rateLimited(exceeded, limit: limit, wait: wait))
            answer.retryAfter = String((state.retryNanoseconds + 999_999_999) / 1_000_000_000)
            answer.retryAfterMilliseconds = String((state.retryNanoseconds + 999_999) / 1_000_000)
        }
        answer.rateLimits = state
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

    private func control(_ route: Route, _ head: HTTPRequestHead, _ body: ByteBuffer) throws(APIError) -> Answer {
        guard route.methods.contains(head.method.rawValue) else { throw APIError.wrongMethod(head.method.rawValue, head.uri) }
        switch route {
        case .calls: return Answer(.whole(recorder.body(try CallFilter(Route.query(head.uri)))))
        case .faults: return Answer(.whole(Self.faultList))
        case .script: return try scriptControl(head, body)
        case .reset:
            statistics.reset()
            faults.reset()
            recorder.reset()
            limiter?.reset()
            scripts.withLockedValue { $0 }?.reset()
            return Answer(.whole(statistics.body()))
        default: return Answer(.whole(statistics.body()))
        }
    }

    /// `GET` shows the script in force, `PUT` puts another in its place, all of it or nothing, `DELETE` ends it.
    private func scriptControl(_ head: HTTPRequestHead, _ body: ByteBuffer) throws(APIError) -> Answer {
        switch head.method {
        case .PUT:
            guard let text = String(validating: body.readableBytesView, as: UTF8.self) else { throw .invalid(nil, "The script is no valid UTF-8.") }
            do throws(ScriptError) { use(try Script(text, file: "script")) } catch {
                throw .invalid("script", error.description, code: "invalid_script")
            }
        case .DELETE: use(nil)
        default: break
        }
        var buffer = ByteBuffer()
        buffer.writeJSON(scripts.withLockedValue { $0 }?.json ?? .object([JSONMember("rules", .array([]))]))
        return Answer(.whole(buffer))
    }

    private static let faultList: ByteBuffer = {
        let faults = FaultKind.allCases.map { kind in
            var members = [JSONMember("name", .string(kind.rawValue)), JSONMember("summary", .string(kind.summary))]
            if let argument = kind.argument {
                members.append(JSONMember("number", .string(argument.meaning)))
                members.append(JSONMember("usual", .number(String(argument.usual))))
            }
            return JSONValue.object(members)
        }
        var buffer = ByteBuffer()
        buffer.writeJSON(.object([JSONMember("faults", .array(faults))]))
        return buffer
    }()

    private func call(_ route: Route, _ body: ByteBuffer, _ controls: RequestControls) throws(APIError) -> Answer {
        switch route {
        case .chatCompletions:
            let request = try Self.reading(body) { bytes throws(APIError) in try ChatRequest(bytes, controls) }
            let chat = ChatAnswer(request, controls, id: uniqueID())
            var answer = controls.streams(request.streams) ? Answer(.stream(ChatFrames(chat))) : Answer(.whole(chat.body()))
            answer.tokens = chat.tokens
            answer.promptTokens = controls.promptTokens ?? request.prompt.tokens
            return try Self.checked(answer, controls)
        case .completions:
            let completion = try Self.reading(body) { bytes throws(APIError) in try CompletionAnswer(bytes, controls, id: uniqueID()) }
            var answer = controls.streams(completion.streams) ? Answer(.stream(CompletionFrames(completion))) : Answer(.whole(completion.body()))
            answer.tokens = completion.tokens
            answer.promptTokens = controls.promptTokens ?? completion.promptTokens
            return try Self.checked(answer, controls)
        case .embeddings:
            let embedding = try Self.reading(body) { bytes throws(APIError) in try EmbeddingAnswer.body(bytes, controls) }
            var answer = Answer(.whole(embedding.body))
            answer.promptTokens = embedding.tokens
            return answer
        case .models:
            return Answer(.whole(ModelList.list()))
        case .model(let id):
            return Answer(.whole(try ModelList.model(id)))
        case .statistics, .reset, .calls, .script, .faults, .unknown:
            throw .unknownPath("GET", "/")
        }
    }

    /// Answers that are taken apart are held in memory, so they are not without end.
    private static func checked(_ answer: Answer, _ controls: RequestControls) throws(APIError) -> Answer {
        guard answer.tokens > maximumSpoiledTokens, controls.spoilsAnswer else { return answer }
        throw .invalid("x-sim-fault", "An answer with a fault has at most \(maximumSpoiledTokens) tokens, not \(answer.tokens).")
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
