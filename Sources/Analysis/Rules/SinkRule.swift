import TraceFormat

/// When a key is a sink: a named value with its unit and its parameters, which every result carries.
///
/// As text a rule is its name and its parameters, `excess unit=sum epsilon=3`, and parses back to the same value.
/// Where no unit is given the trace decides, see ``resolved(for:)``.
public struct SinkRule: Sendable, Hashable {
    /// The comparison that makes a key a sink, with its parameters.
    public enum Form: Sendable, Hashable {
        /// score_j > mean over k != j of score_k + epsilon. Rulli et al., arXiv 2510.15731, Eq. 3.
        case excess(epsilon: Double)
        /// score_j > mu + z sigma, mean and population deviation over keys. Dai et al., arXiv 2601.07894, plotting code.
        /// With `fallback` the largest score is a sink where no key passes.
        case deviation(z: Double, fallback: Bool)
        /// score_j > epsilon. Gu et al., arXiv 2410.10781.
        case share(epsilon: Double)
        /// The `count` largest scores; ties go to the smaller position.
        case top(count: Int)
    }

    /// The comparison.
    public let form: Form
    /// What keys are measured by; nil until a trace decides.
    public let unit: ScoreUnit?

    /// Makes a rule of its parts.
    public init(_ form: Form, unit: ScoreUnit? = nil) {
        self.form = form
        self.unit = unit
    }

    /// score_j > mean of the others + epsilon (arXiv 2510.15731, Eq. 3).
    ///
    /// Unit unless given: received sum, in a causal trace a window. As printed the equation uses the mean, on which
    /// epsilon = 3 can never fire.
    public static func excess(epsilon: Double = 3, unit: ScoreUnit? = nil) -> SinkRule {
        SinkRule(.excess(epsilon: epsilon), unit: unit)
    }

    /// score_j > mu + z sigma (arXiv 2601.07894). Unit unless given: received mean.
    public static func deviation(z: Double = 3, fallback: Bool = false, unit: ScoreUnit? = nil) -> SinkRule {
        SinkRule(.deviation(z: z, fallback: fallback), unit: unit)
    }

    /// score_j > epsilon (arXiv 2410.10781). Unit unless given: received mean.
    public static func share(epsilon: Double = 0.3, unit: ScoreUnit? = nil) -> SinkRule {
        SinkRule(.share(epsilon: epsilon), unit: unit)
    }

    /// The `count` largest scores. Unit unless given: received sum.
    public static func top(_ count: Int = 1, unit: ScoreUnit? = nil) -> SinkRule {
        SinkRule(.top(count: count), unit: unit)
    }

    /// The rule's name: `excess`, `deviation`, `share` or `top`.
    public var name: String {
        switch form {
        case .excess: "excess"
        case .deviation: "deviation"
        case .share: "share"
        case .top: "top"
        }
    }

    /// The rule with its unit settled: `excess` takes the received sum, in a causal trace a window of 16 rows;
    /// `deviation` and `share` the received mean; `top` the received sum. A unit that was given stays.
    public func resolved(for causality: Causality) -> SinkRule {
        if unit != nil { return self }
        switch form {
        case .excess: return SinkRule(form, unit: causality == .causal ? .window : .sum)
        case .deviation, .share: return SinkRule(form, unit: .mean)
        case .top: return SinkRule(form, unit: .sum)
        }
    }

    /// The unit in which the rule reads scores when no trace has settled it: that of a bidirectional trace.
    var settledUnit: ScoreUnit { unit ?? resolved(for: .bidirectional).unit ?? .sum }

    /// Refuses parameters out of range: not finite, a negative z, fewer than one key, a window without rows.
    func validate() throws(AnalysisError) {
        switch form {
        case .excess(let epsilon), .share(let epsilon):
            guard epsilon.isFinite else {
                throw .badParameter(name: "epsilon", value: "\(epsilon)", reason: "a finite number is needed")
            }
        case .deviation(let z, _):
            guard z.isFinite, z >= 0 else {
                throw .badParameter(name: "z", value: "\(z)", reason: "a number of at least 0 is needed")
            }
        case .top(let count):
            guard count >= 1 else {
                throw .badParameter(name: "count", value: "\(count)", reason: "at least 1 is needed")
            }
        }
        if let rows = unit?.windowRows, rows < 1 {
            throw .badParameter(name: "window", value: "\(rows)", reason: "at least one row is needed")
        }
    }
}
