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

        var dimensions: [Dimension] { schema.dimensions }
        var isCoordinate: Bool { path == schema.dimensions.first?.rawValue && schema.dimensions.count == 1 }
    }

    let plan: TracePlan
    let datasets: [Dataset]

    /// Bytes that a chunk of maps must not exceed.
    static let mapChunkLimit = 2 << 20
    /// Elements in a chunk of a dataset along steps alone.
    static let scalarChunk = 1024

    init(_ plan: TracePlan) {
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
                datasets.append(Self.place(schema, at: "unconditional/" + schema.path, plan))
            }
        }
        self.datasets = datasets
    }

    /// Length of an axis when the run has gone its full way.
    static func fullLength(_ dimension: Dimension, _ plan: TracePlan) -> Int {
        switch dimension {
        case .step: plan.stepCount
        case .rowStep, .mapStep: plan.causality == .causal ? 1 : plan.stepCount
        case .layer: plan.layers.count
        case .head: plan.heads.count
        case .position: plan.positionCount
        case .query, .key: plan.queryCount
        case .queryClass: QueryClass.allCases.count
        case .generated: plan.generatedLength
        case .vocab: plan.stepCount * plan.generatedLength + plan.positionCount
        }
    }

    /// Length of an axis after a number of steps.
    func length(_ dimension: Dimension, afterSteps steps: Int) -> Int {
        switch dimension {
        case .step: steps
        case .rowStep, .mapStep: plan.causality == .causal ? min(1, steps) : steps
        case .layer, .head, .queryClass: Self.fullLength(dimension, plan)
        case .position where plan.causality == .causal: min(plan.positionCount, plan.promptLength + steps)
        case .query, .key:
            plan.causality == .causal
                ? (steps == 0 ? 0 : min(plan.queryCount, plan.promptLength + steps - 1)) : plan.queryCount
        case .position: plan.positionCount
        case .generated: plan.causality == .causal ? min(plan.generatedLength, steps) : plan.generatedLength
        case .vocab: 0
        }
    }

    private static func place(_ schema: Schema.Dataset, at path: String, _ plan: TracePlan) -> Dataset {
        let full = schema.dimensions.map { max(1, fullLength($0, plan)) }
        let isCausal = plan.causality == .causal
        var chunk = full
        var isCompressed = false
        var isDirect = true
        switch schema.dimensions {
        case [.step, .layer, .head, .queryClass, .key]:
            chunk[0] = 1
            chunk[1] = 1
            isCompressed = true
        case [.rowStep, .layer, .head, .query] where isCausal:
            // A chunk a query row over all layers: rows come one by one, and what is written is never written again.
            chunk[3] = 1
        case [.rowStep, .layer, .head, .query]:
            chunk[0] = 1
            chunk[1] = 1
            isCompressed = true
        case [.mapStep, .layer, .head, .query, .key] where isCausal:
            chunk[1] = 1
            chunk[3] = 1
            isCompressed = true
        case [.mapStep, .layer, .head, .query, .key]:
            chunk[0] = 1
            chunk[1] = 1
            chunk[2] = 1
            chunk[3] = max(1, min(full[3], mapChunkLimit / (2 * full[4])))
            isCompressed = true
        case [.generated, .layer, .head, .key]:
            chunk[0] = 1
            chunk[1] = 1
            isCompressed = true
        case [.step, .position], [.step, .key]:
            chunk[0] = 1
        default:
            chunk = full.map { min($0, scalarChunk) }
            isDirect = false
        }
        return Dataset(
            path: path, schema: schema, fullShape: full, chunk: chunk, isCompressed: isCompressed, isDirect: isDirect)
    }
}
