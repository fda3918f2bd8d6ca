import CKernels
import TraceFormat

/// What rows of attention come to: entropy, attended distance, mass on masked keys, on the first k keys and on the k
/// largest, largest weight; docs/metrics.md.
///
/// From maps, on the weights as they are stored: rows are not normalised again, and their sum is among the results.
/// Where a trace has no maps, from the signals `rows` and `distance`, which a capture takes of the exact rows. A mean is
/// over rows, each counting alike.
public struct RowStatistics: Metric {
    /// `rows`.
    public static let name = "rows"
    /// What it is, in a line.
    public static let summary =
        "entropy (nat), distance (positions), masses and largest weight of rows of attention: share"

    /// Where the numbers come from.
    public enum Source: String, Sendable {
        /// Full attention.
        case maps
        /// What the capture recorded of each row.
        case recorded
    }

    /// How many of a row's largest weights count as its top.
    public let top: Int
    /// How many keys count as the first.
    public let first: Int
    /// Where the numbers come from; nil: from maps, and where there are none from what was recorded.
    public let source: Source?

    /// Measures rows.
    public init(top: Int = 5, first: Int = 4, source: Source? = nil) {
        self.top = top
        self.first = first
        self.source = source
    }

    /// Maps, or the recorded signals.
    public func inputs(of subject: Subject) -> Set<Input> {
        let recorded = recordedStatistics(of: subject).compactMap(\.signal)
        return source(of: subject) == .maps || recorded.isEmpty ? [.maps] : Set(recorded.map(Input.values))
    }

    /// Refuses `top` and `first` out of range.
    public func validate() throws(AnalysisError) {
        try Self.check(top, is: "top_k")
        guard first >= 1 else {
            throw .badParameter(name: "first_k", value: "\(first)", reason: "at least one key is needed")
        }
    }

    /// An empty reduction; throws where `top` or `first` are out of range.
    public func start(on subject: Subject) throws -> Gathering {
        try validate()
        let source = source(of: subject)
        return Gathering(
            subject, top: top, first: first,
            recorded: source == .recorded ? recordedStatistics(of: subject) : [])
    }

    /// Refuses to look for no key, or for more than a row's summary can hold.
    static func check(_ top: Int, is name: String) throws(AnalysisError) {
        guard (1...Int(CK_TOP_LIMIT)).contains(top) else {
            throw .badParameter(
                name: name, value: "\(top)", reason: "a number from 1 to \(CK_TOP_LIMIT) is needed")
        }
    }

    private func source(of subject: Subject) -> Source {
        source ?? (subject.trace.hasMaps(pass: subject.pass) ? .maps : .recorded)
    }

    private func recordedStatistics(of subject: Subject) -> [RowStatistic] {
        RowStatistic.allCases.filter { statistic in
            // Recorded, it counts what the conditional pass was fed masked, in both passes.
            if statistic == .maskMass, subject.pass == .unconditional { return false }
            return statistic.signal.map { subject.trace.contains($0.of(subject.pass)) } ?? false
        }
    }

    /// Means by layer and head, by layer and class of the query, and by step and layer.
    public func result(_ outcome: Outcome, on subject: Subject) -> MetricResult {
        let source = source(of: subject)
        let steps = subject.keptSteps
        let classes = Axis("query_class", .texts(QueryClass.allCases.map { "\($0)" }))
        var quantities: [Quantity] = []
        for statistic in outcome.statistics {
            func quantity(_ suffix: String, _ over: String, _ axes: [Axis], _ means: [[Double]]) {
                quantities.append(
                    Quantity(
                        statistic.rawValue + suffix, unit: statistic.unit, statistic.meaning + "; mean over " + over,
                        axes: axes, values: means.map { $0[statistic.place] }))
            }
            quantity("", "queries and steps", [.layers(of: subject), .heads(of: subject)], outcome.byHead)
            quantity(
                "_by_class", "queries of a class, heads and steps", [.layers(of: subject), classes], outcome.byClass)
            quantity(
                "_by_step", "queries and heads", [Axis("step", .integers(steps)), .layers(of: subject)],
                outcome.byStep)
        }
        var parameters: [(name: String, value: JSONValue)] = [("source", .text(source.rawValue))]
        if source == .maps { parameters += [("top_k", .integer(top)), ("first_k", .integer(first))] }
        func undefined(_ means: [[Double]]) -> Int { means.count { $0.allSatisfy(\.isNaN) } }
        return MetricResult(
            Self.name, parameters: parameters, quantities: quantities,
            undefined: [
                ("class_without_rows", undefined(outcome.byClass)), ("step_without_rows", undefined(outcome.byStep)),
            ])
    }

