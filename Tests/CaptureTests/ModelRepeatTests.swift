import Capture
import Foundation
import Testing

/// The same bits: again, on more threads, with and without a tap, and row by row through a cache.
@Suite struct ModelRepeatTests {
    @Test(arguments: ModelFixture.tiny)
    func threadsTapsAndRowsChangeNothing(name: String) throws {
        let fixture = try ModelFixture(tiny: name)
        let ids = try fixture.integers("ids")
        let model = try fixture.model(threads: 1)
        let tap = KeepingTap()
        let wanted = try model.forward(ids, tap: tap)
        for threads in [1, 2, 3, 7] {
            let model = try fixture.model(threads: threads)
            for _ in 0..<3 {
                let again = KeepingTap()
                #expect(try model.forward(ids, tap: again) == wanted)
                for (layer, kept) in tap.layers {
                    #expect(again.layers[layer]?.weights == kept.weights)
                    #expect(again.layers[layer]?.logSumExp == kept.logSumExp)
                }
                #expect(try model.forward(ids) == wanted)
                let one = KeepingTap(wanted: [1])
                #expect(try model.forward(ids, tap: one) == wanted)
                #expect(Array(one.layers.keys) == [1])
                #expect(one.layers[1]?.weights == tap.layers[1]?.weights)
            }
            // A shorter sequence in between must leave nothing behind.
            _ = try model.forward(Array(ids.prefix(5)))
            #expect(try model.forward(ids) == wanted)
        }
    }

    @Test func rowSelections() throws {
        let fixture = try ModelFixture(tiny: "llada-bf16")
        let ids = try fixture.integers("ids")
        let model = try fixture.model()
        let all = try model.forward(ids)
        func rows(_ positions: [Int]) -> [Float] {
            positions.flatMap { all.values[$0 * all.vocabularySize..<($0 + 1) * all.vocabularySize] }
        }
        #expect(try model.forward(ids, logitsFor: .last).values == rows([ids.count - 1]))
        #expect(try model.forward(ids, logitsFor: .range(3..<9)).values == rows(Array(3..<9)))
        #expect(try model.forward(ids, logitsFor: .positions([7, 2, 7])).values == rows([7, 2, 7]))
        #expect(try model.forward(ids, logitsFor: .none).rowCount == 0)
        for bad: RowSelection in [.range(0..<Int.max), .range(-1..<2), .positions([0, ids.count])] {
            #expect(throws: ModelError.self) { try model.forward(ids, logitsFor: bad) }
        }
    }

    @Test(arguments: ["llama-grouped-f16", "llama-tied-sharded-f32"])
    func cachedDecodingEqualsTheWholePass(name: String) throws {
        let fixture = try ModelFixture(tiny: name)
        let ids = try fixture.integers("ids")
        let model = try fixture.model()
        let heads = model.configuration.headCount
        let whole = KeepingTap()
        let wanted = try model.forward(ids, tap: whole)
        for prompt in [1, 7, 48] {
            let cache = try model.makeCache(capacity: ids.count)
            var fed = 0
            while fed < ids.count {
                let count = fed == 0 ? prompt : 1
                let tap = KeepingTap()
                let logits = try model.forward(
                    Array(ids[fed..<fed + count]), cache: cache, logitsFor: .last, tap: tap)
                fed += count
                #expect(cache.count == fed)
                let row = wanted.values[(fed - 1) * wanted.vocabularySize..<fed * wanted.vocabularySize]
                // Sums run in the same order, so that the bits agree, not only the first five digits.
                #expect(logits.values == Array(row))
                for (layer, part) in tap.layers {
                    let all = try #require(whole.layers[layer])
                    #expect(part.first == fed - count && part.queries == count && part.keys == fed)
                    for head in 0..<heads {
                        let last = part.weights[((head + 1) * count - 1) * fed..<(head + 1) * count * fed]
                        let start = (head * ids.count + fed - 1) * ids.count
                        #expect(Array(last) == Array(all.weights[start..<start + fed]))
                    }
                }
            }
            cache.truncate(to: 5)
            let again = try model.forward([ids[5]], cache: cache, logitsFor: .last)
            #expect(again.values == Array(wanted.values[5 * wanted.vocabularySize..<6 * wanted.vocabularySize]))
        }
    }

    @Test(arguments: ModelFixture.tiny)
    func thePartsOfALayerFitTogether(name: String) throws {
        let fixture = try ModelFixture(tiny: name)
        let model = try fixture.model()
        let ids = try fixture.integers("ids")
        let plain = try model.forward(ids)
        let tap = PartsTap(configuration: model.configuration)
        #expect(try model.forward(ids, tap: tap) == plain)
        #expect(tap.layers == Array(0..<model.configuration.layerCount))
        #expect(tap.depths == Array(0...model.configuration.layerCount))
        #expect(tap.worstWeight < 2e-6 && tap.worstOutput < 1e-5)
        guard model.configuration.visibility == .causal else { return }
        // With a cache the new rows' vectors are handed over, and the keys of all.
        let cache = try model.makeCache(capacity: ids.count)
        let again = PartsTap(configuration: model.configuration)
        _ = try model.forward(Array(ids.prefix(7)), cache: cache, logitsFor: .none, tap: again)
        _ = try model.forward(Array(ids.dropFirst(7)), cache: cache, logitsFor: .none, tap: again)
        #expect(again.worstWeight < 2e-6 && again.rows == [7, ids.count - 7])
        #expect(again.streams == tap.streams)
    }

