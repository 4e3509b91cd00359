import Contracts
import Hummingbird
import Logging
import Vocabulary

/// Makes every error an answer in OpenAI's shape, and logs those that are ours, once.
struct ErrorMiddleware: RouterMiddleware {
    func handle(
        _ request: Request, context: ManagementContext, next: @concurrent (Request, ManagementContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as APIError {
            return error.response
        } catch let error as GatewayError {
            return APIError(error).response
        } catch let error as StoreError {
            switch error {
            case .unavailable(let reason):
                context.logger.warning("Store unavailable", metadata: ["error.reason": "\(reason)", "http.route": route(context)])
            case .corrupt(let reason):
                context.logger.error("Store unreadable", metadata: ["error.reason": "\(reason)", "http.route": route(context)])
            case .duplicate:
                break
            }
            return APIError(error).response
        } catch let error as HTTPError where error.status == .notFound {
            // Hummingbird's answer to a path that no route has.
            return APIError(.unknownPath(request.uri.path)).response
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            context.logger.error("Management request failed", metadata: ["error.reason": "\(error)", "http.route": route(context)])
            return APIError(.internalFault).response
        }
    }

    private func route(_ context: ManagementContext) -> Logger.MetadataValue {
        "\(context.endpointPath ?? "unknown")"
    }
}
