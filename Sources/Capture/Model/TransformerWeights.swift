/// A model's weights: copied and packed for the kernels, or used where the checkpoint's files are mapped.
struct TransformerWeights {
    /// The weights of one layer.
    struct Layer {
        let attentionNorm: [Float]
        /// Queries, keys and values side by side.
        let queryKeyValue: WeightMatrix
        let attentionOutput: WeightMatrix
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
        func vector(_ name: String) throws(ModelError) -> [Float] {
            try checkpoint.tensor(name, shape: [width]).floats()
        }

        embedding = try EmbeddingTable(
            try checkpoint.tensor(names.embedding, shape: [configuration.vocabularySize, width]), width: width,
            inPlace: inPlace)
        var layers: [Layer] = []
        for layer in 0..<configuration.layerCount {
            let names = names.layer(layer)
            layers.append(
                Layer(
                    attentionNorm: try vector(names.attentionNorm),
                    queryKeyValue: try matrix(
                        [(names.query, queries), (names.key, keys), (names.value, keys)], width),
                    attentionOutput: try matrix([(names.attentionOutput, width)], queries),
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
