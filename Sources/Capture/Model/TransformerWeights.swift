/// A model's weights, packed for the kernels and independent of the checkpoint's files.
struct TransformerWeights {
    /// The weights of one layer.
    struct Layer {
        let attentionNorm: [Float]
        /// Queries, keys and values side by side.
        let queryKeyValue: PackedMatrix
        /// Their biases side by side, where the model has them.
        let queryKeyValueBias: [Float]?
        /// Norms of all queries and of all keys of a position, where the model has them.
        let queryNorm: [Float]?
        let keyNorm: [Float]?
        let attentionOutput: PackedMatrix
        let attentionOutputBias: [Float]?
        let mlpNorm: [Float]
        let gate: PackedMatrix
        let up: PackedMatrix
        let down: PackedMatrix
    }

    /// Rows of the embedding, as the checkpoint stores them.
    let embedding: EmbeddingTable
    let layers: [Layer]
    let finalNorm: [Float]
    let head: PackedMatrix

    /// Reads a checkpoint. Errors: ``ModelError`` for a missing tensor, or one of another shape or type.
    init(_ configuration: ModelConfiguration, _ checkpoint: Checkpoint, pool: WorkerPool) throws(ModelError) {
        let names = TensorNames(configuration.architecture)
        let width = configuration.width
        let queries = configuration.headCount * configuration.headWidth
        let keys = configuration.kvHeadCount * configuration.headWidth

        func matrix(_ parts: [(name: String, rows: Int)], _ k: Int) throws(ModelError) -> PackedMatrix {
            var tensors: [Tensor] = []
            for part in parts { tensors.append(try checkpoint.tensor(part.name, shape: [part.rows, k])) }
            return try PackedMatrix(tensors, k: k, pool: pool)
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
            try checkpoint.tensor(names.embedding, shape: [configuration.vocabularySize, width]), width: width)
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
