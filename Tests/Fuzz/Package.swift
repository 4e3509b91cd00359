// swift-tools-version: 6.2
import PackageDescription

// The fuzz targets: a package of its own beside the product's, over the same sources (`Sources` is a link), so that a sanitizer build
// disturbs no other build, and takes only what parses bytes from outside. Scripts/fuzz builds and runs it; Docs/testing.md says how.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let nio: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

/// One of the product's targets.
///
/// - Parameters:
///   - exclude: files that need a library of which nothing here is tested.
///   - sources: the only files that are taken, where most are of that kind.
func ours(
    _ name: String, _ path: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = [], sources: [String]? = nil
) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(path)", exclude: exclude, sources: sources, swiftSettings: settings)
}

let package = Package(
    name: "martlet",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        .executableTarget(
            name: "martlet-fuzz",
            dependencies: [
                "Vocabulary", "Contracts", "Dialects", "Edge", "Identity", "Calling", "Settling", "Settings", "Management",
                "Simulator", "MartletTestKit", nio, nioEmbedded, logging,
            ],
            path: "Harness", swiftSettings: settings),
        ours("Vocabulary", "Vocabulary"),
        ours("Files", "Files"),
        ours("Contracts", "Contracts", ["Vocabulary", nio]),
        ours("Dialects", "Dialects", ["Vocabulary", "CScan", nio]),
        ours("Walk", "Path/Walk", ["Vocabulary"]),
        ours(
            "Edge", "Path/Edge", ["Walk", "Vocabulary", "Contracts", "Dialects", "NIOSSL", nio, nioPosix, nioTLS],
            exclude: ["Listener.swift", "ServerTLS.swift"]),
        .target(name: "NIOSSL", path: "Stubs"),
        ours("Identity", "Path/Identity", sources: ["KeyFormat.swift"]),
        ours("Calling", "Path/Calling", ["Vocabulary", "Contracts", nio], sources: ["AnswerFacts.swift", "AnswerParser.swift"]),
        ours("Settling", "Path/Settling", ["Vocabulary", "Contracts", "CScan", logging]),
        ours("Settings", "Settings", ["Vocabulary", "Files", yams]),
        ours(
            "Management", "Management", ["Vocabulary", "Contracts", httpTypes, nio],
            sources: [
                "HTTP/APIError.swift", "HTTP/JSONValue.swift", "HTTP/QueryParameters.swift", "Keys/KeyRequestReader.swift",
                "Usage/UsageFilterReader.swift",
            ]),
        ours("Simulator", "Simulator", [nio], sources: ["JSON/JSONScanner.swift", "JSON/JSONValue.swift", "JSON/JSONWriting.swift"]),
        ours("MartletTestKit", "MartletTestKit", ["Vocabulary", "Contracts"]),
        .target(
            name: "CScan", path: "Sources/CScan", cSettings: [.unsafeFlags(["-O2"])], cxxSettings: [.unsafeFlags(["-O2"])],
            linkerSettings: [.linkedLibrary("simdjson")]),
    ],
    cxxLanguageStandard: .cxx17
)
