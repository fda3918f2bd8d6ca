import CKernels
import TraceFormat

/// Attention between regions: what the queries of one give to the keys of another, by layer (`region_mass`), and what
/// flows through all layers (`region_flow`, attention rollout: Abnar and Zuidema 2020; by region: Dai et al., arXiv
/// 2601.07894).
///
/// A layer's matrix P (query region, key region) is the sum over the keys of a region, mean over the queries of a region
/// and over heads. Rolled out: rows of P are made to sum to 1, the identity is added for the residual stream, rows are
/// made to sum to 1 again, and each layer is multiplied from the left: F_l = (P_l + 1) F_{l-1}, F before the first layer
/// being the identity. So F (output region, input region) says what the output of the last layer looked at holds of the
/// input of the first.
public struct RegionFlow: Metric {
    /// `region_flow`.
    public static let name = "region_flow"
    /// What it is, in a line.
    public static let summary =
        "what regions give to regions, and rollout over layers: share (Abnar and Zuidema 2020; arXiv 2601.07894)"

    /// Numbers that a matrix for each step may hold together: 32 MiB.
    static let limit = 4 << 20

    /// Measures the flow between regions.
    public init() {}

    /// Maps.
    public func inputs(of subject: Subject) -> Set<Input> { [.maps] }

    /// An empty reduction; throws where regions and steps are too many to hold a matrix of each.
    public func start(on subject: Subject) throws -> Gathering {
        let partition = RegionPartition(of: subject)
        let count = partition.names.count
        let steps = Self.steps(of: subject)
        guard steps.count * count * count <= Self.limit else {
            throw AnalysisError.badParameter(
                name: "regions", value: "\(count)",
                reason: "a matrix of them for each of \(steps.count) steps takes too much memory; choose fewer steps")
        }
        return Gathering(subject, partition, steps: steps)
    }

    /// Steps that have a flow of their own. The rows of a causal trace make one map together, named by its last step.
    private static func steps(of subject: Subject) -> [Int] {
        subject.causality == .causal ? Array(subject.steps.suffix(1)) : subject.keptSteps
    }

    /// The mass by layer, the flow by step, and means over steps.
    public func result(_ outcome: Outcome, on subject: Subject) -> MetricResult {
        let partition = RegionPartition(of: subject)
        let from = Axis("query_region", .texts(partition.names))
        let to = Axis("key_region", .texts(partition.names))
        let mass = "weight that a query of one region gives to all keys of another, mean over queries and heads"
        let flow = "share of one region's output that comes from the input of another, rolled out over the layers"
        return MetricResult(
            Self.name,
            parameters: [
                ("regions", .text(partition.isRecorded ? "recorded" : "by state")),
                ("layers", .array(subject.layers.map(JSONValue.integer))),
            ],
            quantities: [
                Quantity(
                    "region_mass", unit: "share", mass + "; mean over steps",
                    axes: [.layers(of: subject), from, to], values: outcome.mass),
                Quantity(
                    "region_flow", unit: "share", flow + "; mean over steps", axes: [from, to], values: outcome.meanFlow
                ),
                Quantity(
                    "region_flow_by_step", unit: "share", flow,
                    axes: [Axis("step", .integers(Self.steps(of: subject))), from, to], values: outcome.flow),
            ],
            undefined: [
                ("region_absent", outcome.absent), ("region_without_recorded_queries", outcome.unknown),
            ])
    }

    /// Matrices, row-major (query region, key region); NaN where a region has no position.
    public struct Outcome: Sendable {
        /// (layer, query region, key region), mean over the steps that define it.
        let mass: [Double]
        /// (step, query region, key region).
        let flow: [Double]
        /// (query region, key region), mean over the steps that define it.
        let meanFlow: [Double]
        /// Regions without a position, over steps.
        let absent: Int
        /// Regions whose queries' rows were not recorded or not looked at, over steps: nothing flows through unseen rows.
        let unknown: Int
    }

    /// Layers that follow each other, rolled out.
    private struct Layers: StepRun {
        /// The product of the layers' matrices, one for each step.
        var flow: [RegionMatrix]
        /// Whether each region has rows, (step, region).
        var hasRows: [Bool]

        mutating func append(_ later: Layers) throws {
            for step in flow.indices { flow[step] = later.flow[step] * flow[step] }
        }
    }

    /// Sums of layers that are not whole yet by step, products of those that are.
    public struct Gathering: Reduction {
        private let subject: Subject
        private let partition: RegionPartition
        private let steps: [Int]
        private let stepPlaces: [Int: Int]
        private let regions: Int
        /// Of each layer (step, query region, 1 + key region): the number of rows, then the mass.
        private var cells: LayerSums
        /// Of each whole layer the mean over steps, (query region, key region).
        private var mass: [Int: [Double]] = [:]
        /// Whole layers by their place.
        private var whole = StepRuns<Layers>()
        // What the rows of one step give to each key, (query region, key).
        private var columns: [Double] = []
        private var rows: [Double] = []
        private var regionOfPosition: [Int32] = []
        private var groups: [Int32] = []

