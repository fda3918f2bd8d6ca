import Capture
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

    @Test func aFailedPassLeavesTheCache() throws {
        struct Stop: Error {}
        struct Stopping: AttentionTap {
            func wants(layer: Int) -> Bool { layer == 1 }
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
