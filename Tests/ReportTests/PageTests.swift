import Analysis
import Foundation
import SyntheticTraces
import Testing
import TraceFormat

@testable import Report

@Suite("The page as a file")
struct PageTests {
    @Test("No text of a trace can end the element that it stands in")
    func escaping() throws {
        let hostile = "</script><script>alert(1)</script><!--\u{2028}"
        let text = PageText.json(.object([(hostile, .text(hostile))]))
        #expect(!text.contains("<"))
        #expect(try JSONValue(parsing: Data(text.utf8)) == .object([(hostile, .text(hostile))]))
    }

    @Test("Some of many are evenly spread, and the first and last are among them")
    func thinning() {
        let all = Array(0..<130)
        for limit in 2...140 {
            let some = all.thinned(to: limit)
            #expect(some.count == min(limit, 130))
            #expect(some.first == 0 && some.last == 129)
            #expect(Set(some).count == some.count && some == some.sorted())
            let gaps = zip(some, some.dropFirst()).map { $1 - $0 }
            #expect((gaps.max() ?? 0) - (gaps.min() ?? 0) <= 1)
        }
        #expect(all.thinned(to: 1) == [129] && all.thinned(to: 0) == [129] && [5].thinned(to: 0) == [5])
    }

    @Test("A page keeps its limit, says what it leaves out, and is the same bytes again")
    func limits() throws {
        let folder = try TemporaryFolder()
        try SyntheticRun().write(to: folder("a.h5"))
        try SyntheticRun(causality: .causal).write(to: folder("b.h5"))
        let report = try ReportViews(paths: [folder("a.h5"), folder("b.h5")])
        try ReportWriter(report).write(to: folder("whole.html"), replacing: false)
        let whole = try Data(contentsOf: URL(fileURLWithPath: folder("whole.html")))
        #expect(String(decoding: whole, as: UTF8.self).contains("block/0/map/0/0/1"))
        let limit = whole.count - 15_000
        for name in ["small.html", "again.html"] {
            try ReportWriter(ReportViews(paths: [folder("a.h5"), folder("b.h5")]), limit: limit)
                .write(to: folder(name), replacing: false)
        }
        let small = try Data(contentsOf: URL(fileURLWithPath: folder("small.html")))
        #expect(small.count <= limit)
        #expect(small == (try Data(contentsOf: URL(fileURLWithPath: folder("again.html")))))
        #expect(String(decoding: small, as: UTF8.self).contains("Maps are"))
        #expect(throws: TraceError.alreadyExists(path: folder("small.html"))) {
            try ReportWriter(report).write(to: folder("small.html"), replacing: false)
        }
        #expect(throws: ReportError.self) {
            try ReportWriter(report, limit: 1000).write(to: folder("none.html"), replacing: false)
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(Set(left) == ["a.h5", "b.h5", "whole.html", "small.html", "again.html"])
    }

    @Test("A charts library that is none is refused by name")
    func charts() throws {
        let folder = try TemporaryFolder()
        #expect(throws: ReportError.noCharts(path: folder("none.js"))) {
            try ChartsLibrary.text(at: folder("none.js"))
        }
        try "window.Chart = 1; // </SCRIPT >".write(toFile: folder("bad.js"), atomically: true, encoding: .utf8)
        #expect(throws: ReportError.self) { try ChartsLibrary.text(at: folder("bad.js")) }
        #expect(try ChartsLibrary.text(at: ChartsLibrary.installed).contains("Chart.js v3"))
    }

    @Test("The largest quantities that no view draws leave first")
    func shortening() {
        func quantity(_ name: String, _ axes: [(String, Int)]) -> Quantity {
            Quantity(
                name, unit: "", "", axes: axes.map { Axis($0.0, .integers(Array(0..<$0.1))) },
                values: Array(repeating: 1.0 / 3, count: axes.reduce(1) { $0 * $1.1 }))
        }
        let result = MetricResult(
            "m",
            quantities: [
                quantity("soft_weight", [("step", 64), ("key", 64)]), quantity("entropy", [("layer", 8)]),
                quantity("cumulative_absorption_top_key_by_step", [("layer", 400), ("step", 300)]),
                quantity("entropy_by_step", [("layer", 400), ("step", 100)]),
            ])
        let (kept, dropped) = TraceAnalysisView.shortened([result])
        #expect(dropped == ["entropy_by_step", "soft_weight"])
        #expect(kept[0].quantities.map(\.name) == ["entropy", "cumulative_absorption_top_key_by_step"])
        #expect(kept[0].quantities[0].values[0] == 0.333333333)
    }
}
