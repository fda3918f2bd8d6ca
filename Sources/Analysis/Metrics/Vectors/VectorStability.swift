import TraceFormat

/// How much keys and values stay as they were: the cosine of each with that of the step before (arXiv 2509.24014,
/// 2510.14973), which says what a cache may keep. Diffusion traces only.
public struct VectorStability: Metric {
    /// `vector_stability`.
    public static let name = "vector_stability"
    /// What it is, in a line.
    public static let summary =
        "cosine of keys and of values with those of the step before (arXiv 2509.24014, 2510.14973)"

    /// What stands at a position, as fed in.
    enum Kind: String, CaseIterable {
        /// Of the prompt.
        case prompt
        /// Masked.
        case masked
        /// A token that was still masked at the step before.
        case justUnmasked = "just_unmasked"
        /// A token since longer.
        case unmasked
    }

    /// Measures stability.
    public init() {}

    /// Cosines.
    public func inputs(of subject: Subject) -> Set<Input> {
        [.values(DatasetKey<Float>.keyCosine), .values(DatasetKey<Float>.valueCosine)]
    }

    /// An empty reduction.
    public func start(on subject: Subject) throws -> Gathering { Gathering(on: subject) }

    /// Means by layer and kv head, over all positions and by what stands there; and by step.
    public func result(_ outcome: Outcome, on subject: Subject) -> MetricResult {
        let kvHeads = Axis("kv_head", .integers(outcome.kvHeads))
        let kinds = Axis("kind", .texts(Kind.allCases.map(\.rawValue)))
        let steps = Axis("step", .integers(subject.steps))
        return MetricResult(
            Self.name,
            quantities: ["key", "value"].enumerated().flatMap { place, name in
                [
                    Quantity(
                        "\(name)_cosine", unit: "cosine", "of each \(name) with that of the step before, mean",
                        axes: [.layers(of: subject), kvHeads], values: outcome.all[place]),
                    Quantity(
                        "\(name)_cosine_by_kind", unit: "cosine", "the same, by what stands at the position as fed in",
                        axes: [kinds, .layers(of: subject), kvHeads], values: outcome.byKind[place]),
                    Quantity(
                        "\(name)_cosine_by_step", unit: "cosine", "the same, mean over layers, kv heads and positions",
                        axes: [steps, kinds], values: outcome.byStep[place]),
                ]
            }, undefined: outcome.undefined.list)
    }

    /// Means, of keys and of values.
    public struct Outcome: Sendable {
        let kvHeads: [Int]
        /// (layer, kv head)
        let all: [[Double]]
        /// (kind, layer, kv head)
        let byKind: [[Double]]
        /// (step, kind)
        let byStep: [[Double]]
        let undefined: Tally
    }

    /// Sums over positions and steps, of keys and of values.
    public struct Gathering: Reduction {
        /// Places along the axis `kv_head`, ascending, each once.
        private let groups: [Int]
        private let kvHeads: [Int]
        private let layers: Int
        private var all: [Means]
        private var byKind: [Means]
        private var byStep: [Means]
        private var undefined: Tally = [:]

        init(on subject: Subject) {
            groups = Set(subject.kvPlaces).sorted()
            kvHeads = groups.map { subject.trace.plan.kvHeads[$0] }
            layers = subject.layers.count
            let kinds = Kind.allCases.count
            all = Array(repeating: Means(count: layers * groups.count), count: 2)
            byKind = Array(repeating: Means(count: kinds * layers * groups.count), count: 2)
            byStep = Array(repeating: Means(count: subject.steps.count * kinds), count: 2)
        }

        /// Adds a step's cosines.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            let subject = layerStep.subject
            let place = subject.place(ofStep: layerStep.step)
            let kinds = (0..<subject.keyCount).map { Self.kind(of: $0, step: layerStep.step, on: subject) }
            for (vector, key) in [DatasetKey<Float>.keyCosine, .valueCosine].enumerated() {
                guard let values = try layerStep.values(of: key) else { continue }
                let count = values.count / subject.trace.plan.kvHeads.count
                for (index, group) in groups.enumerated() {
                    let site = layerStep.layerIndex * groups.count + index
                    for position in 0..<count where subject.reportsKey[position] {
                        let cosine = Double(values[group * count + position])
                        if cosine.isNaN {
                            undefined.count(layerStep.step == 0 ? "first_step" : "vector_of_length_0")
                            continue
                        }
                        let kind = kinds[position]
                        all[vector].add(cosine, at: site)
                        byKind[vector].add(cosine, at: kind * layers * groups.count + site)
                        byStep[vector].add(cosine, at: place * Kind.allCases.count + kind)
                    }
                }
            }
        }

        /// The place among the kinds of what stands at a position.
        private static func kind(of position: Int, step: Int, on subject: Subject) -> Int {
            let tokens = subject.tokens
            let kind: Kind =
                if position < subject.promptLength {
                    .prompt
                } else if tokens.isMasked(step: step, position: position) {
                    .masked
                } else if step > 0 && tokens.isMasked(step: step - 1, position: position) {
                    .justUnmasked
                } else {
                    .unmasked
                }
            return Kind.allCases.firstIndex(of: kind) ?? 0
        }

        /// Adds sums to sums.
        public mutating func merge(_ other: Gathering) throws {
            for vector in all.indices {
                all[vector].merge(other.all[vector])
                byKind[vector].merge(other.byKind[vector])
                byStep[vector].merge(other.byStep[vector])
            }
            undefined.merge(other.undefined)
        }

        /// Means.
        public func finish() throws -> Outcome {
            Outcome(
                kvHeads: kvHeads, all: all.map(\.values), byKind: byKind.map(\.values), byStep: byStep.map(\.values),
                undefined: undefined)
        }
    }
}
