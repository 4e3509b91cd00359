import NIOCore
internal import NIOSSL
internal import NIOTLS
internal import Vocabulary

/// How connections begin and end.
extension Lane {
    // MARK: Beginnings

    func opened(_ context: ChannelHandlerContext) {
        guard !hasOpened else { return }
        hasOpened = true
        lastProgress = .now()
        loop.add(self)
        if entry.isTLS || entry.isProxied { openingSince = lastProgress }
        if entry.isUnix { return admit(nil) }
        // Without an address it has been closed again already.
        guard let address = context.channel.remoteAddress.flatMap(IPAddress.init) else { return context.close(promise: nil) }
        guard entry.isProxied else { return admit(address) }
        peer = address
        // Anybody else could claim to be anybody.
        if !loop.options.proxies.trusts(address) { refuseConnection(.proxyProtocol) }
    }

    /// News of the handlers before this one, while no request may come yet.
    func opening(_ event: Any) {
        if let client = event as? ProxiedClient {
            guard !isRefused else { return }
            if !entry.isTLS { openingSince = nil }
            lastProgress = .now()
            admit(client.address ?? peer)
        } else if case .handshakeCompleted = event as? TLSUserEvent {
            openingSince = nil
            lastProgress = .now()
            // The client's last word of the handshake needs no answer, and by Nagle's algorithm its first request waits for the acknowledgement.
            context?.channel.acknowledges()
        }
    }

    private func admit(_ address: IPAddress?) {
        peer = address
        peerAddress = address?.description ?? "unix"
        clientAddress = peerAddress
        let proxies = loop.options.proxies
        speaksForOthers = address.map { proxies.trusts($0) } ?? proxies.trustsUnix
        guard let gate = loop.gate else { return }
        let counted = speaksForOthers ? nil : address
        switch gate.enter(counted) {
        case nil: gatePlace = GatePlace(address: counted)
        case .connections: refuseConnection(.connections)
        case .connectionsOfAddress: refuseConnection(.connectionsOfAddress)
        }
    }

    /// Lets a connection go that there is no place for: with a word where the client would understand one.
    private func refuseConnection(_ reason: EdgeCounters.Refused) {
        isRefused = true
        loop.counters.count(reason)
        guard let context else { return }
        guard !entry.isTLS, reason != .proxyProtocol, loop.refusedLingering < Lane.refusedLingeringMax else {
            phase = .closed
            return context.close(promise: nil)
        }
        lingersRefused = true
        loop.refusedLingering += 1
        // For a moment, since closing while the request is on its way would reset the connection and take the answer with it.
        phase = .lingering(until: .now() + Lane.refusalLingerMax)
        write(reason == .connections ? Lane.tooManyConnections : Lane.tooManyConnectionsOfAddress)
        flush()
        context.close(mode: .output, promise: nil)
    }

    /// Of a loop; what comes beyond is closed without a word, so that refusing takes no more files than the limit saves.
    private static let refusedLingeringMax = 64
    private static let refusalLingerMax = TimeAmount.milliseconds(500)
    private static let tooManyConnections = connectionRefusal(
        "503 Service Unavailable", type: "service_unavailable", code: "too_many_connections",
        message: "The gateway has as many connections as it can; try again shortly.")
    private static let tooManyConnectionsOfAddress = connectionRefusal(
        "429 Too Many Requests", type: "rate_limit_error", code: "too_many_connections",
        message: "Your address has as many connections as one may have; use those that are open.")

    private static func connectionRefusal(_ status: String, type: String, code: String, message: String) -> ByteBuffer {
        let body = #"{"error":{"message":"\#(message)","type":"\#(type)","param":null,"code":"\#(code)"}}"#
        return ByteBuffer(
            string: "HTTP/1.1 \(status)\r\ncontent-type: application/json\r\nx-should-retry: true\r\nretry-after: 1\r\nconnection: close\r\n"
                + "content-length: \(body.utf8.count)\r\n\r\n\(body)")
    }

    // MARK: Ends

    /// The connection is broken, or TLS is.
    func broken(_ error: any Error, _ context: ChannelHandlerContext) {
        // A client that ends TCP without ending TLS first, as most do: the end of its input is reported right after this.
        if let error = error as? NIOSSLError, error == .uncleanShutdown { return }
        if openingSince != nil, entry.isTLS, !isRefused {
            openingSince = nil
            loop.counters.count(.handshakeFailed)
        }
        call?.clientLeft()
        context.close(promise: nil)
    }

    func inputClosed() {
        switch phase {
        case .call, .callBody:
            call?.clientLeft()
            context?.close(promise: nil)
        case .control:
            // The answer is on its way and costs nobody anything.
            closesAfterAnswer = true
        case .idle, .dropBody, .controlBody, .lingering, .closed:
            context?.close(promise: nil)
        }
    }

    func gone() {
        phase = .closed
        if let place = gatePlace.take() { loop.gate?.leave(place.address) }
        if lingersRefused { loop.refusedLingering -= 1 }
        waiting.removeAll()
        loop.remove(self)
        call?.clientLeft()
        call = nil
        releaseBody()
        releaseAnswer()
    }

    func unreadable(_ failure: RequestParser.Failure) {
        let refusal: GatewayError
        switch failure {
        case .malformed(let message): refusal = .malformedRequest(message)
        case .tooLarge: refusal = .headTooLarge
        }
        giveUpInput()
        switch phase {
        case .callBody: call?.refuse(refusal)
        case .dropBody(let then): send(then)
        case .idle, .controlBody: refuseHead(refusal)
        case .call, .control:
            // What came behind the request in hand is broken; that one is answered, and then the connection ends.
            break
        case .lingering, .closed: break
        }
    }

    /// Refuses what cannot be read as a request at all, or not safely; the connection ends with the answer.
    func refuseHead(_ error: GatewayError) {
        giveUpInput()
        if facts == nil {
            // Nothing of it is known; the id is that of the request before.
            requestID = loop.makeRequestID()
            facts = RequestFacts(RequestParser.Context())
        }
        phase = .controlBody
        send(.refusal(error, attempts: 0))
    }

    /// Ends the connection without waiting for what the client has not taken: the kernel would keep it for as long as the client likes.
    func reset() {
        guard let context else { return }
        context.channel.closesByReset()
        context.close(promise: nil)
    }

    /// The connection ends with the next answer, and the body, if one is coming, is not waited for.
    func giveUpInput() {
        closesAfterAnswer = true
        isInputBroken = true
    }

    func closeIfIdle() {
        if case .idle = phase, waiting.isEmpty, headBegan == nil { context?.close(promise: nil) }
    }

    func endRunningCall() {
        switch phase {
        case .call, .callBody:
            giveUpInput()
            call?.drain()
        case .dropBody(let then):
            giveUpInput()
            send(then)
        case .idle, .lingering, .controlBody, .control: context?.close(promise: nil)
        case .closed: break
        }
    }
}
