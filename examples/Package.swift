// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.swiftLanguageMode(.v6)]
let analysis: [Target.Dependency] = [
    .product(name: "TraceFormat", package: "attntrace"), .product(name: "Analysis", package: "attntrace"),
]

// How a program of yours depends on attntrace; here by path, elsewhere by URL.
let package = Package(
    name: "examples",
    dependencies: [.package(name: "attntrace", path: "..")],
    targets: [
        .executableTarget(
            name: "read-a-trace",
            dependencies: [.product(name: "TraceFormat", package: "attntrace")],
            path: "01-read-a-trace", exclude: ["read.py"], swiftSettings: strict),
        .executableTarget(
            name: "sinks-by-hand",
            dependencies: analysis,
            path: "02-sinks-by-hand", exclude: ["sinks.py"], swiftSettings: strict),
        .executableTarget(
            name: "capture-from-swift",
            dependencies: [.product(name: "Capture", package: "attntrace")],
            path: "03-capture-from-swift", exclude: ["read.py"], swiftSettings: strict),
        .executableTarget(
            name: "rebuild-a-map",
            dependencies: [.product(name: "TraceFormat", package: "attntrace")],
            path: "04-rebuild-a-map", exclude: ["rebuild.py"], swiftSettings: strict),
        .executableTarget(
            name: "follow-a-capture",
            dependencies: [.product(name: "TraceFormat", package: "attntrace")],
            path: "05-follow-a-capture", exclude: ["follow.py"], swiftSettings: strict),
        .executableTarget(
            name: "custom-metric", dependencies: analysis, path: "06-custom-metric", exclude: ["looking_back.py"],
            swiftSettings: strict),
        .executableTarget(
            name: "cohort", dependencies: analysis, path: "07-cohort", exclude: ["cohort.py"], swiftSettings: strict),
        .executableTarget(
            name: "query", dependencies: analysis, path: "08-query", exclude: ["query.py"], swiftSettings: strict),
    ]
)
