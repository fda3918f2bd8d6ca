/// How the datasets of one trace are laid out: lengths, chunks, compression. Follows from the plan alone.
struct TraceLayout: Sendable {
    /// One dataset as it will be created.
    struct Dataset: Sendable {
        let path: String
        let schema: Schema.Dataset
        /// Full length of each axis; the step axis is unlimited on top.
        let fullShape: [Int]
        let chunk: [Int]
        let isCompressed: Bool
        /// Written in whole chunks, around libhdf5's chunk cache. The others are small and pass through it.
        let isDirect: Bool
        /// Strength of compression, 1 to 12.
        var level = TraceLayout.captureLevel

        var dimensions: [Dimension] { schema.dimensions }
        var isCoordinate: Bool { path == schema.dimensions.first?.rawValue && schema.dimensions.count == 1 }
    }

    let plan: TracePlan
    let datasets: [Dataset]

    /// Bytes that a chunk of maps must not exceed.
    static let mapChunkLimit = 2 << 20
    /// Elements in a chunk of a dataset along one axis alone.
    static let vectorChunk = 1024
    /// The same for text, and for what grows with the vocabulary: each flush writes such a chunk again.
    static let textChunk = 128

    /// Strength of compression while capturing.
    static let captureLevel = 1

    /// The layout of a capture, or, with options, that of a copy.
    init(
        _ plan: TracePlan, access: RepackOptions.Access = .step, level: Int = captureLevel
    ) {
        self.plan = plan
        var datasets: [Dataset] = []
        let present = Schema.datasets.filter { $0.signal.map(plan.signals.contains) ?? true }
        let used = Set(present.flatMap(\.dimensions))
        for coordinate in Schema.coordinates where used.contains(coordinate.dimensions[0]) {
            datasets.append(Self.place(coordinate, at: coordinate.path, plan))
        }
        for schema in present { datasets.append(Self.place(schema, at: schema.path, plan)) }
        if plan.isGuided {
            for schema in present where Schema.guidedPaths.contains(schema.path) {
                datasets.append(Self.place(schema, at: Schema.unconditional + schema.path, plan))
            }
        }
        self.datasets = datasets.map { dataset in
            var dataset = access == .step ? dataset : Self.rechunked(dataset, for: access, plan)
            dataset.level = level
            return dataset
        }
    }

    /// The same dataset, cut otherwise: one head's map, or a few places over many steps, in a chunk.
    private static func rechunked(_ dataset: Dataset, for access: RepackOptions.Access, _ plan: TracePlan) -> Dataset {
        guard dataset.isDirect, dataset.isCompressed || dataset.dimensions[0] == .rowStep else { return dataset }
        let full = dataset.fullShape
        let isFullAttention = dataset.schema.type == .float16 && dataset.dimensions.count == 5
        var chunk = full
        chunk[0] = 1
        if dataset.dimensions[1] == .layer { chunk[1] = 1 }
        if isFullAttention { chunk[2] = 1 }
        if access == .time, plan.causality == .bidirectional, dataset.dimensions[0] != .generated {
            chunk[0] = min(full[0], 16)
        }
        // As many rows (or, of what has none, steps) as the largest chunk holds.
        let axis = isFullAttention ? 3 : 0
        let others = chunk.enumerated().reduce(dataset.schema.type.size) { $1.offset == axis ? $0 : $0 * $1.element }
        chunk[axis] = max(1, min(chunk[axis], mapChunkLimit / others))
        return Dataset(
            path: dataset.path, schema: dataset.schema, fullShape: full, chunk: chunk, isCompressed: true,
            isDirect: true)
    }

    /// Length of an axis after a number of steps; 0 where it has a length of its own.
    func length(_ dimension: Dimension, afterSteps steps: Int) -> Int {
        plan.length(of: dimension, afterSteps: steps) ?? 0
    }

    /// Whether an axis has no planned end.
    func isUnlimited(_ dimension: Dimension) -> Bool {
        switch dimension {
        case .step, .vocab, .leaf: true
        case .rowStep, .mapStep: plan.causality == .bidirectional
        default: false
        }
    }

    private static func place(_ schema: Schema.Dataset, at path: String, _ plan: TracePlan) -> Dataset {
        let full = schema.dimensions.map { max(1, plan.fullLength(of: $0)) }
        func dataset(_ chunk: [Int], isCompressed: Bool, isDirect: Bool = true) -> Dataset {
            Dataset(
                path: path, schema: schema, fullShape: full, chunk: chunk, isCompressed: isCompressed,
                isDirect: isDirect)
        }
        let dimensions = schema.dimensions
        guard dimensions.count > 1, dimensions != [.mapStep, .layer] else {
            let isText = schema.type == .utf8 || dimensions.first == .vocab || dimensions.first == .leaf
            let limit = isText ? textChunk : vectorChunk
            let isEndless = dimensions.first == .vocab || dimensions.first == .leaf
            let chunk = full.map { isEndless ? limit : min($0, limit) }
            return dataset(chunk, isCompressed: false, isDirect: false)
        }
        var chunk = full
        if plan.causality == .causal, let first = dimensions.first, first == .rowStep || first == .mapStep {
            // Rows come one by one, and what is written is never written again: a chunk a row.
            let growing: Set<Dimension> = [.query, .key, .position]
            if let axis = dimensions.firstIndex(where: growing.contains) { chunk[axis] = 1 }
            // A row of all layers is small, but for those of maps and vectors.
            guard schema.type == .float16 else { return dataset(chunk, isCompressed: false) }
            chunk[1] = 1
            return dataset(chunk, isCompressed: true)
        }
        // One step (or answer) a chunk, one layer, and, of what is large, one head and no more rows than fit.
        chunk[0] = 1
        if dimensions[1] == .layer { chunk[1] = 1 }
        if dimensions.count == 5, schema.type == .float16 {
            chunk[2] = 1
            chunk[3] = max(1, min(full[3], mapChunkLimit / (2 * full[4])))
        }
        let isTimeline = dimensions.starts(with: [.step, .position]) || dimensions == [.step, .key]
        return dataset(chunk, isCompressed: !isTimeline)
    }
}
