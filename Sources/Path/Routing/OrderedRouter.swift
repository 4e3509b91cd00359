internal import Contracts
package import Vocabulary

/// Tries a model's deployments in the order of the configuration.
package final class OrderedRouter: CandidateChoosing {
    package init() {}

    package func candidates(for model: Model, endpoint: Endpoint) -> [Deployment] {
        model.deployments
    }
}
