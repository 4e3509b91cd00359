internal import Files
import Foundation
import Vocabulary

/// Reads `network`, and decides for each provider which way it goes.
struct NetworkReader {
    let report: ReadingReport
    private let keys = ["proxy", "no_proxy", "ca_file", "allow_link_local", "deny"]

    func read(_ root: SectionReader) -> Settings.Network {
        let section = root.section("network", keys: keys)
        var network = Settings.Network()
        network.proxy = proxy(section, "proxy") ?? network.proxy
        let isEverywhere = section.node("no_proxy") == nil
        network.noProxy =
            items(section, "no_proxy", "a host, .DOMAIN, *.DOMAIN, a range such as 10.0.0.0/8, or * ", ProxyException.init) ?? network.noProxy
        network.caFile = readableFile(section, "ca_file")
        network.allowsLinkLocal = section.boolean("allow_link_local", network.allowsLinkLocal)
        network.denied = items(section, "deny", "an address or a range such as 10.0.0.0/8", { CIDR($0) }) ?? network.denied
        if network.proxy == .off, !isEverywhere { report.warn("network.no_proxy has no use without network.proxy") }
        return network
    }

    /// `off`, `env`, or a URL; `nil` when the key does not stand here or is mistaken.
    func proxy(_ section: SectionReader, _ key: String) -> Settings.ProxySource? {
        guard let text = section.text(key) else { return nil }
        switch text.lowercased() {
        case "off", "false", "no", "none": return .off
        case "env": return .environment
        default:
            do throws(ProxyURL.Mistake) {
                return .url(try ProxyURL(reading: text))
            } catch {
                section.fail(key, error.reason)
                return nil
            }
        }
    }

    /// The proxy of a provider: its own, else the default one unless an exception names the provider's host.
    ///
    /// - Parameter url: `nil` when it is mistaken; a mistake here is found all the same.
    func proxy(of section: SectionReader, at url: BaseURL?, default network: Settings.Network) -> ProxyURL? {
        let own = proxy(section, "proxy")
        guard let url else { return nil }
        switch own ?? network.proxy {
        case .off: return nil
        case .url(let proxy):
            // A provider that names its proxy means it.
            guard own == nil, let exception = network.noProxy.first(where: { $0.matches(host: url.host, port: url.port) }) else { return proxy }
            if network.noProxy == Settings.Network.thisMachine {
                report.warn(
                    "\(section.path) is reached without network.proxy, since \(url.host) is this machine; set network.no_proxy or the provider's own proxy to change that"
                )
            } else if exception.text == "*" {
                report.warn("\(section.path) is reached without network.proxy, since network.no_proxy names everything")
            }
            return nil
        case .environment: return environmentProxy(section, at: url, network)
        }
    }

    private func environmentProxy(_ section: SectionReader, at url: BaseURL, _ network: Settings.Network) -> ProxyURL? {
        let listed = variable(["no_proxy"])?.text.split { $0 == "," || $0.isWhitespace }.compactMap { ProxyException(String($0)) } ?? []
        guard !(network.noProxy + listed).contains(where: { $0.matches(host: url.host, port: url.port) }) else { return nil }
        guard let (name, text) = variable([url.isTLS ? "https_proxy" : "http_proxy", "all_proxy"]) else { return nil }
        do throws(ProxyURL.Mistake) {
            // Other programs take these without a scheme.
            return try ProxyURL(reading: text.contains("://") ? text : "http://\(text)")
        } catch {
            section.fail("proxy", "is to come from the environment, but \(name) is no proxy: it \(error.reason)")
            return nil
        }
    }

    /// The first variable that is set, in small letters or in capitals.
    private func variable(_ names: [String]) -> (name: String, text: String)? {
        for name in names.flatMap({ [$0, $0.uppercased()] }) {
            if let text = report.environment[name], !text.isEmpty { return (name, text) }
        }
        return nil
    }

    /// A list, or texts with commas between them, as a variable or a flag gives it; `nil` when the key does not stand here.
    private func items<Item>(_ section: SectionReader, _ key: String, _ wanted: String, _ read: (String) -> Item?) -> [Item]? {
        guard let node = section.node(key) else {
            // So that a variable can set it.
            _ = section.text(key, as: .items)
            return nil
        }
        var texts: [String] = []
        switch node.content {
        case .sequence(let nodes):
            for node in nodes {
                guard case .scalar(let text) = node.content else {
                    section.fail(key, "must be a list of single values; one of them is \(node.kindName)")
                    return nil
                }
                texts.append(text)
            }
        case .null: return []
        case .scalar, .mapping:
            guard let text = section.text(key, as: .items) else { return nil }
            texts = text.split { $0 == "," || $0.isWhitespace }.map(String.init)
        }
        return texts.compactMap { text in
            let item = read(text)
            if item == nil { section.fail(key, "has an entry that is not \(wanted): \(section.shown(key, text))") }
            return item
        }
    }
}

/// A file that must be there; `nil` when the key does not stand here or the file cannot be read.
func readableFile(_ section: SectionReader, _ key: String) -> String? {
    guard let path = section.name(key) else { return nil }
    do throws(FileReadError) {
        if try !PlainFile.read(path, upTo: 1).isEmpty { return path }
        section.fail(key, "\(section.shownFile(key, path)) is empty")
    } catch {
        section.fail(key, "\(section.shownFile(key, path)) \(error)")
    }
    return nil
}
