import Foundation

/// A change of attention: keys whose scores are minus infinity before the softmax, in each layer and head, from step 1 on.
///
/// ``Choice/sinks(count:rule:)`` is the experiment of Rulli et al. (arXiv 2510.15731): in each head and layer the keys that
/// received most at step t - 1 are suppressed at step t; of a causal model those that the last token's row attends to
/// most. Step 0 is as it would be. "Received at step t - 1" is of the attention that there was: what was suppressed at step
/// t - 1 received nothing then, and is free again at step t. In a guided run each pass has its own sinks. A row that would be
/// left without a key keeps all of them. The other choices that the paper leaves open are options here, and travel in the
/// trace.
public struct Suppression: Sendable, Equatable {
    /// Which keys.
    public enum Choice: Sendable, Equatable {
        /// The `count` keys that received most at the step before, of those that pass the rule.
        case sinks(count: Int, rule: Rule = .top)
        /// As many keys drawn at random among those that step t - 1 had, anew in each step: the control.
        case random(count: Int)
        /// Those of a list.
        case listed(SuppressionList)
    }

    /// Which of the keys that receive most are sinks.
    public enum Rule: Sendable, Equatable {
        /// All.
        case top
        /// Those whose score is above the mean of the others' by more than `epsilon`: Eq. 3 of the paper.
        case excess(epsilon: Double = 3, unit: Unit)
    }

    /// The unit of scores.
    public enum Unit: String, Sendable, Codable, CaseIterable {
        /// What a key received, summed over queries.
        case sum
        /// The mean over queries.
        case mean
        /// The mean in percent.
        case percent
        /// The mean over what uniform attention would give.
        case ratio
    }

    /// What has a selection of its own: what a key received is averaged over the heads of it.
    public enum Scope: String, Sendable, Codable, CaseIterable {
        /// Each head, as published.
        case head
        /// Each layer.
        case layer
        /// The model.
        case overall
    }

    /// Keys that are never chosen.
    public enum Exemption: String, Sendable, Codable, CaseIterable {
        /// None.
        case none
        /// The first position.
        case first
        /// The prompt's positions.
        case prompt
    }

    /// Which keys.
    public var choice: Choice
    /// What has a selection of its own; of no meaning for a list, which says so itself.
    public var scope: Scope
    /// Keys that are never chosen, nor suppressed where a list names them.
    public var exemption: Exemption
    /// Whether a suppressed key's own query still attends to it.
    public var keepsOwn: Bool

    /// Describes a change of attention; the defaults are the plainest reading of the paper.
    public init(_ choice: Choice, scope: Scope = .head, exemption: Exemption = .none, keepsOwn: Bool = false) {
        self.choice = choice
        self.scope = scope
        self.exemption = exemption
        self.keepsOwn = keepsOwn
    }

    /// Whether it is settled by what a run does, rather than known beforehand.
    var dependsOnRun: Bool { if case .sinks = choice { true } else { false } }

    /// Checks it against a run. Errors: ``CaptureError/badSuppression(_:)``.
    func validate(_ configuration: ModelConfiguration, positionCount: Int) throws(CaptureError) {
        let leavesNone = configuration.visibility == .bidirectional && exemption == .none && !keepsOwn
        switch choice {
        case .sinks(let count, let rule):
            try Self.check(count, rule == .top && leavesNone ? positionCount : .max)
            guard case .excess(let epsilon, _) = rule else { return }
            guard epsilon.isFinite else { throw .badSuppression("epsilon must be a finite number, not \(epsilon)") }
        case .random(let count): try Self.check(count, leavesNone ? positionCount : .max)
        case .listed(let list): try list.validate(configuration, positionCount: positionCount)
        }
    }

    /// `positionCount`: as many keys as leave none.
    private static func check(_ count: Int, _ positionCount: Int) throws(CaptureError) {
        guard count >= 1 else {
            throw .badSuppression("the number of keys to suppress must be 1 or more, not \(count)")
        }
        guard count < positionCount else {
            throw .badSuppression(
                "\(count) keys to suppress are all that there are: of \(positionCount) positions, \(positionCount - 1) or fewer can be suppressed, since a row without a key would be left as it is"
            )
        }
    }

    /// Every option by name, as a JSON object with sorted keys: what a trace says of it.
    public func parameters() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var account = Account(exempt: exemption, keepsSelf: keepsOwn)
        switch choice {
        case .sinks(let count, let rule):
            account.suppress = "sinks"
            (account.count, account.per, account.from) = (count, scope, "previous_step")
            switch rule {
            case .top: account.rule = "top"
            case .excess(let epsilon, let unit):
                (account.rule, account.epsilon, account.unit) = ("excess", epsilon, unit)
            }
        case .random(let count): (account.suppress, account.count, account.per) = ("random", count, scope)
        case .listed(let list):
            account.suppress = "list"
            (account.listSHA256, account.delay, account.count) = (list.sha256, list.delay, list.entryCount)
        }
        return String(decoding: try encoder.encode(account), as: UTF8.self)
    }

    private struct Account: Encodable {
        var suppress = ""
        var count: Int?
        var per: Scope?
        var from: String?
        var rule: String?
        var epsilon: Double?
        var unit: Unit?
        var listSHA256: String?
        var delay: Int?
        var exempt: Exemption
        var keepsSelf: Bool

        private enum CodingKeys: String, CodingKey {
            case suppress, count, per, from, rule, epsilon, unit, delay, exempt
            case listSHA256 = "list_sha256"
            case keepsSelf = "keeps_self"
        }

        init(exempt: Exemption, keepsSelf: Bool) {
            self.exempt = exempt
            self.keepsSelf = keepsSelf
        }
    }
}
