/// How attention treats a key, as the dataset `suppressed` numbers it.
public enum KeySuppression: UInt8, Sendable {
    /// It takes part.
    case kept = 0
    /// Its score is minus infinity before the softmax.
    case suppressed = 1
    /// The same, but for the query at the key's own position.
    case suppressedForOthers = 2
}
