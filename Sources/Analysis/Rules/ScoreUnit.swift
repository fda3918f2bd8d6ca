/// What a sink rule measures a key by. Every unit is computed from the attention that the key received.
public enum ScoreUnit: Sendable, Hashable {
    /// Received sum s_j: attention to key j summed over the queries. Its mean over keys is 1 when every query sees every key.
    case sum
    /// Received mean c_j = s_j / v(j), v(j) being the number of queries that may see key j. Between 0 and 1.
    case mean
    /// 100 c_j.
    case percent
    /// s_j over what uniform attention under the same visibility would give: 1 means no preference.
    case ratio
    /// n times the mean of A_ij over the last `rows` rows, for keys j < n - rows: 1 means no preference.
    ///
    /// Undefined where fewer than 2 `rows` rows have been seen, and where the rows were not recorded one by one.
    case window(rows: Int)

    /// The window of causal traces unless another is asked for: 16 rows.
    public static let window = ScoreUnit.window(rows: defaultWindow)

    /// Rows of a window unless another number is asked for.
    public static let defaultWindow = 16

    /// No window is longer; no trace is, by far.
    static let largestWindow = 1 << 30

    /// The unit's name, without its parameter.
    public var name: String {
        switch self {
        case .sum: "sum"
        case .mean: "mean"
        case .percent: "percent"
        case .ratio: "ratio"
        case .window: "window"
        }
    }

    /// Parses a unit as the command line spells it; `window` is the number of rows of the unit `window`.
    ///
    /// Throws ``AnalysisError/unknownUnit(_:)`` or ``AnalysisError/badParameter(name:value:reason:)``.
    public init(named name: String, window: Int? = nil) throws(AnalysisError) {
        switch name {
        case "sum": self = .sum
        case "mean": self = .mean
        case "percent": self = .percent
        case "ratio": self = .ratio
        case "window": self = .window(rows: window ?? Self.defaultWindow)
        default: throw .unknownUnit(name)
        }
        if let window {
            guard case .window = self else {
                throw .badParameter(
                    name: "window", value: String(window), reason: "only the unit 'window' has a number of rows")
            }
            guard 1...Self.largestWindow ~= window else {
                throw .badParameter(
                    name: "window", value: String(window), reason: "1 to \(Self.largestWindow) rows are possible")
            }
        }
    }

    /// Rows of the window; nil for the other units.
    public var windowRows: Int? {
        guard case .window(let rows) = self else { return nil }
        return rows
    }
}
