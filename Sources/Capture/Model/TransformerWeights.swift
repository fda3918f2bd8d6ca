/// A model's weights: copied and packed for the kernels, or used where the checkpoint's files are mapped.
struct TransformerWeights {
    /// The weights of one layer.
    struct Layer {
        let attentionNorm: [Float]
        /// Queries, keys and values side by side.
        let queryKeyValue: WeightMatrix
        /// Their biases side by side, where the model has them.
        let queryKeyValueBias: [Float]?
        /// Norms of all queries and of all keys of a position, where the model has them.
        let queryNorm: [Float]?
        let keyNorm: [Float]?
        let attentionOutput: WeightMatrix
        let attentionOutputBias: [Float]?
        let mlpNorm: [Float]
        let gate: WeightMatrix
        let up: WeightMatrix
        let down: WeightMatrix
    }

    let embedding: EmbeddingTable
    let layers: [Layer]
    let finalNorm: [Float]
    let head: WeightMatrix

    /// Takes the weights of a checkpoint; `inPlace` says whether they stay where they lie. Errors: ``ModelError`` for a
    /// missing tensor, or one of another shape or type.
    init(
        _ configuration: ModelConfiguration, _ checkpoint: Checkpoint, inPlace: Bool, pool: WorkerPool
    ) throws(ModelError) {
        let names = TensorNames(configuration.architecture)
        let width = configuration.width
        let queries = configuration.headCount * configuration.headWidth
        let keys = configuration.kvHeadCount * configuration.headWidth

        func matrix(_ parts: [(name: String, rows: Int)], _ k: Int) throws(ModelError) -> WeightMatrix {
            var tensors: [Tensor] = []
            for part in parts { tensors.append(try checkpoint.tensor(part.name, shape: [part.rows, k])) }
            return inPlace
                ? try WeightMatrix(inPlace: tensors, k: k) : try WeightMatrix(packing: tensors, k: k, pool: pool)
        }
        func vector(_ name: String, _ count: Int? = nil) throws(ModelError) -> [Float] {
            try checkpoint.tensor(name, shape: [count ?? width]).floats()
        }
        func biases(_ has: Bool, _ parts: [(name: String, rows: Int)]) throws(ModelError) -> [Float]? {
            guard has else { return nil }
            var bias: [Float] = []
            for part in parts { bias += try vector(TensorNames.bias(of: part.name), part.rows) }
            return bias
        }
        let hasNorms = configuration.normalizesQueriesAndKeys

        embedding = try EmbeddingTable(
            try checkpoint.tensor(names.embedding, shape: [configuration.vocabularySize, width]), width: width,
            inPlace: inPlace)
        var layers: [Layer] = []
        for layer in 0..<configuration.layerCount {
            let names = names.layer(layer)
            let projections = [(names.query, queries), (names.key, keys), (names.value, keys)]
            layers.append(
                Layer(
                    attentionNorm: try vector(names.attentionNorm),
                    queryKeyValue: try matrix(projections, width),
                    queryKeyValueBias: try biases(configuration.hasQueryKeyValueBias, projections),
                    queryNorm: hasNorms ? try vector(names.queryNorm, queries) : nil,
                    keyNorm: hasNorms ? try vector(names.keyNorm, keys) : nil,
                    attentionOutput: try matrix([(names.attentionOutput, width)], queries),
                    attentionOutputBias: try biases(
                        configuration.hasAttentionOutputBias, [(names.attentionOutput, width)]),
                    mlpNorm: try vector(names.mlpNorm),
                    gate: try matrix([(names.gate, configuration.mlpWidth)], width),
                    up: try matrix([(names.up, configuration.mlpWidth)], width),
                    down: try matrix([(names.down, width)], configuration.mlpWidth)))
        }
        self.layers = layers
        finalNorm = try vector(names.finalNorm)
        head = try matrix(
            [(configuration.tiesHead ? names.embedding : names.head, configuration.vocabularySize)], width)
    }
}