    @Test func aFailedPassLeavesTheCache() throws {
        struct Stop: Error {}
        struct Stopping: AttentionTap {
            func parts(ofLayer layer: Int) -> LayerParts { layer == 1 ? .weights : [] }
            func absorb(_ attention: LayerAttention) throws { throw Stop() }
        }
        let fixture = try ModelFixture(tiny: "llama-grouped-f16")
        let ids = try fixture.integers("ids")
        let model = try fixture.model()
        let wanted = try model.forward(ids, logitsFor: .last)
        let cache = try model.makeCache(capacity: ids.count)
        _ = try model.forward(Array(ids.prefix(9)), cache: cache, logitsFor: .none)
        #expect(throws: Stop.self) {
            try model.forward(Array(ids.dropFirst(9)), cache: cache, logitsFor: .last, tap: Stopping())
        }
        #expect(cache.count == 9)
        #expect(try model.forward(Array(ids.dropFirst(9)), cache: cache, logitsFor: .last) == wanted)
    }

    @Test func misuseIsAnError() throws {
        let llada = try ModelFixture(tiny: "llada-bf16").model()
        let llama = try ModelFixture(tiny: "llama-grouped-f16").model()
        #expect(throws: ModelError.self) { try llada.forward([]) }
        #expect(throws: ModelError.self) { try llada.forward([-1]) }
        #expect(throws: ModelError.self) { try llada.forward([120]) }
        #expect(throws: ModelError.self) { try llada.forward(Array(repeating: 1, count: 65)) }
        #expect(throws: ModelError.self) { try llada.forward([1], cache: try llada.makeCache(capacity: 4)) }
        #expect(throws: ModelError.self) { try llama.makeCache(capacity: 65) }
        #expect(throws: ModelError.self) { try llama.makeCache(capacity: -1) }
        #expect(throws: ModelError.self) { try llama.forward([1, 2, 3], cache: try llama.makeCache(capacity: 2)) }
        let other = try ModelFixture(tiny: "llama-tied-sharded-f32").model()
        #expect(throws: ModelError.self) { try llama.forward([1], cache: try other.makeCache(capacity: 4)) }
    }
}

/// Asks for everything, and compares the parts of each layer with each other in plain loops.
private final class PartsTap: AttentionTap {
    let configuration: ModelConfiguration
    var layers: [Int] = []
    var depths: [Int] = []
    var rows: [Int] = []
    var worstWeight = 0.0
    var worstOutput = 0.0
    /// The residual stream by depth, of all rows so far.
    var streams: [Int: [Float]] = [:]
    private let heads = HeadCollector()

    init(configuration: ModelConfiguration) { self.configuration = configuration }

    func parts(ofLayer layer: Int) -> LayerParts { [.weights, .queries, .keys, .values, .outputs, .allKeys] }
    func wantsResidual(atDepth depth: Int) -> Bool { true }
    func absorb(_ residual: ResidualStream) {
        depths.append(residual.depth)
        streams[residual.depth, default: []] += residual.values
    }

    func absorb(_ head: HeadAttention) { heads.absorb(head) }

    func absorb(_ attention: LayerAttention) throws {
        layers.append(attention.layer)
        let weights = heads.take().weights
        if attention.layer == 0 { rows.append(attention.queryCount) }
        let queries = try #require(attention.queries)
        let (keys, values) = (try #require(attention.keys), try #require(attention.values))
        let (outputs, allKeys) = (try #require(attention.outputs), try #require(attention.allKeys))
        let group = configuration.groupSize
        let width = KeyPanels.panelWidth
        func key(_ head: Int, _ position: Int) -> [Float] {
            let start = position / width * width * configuration.headWidth + position % width
            return (0..<configuration.headWidth).map { allKeys[head][start + $0 * width] }
        }
        for row in 0..<attention.queryCount {
            for head in 0..<configuration.kvHeadCount {
                #expect(Array(keys[head, row]) == key(head, attention.firstQuery + row))
            }
            for head in 0..<configuration.headCount {
                let visible =
                    configuration.visibility == .causal ? attention.firstQuery + row + 1 : attention.keyCount
                let scores = (0..<visible).map { position in
                    zip(queries[head, row], key(head / group, position)).reduce(0) { $0 + Double($1.0) * Double($1.1) }
                        / Double(configuration.headWidth).squareRoot()
                }
                let sum = scores.reduce(0) { $0 + exp($1) }
                let start = (head * attention.queryCount + row) * attention.keyCount
                let weights = weights[start..<start + attention.keyCount].map(Double.init)
                for (weight, score) in zip(weights, scores) {
                    worstWeight = max(worstWeight, abs(weight - exp(score) / sum))
                }
                // Values of earlier passes are not handed over.
                guard attention.firstQuery == 0 else { continue }
                for channel in 0..<configuration.headWidth {
                    let output = weights.indices.reduce(0) {
                        $0 + weights[$1] * Double(values[head / group, $1][channel])
                    }
                    worstOutput = max(worstOutput, abs(output - Double(outputs[head, row][channel])))
                }
            }
        }
    }
}