        init(_ subject: Subject, _ partition: RegionPartition, steps: [Int]) {
            self.subject = subject
            self.partition = partition
            self.steps = steps
            stepPlaces = Dictionary(uniqueKeysWithValues: steps.enumerated().map { ($0.element, $0.offset) })
            regions = partition.names.count
            cells = LayerSums(count: steps.count * regions * (regions + 1))
        }

        /// Adds up a tile's rows by the region of their query.
        public mutating func absorb(_ tile: borrowing MapTile) throws {
            if columns.isEmpty {
                columns = Array(repeating: 0, count: regions * subject.keyCount)
                rows = Array(repeating: 0, count: regions)
                regionOfPosition = partition.places(step: tile.step)
            }
            groups.removeAll(keepingCapacity: true)
            for position in tile.queries {
                let region = regionOfPosition[position]
                groups.append(region)
                rows[Int(region)] += 1
            }
            tile.withRows(groups: groups) { ck_add_columns(&$0, &columns) }
        }

        /// Pools what the step's rows gave to each key.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            let step = subject.causality == .causal ? subject.steps.last : layerStep.step
            guard !columns.isEmpty, let place = step.flatMap({ stepPlaces[$0] }) else { return }
            let (regions, keys) = (regions, subject.keyCount)
            cells.update(layerStep.layerIndex) { cells in
                for query in 0..<regions {
                    let at = (place * regions + query) * (regions + 1)
                    cells[at] += rows[query]
                    for key in 0..<keys {
                        cells[at + 1 + Int(regionOfPosition[key])] += columns[query * keys + key]
                    }
                }
            }
            columns = []
        }

        /// Adds sums to sums, and multiplies layers that meet.
        public mutating func merge(_ other: Gathering) throws {
            cells.merge(other.cells)
            mass.merge(other.mass) { mine, _ in mine }
            try whole.merge(other.whole)
        }

        /// Makes matrices of sums, and multiplies layers that meet: layers need not wait for each other.
        public mutating func settle() throws {
            for layer in subject.layers.indices {
                guard let sums = cells.remove(layer) else { continue }
                var mean = Mean(count: regions * regions)
                var flow: [RegionMatrix] = []
                for (place, step) in steps.enumerated() {
                    let isPresent = presence(step: step)
                    let pooled = matrix(sums, step: place, isPresent)
                    mean.add(pooled.values)
                    flow.append(pooled.withResidual(isPresent))
                }
                mass[layer] = mean.values
                let hasRows = (0..<steps.count * regions).map { sums[$0 * (regions + 1)] > 0 }
                try whole.insert(Layers(flow: flow, hasRows: hasRows), at: layer..<layer + 1)
            }
        }

        /// The product of all layers, and means over steps.
        public func finish() throws -> Outcome {
            let size = regions * regions
            let layers = whole.runs.first?.run
            var meanFlow = Mean(count: size)
            var flow: [Double] = []
            var (absent, unknown) = (0, 0)
            for (place, step) in steps.enumerated() {
                let isPresent = presence(step: step)
                absent += isPresent.count { !$0 }
                unknown += isPresent.indices.count {
                    isPresent[$0] && !(layers?.hasRows[place * regions + $0] ?? false)
                }
                let values = (0..<size).map { cell in
                    guard isPresent[cell / regions], isPresent[cell % regions] else { return Double.nan }
                    return layers?.flow[place].values[cell] ?? .nan
                }
                meanFlow.add(values)
                flow += values
            }
            return Outcome(
                mass: subject.layers.indices.flatMap { mass[$0] ?? Array(repeating: .nan, count: size) }, flow: flow,
                meanFlow: meanFlow.values, absent: absent, unknown: unknown)
        }

        /// Whether each region has a position at a step.
        private func presence(step: Int) -> [Bool] {
            var isPresent = [Bool](repeating: false, count: regions)
            for region in partition.places(step: step) { isPresent[Int(region)] = true }
            return isPresent
        }

        /// A layer's pooled matrix: NaN in rows without a query and columns without a key.
        private func matrix(_ sums: [Double], step: Int, _ isPresent: [Bool]) -> RegionMatrix {
            let values = (0..<regions * regions).map { cell -> Double in
                let (query, key) = (cell / regions, cell % regions)
                let at = (step * regions + query) * (regions + 1)
                guard isPresent[key], sums[at] > 0 else { return .nan }
                return sums[at + 1 + key] / sums[at]
            }
            return RegionMatrix(count: regions, values: values)
        }
    }

    /// A running mean of numbers, NaN left out.
    private struct Mean {
        private var sums: [Double]
        private var counts: [Double]

        init(count: Int) {
            sums = Array(repeating: 0, count: count)
            counts = Array(repeating: 0, count: count)
        }

        mutating func add(_ values: [Double]) {
            for (place, value) in values.enumerated() where !value.isNaN {
                sums[place] += value
                counts[place] += 1
            }
        }

        var values: [Double] { zip(sums, counts).map { $0 / $1 } }
    }
}
