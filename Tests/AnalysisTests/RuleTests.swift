import Testing
import TraceFormat

@testable import Analysis

@Suite struct RuleTests {
    @Test(arguments: [
        SinkRule.excess(), .excess(epsilon: 2.5, unit: .sum), .excess(epsilon: -1, unit: .percent),
        .excess(unit: .window(rows: 4)), .deviation(), .deviation(z: 0.1, fallback: true, unit: .ratio), .share(),
        .share(epsilon: 1e-7, unit: .mean), .top(), .top(12, unit: .sum),
    ]) func aRulePrintsAndParsesBack(rule: SinkRule) throws {
        #expect(try SinkRule(parsing: rule.description) == rule)
    }

    @Test func aRuleSaysItsUnitAndParameters() throws {
        #expect(SinkRule.excess().description == "excess epsilon=3")
        #expect(SinkRule.excess().resolved(for: .bidirectional).description == "excess unit=sum epsilon=3")
        #expect(SinkRule.excess().resolved(for: .causal).description == "excess unit=window window=16 epsilon=3")
        #expect(
            SinkRule.deviation(fallback: true).resolved(for: .causal).description
                == "deviation unit=mean z=3 fallback=top")
        #expect(SinkRule.share().resolved(for: .causal).description == "share unit=mean epsilon=0.3")
        #expect(SinkRule.top(5).resolved(for: .causal).description == "top unit=sum count=5")
        #expect(SinkRule.excess(unit: .ratio).resolved(for: .causal).unit == .ratio)
        #expect(try SinkRule(named: "excess", unit: "sum", epsilon: 3) == .excess(epsilon: 3, unit: .sum))
    }

    @Test func nonsenseIsRefused() {
        #expect(throws: AnalysisError.unknownRule("soft")) { try SinkRule(named: "soft") }
        #expect(throws: AnalysisError.unknownRule("")) { try SinkRule(parsing: "") }
        #expect(throws: AnalysisError.unknownUnit("total")) { try SinkRule(parsing: "excess unit=total") }
        #expect(throws: AnalysisError.unknownScope("model")) { try Scope(named: "model") }
        for text in [
            "excess z=3", "top epsilon=1", "top count=0", "deviation z=-1", "share epsilon=nan", "excess window=4",
            "excess unit=sum window=4", "excess unit=window window=0", "deviation fallback=all", "excess epsilon",
            "excess color=red", "share count=2", "top fallback=top", "excess epsilon=three",
        ] {
            #expect(throws: AnalysisError.self, "\(text)") { try SinkRule(parsing: text) }
        }
    }

    @Test func excessComparesWithTheMeanOfTheOthers() {
        let rule = SinkRule.excess(epsilon: 3, unit: .sum)
        // Mean of the others 0.5: 3.5 is not more than 3.5, 3.6 is.
        #expect(rule.verdict(on: [3.5, 0.5, 0.5, 0.5], rows: 8) == .sinks([]))
        #expect(rule.verdict(on: [0.5, 3.6, 0.5, 0.5], rows: 8) == .sinks([1]))
        #expect(rule.verdict(on: [0.5, 3.6, .nan, 0.5], rows: 8) == .sinks([1]))
        #expect(rule.verdict(on: [5], rows: 8) == .undefined(.tooFewKeys))
        #expect(rule.verdict(on: [.nan, .nan], rows: 8) == .undefined(.tooFewKeys))
        #expect(rule.verdict(on: [1, 1, 1], rows: 3) == .undefined(.cannotFire))
    }

    @Test func excessOnMeansCannotFire() {
        let rule = SinkRule.excess(epsilon: 3, unit: .mean)
        #expect(rule.verdict(on: [1, 0, 0, 0], rows: 64) == .undefined(.cannotFire))
        #expect(SinkRule.excess(epsilon: 3, unit: .percent).verdict(on: [90, 5, 5], rows: 3) == .sinks([0]))
        #expect(SinkRule.share(epsilon: 1).verdict(on: [1, 0], rows: 9) == .undefined(.cannotFire))
    }

    @Test func deviationCannotFireAtTenPositions() {
        let rule = SinkRule.deviation(z: 3, unit: .mean)
        for count in 1..<11 {
            #expect(rule.verdict(on: oneHot(0, of: count), rows: count) == .undefined(.cannotFire))
        }
        #expect(rule.verdict(on: oneHot(4, of: 11), rows: 11) == .sinks([4]))
        let fallback = SinkRule.deviation(z: 3, fallback: true, unit: .mean)
        #expect(fallback.verdict(on: oneHot(2, of: 5), rows: 5) == .sinks([2]))
        #expect(fallback.verdict(on: [0.1, 0.3, 0.3], rows: 5) == .sinks([1]))
    }

    @Test func equalScoresHaveNoSink() {
        for value in [0.1, 1.0 / 3, 1, 7.7] {
            let scores = Array(repeating: value, count: 49)
            #expect(SinkRule.deviation(z: 0, unit: .mean).verdict(on: scores, rows: 49) == .sinks([]))
            #expect(SinkRule.excess(epsilon: 1e-9, unit: .sum).verdict(on: scores, rows: 49) == .sinks([]))
        }
    }

    @Test func theTopTakesTiesFromTheLeft() {
        #expect(SinkRule.top(2).verdict(on: [1, 2, 2, 2], rows: 4) == .sinks([1, 2]))
        #expect(SinkRule.top(1).verdict(on: [2, 2], rows: 4) == .sinks([0]))
        #expect(SinkRule.top(9).verdict(on: [2, .nan, 1], rows: 4) == .sinks([0, 2]))
    }

    /// Permuting the keys permutes the sinks.
    @Test(arguments: 0..<20) func rulesDoNotKnowPositions(seed: Int) {
        var random = TestRandom(seed: UInt64(seed))
        let scores = (0..<30).map { _ in random.unit() * random.unit() * 20 }
        let places = Array(0..<30).shuffled(using: &random)
        var moved = scores
        for (old, new) in places.enumerated() { moved[new] = scores[old] }
        for rule in [SinkRule.excess(epsilon: 3, unit: .sum), .deviation(z: 1.5), .share(epsilon: 0.2), .top(4)] {
            guard case .sinks(let before) = rule.verdict(on: scores, rows: 1000),
                case .sinks(let after) = rule.verdict(on: moved, rows: 1000)
            else {
                Issue.record("undefined")
                continue
            }
            #expect(before.map { places[$0] }.sorted() == after)
        }
    }

    private func oneHot(_ position: Int, of count: Int) -> [Double] {
        (0..<count).map { $0 == position ? 1 : 0 }
    }
}

/// Random numbers that a test can repeat.
struct TestRandom: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        var value = state
        value = (value ^ (value >> 33)) &* 0xFF51_AFD7_ED55_8CCD
        return value ^ (value >> 33)
    }
    mutating func unit() -> Double { Double(next() >> 11) / Double(1 << 53) }
}