    /// Means of each statistic, NaN where there are no rows, by the statistic's place.
    public struct Outcome: Sendable {
        let statistics: [RowStatistic]
        /// (layer, head).
        let byHead: [[Double]]
        /// (layer, query class).
        let byClass: [[Double]]
        /// (kept step, layer).
        let byStep: [[Double]]
    }

    /// Sums over rows, by layer, head and class of the query, and by layer and step.
    public struct Gathering: Reduction {
        private let top: Int
        private let first: Int
        /// Statistics that were recorded row by row; none: rows come from maps.
        private let recorded: [RowStatistic]
        private let layers: Int
        private let heads: Int
        private let steps: [Int]
        private let isCausal: Bool
        private let stepPlaces: [Int: Int]
        /// Of each layer (head, class, number): the number of rows, then the statistics.
        private var byClass: LayerSums
        /// Of each layer (step, number).
        private var byStep: LayerSums
        // Used again from tile to tile.
        private var masked = MaskedKeys()
        private var groups: [Int32] = []
        private var totals: [ck_row_totals] = []

        private static let width = 1 + RowStatistic.allCases.count
        private static let classes = QueryClass.allCases.count

        init(_ subject: Subject, top: Int, first: Int, recorded: [RowStatistic]) {
            self.top = min(top, subject.keyCount)
            self.first = first
            self.recorded = recorded
            layers = subject.layers.count
            heads = subject.heads.count
            steps = subject.keptSteps
            isCausal = subject.causality == .causal
            stepPlaces = Dictionary(uniqueKeysWithValues: steps.enumerated().map { ($0.element, $0.offset) })
            byClass = LayerSums(count: heads * Self.classes * Self.width)
            byStep = LayerSums(count: steps.count * Self.width)
        }

        /// The group of a row: in a diffusion trace the query's class, in a causal one the step that computed it.
        private func group(_ subject: Subject, step: Int, position: Int) -> Int32 {
            if isCausal { return stepPlaces[subject.step(ofCausalRow: position)].map(Int32.init) ?? -1 }
            return Int32(subject.queryClass(step: step, position: position).rawValue)
        }

        /// Adds up a tile's rows.
        public mutating func absorb(_ tile: borrowing MapTile) throws {
            let subject = tile.subject
            let isMasked = masked.of(tile.step, subject)
            groups.removeAll(keepingCapacity: true)
            for position in tile.queries { groups.append(group(subject, step: tile.step, position: position)) }
            let count = isCausal ? steps.count : Self.classes
            totals.removeAll(keepingCapacity: true)
            totals.append(contentsOf: repeatElement(ck_row_totals(), count: count))
            tile.withRows(groups: groups) { rows in
                isMasked.withUnsafeBufferPointer {
                    ck_add_rows(&rows, isCausal ? nil : $0.baseAddress, first, top, &totals)
                }
            }
            for (group, total) in totals.enumerated() where total.rows > 0 {
                let numbers = [
                    total.rows, total.sum, total.entropy, total.distance, total.mask_mass, total.first, total.top,
                    total.largest,
                ]
                add(numbers, group: group, step: tile.step, layer: tile.layerIndex, head: tile.headIndex)
            }
        }

