// swift-tools-version: 6.2
import PackageDescription

// The house settings; Docs/decisions/0002-house-settings.md says why each is on.
let house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

// External products, by the name our targets use for them.
let nio: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioLocks: Target.Dependency = .product(name: "NIOConcurrencyHelpers", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let httpClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let sqlite: Target.Dependency = .product(name: "GRDBSQLite", package: "GRDB.swift")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let signals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")

/// One of our own targets; the path shows where in the walk it stands.
func ours(_ name: String, _ path: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(path)", swiftSettings: house)
}

/// The tests of one target.
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(name)Tests", swiftSettings: house)
}

let package = Package(
    name: "martlet",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "martlet", targets: ["martlet"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        .executableTarget(
            name: "martlet",
            dependencies: ["Assembly", "Simulator", "Settings", "Operations", "Vocabulary", "Telemetry", nio, arguments, logging],
            path: "Sources/martlet",
            swiftSettings: house,
            // The binary carries the Swift runtime; the tests, built from the same objects, cannot (Docs/decisions/0003-one-build.md).
            linkerSettings: [
                .unsafeFlags(
                    ["-static-stdlib", "-lCoreFoundation", "-l_FoundationICU", "-l_FoundationCShims", "-l_FoundationCollections", "-lBlocksRuntime"],
                    .when(platforms: [.linux]))
            ]
        ),
        ours(
            "Assembly", "Assembly",
            [
                "Vocabulary", "Contracts", "Dialects", "Edge", "Identity", "Admission", "Routing", "Calling", "Settling",
                "Providers", "StoresSQLite", "Management", "Telemetry", "Settings", "Files", "CHeap",
                nio, nioPosix, lifecycle, signals, logging,
            ]),
        ours("Vocabulary", "Vocabulary"),
        ours("Files", "Files"),
        ours("Contracts", "Contracts", ["Vocabulary", nio]),
        ours("Dialects", "Dialects", ["Vocabulary", "CScan", nio]),
        ours("Walk", "Path/Walk", ["Vocabulary"]),
        ours("Edge", "Path/Edge", ["Walk", "Vocabulary", "Contracts", "Dialects", "Files", nio, nioPosix, nioSSL, nioTLS]),
        ours("Identity", "Path/Identity", ["Vocabulary", "Contracts", crypto]),
        ours("Admission", "Path/Admission", ["Vocabulary", "Contracts"]),
        ours("Routing", "Path/Routing", ["Vocabulary", "Contracts"]),
        ours("Calling", "Path/Calling", ["Vocabulary", "Contracts", "Files", nio, nioPosix, nioSSL, nioTLS]),
        ours("Settling", "Path/Settling", ["Vocabulary", "Contracts", "CScan", logging]),
        ours("Providers", "Backends/Providers", ["Vocabulary"]),
        ours("StoresSQLite", "Backends/StoresSQLite", ["Vocabulary", "Contracts", grdb, sqlite]),
        ours("Management", "Management", ["Vocabulary", "Contracts", "Telemetry", hummingbird, httpTypes, nio, logging]),
        ours("Telemetry", "Telemetry", ["Vocabulary", logging]),
        ours("Settings", "Settings", ["Vocabulary", "Files", yams]),
        ours("Operations", "Operations", ["Vocabulary", "Settings", httpClient, nio, nioPosix, nioHTTP1, nioSSL, nioTLS]),
        ours("Simulator", "Simulator", [nio, nioPosix, nioHTTP1, nioLocks, nioSSL, yams]),
        ours("MartletTestKit", "MartletTestKit", ["Vocabulary", "Contracts"]),
        tests("Assembly", ["Assembly", "Settings", "Contracts", logging]),
        tests("Providers", ["Providers", "Vocabulary"]),
        tests("Settings", ["Settings", "Vocabulary"]),
        tests("Telemetry", ["Telemetry", "Vocabulary", logging]),
        tests("Operations", ["Operations", "Settings", nio, nioPosix, nioHTTP1]),
        tests("Management", ["Management", "MartletTestKit", "Vocabulary", "Contracts", nio, nioLocks, logging]),
        tests("Simulator", ["Simulator", nio, nioPosix]),
        tests("Vocabulary", ["Vocabulary", "MartletTestKit"]),
        tests("Files", ["Files"]),
        tests("Identity", ["Identity", "Vocabulary", "Contracts", "MartletTestKit"]),
        tests("Walk", ["Walk", "Vocabulary"]),
        tests("Simulation", ["Walk", "Contracts", "Vocabulary", "MartletTestKit"]),
        tests("Dialects", ["Dialects", "Vocabulary", "MartletTestKit", nio]),
        tests("Settling", ["Settling", "Vocabulary", "Contracts", "MartletTestKit", nioLocks, logging]),
        tests("Calling", ["Calling", "Vocabulary", "Contracts", nio, nioPosix]),
        tests("Edge", ["Edge", "Vocabulary", "Contracts", nio, nioPosix, nioLocks, nioSSL]),
        tests("StoresSQLite", ["StoresSQLite", "MartletTestKit", "Vocabulary", "Contracts"]),
        // Run by `make bench-functions` alone. Without debug information, which callgrind could not read.
        .executableTarget(
            name: "FunctionBench",
            dependencies: [
                "Vocabulary", "Contracts", "Dialects", "Walk", "Edge", "Identity", "Admission", "Routing", "Calling", "Settling", "Telemetry",
                nio, logging,
            ],
            path: "Benchmarks/functions", exclude: ["thresholds.json"], swiftSettings: house,
            linkerSettings: [.unsafeFlags(["-Xlinker", "--strip-debug"], .when(platforms: [.linux]))]),
        .target(name: "CHeap", path: "Sources/CHeap"),
        .target(
            name: "CScan", path: "Sources/CScan", cSettings: [.unsafeFlags(["-O3"])], cxxSettings: [.unsafeFlags(["-O3"])],
            linkerSettings: [.linkedLibrary("simdjson")]),
    ],
    cxxLanguageStandard: .cxx17
)
