import Foundation
import SyntheticTraces
import Testing
import TraceFormat

@testable import Analysis

/// Results that come back exactly, and what many of them come to.
@Suite struct CohortTests {
    private static let odd = [
        0.1, -0.0, .nan, .infinity, -.infinity, .leastNonzeroMagnitude, 1.7976931348623157e308, 1e16, 1 / 3,
    ]

    private func result(
        path: String = "a.h5", hash: String? = "a", values: [Double] = odd, layers: [Int]? = nil, told: Int = 1,
        name: String = "mass"
    ) throws -> TraceResult {
        let axis = Axis("layer", .integers(layers ?? Array(values.indices)))
        let source = JSONValue.object([
            ("path", .text(path)), ("content_sha256", hash.map { .text(String(repeating: $0, count: 64)) } ?? .null),
            ("is_unfinished", .flag(hash == nil)), ("steps", .integer(4)),
            ("planned_steps", .integer(4)),
            (
                "provenance",
                .object([("model", .text("m")), ("sampler_parameters", .object([("steps", .integer(4))]))])
            ),
        ])
        let made = try TraceSource(source, file: path)
        let table = Table(
            name: "hops", notes: ["a \"note\"\n"],
            columns: [Column("text", .text), Column("n", .integer), Column("x", .number), Column("is", .flag)],
            rows: [
                [.text("é,\n"), .integer(-3), .number(.nan), .flag(true)],
                [.text(""), .missing, .number(-.infinity), .flag(false)],
            ])
        let metric = MetricResult(
            "made", parameters: [("count", .integer(told))],
            quantities: [
                Quantity(name, unit: "share", "what", axes: [axis], values: values),
                Quantity(
                    "by_epsilon", unit: "count", "what", axes: [Axis("epsilon", .numbers([0.5, 3]))], values: [1, 2]),
                Quantity("by_step", unit: "count", "what", axes: [Axis("step", .integers([0]))], values: [7]),
            ], tables: [table], undefined: [("too_few", 2)])
        return TraceResult(
            definitions: AnalysisSettings.definitions, settings: AnalysisSettings().json, source: made,
            metrics: [metric], leftOut: [("other", "lacks maps")])
    }

    private func entry(_ result: TraceResult, named name: String) throws -> CohortEntry {
        let path = Scratch.path("\(name).json")
        try result.json.text().write(toFile: path, atomically: true, encoding: .utf8)
        return try CohortEntry(reading: path)
    }

    @Test func aResultComesBackExactly() throws {
        let result = try result()
        let text = result.json.text()
        let read = try TraceResult(JSONValue(parsing: Data(text.utf8)), path: "a.json")
        #expect(read.json.text() == text)
        let values = read.metrics[0].quantities[0].values
        #expect(values.map(\.bitPattern) == Self.odd.map { $0.isNaN ? Double.nan.bitPattern : $0.bitPattern })
        #expect(read.metrics[0].quantities[1].axes == [Axis("epsilon", .numbers([0.5, 3]))])
        #expect(read.metrics[0].tables[0].rows[0][0] == .text("é,\n"))
        #expect(read.metrics[0].tables[0].rows[1] == [.text(""), .missing, .number(-.infinity), .flag(false)])
        #expect(read.leftOut.map(\.metric) == ["other"])
    }

    @Test(arguments: ["", "{", "[1,]", "nul", "{\"a\" 1}", "\"\\x\"", "\"\\ud800\"", "1 2", "--1", "\"a\nb\""])
    func whatIsNoJSONIsRefused(text: String) {
        #expect(throws: JSONValue.Malformed.self) { try JSONValue(parsing: Data(text.utf8)) }
    }

    @Test func escapesAreRead() throws {
        let parsed = try JSONValue(parsing: Data(#"{"a\u00e9\ud83d\ude00": ["\n\"\\\/", -0.5e1, true, null]}"#.utf8))
        #expect(parsed == .object([("aé😀", .array([.text("\n\"\\/"), .number(-5), .flag(true), .null]))]))
    }

    @Test func quantitiesAreAlignedByLabels() throws {
        let cohort = try Cohort(
            of: [
                entry(result(path: "b.h5", hash: "b", values: [1, 2], layers: [0, 3]), named: "b"),
                entry(result(path: "a.h5", hash: "a", values: [3, .nan], layers: [3, 5]), named: "a"),
                entry(result(path: "c.h5", hash: "a", values: [3, .nan], layers: [3, 5]), named: "c"),
            ], Cohort.Options())
        #expect(cohort.traces.map(\.result.source.path) == ["a.h5", "b.h5"])
        #expect(cohort.duplicates.map(\.path) == ["c.h5"])
        let mass = try #require(cohort.quantities.first { $0.name == "mass" })
        #expect(mass.axes == [Axis("layer", .integers([0, 3, 5]))])
        #expect(mass.overall.count == [1, 2, 0])
        #expect(mass.overall.mean[1] == 2.5 && mass.overall.deviation[1] == 0.5.squareRoot())
        #expect(mass.overall.mean[0] == 1 && mass.overall.deviation[0].isNaN && mass.overall.mean[2].isNaN)
        #expect(cohort.quantities.map(\.name) == ["mass", "by_epsilon"])
    }

    @Test func whatWasToldOtherwiseIsNotAveraged() throws {
        let cohort = try Cohort(
            of: [
                entry(result(hash: "a", values: [1], told: 1), named: "a"),
                entry(result(path: "b.h5", hash: "b", values: [2], told: 2), named: "b"),
            ], Cohort.Options())
        #expect(cohort.quantities.filter { $0.name == "mass" }.map(\.overall.count) == [[1], [1]])
    }

    @Test func resultsOfOtherSettingsAreRefused() throws {
        let first = try result()
        var settings = AnalysisSettings()
        settings.options.linking.gap = 2
        let second = TraceResult(
            definitions: first.definitions, settings: settings.json, source: first.source, metrics: [], leftOut: [])
        let error = #expect(throws: AnalysisError.self) {
            try Cohort(of: [entry(first, named: "x"), entry(second, named: "y")], Cohort.Options())
        }
        #expect("\(try #require(error))".contains("settings.options.linking.gap"))
    }

    @Test func intervalsOfAQuantityDoNotDependOnOthers() throws {
        let values = [(0..<20).map { Double($0) }, (0..<20).map { Double($0 * $0) }]
        let bootstrap = Bootstrap(confidence: 0.9, draws: 500, seed: 7)
        let (low, high) = bootstrap.intervals(of: values, name: "a")
        let alone = bootstrap.intervals(of: [values[1]], name: "a")
        #expect(alone.low == [low[1]] && alone.high == [high[1]])
        #expect(bootstrap.intervals(of: values, name: "b").low != low)
        // The mean's standard error is sd / sqrt(n) = 1.32 (sd with n: 5.77): 1.645 of it on each side.
        #expect(abs(low[0] - (9.5 - 2.12)) < 0.4 && abs(high[0] - (9.5 + 2.12)) < 0.4)
    }
}
