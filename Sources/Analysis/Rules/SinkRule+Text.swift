extension SinkRule: CustomStringConvertible {
    /// The parameters by name, in the order in which they are printed.
    public var parameters: [(name: String, value: String)] {
        var list: [(name: String, value: String)] = []
        if let unit { list.append(("unit", unit.name)) }
        if let rows = unit?.windowRows { list.append(("window", String(rows))) }
        switch form {
        case .excess(let epsilon), .share(let epsilon): list.append(("epsilon", NumberText.exact(epsilon)))
        case .deviation(let z, let fallback):
            list.append(("z", NumberText.exact(z)))
            if fallback { list.append(("fallback", "top")) }
        case .top(let count): list.append(("count", String(count)))
        }
        return list
    }

    /// The rule as text: `excess unit=sum epsilon=3`.
    public var description: String {
        ([name] + parameters.map { "\($0.name)=\($0.value)" }).joined(separator: " ")
    }

    /// Parses a rule as ``description`` prints it; parameters left out take their defaults.
    ///
    /// Throws ``AnalysisError/unknownRule(_:)``, ``AnalysisError/unknownUnit(_:)`` or
    /// ``AnalysisError/badParameter(name:value:reason:)``.
    public init(parsing text: String) throws(AnalysisError) {
        let words = text.split(separator: " ").map(String.init)
        guard let name = words.first else { throw .unknownRule(text) }
        var unit: String?
        var window: Int?
        var epsilon: Double?
        var z: Double?
        var count: Int?
        var fallback = false
        for word in words.dropFirst() {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2 else {
                throw .badParameter(name: word, value: "", reason: "parameters are written name=value")
            }
            switch parts[0] {
            case "unit": unit = parts[1]
            case "window": window = try Self.number(parts[1], of: "window")
            case "epsilon": epsilon = try Self.number(parts[1], of: "epsilon")
            case "z": z = try Self.number(parts[1], of: "z")
            case "count": count = try Self.number(parts[1], of: "count")
            case "fallback":
                guard parts[1] == "top" else {
                    throw .badParameter(name: "fallback", value: parts[1], reason: "the only fallback is 'top'")
                }
                fallback = true
            default: throw .badParameter(name: parts[0], value: parts[1], reason: "no rule has this parameter")
            }
        }
        try self.init(
            named: name, unit: unit, window: window, epsilon: epsilon, z: z, count: count, fallback: fallback)
    }

    /// Makes a rule of what a command line was given; nil takes the rule's default.
    ///
    /// A parameter that the rule does not have is refused rather than ignored.
    /// Throws ``AnalysisError/unknownRule(_:)``, ``AnalysisError/unknownUnit(_:)`` or
    /// ``AnalysisError/badParameter(name:value:reason:)``.
    public init(
        named name: String, unit: String? = nil, window: Int? = nil, epsilon: Double? = nil, z: Double? = nil,
        count: Int? = nil, fallback: Bool = false
    ) throws(AnalysisError) {
        var scoreUnit: ScoreUnit?
        if let unit {
            scoreUnit = try ScoreUnit(named: unit, window: window)
        } else if let window {
            throw .badParameter(name: "window", value: String(window), reason: "it belongs to the unit 'window'")
        }
        func refuse(_ parameter: String, _ value: String?) throws(AnalysisError) {
            guard let value else { return }
            throw .badParameter(name: parameter, value: value, reason: "the rule '\(name)' does not have it")
        }
        let rule: SinkRule
        switch name {
        case "excess":
            try refuse("z", z.map { "\($0)" })
            try refuse("count", count.map { "\($0)" })
            try refuse("fallback", fallback ? "top" : nil)
            rule = .excess(epsilon: epsilon ?? 3, unit: scoreUnit)
        case "deviation":
            try refuse("epsilon", epsilon.map { "\($0)" })
            try refuse("count", count.map { "\($0)" })
            rule = .deviation(z: z ?? 3, fallback: fallback, unit: scoreUnit)
        case "share":
            try refuse("z", z.map { "\($0)" })
            try refuse("count", count.map { "\($0)" })
            try refuse("fallback", fallback ? "top" : nil)
            rule = .share(epsilon: epsilon ?? 0.3, unit: scoreUnit)
        case "top":
            try refuse("z", z.map { "\($0)" })
            try refuse("epsilon", epsilon.map { "\($0)" })
            try refuse("fallback", fallback ? "top" : nil)
            rule = .top(count ?? 1, unit: scoreUnit)
        default: throw .unknownRule(name)
        }
        try rule.validate()
        self = rule
    }

    private static func number<N: LosslessStringConvertible>(
        _ text: String, of name: String
    ) throws(AnalysisError) -> N {
        guard let value = N(text) else { throw .badParameter(name: name, value: text, reason: "not a number") }
        return value
    }
}
