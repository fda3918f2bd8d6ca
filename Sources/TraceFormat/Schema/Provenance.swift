/// What made a trace: enough to say whether two traces may be compared, and to make one again.
public struct Provenance: Sendable, Equatable, Codable {
    /// The model's name: the last component of its directory, or as given.
    public var modelName: String
    /// The architecture as config.json names it.
    public var architecture: String
    /// config.json as it was read.
    public var modelConfiguration: String
    /// SHA-256 of the weights, in hex: of the file, or, for a sharded checkpoint, of its files' digests, concatenated in
    /// order of file name.
    public var weightsSHA256: String
    /// SHA-256 of the tokenizer's files, in hex: of one, its own; of more, that of their digests one after another; empty
    /// where there is none.
    public var tokenizerSHA256: String
    /// Query heads of a layer.
    public var headCount: Int
    /// Key-value heads of a layer: query head h uses kv head h / (headCount / kvHeadCount).
    public var kvHeadCount: Int
    /// Layers of the model.
    public var layerCount: Int
    /// 0 when row i scores position i, 1 when it scores position i + 1.
    public var predictionOffset: Int
    /// The id that stands for a masked position; -1 for a causal model.
    public var maskTokenID: Int
    /// The sampler's published name: `llada`, `autoregressive`.
    public var sampler: String
    /// Every parameter of the sampler by its published name, as a JSON object.
    public var samplerParameters: String
    /// The seed of every random number of the run.
    public var seed: UInt64
    /// Numeric type of products with weights: `float32`, `bfloat16`.
    public var numericType: String
    /// What multiplied the matrices: library and instruction set.
    public var kernel: String
    /// Threads of the forward pass. The same number gives the same bits.
    public var threads: Int
    /// Version of this package.
    public var producer: String
    /// The command line, as given; empty for library use.
    public var commandLine: String
    /// When the capture began, ISO 8601, UTC.
    public var createdAt: String
    /// The prompt as text; empty when token ids were given.
    public var prompt: String
    /// The prompt's id in a batch; empty elsewhere.
    public var promptID: String
    /// Answers that the prompt file counts as right, as a JSON array of texts; empty where it gives none.
    public var goldAnswers: String
    /// Name and SHA-256 of the chat template that made the prompt, as a JSON object; empty where none did.
    public var chatTemplate: String
    /// How attention was changed, as a JSON object; empty where it was not.
    public var intervention: String
    /// Where an imported trace comes from, as a JSON object; empty for a capture.
    public var origin: String

    /// The key-value heads that query heads use, ascending; none where the counts do not fit each other.
    public func kvHeads(of heads: [Int]) -> [Int] {
        guard kvHeadCount > 0, headCount >= kvHeadCount, headCount % kvHeadCount == 0 else { return [] }
        return Set(heads.map { $0 / (headCount / kvHeadCount) }).sorted()
    }

    /// Makes a provenance record.
    public init(
        modelName: String, architecture: String, modelConfiguration: String, weightsSHA256: String,
        tokenizerSHA256: String, headCount: Int, kvHeadCount: Int, layerCount: Int, predictionOffset: Int,
        maskTokenID: Int, sampler: String, samplerParameters: String, seed: UInt64, numericType: String,
        kernel: String, threads: Int, producer: String, commandLine: String, createdAt: String, prompt: String,
        promptID: String = "", goldAnswers: String = "", chatTemplate: String = "", intervention: String = "",
        origin: String = ""
    ) {
        self.modelName = modelName
        self.architecture = architecture
        self.modelConfiguration = modelConfiguration
        self.weightsSHA256 = weightsSHA256
        self.tokenizerSHA256 = tokenizerSHA256
        self.headCount = headCount
        self.kvHeadCount = kvHeadCount
        self.layerCount = layerCount
        self.predictionOffset = predictionOffset
        self.maskTokenID = maskTokenID
        self.sampler = sampler
        self.samplerParameters = samplerParameters
        self.seed = seed
        self.numericType = numericType
        self.kernel = kernel
        self.threads = threads
        self.producer = producer
        self.commandLine = commandLine
        self.createdAt = createdAt
        self.prompt = prompt
        self.promptID = promptID
        self.goldAnswers = goldAnswers
        self.chatTemplate = chatTemplate
        self.intervention = intervention
        self.origin = origin
    }
}
