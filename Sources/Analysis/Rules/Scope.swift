/// What a rule is applied to. Averaging comes before the rule, and the scope is part of a result's description.
public enum Scope: String, CaseIterable, Sendable, Codable {
    /// Each head of each layer by itself.
    case head
    /// Each layer, its heads averaged first.
    case layer
    /// The whole model, layers and heads averaged first.
    case overall

    /// Parses a scope as the command line spells it.
    ///
    /// Throws ``AnalysisError/unknownScope(_:)``.
    public init(named name: String) throws(AnalysisError) {
        guard let scope = Scope(rawValue: name) else { throw .unknownScope(name) }
        self = scope
    }
}
