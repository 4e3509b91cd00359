import Admission
import Contracts
import Routing
import Telemetry
import Vocabulary
import Walk

/// The order of the steps, admission and routing, and the page of metrics.
let pathCases: [Case] = [
    Case("walk-plain", "a plain call through the state machine") {
        let events: [WalkEvent] = [.head, .body, .granted(candidates: 1), .upstreamHead(.plain), .upstreamBytes, .upstreamEnd, .journaled]
        return {
            var walk = Walk()
            for event in events { use(walk.handle(event).first == nil ? 0 : 1) }
        }
    },
    Case("walk-frame", "a frame of a stream through the state machine") {
        var walk = Walk()
        for event in [WalkEvent.head, .body, .granted(candidates: 1), .upstreamHead(.stream)] { _ = walk.handle(event) }
        return { use(walk.handle(.upstreamBytes).first == nil ? 0 : 1) }
    },
    Case("admit", "ask for a hold and give it back") {
        let room = Room()
        let admission = ModelAdmission(room: room, keeper: room, continuesWithoutJournal: false)
        let snapshot = directory().snapshot
        guard let model = snapshot.model(named: "model-57") else { throw SetUpError(description: "no model") }
        let principal = Principal(
            keyID: "key", keyName: "", tenant: "default", team: "", agent: "", user: "", rights: .inference,
            models: [Glob("gpt-*"), Glob("model-*")],
            expiresAt: nil)
        let question = AdmissionQuestion(principal: principal, model: model, endpoint: .chatCompletions)
        return {
            switch admission.ask(question) {
            case .granted(let hold): hold.giveBack()
            case .denied: fatalError("a call was denied")
            }
        }
    },
    Case("route", "the deployments of a model in order") {
        let router = OrderedRouter()
        guard let model = directory().snapshot.model(named: "model-57") else { throw SetUpError(description: "no model") }
        return { use(router.candidates(for: model, endpoint: .chatCompletions).count) }
    },
    Case("metrics-text", "a page with histograms and counters of 100 label sets") {
        let bounds: [Double] = [0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120]
        let labels = (0..<100).map { [("agent", "agent-\($0 % 10)"), ("model", "model-\($0)"), ("provider", "upstream"), ("status", "success")] }
        let counts = (0...bounds.count).map { UInt64($0 * 17) }
        return {
            var page = PrometheusText()
            page.counter(name: "llm_requests_total", help: "Model calls.", samples: labels.map { ($0, Int64(4_711)) })
            page.histogram(
                name: "llm_request_duration_seconds", help: "Durations.", bounds: bounds,
                series: labels.map { (labels: $0, bucketCounts: counts, sum: 12.5) })
            use(page.text.utf8.count)
        }
    },
]

/// Room without end.
private final class Room: RecordRoom, HoldKeeping {
    private var promised = 0

    func reserve() -> Bool {
        promised += 1
        return true
    }

    func holdSettled() { promised -= 1 }
    func holdGivenBack() { promised -= 1 }
    func holdDropped() { fatalError("a hold was dropped") }
}
