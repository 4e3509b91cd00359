/// Reads `models[]`.
struct ModelReader {
    let report: ReadingReport
    /// The ids that deployments may name.
    let providers: [String]
    private let nameMaxBytes = 256

    init(report: ReadingReport, providers: [String]) {
        self.report = report
        self.providers = providers
    }

    func read(_ root: SectionReader) -> [Settings.Model] {
        let nodes = root.list("models")
        if nodes.isEmpty, root.node("models") == nil || root.node("models")?.isEmptyList == true {
            root.fail("models", "is missing or empty; name at least one model with its deployments")
        }
        var models: [Settings.Model] = []
        var seen: [String: Origin] = [:]
        for (index, node) in nodes.enumerated() {
            let section = SectionReader(
                node, path: rawName(in: node).map { "models.\($0)" } ?? "models[\(index)]", address: root.address(of: "models", index: index),
                keys: ["name", "deployments", "price"], parentOrigin: root.origin, report: report)
            let model = model(section)
            if let name = rawName(in: node), let first = seen.updateValue(section.origin(of: "name"), forKey: name) {
                section.fail("name", "'\(name)' is taken by the model at \(first); names are unique")
            } else if let model {
                models.append(model)
            }
        }
        return models
    }

    /// The name as it stands, for paths in messages.
    private func rawName(in node: ConfigNode) -> String? {
        guard case .mapping(let entries) = node.content, case .scalar(let name)? = entries.first(where: { $0.key == "name" })?.value.content,
            (1...nameMaxBytes).contains(name.utf8.count), !name.contains(where: \.isNewline)
        else { return nil }
        return name
    }

    private func model(_ section: SectionReader) -> Settings.Model? {
        if section.node("name") == nil { section.fail("name", "is missing; it is what clients ask for") }
        var name = section.name("name")
        if let found = name, found.utf8.count > nameMaxBytes {
            section.fail("name", "must not be longer than \(nameMaxBytes) bytes")
            name = nil
        }
        let deployments = deployments(section, modelName: name)
        let price = price(section, "price")
        guard let name, !deployments.isEmpty else { return nil }
        return Settings.Model(name: name, deployments: deployments, price: price)
    }

    private func deployments(_ model: SectionReader, modelName: String?) -> [Settings.Deployment] {
        let nodes = model.list("deployments")
        if nodes.isEmpty, model.node("deployments") == nil || model.node("deployments")?.isEmptyList == true {
            model.fail("deployments", "is missing or empty; name at least one provider that has the model")
        }
        var deployments: [Settings.Deployment] = []
        for (index, node) in nodes.enumerated() {
            let section = SectionReader(
                node, path: "\(model.path).deployments[\(index)]", address: model.address(of: "deployments", index: index),
                keys: ["provider", "model"], parentOrigin: model.origin, report: report)
            let servedName = section.name("model") ?? modelName
            if section.node("provider") == nil { section.fail("provider", "is missing; it is the id of one of the providers") }
            guard let provider = section.name("provider"), let servedName else { continue }
            guard providers.contains(provider) else {
                let advice = suggestion(for: provider, among: providers).map { "; did you mean '\($0)'?" } ?? ""
                let reference = section.reference(at: "provider")
                section.fail("provider", reference.map { "no provider has the id that \($0) holds" } ?? "there is no provider '\(provider)'\(advice)")
                continue
            }
            let deployment = Settings.Deployment(provider: provider, model: servedName)
            guard !deployments.contains(deployment) else {
                section.fail("provider", "is the same deployment as another of this model")
                continue
            }
            deployments.append(deployment)
        }
        return deployments
    }
}
