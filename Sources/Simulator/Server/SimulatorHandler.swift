import NIOCore
import NIOHTTP1

/// One connection: collects requests, answers them one after another, and writes the bytes of the answers itself.
///
/// Pipelined requests wait for their turn; when many do, the connection is not read until they are fewer.
final class SimulatorHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let maximumWaiting = 16

    let responder: Responder
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()
    private var waiting: [(head: HTTPRequestHead, body: ByteBuffer)] = []
    private var holdsRead = false
    /// A read was asked for while the request is being read slowly.
    private var slowReader: SlowReader?
    /// The fault that ends the connection while the request is being read, and after how many bytes of its body.
    private var breakingFault: Fault?
    private var isAnswering = false
    /// No request is taken any more; what is being answered still is.
    private var isClosing = false
    var responseHead = ResponseHead()
    var call: ActiveCall?
    var context: ChannelHandlerContext?

    init(_ responder: Responder) { self.responder = responder }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { responder.statistics.connectionOpened() }
    }

    func channelActive(context: ChannelHandlerContext) {
        responder.statistics.connectionOpened()
        context.fireChannelActive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelInactive(context: ChannelHandlerContext) {
        isClosing = true
        responder.statistics.connectionClosed()
        abandonCall()
        waiting = []
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing else { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body.clear()
            if spoilRequest(head, context) { return }
            if head.version == .http1_1, head.headers.contains(name: "expect") {
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n")), promise: nil)
            }
        case .body(var part):
            guard head != nil else { return }
            if body.readableBytes == 0 { body = part } else { body.writeBuffer(&part) }
            if let fault = breakingFault, body.readableBytes >= fault.number { return breakOff(fault) }
            if body.readableBytes > Responder.maximumBodyBytes { refuse(.tooLarge(limitBytes: Responder.maximumBodyBytes)) }
        case .end:
            guard let head else { return }
            self.head = nil
            // A body shorter than the fault wants.
            if let fault = breakingFault {
                self.head = head
                return breakOff(fault)
            }
            readAtFullSpeed(context)
            waiting.append((head, body))
            body = ByteBuffer()
            answerWaiting()
        }
    }

    func read(context: ChannelHandlerContext) {
        holdsRead = waiting.count >= Self.maximumWaiting
        if holdsRead { return }
        guard let slowReader else { return context.read() }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: slowReader.pause) { bound.value.context?.read() }
    }

    /// Begins with the faults that act while a request is being read.
    ///
    /// - Returns: whether the connection is over.
    private func spoilRequest(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) -> Bool {
        for fault in responder.requestFaults(head) {
            switch fault.kind {
            case .slowReader:
                slowReader = SlowReader(pause: .milliseconds(Int64(fault.number)))
                SlowReader.begin(context.channel)
            case .resetOnBody: breakingFault = fault
            case .resetOnHead:
                breakOff(fault)
                return true
            default: break
            }
        }
        return false
    }

    private func breakOff(_ fault: Fault) {
        if let head { responder.brokeOff(head, body, fault) }
        head = nil
        body = ByteBuffer()
        resetConnection()
    }

    private func readAtFullSpeed(_ context: ChannelHandlerContext) {
        guard slowReader != nil else { return }
        slowReader = nil
        SlowReader.end(context.channel)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { pump() }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What the decoder cannot read is the client's mistake; any other error is the connection's, and closing reports it.
        if error is HTTPParserError, call == nil, context.channel.isActive {
            refuse(.invalid(nil, "The request is not valid HTTP.", code: "invalid_http"))
        } else {
            context.close(promise: nil)
        }
    }

    /// Takes the next request when none is being answered. A loop rather than recursion: a client may pipeline thousands.
    func answerWaiting() {
        guard !isAnswering else { return }
        isAnswering = true
        while call == nil, !waiting.isEmpty, !isClosing {
            let request = waiting.removeFirst()
            let arrival = NIODeadline.now()
            var answer = responder.answer(request.head, request.body)
            answer.closesConnection = !request.head.isKeepAlive || request.head.version == .http1_0
            begin(answer, for: request.head, arrival: arrival)
        }
        isAnswering = false
        if holdsRead, waiting.count < Self.maximumWaiting {
            holdsRead = false
            context?.read()
        }
    }

    /// Answers by an error at once and closes: what follows on the connection cannot be understood.
    private func refuse(_ error: APIError) {
        isClosing = true
        head = nil
        waiting = []
        var answer = Answer(error)
        answer.label = .other
        answer.closesConnection = true
        begin(answer, for: nil, arrival: .now())
    }

    /// Ends the connection by a reset: what was not read on the other side may be lost there, and it hears of an error.
    func resetConnection() {
        isClosing = true
        waiting = []
        guard let context else { return }
        if let socket = context.channel as? any SocketOptionProvider {
            // Done at once on the channel's own loop; a socket that takes no options is gone already.
            socket.setSoLinger(noLinger).whenComplete { _ in }
        }
        context.close(mode: .all, promise: nil)
    }

    /// Closes after what is written; nothing more is answered.
    func closeConnection() {
        isClosing = true
        waiting = []
        context?.close(promise: nil)
    }
}