        /// Adds up recorded rows.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard !recorded.isEmpty else { return }
            var numbers = Array(
                repeating: [Double](repeating: 0, count: Self.width), count: isCausal ? steps.count : Self.classes)
            let subject = layerStep.subject
            let values = try recorded.map { statistic in
                try statistic.signal.flatMap { try layerStep.values(of: $0) }
            }
            guard values.contains(where: { $0 != nil }) else { return }
            for head in 0..<heads {
                for group in numbers.indices { numbers[group] = Array(repeating: 0, count: Self.width) }
                for query in subject.queries {
                    let group = Int(group(subject, step: layerStep.step, position: query.position))
                    guard group >= 0 else { continue }
                    numbers[group][0] += 1
                    for (statistic, values) in zip(recorded, values) {
                        guard let values else { continue }
                        numbers[group][1 + statistic.place] += Double(
                            values[head * (values.count / heads) + query.place])
                    }
                }
                for group in numbers.indices where numbers[group][0] > 0 {
                    add(numbers[group], group: group, step: layerStep.step, layer: layerStep.layerIndex, head: head)
                }
            }
        }

        private mutating func add(_ numbers: [Double], group: Int, step: Int, layer: Int, head: Int) {
            guard let stepPlace = isCausal ? group : stepPlaces[step] else { return }
            // A causal run computes the prompt's rows in its first step.
            let kind = !isCausal ? group : steps[group] == 0 ? QueryClass.prompt.rawValue : QueryClass.unmasked.rawValue
            byClass.update(layer) { sums in
                let at = (head * Self.classes + kind) * Self.width
                for place in numbers.indices { sums[at + place] += numbers[place] }
            }
            byStep.update(layer) { sums in
                let at = stepPlace * Self.width
                for place in numbers.indices { sums[at + place] += numbers[place] }
            }
        }

        /// Adds sums to sums.
        public mutating func merge(_ other: Gathering) throws {
            byClass.merge(other.byClass)
            byStep.merge(other.byStep)
        }

        /// Means.
        public func finish() throws -> Outcome {
            let width = Self.width
            /// The mean of the rows of some cells of a layer.
            func mean(_ sums: [Double]?, _ cells: [Int]) -> [Double] {
                guard let sums else { return Array(repeating: .nan, count: width - 1) }
                var total = [Double](repeating: 0, count: width)
                for cell in cells { for place in 0..<width { total[place] += sums[cell * width + place] } }
                return total.dropFirst().map { $0 / total[0] }
            }
            let statistics = recorded.isEmpty ? RowStatistic.allCases : recorded
            let places = 0..<layers
            return Outcome(
                // No position of a causal run is ever masked.
                statistics: statistics.filter { !isCausal || $0 != .maskMass },
                byHead: places.flatMap { layer in
                    (0..<heads).map { head in
                        mean(byClass[layer], (0..<Self.classes).map { head * Self.classes + $0 })
                    }
                },
                byClass: places.flatMap { layer in
                    (0..<Self.classes).map { kind in
                        mean(byClass[layer], (0..<heads).map { $0 * Self.classes + kind })
                    }
                },
                byStep: steps.indices.flatMap { step in places.map { mean(byStep[$0], [step]) } })
        }
    }
}

extension RowStatistic {
    /// Its place in the order of all.
    fileprivate var place: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

/// A 0 or 1 for each key, as fed in at a step: made when the step changes.
struct MaskedKeys: Sendable {
    private var step: Int?
    private var flags: [UInt8] = []

    mutating func of(_ step: Int, _ subject: Subject) -> [UInt8] {
        if self.step != step {
            flags = (0..<subject.keyCount).map { subject.tokens.isMasked(step: step, position: $0) ? 1 : 0 }
            self.step = step
        }
        return flags
    }
}
