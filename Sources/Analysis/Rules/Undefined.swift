/// Why a sink set is undefined at a step. Undefined is not empty: such sets are left out of means, and counted.
public enum Undefined: String, CaseIterable, Sendable, Codable {
    /// A window of W rows was asked for, and fewer than 2 W rows have been seen.
    case tooFewRows = "too_few_rows"
    /// A window covers rows of the prompt, of which only the sum was recorded (no maps).
    case rowsNotRecorded = "rows_not_recorded"
    /// The rule's threshold is out of reach whatever the attention: `deviation` with z = 3 at 10 keys or fewer.
    case cannotFire = "cannot_fire"
    /// Fewer than two keys have a score, so there are no others to compare with.
    case tooFewKeys = "too_few_keys"
}

/// What a rule says of one site at one step.
public enum Verdict: Sendable, Equatable {
    /// The positions of the sinks, ascending; empty when no key is one.
    case sinks([Int])
    /// The rule says nothing here, and why.
    case undefined(Undefined)
}
