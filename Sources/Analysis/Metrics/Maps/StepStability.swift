import CKernels
import TraceFormat

/// How far the keys that a query looks at stay the same from step to step: of the k keys of its largest weights, the share
/// that also is among those of the step before (arXiv 2509.24014, 2510.14973). Only of steps that
/// keep maps, and whose step before does; ties go to the lower key.
public struct StepStability: Metric {
    /// `step_stability`.
    public static let name = "step_stability"
    /// What it is, in a line.
    public static let summary =
        "share of a query's top k keys that are those of the step before (arXiv 2509.24014, 2510.14973)"

    /// How many keys of a query are compared.
    public let top: Int

    /// Compares the keys of the `top` largest weights.
    public init(top: Int = 8) { self.top = top }

    /// Maps of a diffusion trace.
    public func inputs(of subject: Subject) -> Set<Input> { [.maps, .denoising] }

    /// An empty reduction; throws where `top` is out of range.
    public func start(on subject: Subject) throws -> Gathering {
        try RowStatistics.check(top, is: "stable_k")
        return Gathering(subject, top: min(top, subject.keyCount))
    }

    /// The overlap by layer and head, and by step and layer.
    public func result(_ outcome: Outcome, on subject: Subject) -> MetricResult {
        let meaning =
            "share of a query's k keys of largest weight that it had at the step before; mean over queries"
        return MetricResult(
            Self.name, parameters: [("k", .integer(min(top, subject.keyCount)))],
            quantities: [
                Quantity(
                    "top_k_overlap", unit: "share", meaning + " and pairs of steps",
                    axes: [.layers(of: subject), .heads(of: subject)], values: outcome.byHead),
                Quantity(
                    "top_k_overlap_by_step", unit: "share", meaning + " and heads; by the later step",
                    axes: [
                        Axis("step", .integers(Array(subject.keptSteps.dropFirst()))), .layers(of: subject),
                    ], values: outcome.byStep),
            ],
            undefined: [("no_consecutive_steps", outcome.byHead.count { $0.isNaN })])
    }

    /// Overlaps, NaN where no two steps that follow each other keep maps.
    public struct Outcome: Sendable {
        /// (layer, head).
        let byHead: [Double]
        /// (kept step without the first, layer).
        let byStep: [Double]
    }

    /// Steps of a layer that follow each other.
    struct Run: StepRun {
        /// Keys of the first and of the last step, (head, query, rank); nil once no step can come.
        var first: [Int32]?
        var last: [Int32]?
        /// Entries that a step shares with the one before, by its place, and by head.
        var shared: [Int: [Int]] = [:]
        let heads: Int
        let top: Int

        mutating func append(_ later: Run) throws {
            guard let before = last, let after = later.first, let place = later.place else {
                throw AnalysisError.shapeMismatch(what: "steps were settled before they met")
            }
            shared.merge(later.shared) { mine, _ in mine }
            defer {
                last = later.last
                lastStep = later.lastStep
            }
            guard later.firstStep == lastStep + 1 else { return }
            let size = before.count / heads
            shared[place] = before.withUnsafeBufferPointer { before in
                after.withUnsafeBufferPointer { after in
                    (0..<heads).map { head in
                        let part = head * size..<(head + 1) * size
                        guard let a = UnsafeBufferPointer(rebasing: before[part]).baseAddress,
                            let b = UnsafeBufferPointer(rebasing: after[part]).baseAddress
                        else { return 0 }
                        return ck_shared_entries(a, b, size / top, top)
                    }
                }
            }
        }

        /// Place of the first step among those kept.
        var place: Int?
        /// The first step and the last.
        let firstStep: Int
        var lastStep: Int
    }

    /// The keys of the last step, and what was shared so far.
    public struct Gathering: Reduction {
        private let top: Int
        private let layers: Int
        private let heads: Int
        private let queries: Int
        private let stepPlaces: [Int: Int]
        /// The index of each recorded query among those looked at, by its place.
        private let indexOfPlace: [Int: Int]
        private var runs: [Int: StepRuns<Run>] = [:]
        private var keys: [Int32] = []

        init(_ subject: Subject, top: Int) {
            self.top = top
            layers = subject.layers.count
            heads = subject.heads.count
            queries = subject.queries.count
            stepPlaces = Dictionary(
                uniqueKeysWithValues: subject.keptSteps.enumerated().map { ($0.element, $0.offset) })
            indexOfPlace = Dictionary(
                uniqueKeysWithValues: subject.queries.enumerated().map { ($0.element.place, $0.offset) })
        }

        /// Notes the keys of a tile's rows.
        public mutating func absorb(_ tile: borrowing MapTile) throws {
            guard let first = indexOfPlace[tile.places.lowerBound] else { return }
            if keys.isEmpty { keys = Array(repeating: -1, count: heads * queries * top) }
            let (top, at) = (top, (tile.headIndex * queries + first) * top)
            tile.withRows(groups: []) { rows in
                keys.withUnsafeMutableBufferPointer { keys in
                    ck_top_keys(&rows, top, keys.baseAddress.map { $0 + at })
                }
            }
        }

        /// Ends a step.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard !keys.isEmpty, let place = stepPlaces[layerStep.step] else { return }
            let run = Run(
                first: keys, last: keys, heads: heads, top: top, place: place, firstStep: layerStep.step,
                lastStep: layerStep.step)
            try runs[layerStep.layerIndex, default: StepRuns()].insert(run, at: place..<place + 1)
            keys = []
        }

        /// Joins runs of steps.
        public mutating func merge(_ other: Gathering) throws {
            for (layer, runs) in other.runs { try self.runs[layer, default: StepRuns()].merge(runs) }
        }

        /// Forgets the keys.
        public mutating func settle() throws {
            for layer in runs.keys {
                runs[layer]?.forEachRun { run in
                    run.first = nil
                    run.last = nil
                }
            }
        }

        /// Shares.
        public func finish() throws -> Outcome {
            let entries = Double(queries * top)
            let pairs = max(0, stepPlaces.count - 1)
            var byHead = [Double](repeating: .nan, count: layers * heads)
            var byStep = [Double](repeating: .nan, count: pairs * layers)
            for (layer, runs) in runs {
                let shared = runs.runs.reduce(into: [Int: [Int]]()) { $0.merge($1.run.shared) { mine, _ in mine } }
                for head in 0..<heads where !shared.isEmpty {
                    byHead[layer * heads + head] =
                        Double(shared.values.reduce(0) { $0 + $1[head] }) / (entries * Double(shared.count))
                }
                for (place, ofHeads) in shared {
                    byStep[(place - 1) * layers + layer] = Double(ofHeads.reduce(0, +)) / (entries * Double(heads))
                }
            }
            return Outcome(byHead: byHead, byStep: byStep)
        }
    }
}
