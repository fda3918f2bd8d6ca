/// How a trace was judged before it was analysed, from nothing to everything.
public enum Verification: String, CaseIterable, Sendable, Comparable {
    /// Not at all.
    case none
    /// Its structure: what `verify` does.
    case structure
    /// Every value: what `verify --deep` does.
    case deep

    /// Whether less was looked at.
    public static func < (first: Verification, second: Verification) -> Bool {
        (allCases.firstIndex(of: first) ?? 0) < (allCases.firstIndex(of: second) ?? 0)
    }
}
