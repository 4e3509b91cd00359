internal import Contracts
internal import Dialects
import NIOCore
internal import Vocabulary

/// What a head asks for, and what can be refused by it alone.
extension Lane {
    func begin(_ facts: RequestFacts) {
        guard case .idle = phase else { return }
        headBegan = nil
        requestBegan = lastProgress
        windowBegan = lastProgress
        windowBytes = 0
        idleUnsentBytes = nil
        ticket &+= 1
        self.facts = facts
        requestID = facts.requestID ?? loop.makeRequestID()
        closesAfterAnswer = !facts.keepsAlive
        isInputBroken = false
        hasSaidClose = false
        droppedBytes = 0
        if speaksForOthers { clientAddress = loop.options.proxies.client(facts.forwarded)?.description ?? peerAddress }
        if let fault = facts.fault {
            // Another server on the way may have read it otherwise: nothing behind it can be trusted to be a request of its own.
            giveUpInput()
            guard case .model = facts.target else { return refuseHead(fault) }
        }
        switch facts.target {
        case .model(let endpoint): beginCall(endpoint, facts)
        case .modelList: beginModels(nil, facts)
        case .modelItem(let id): beginModels(id, facts)
        case .unknown(let path): refuse(.unknownPath(path))
        case .control: beginControl(facts)
        }
    }

    private func beginCall(_ endpoint: Endpoint, _ facts: RequestFacts) {
        let snapshot = loop.currentSnapshot()
        let call = ModelCall(lane: self, endpoint: endpoint, snapshot: snapshot, requestID: requestID, facts: facts)
        self.call = call
        phase = .callBody
        switch check(facts, endpoint: endpoint, snapshot: snapshot, now: call.startedAt) {
        case .failure(let error): call.refuse(error)
        case .success(let principal):
            call.begin(principal)
            // The answer before this one may have left the client with more than it can take at once.
            if unwritableSince != nil { call.clientWritability(false) }
            reserveBody(facts)
            if facts.expects == .goOn { sendContinue() }
        }
    }

    /// Everything that can be refused by the head alone.
    private func check(
        _ facts: RequestFacts, endpoint: Endpoint, snapshot: Snapshot, now: WallTime
    ) -> Result<Principal, GatewayError> {
        if let fault = facts.fault { return .failure(fault) }
        if facts.method != .post { return .failure(.wrongMethod(allowed: "POST")) }
        if facts.expects == .other { return .failure(.expectationFailed) }
        switch identify(facts, snapshot, now) {
        case .failure(let error): return .failure(error)
        case .success(let principal):
            call?.principal = principal
            if let encoding = facts.contentEncoding { return .failure(.unsupportedEncoding(encoding)) }
            if let length = facts.contentLength, length > loop.options.bodyMaxBytes {
                return .failure(.bodyTooLarge(limitBytes: loop.options.bodyMaxBytes))
            }
            return .success(principal)
        }
    }

    /// Who sends this. The same credential on the same connection under the same snapshot needs no second look-up.
    func identify(_ facts: RequestFacts, _ snapshot: Snapshot, _ now: WallTime) -> Result<Principal, GatewayError> {
        guard let credential = facts.credential else { return .failure(.missingKey) }
        if let known = knownCredential, known.generation == snapshot.generation, isSame(known.text, credential),
            !known.principal.isExpired(at: now)
        {
            return .success(known.principal)
        }
        let answer = loop.identifier.identify(credential, in: snapshot, at: now)
        if case .success(let principal) = answer { knownCredential = (credential, principal, snapshot.generation) }
        return answer
    }

    private func beginModels(_ id: String?, _ facts: RequestFacts) {
        let snapshot = loop.currentSnapshot()
        guard facts.method == .get else { return refuse(.wrongMethod(allowed: "GET")) }
        switch identify(facts, snapshot, WallTime.now) {
        case .failure(let error): refuse(error)
        case .success(let principal):
            guard principal.rights.contains(.inference) else { return refuse(.missingRight("inference")) }
            guard let id else { return reply(.models(modelList(snapshot, principal))) }
            guard let model = snapshot.model(named: id), principal.mayUse(model: model.name) else { return refuse(.unknownModel(id)) }
            var body = ByteBuffer()
            body.writeOpenAIModel(model)
            reply(.models(body))
        }
    }

    private func modelList(_ snapshot: Snapshot, _ principal: Principal) -> ByteBuffer {
        var body = ByteBuffer()
        body.writeStaticString("{\"object\":\"list\",\"data\":[")
        var isFirst = true
        for model in snapshot.models where principal.mayUse(model: model.name) {
            if !isFirst { body.writeStaticString(",") }
            isFirst = false
            body.writeOpenAIModel(model)
        }
        body.writeStaticString("]}")
        return body
    }
}

/// Compares credentials in a time that does not depend on where they differ.
private func isSame(_ left: String, _ right: String) -> Bool {
    var left = left
    var right = right
    return left.withUTF8 { left in
        right.withUTF8 { right in
            guard left.count == right.count else { return false }
            var difference: UInt8 = 0
            for index in 0..<left.count { difference |= left[index] ^ right[index] }
            return difference == 0
        }
    }
}
