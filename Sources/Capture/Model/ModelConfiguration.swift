import Foundation

/// The shape of a model and its options, from a Hugging Face `config.json`. Every value is checked: one that this
/// package does not implement is refused rather than ignored.
public struct ModelConfiguration: Sendable, Equatable {
    /// Families of models. What sets them apart is in the properties below; the name says which published code a run is
    /// held against.
    public enum Architecture: String, Sendable, CaseIterable {
        /// Masked diffusion: LLaDA's Llama block.
        case llada
        /// Masked diffusion: LLaDA with image codes behind its vocabulary.
        case mmada
        /// Masked diffusion: Qwen2 that sees every key, each row still scoring the next position.
        case dream
        /// Autoregressive: Llama 2, 3 and 3.1.
        case llama
        /// Autoregressive: Qwen2 and Qwen2.5.
        case qwen2
    }

    /// Which keys a query sees.
    public enum Visibility: String, Sendable {
        /// Every key of the sequence.
        case bidirectional
        /// The keys up to its own position.
        case causal
    }

    /// The family.
    public var architecture: Architecture
    /// The architecture as config.json names it: `LLaDAModelLM`.
    public var architectureName: String
    /// Which keys a query sees.
    public var visibility: Visibility
    /// 0 when row i of the logits scores position i, 1 when it scores position i + 1.
    public var predictionOffset: Int
    /// Channels of the residual stream.
    public var width: Int
    /// Layers.
    public var layerCount: Int
    /// Query heads of a layer.
    public var headCount: Int
    /// Key-value heads of a layer: query head h uses kv head h / (headCount / kvHeadCount).
    public var kvHeadCount: Int
    /// Channels of a head.
    public var headWidth: Int
    /// Channels inside the gated MLP.
    public var mlpWidth: Int
    /// Rows of the embedding, which are also the columns of the logits.
    public var vocabularySize: Int
    /// The longest sequence that the model takes.
    public var maximumLength: Int
    /// Base theta of the rotary position embedding: pair i turns by position * theta^(-2i / headWidth).
    public var rotaryBase: Double
    /// How the rotations are stretched beyond the length of the first training; nil: not.
    public var rotaryScaling: RotaryScaling?
    /// Added to the mean square in RMSNorm.
    public var normEpsilon: Double
    /// Whether queries, keys and values have a bias.
    public var hasQueryKeyValueBias = false
    /// Whether the attention output has a bias.
    public var hasAttentionOutputBias = false
    /// Whether all queries of a position, and all its keys, go through RMSNorm before they are cut into heads.
    public var normalizesQueriesAndKeys = false
    /// What the embedding's rows are multiplied by.
    public var embeddingScale = 1.0
    /// What the logits are multiplied by.
    public var logitScale = 1.0
    /// Whether the logits use the embedding's own matrix.
    public var tiesHead: Bool
    /// The id that stands for a masked position; nil in a causal model.
    public var maskTokenID: Int?
    /// The id that starts a text.
    public var bosTokenID: Int?
    /// The ids that end one.
    public var eosTokenIDs: [Int]
    /// config.json as it was read.
    public var source: String

    /// Reads a configuration from a model's directory. Errors: ``ModelError``.
    public init(directory: String) throws(ModelError) {
        let path = directory.hasSuffix("/") ? "\(directory)config.json" : "\(directory)/config.json"
        let mapped = try MappedFile(path: path, limit: 1 << 24)
        guard let text = String(validating: mapped.bytes, as: UTF8.self) else {
            throw ModelError(code: .malformed, file: path, object: "", rule: "is not valid UTF-8")
        }
        try self.init(parsing: text, file: path)
    }

    /// Reads a configuration from its text; `file` is what errors name. Errors: ``ModelError``.
    public init(parsing text: String, file: String = "config.json") throws(ModelError) {
        let reader = ConfigurationReader(
            file: file, members: try JSONValue.object(parsing: Data(text.utf8), file: file))
        var names: [String] = []
        if case .array(let elements) = reader.present("architectures") {
            for case .string(let name) in elements { names.append(name) }
        }
        var type = ""
        if case .string(let name) = reader.present("model_type") { type = name }
        // A name decides; a type does where there is no name.
        guard
            let family = ModelFamily.all.first(where: { !Set($0.architectureNames).isDisjoint(with: names) })
                ?? ModelFamily.all.first(where: { names.isEmpty && $0.modelType == type.lowercased() })
        else { throw ModelFamily.unknown(names.first ?? type, reader) }
        self = try family.read(reader, text)
        if let name = names.first { architectureName = name }
    }

    /// Parameters of the model, the norms' weights included.
    public var parameterCount: Int {
        let attention = width * headWidth * (2 * headCount + 2 * kvHeadCount)
        var vectors = 2 * width
        if hasQueryKeyValueBias { vectors += headWidth * (headCount + 2 * kvHeadCount) }
        if hasAttentionOutputBias { vectors += width }
        if normalizesQueriesAndKeys { vectors += headWidth * (headCount + kvHeadCount) }
        let layer = attention + 3 * width * mlpWidth + vectors
        return layerCount * layer + width + vocabularySize * width * (tiesHead ? 1 : 2)
    }

    /// Query heads that share a key-value head.
    public var groupSize: Int { headCount / kvHeadCount }

    /// Memberwise, for the readers of each family; what few of them have is set afterwards.
    init(
        architecture: Architecture, architectureName: String, visibility: Visibility, predictionOffset: Int, width: Int,
        layerCount: Int, headCount: Int, kvHeadCount: Int, headWidth: Int, mlpWidth: Int, vocabularySize: Int,
        maximumLength: Int, rotaryBase: Double, normEpsilon: Double, tiesHead: Bool, maskTokenID: Int?,
        bosTokenID: Int?, eosTokenIDs: [Int], source: String
    ) {
        self.architecture = architecture
        self.architectureName = architectureName
        self.visibility = visibility
        self.predictionOffset = predictionOffset
        self.width = width
        self.layerCount = layerCount
        self.headCount = headCount
        self.kvHeadCount = kvHeadCount
        self.headWidth = headWidth
        self.mlpWidth = mlpWidth
        self.vocabularySize = vocabularySize
        self.maximumLength = maximumLength
        self.rotaryBase = rotaryBase
        self.normEpsilon = normEpsilon
        self.tiesHead = tiesHead
        self.maskTokenID = maskTokenID
        self.bosTokenID = bosTokenID
        self.eosTokenIDs = eosTokenIDs
        self.source = source
    }
}
