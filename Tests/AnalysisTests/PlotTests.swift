import Testing
import TraceFormat

@testable import Analysis

@Suite struct PlotTests {
    private func plot(steps: Int, keys: Int, causal: Bool = false) -> DriftPlot {
        let means = (0..<steps).map { step in
            (0..<(causal ? keys - steps + 1 + step : keys)).map { $0 == step ? 0.5 : 0.01 }
        }
        return DriftPlot(
            site: Site(layer: 1, head: 2), rule: .excess(unit: .sum), steps: Array(0..<steps), keyCount: keys,
            receivedMeans: means, sinks: (0..<steps).map { [$0] }, tokenText: (0..<keys).map { "w\($0)é" },
            isCumulative: causal, title: "trial")
    }

    @Test func sinksAreMarkedWhereTheyAre() {
        let lines = plot(steps: 5, keys: 20).text(width: 80, height: 60).split(separator: "\n").map(String.init)
        #expect(lines[0] == "trial: received mean by position (across) and step (down), layer 1 head 2")
        #expect(lines[1] == "     |0        |10")
        #expect(lines[2] == "   0 @:::::::::::::::::::")
        #expect(lines[4] == "   2 ::@:::::::::::::::::")
        #expect(lines.contains("     wwwwwwwwwwwwwwwwwwww"))
        #expect(lines.last?.contains("@ sink: excess unit=sum epsilon=3") == true)
    }

    @Test func positionsNotYetSeenAreBlank() {
        let lines = plot(steps: 5, keys: 20, causal: true).text(width: 80, height: 60).split(separator: "\n")
        #expect(lines[2] == "   0 @" + String(repeating: ":", count: 15))
        #expect(lines[6] == "   4 ::::@" + String(repeating: ":", count: 15))
        #expect(lines.last?.contains("blank = not yet seen") == true)
    }

    @Test func largePlotsAreReducedAndSayHow() {
        let text = plot(steps: 100, keys: 500).text(width: 105, height: 30)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count <= 30)
        #expect(lines.dropLast().dropFirst().allSatisfy { $0.count <= 105 })
        #expect(text.contains("1 column = 5 positions, their largest"))
        #expect(text.contains("steps, their largest"))
        #expect(text.unicodeScalars.allSatisfy { $0.isASCII && ($0 == "\n" || $0.value >= 0x20) })
    }

    @Test func coloursEndWhereTheLineEnds() {
        let text = plot(steps: 3, keys: 10, causal: true).text(width: 80, height: 40, colour: true)
        for line in text.split(separator: "\n") where line.contains("\u{1B}[48") {
            #expect(line.contains("\u{1B}[0m"))
        }
        #expect(text.contains("@"))
    }

    @Test(arguments: ["diffusion", "causal", "causal_one_token", "single_step"]) func aTraceIsPlotted(
        name: String
    ) throws {
        let trace = try TraceFixture(named: name).open()
        for target in [
            PlotTarget.overall, .layer(trace.plan.layers[0]),
            .head(layer: trace.plan.layers[0], head: trace.plan.heads[0]),
        ] {
            let plot = try DriftPlot(of: trace, rule: .top(1), at: target)
            #expect(plot.steps.count == trace.plan.stepCount)
            #expect(plot.text().split(separator: "\n").count > trace.plan.stepCount)
        }
    }
}
