import Capture
import Foundation
import Synchronization

/// A model's directory under Tests/Fixtures/model or models/, and the numbers that PyTorch computed from it.
struct ModelFixture {
    let directory: String
    let expected: Checkpoint

    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/model").path
    static let models = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "models").path

    static let tiny = [
        "llada-grouped-tied-f32", "llada-bf16", "llada-options-f64", "mmada-f32", "dream-sharded-f32",
        "llama-grouped-f16", "llama-tied-sharded-f32", "llama31-bias-f32", "qwen2-tied-bf16",
    ]
    /// Those that LLaDA's sampler or the autoregressive one is for.
    static let sampled = tiny.filter { !$0.hasPrefix("dream") }
    static let embedded = ["tiny-mdm", "tiny-ar"]

    /// A random tiny model.
    init(tiny name: String) throws {
        directory = "\(Self.folder)/\(name)"
        let aside = TemporaryFolder()
        try FileManager.default.copyItem(
            atPath: "\(directory)/expected.safetensors", toPath: "\(aside.path)/model.safetensors")
        expected = try Checkpoint(directory: aside.path)
    }

    /// An embedded model.
    init(embedded name: String) throws {
        directory = "\(Self.models)/\(name)"
        let aside = TemporaryFolder()
        try FileManager.default.copyItem(
            atPath: "\(Self.folder)/\(name).safetensors", toPath: "\(aside.path)/model.safetensors")
        expected = try Checkpoint(directory: aside.path)
    }

    /// The model by its name, tiny or embedded.
    init(named name: String) throws {
        self = try Self.embedded.contains(name) ? Self(embedded: name) : Self(tiny: name)
    }

    func model(
        threads: Int = 2, numericType: NumericType? = nil, kernels: KernelSet? = nil
    ) throws -> Transformer {
        try Transformer(
            configuration: ModelConfiguration(directory: directory), checkpoint: Checkpoint(directory: directory),
            threads: threads, numericType: numericType, kernels: kernels)
    }

    func floats(_ name: String) throws -> [Float] { try (expected[name] ?? missing(name)).floats() }

    func integers(_ name: String) throws -> [Int32] {
        try (expected[name] ?? missing(name)).withBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self) }
        }
    }

    func bytes(_ name: String) throws -> [UInt8] { try (expected[name] ?? missing(name)).withBytes { Array($0) } }

    private func missing(_ name: String) throws -> Tensor {
        throw ModelError(code: .missing, file: directory, object: name, rule: "is missing")
    }
}

/// A folder that goes away with the value that holds it.
final class TemporaryFolder {
    let path: String

    init() {
        path = FileManager.default.temporaryDirectory.appending(path: "attntrace-model-\(UUID().uuidString)").path
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ bytes: some Sequence<UInt8>) throws {
        try Data(bytes).write(to: URL(filePath: "\(path)/\(name)"))
    }

    func write(_ name: String, _ text: String) throws { try write(name, text.utf8) }
}

/// Puts the heads of a layer, which come on several threads, together again.
final class HeadCollector: Sendable {
    private let heads = Mutex<[Int: (weights: [Float], logSumExp: [Float])]>([:])

    func absorb(_ head: HeadAttention) {
        let kept = (Array(head.weights), Array(head.logSumExp))
        heads.withLock { $0[head.head] = kept }
    }

    /// Weights and log-sums of the heads since the last call, [head][query][key] and [head][query].
    func take() -> (weights: [Float], logSumExp: [Float]) {
        heads.withLock { heads in
            defer { heads = [:] }
            let sorted = heads.sorted { $0.key < $1.key }.map(\.value)
            return (sorted.flatMap(\.weights), sorted.flatMap(\.logSumExp))
        }
    }
}

/// Keeps what a pass hands over.
final class KeepingTap: AttentionTap {
    var layers: [Int: (weights: [Float], logSumExp: [Float], queries: Int, first: Int, keys: Int)] = [:]
    let wanted: Set<Int>?
    private let heads = HeadCollector()

    init(wanted: Set<Int>? = nil) { self.wanted = wanted }

    func parts(ofLayer layer: Int) -> LayerParts { wanted?.contains(layer) ?? true ? .weights : [] }

    func absorb(_ head: HeadAttention) { heads.absorb(head) }

    func absorb(_ attention: LayerAttention) {
        let (weights, logSumExp) = heads.take()
        layers[attention.layer] = (
            weights, logSumExp, attention.queryCount, attention.firstQuery, attention.keyCount
        )
    }
}

/// The largest difference, over the largest of the wanted numbers where `relative`.
func difference(_ got: [Float], _ wanted: [Float], relative: Bool) -> Float {
    guard got.count == wanted.count else { return .infinity }
    var worst: Float = 0
    var largest: Float = 0
    for (a, b) in zip(got, wanted) {
        guard a.isFinite else { return .infinity }
        worst = max(worst, abs(a - b))
        largest = max(largest, abs(b))
    }
    return relative ? worst / largest : worst
}
