import ArgumentParser
import Capture

/// The options that change attention.
struct SuppressionOptions: ParsableArguments {
    @Option(
        help:
            "Suppress, in every layer and head from step 1 on, the K keys that received most at the step before (Rulli et al.); autoregressive: those that the last token attended to most."
    )
    var suppressSinks: Int?
    @Option(help: "Suppress K keys drawn at random in every layer and head, from step 1 on: the control.")
    var suppressRandom: Int?
    @Option(
        help:
            "Suppress the keys of a table with the columns step, position and, where not all are meant, layer and head: CSV or JSON of `attntrace sinks`."
    )
    var suppress: String?
    @Option(
        help: "Steps by which the table is put off: 1 suppresses at a step what the table names for the step before.")
    var suppressDelay: Int?
    @OptionGroup var rules: SuppressionRules

    /// The change of attention; nil where none was asked for. Errors: ``UsageError`` for options that do not go together.
    func suppression(for configuration: ModelConfiguration) throws -> Suppression? {
        let given = [suppressSinks != nil, suppressRandom != nil, suppress != nil].count { $0 }
        guard given <= 1 else {
            throw UsageError("give one of --suppress-sinks, --suppress-random and --suppress")
        }
        if suppressDelay != nil, suppress == nil { throw UsageError("--suppress-delay goes with --suppress") }
        try rules.check(sinks: suppressSinks != nil, random: suppressRandom != nil, any: given == 1)
        if let suppressRandom { return rules.suppression(.random(count: suppressRandom)) }
        if let suppress {
            return rules.suppression(.listed(try SuppressionList(contentsOf: suppress, delay: suppressDelay ?? 0)))
        }
        return suppressSinks.map { rules.suppression(sinks: $0, of: configuration) }
    }

    /// Whether attention is to be changed.
    var isGiven: Bool { suppressSinks != nil || suppressRandom != nil || suppress != nil }
}

/// The options that say how suppressed keys are chosen.
struct SuppressionRules: ParsableArguments {
    @Option(help: "What has a selection of its own: head, layer (heads averaged) or overall.")
    var suppressPer: Suppression.Scope?
    @Option(help: "Keys that are never suppressed: none, first (position) or prompt.")
    var suppressExempt: Suppression.Exemption?
    @Flag(help: "A suppressed key's own query goes on attending to it.")
    var suppressKeepsSelf = false
    @Option(help: "Suppress no more than the sinks of the rule excess with this epsilon, instead of the top K.")
    var suppressEpsilon: Double?
    @Option(
        help: "Unit of --suppress-epsilon: sum, mean, percent or ratio; sum, autoregressive ratio, by default.")
    var suppressUnit: Suppression.Unit?

    /// Checks what goes with what. Errors: ``UsageError``.
    func check(sinks: Bool, random: Bool, any: Bool) throws {
        func demand(_ isMet: Bool, _ option: String, _ isGiven: Bool, _ wanted: String) throws {
            if isGiven, !isMet { throw UsageError("\(option) goes with \(wanted)") }
        }
        try demand(sinks, "--suppress-epsilon", suppressEpsilon != nil, "--suppress-sinks")
        try demand(suppressEpsilon != nil, "--suppress-unit", suppressUnit != nil, "--suppress-epsilon")
        try demand(sinks || random, "--suppress-per", suppressPer != nil, "--suppress-sinks or --suppress-random")
        try demand(any, "--suppress-exempt", suppressExempt != nil, "keys to suppress")
        try demand(any, "--suppress-keeps-self", suppressKeepsSelf, "keys to suppress")
    }

    /// A suppression by a choice of keys.
    func suppression(_ choice: Suppression.Choice) -> Suppression {
        Suppression(
            choice, scope: suppressPer ?? .head, exemption: suppressExempt ?? .none, keepsOwn: suppressKeepsSelf)
    }

    /// The suppression of a model's top sinks.
    func suppression(sinks count: Int, of configuration: ModelConfiguration) -> Suppression {
        let unit = suppressUnit ?? (configuration.visibility == .causal ? .ratio : .sum)
        return suppression(
            .sinks(count: count, rule: suppressEpsilon.map { .excess(epsilon: $0, unit: unit) } ?? .top))
    }
}

extension Suppression.Scope: ExpressibleByArgument {}
extension Suppression.Exemption: ExpressibleByArgument {}
extension Suppression.Unit: ExpressibleByArgument {}
