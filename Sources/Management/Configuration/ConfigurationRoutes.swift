import Contracts
import HTTPTypes
import Hummingbird
import Vocabulary

/// The configuration in force, and its reload. For administrators: it names every provider and every path on disk, though no secret.
struct ConfigurationRoutes: Sendable {
    let configuration: any ConfigurationControlling
    let access: Access

    func add(to routes: RouteTable) {
        routes.add("/api/v1/config", get: { request, _ in try show(request) })
        routes.add("/api/v1/config/reload", post: { request, _ in try await reload(request) })
    }

    private func show(_ request: Request) throws -> Response {
        try access.caller(request, with: .administrator)
        let state = configuration.configuration
        return .json { json in
            json.member("object", "config")
            state.write(to: &json)
            json.name("last_failure")
            if let refusal = state.lastRefusal {
                json.object { json in
                    json.member("at", refusal.at)
                    json.member("trigger", refusal.trigger.rawValue)
                    refusal.writeProblems(to: &json)
                }
            } else {
                json.literal("null")
            }
            json.member("config", literal: state.settingsJSON)
        }
    }

    private func reload(_ request: Request) async throws -> Response {
        try access.caller(request, with: .administrator)
        do throws(ConfigurationRefusal) {
            let state = try await configuration.reload(.api)
            return .json { json in
                json.member("object", "config_reload")
                json.member("reloaded", true)
                state.write(to: &json)
            }
        } catch {
            return refused(error)
        }
    }

    /// An error in the usual shape, with the list of mistakes in it.
    private func refused(_ refusal: ConfigurationRefusal) -> Response {
        let count = refusal.problems.count
        let words = "The configuration has \(count == 1 ? "a mistake" : "\(count) mistakes") and was refused whole; the one before stays in force. "
        return .json(status: .unprocessableContent) { json in
            json.name("error")
            json.object { json in
                json.member("message", words + (refusal.problems.first?.sentence ?? ""))
                json.member("type", "invalid_request_error")
                json.member("param", nil as String?)
                json.member("code", "invalid_configuration")
                refusal.writeProblems(to: &json)
            }
        }
    }
}

extension ConfigurationState {
    fileprivate func write(to json: inout JSONWriter) {
        json.member("generation", Int64(clamping: generation))
        json.member("loaded_at", loadedAt)
        json.member("trigger", trigger.rawValue)
        json.member("source", file ?? "embedded defaults")
        json.member("warnings", warnings)
        json.name("needs_restart")
        json.array { json in
            for need in needsRestart {
                json.object { json in
                    json.member("path", need.path)
                    json.member("in_force", need.inForce)
                    json.member("wanted", need.wanted)
                }
            }
        }
    }
}

extension ConfigurationRefusal {
    fileprivate func writeProblems(to json: inout JSONWriter) {
        json.name("problems")
        json.array { json in
            for problem in problems {
                json.object { json in
                    json.member("file", problem.file)
                    json.member("line", literal: problem.line.map(String.init) ?? "null")
                    json.member("column", literal: problem.column.map(String.init) ?? "null")
                    json.member("variable", problem.variable)
                    json.member("path", problem.path)
                    json.member("reason", problem.reason)
                }
            }
        }
    }
}

extension ConfigurationProblem {
    /// `martlet.yaml:4:7: server.port: must be …`
    fileprivate var sentence: String {
        let place = [file ?? variable, line.map(String.init), column.map(String.init)].compactMap { $0 }.joined(separator: ":")
        return [place, path, reason].filter { !$0.isEmpty }.joined(separator: ": ")
    }
}
