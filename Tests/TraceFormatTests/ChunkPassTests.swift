import Foundation
import Synchronization
import Testing

@testable import TraceFormat

@Suite struct ChunkPassTests {
    private func plainSums(_ maps: TraceArray<Float16>) -> [Double] {
        let keys = maps.shape[4]
        let queries = maps.shape[3]
        var sums = [Double](repeating: 0, count: maps.values.count / queries)
        for (index, value) in maps.values.enumerated() {
            sums[index / (queries * keys) * keys + index % keys] += Double(value)
        }
        return sums
    }

    @Test(arguments: [Causality.bidirectional, .causal])
    func sumsAreThoseOfTheWholeWithAnyThreads(_ causality: Causality) throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Samples.write(Samples.plan(causality), to: path)
            let trace = try Trace(path: path)
            let expected = plainSums(try trace.read(.attention))
            let one = try trace.mapSums(threads: 1)
            #expect(one.values.count == expected.count)
            for (sum, exact) in zip(one.values, expected) { #expect(abs(Double(sum) - exact) <= 1e-6 * exact) }
            for threads in [2, 3, 7] { #expect(try trace.mapSums(threads: threads).values == one.values) }
        }
    }

    @Test func onlyCommittedStepsAreSummed() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Samples.write(Samples.plan(.causal), to: path, steps: 2, finish: false)
            let trace = try Trace(path: path + ".partial")
            let expected = plainSums(try trace.read(.attention))
            let sums = try trace.mapSums().values
            #expect(sums.count == expected.count)
            for (sum, exact) in zip(sums, expected) { #expect(abs(Double(sum) - exact) <= 1e-6 * exact) }
        }
    }

    @Test func unitsComeInOrderAndHoldTheirChunks() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            let plan = Samples.plan(.bidirectional)
            try Samples.write(plan, to: path)
            let trace = try Trace(path: path)
            for (axes, units) in [(0, 1), (1, 4), (2, 8), (3, 24), (5, 24)] {
                let pass = try trace.chunkPass(over: .attention, unitAxes: axes, threads: 3)
                #expect(pass.unitCount == units)
                var seen: [Int] = []
                try pass.run { _ in
                    [[Int]]()
                } absorb: { origins, chunk in
                    origins.append(chunk.origin)
                    let whole = try chunk.withFloats { Array($0) }
                    #expect(whole == Samples.halves(chunk.origin, chunk.storedShape))
                } finish: { unit, origins in
                    seen.append(unit.index)
                    #expect(origins.count == 24 / units)
                    #expect(origins.allSatisfy { $0.starts(with: unit.origin) })
                }
                #expect(seen == Array(0..<units))
            }
            var places: [[Int]] = []
            try trace.forEachMapSums([.mapStep: 1..<3, .head: 2..<3]) { places.append($0.place) }
            #expect(places == [[1, 0, 2], [1, 1, 2], [2, 0, 2], [2, 1, 2]])
        }
    }

    @Test func otherNumbersPassToo() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Samples.write(Samples.plan(.bidirectional), to: path)
            let trace = try Trace(path: path)
            var total: Float = 0
            try trace.chunkPass(over: .received, unitAxes: 1).run { _ in
                Float(0)
            } absorb: { sum, chunk in
                sum += try chunk.withValues(as: Float.self) { $0.reduce(0, +) }
            } finish: { _, sum in
                total += sum
            }
            #expect(abs(total - (try trace.read(.received).values.reduce(0, +))) < 1e-3 * total)
            let wrong = try trace.chunkPass(over: .received, unitAxes: 1)
            #expect(throws: TraceError.self) {
                try wrong.run { _ in
                    ()
                } absorb: { _, chunk in
                    _ = try chunk.withValues(as: Int32.self) { $0.count }
                } finish: { _, _ in
                }
            }
        }
    }

    @Test func aDamagedChunkStopsThePass() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Samples.write(Samples.plan(.bidirectional), to: path)
            var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            let low = Data(
                Samples.values([1, 0, 1, 0, 0], [1, 1, 1, 7, 7]).map {
                    UInt8(truncatingIfNeeded: Float16($0).bitPattern)
                })
            bytes[try #require(bytes.range(of: low)).lowerBound + 3] ^= 1
            try bytes.write(to: URL(fileURLWithPath: path))
            let trace = try Trace(path: path)
            var delivered = 0
            #expect(throws: TraceError.self) { try trace.forEachMapSums { _ in delivered += 1 } }
            // Those before the damaged one, (1, 0, 1).
            #expect(delivered == 7)
        }
    }
}
