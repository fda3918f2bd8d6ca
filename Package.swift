// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]

let package = Package(
    name: "attntrace",
    products: [
        .library(name: "TraceFormat", targets: ["TraceFormat"]),
        .library(name: "Capture", targets: ["Capture"]),
        .library(name: "Analysis", targets: ["Analysis"]),
        .library(name: "Importing", targets: ["Importing"]),
        .library(name: "Report", targets: ["Report"]),
        .executable(name: "attntrace", targets: ["attntrace"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        // What Hummingbird itself stands on: its connections are guarded by a handler of ours.
        .package(url: "https://github.com/apple/swift-nio", from: "2.100.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.30.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
    ],
    targets: [
        // libhdf5 and its high-level library, as Debian ships them.
        .systemLibrary(name: "CHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"])]),
        .systemLibrary(name: "CDeflate", pkgConfig: "libdeflate", providers: [.apt(["libdeflate-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZip", pkgConfig: "libzip", providers: [.apt(["libzip-dev"])]),
        .systemLibrary(name: "COniguruma", pkgConfig: "oniguruma", providers: [.apt(["libonig-dev"])]),

        // Byte-level work of the file: float16, byte planes, their deflate, checksums.
        .target(name: "CCodec", exclude: ["README.md"]),
        // Arithmetic of the forward pass, and of maps that are rebuilt from what it left.
        .target(name: "CKernels"),
        .target(
            name: "TraceFormat", dependencies: ["CHDF5", "CDeflate", "CCodec", "CKernels", "COpenSSL"],
            exclude: ["README.md"],
            swiftSettings: strict),

        .target(name: "Tokenizer", dependencies: ["COniguruma"], exclude: ["README.md"], swiftSettings: strict),
        .target(
            name: "Capture",
            dependencies: ["TraceFormat", "Tokenizer", "CKernels"],
            exclude: ["README.md", "Model/README.md"], swiftSettings: strict),

        .target(
            name: "Analysis", dependencies: ["TraceFormat", "CKernels"],
            exclude: ["README.md"], swiftSettings: strict),

        .target(
            name: "Importing", dependencies: ["TraceFormat", "CZip"], exclude: ["README.md"], swiftSettings: strict),

        // Traces as a page for a person. What the page is made of is compiled into the program.
        .target(
            name: "Report", dependencies: ["Analysis", "TraceFormat", "CDeflate"], exclude: ["README.md"],
            resources: [
                .embedInCode("Page/page.html"), .embedInCode("Page/page.css"), .embedInCode("Page/elements.js"),
                .embedInCode("Page/tokens.js"), .embedInCode("Page/blocks.js"), .embedInCode("Page/source.js"),
                .embedInCode("Page/state.js"), .embedInCode("Page/theme.js"), .embedInCode("Page/colours.js"),
                .embedInCode("Page/heatmap.js"), .embedInCode("Page/tables.js"), .embedInCode("Page/lines.js"),
                .embedInCode("Page/facts.js"), .embedInCode("Page/controls.js"), .embedInCode("Page/walk.js"),
                .embedInCode("Page/follow.js"), .embedInCode("Page/words.js"), .embedInCode("Page/drift.js"),
                .embedInCode("Page/quantities.js"), .embedInCode("Page/analysis.js"),
                .embedInCode("Page/comparison.js"), .embedInCode("Page/main.js"),
            ],
            swiftSettings: strict),

        // The page over HTTP, on the loopback address only.
        .target(
            name: "Serving",
            dependencies: [
                "Report", "TraceFormat", .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            exclude: ["README.md"], swiftSettings: strict),

        .target(name: "CProcess"),
        .executableTarget(
            name: "attntrace",
            dependencies: [
                "Capture", "Analysis", "Importing", "Report", "Serving", "TraceFormat", "Tokenizer", "CProcess",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            exclude: ["README.md"], swiftSettings: strict),

        // For Benchmarks/: what is timed from inside.
        .executableTarget(name: "forward-bench", dependencies: ["Capture"], swiftSettings: strict),
        .executableTarget(name: "file-bench", dependencies: ["TraceFormat", "CDeflate"], swiftSettings: strict),
        .executableTarget(name: "capture-bench", dependencies: ["Capture"], swiftSettings: strict),

        // A made-up run with every signal, for the tests of whoever reads traces.
        .target(
            name: "SyntheticTraces", dependencies: ["TraceFormat"], path: "Tests/SyntheticTraces",
            swiftSettings: strict),
        .testTarget(
            name: "TraceFormatTests", dependencies: ["TraceFormat", "CCodec", "CDeflate", "SyntheticTraces"],
            swiftSettings: strict),
        .testTarget(name: "TokenizerTests", dependencies: ["Tokenizer"], swiftSettings: strict),
        // Products on AMX tiles, compiled for tiles in plain C.
        .target(name: "AMXEmulation", dependencies: ["CKernels"], path: "Tests/AMXEmulation"),
        .testTarget(
            name: "CaptureTests", dependencies: ["Capture", "CKernels", "AMXEmulation"], swiftSettings: strict),
        .testTarget(
            name: "ReportTests", dependencies: ["Report", "Analysis", "CDeflate", "TraceFormat", "SyntheticTraces"],
            swiftSettings: strict),
        .testTarget(
            name: "AnalysisTests", dependencies: ["Analysis", "CKernels", "SyntheticTraces"], swiftSettings: strict),
        .testTarget(
            name: "ServingTests",
            dependencies: [
                "Serving", .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOCore", package: "swift-nio"),
            ], swiftSettings: strict),
    ]
)
