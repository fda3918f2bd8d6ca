import Capture
import Testing

/// The forward pass against PyTorch (Tests/Fixtures/model/make_fixtures.py, which transformers agrees with).
@Suite struct ModelParityTests {
    @Test(arguments: ModelFixture.tiny, KernelSet.InstructionSet.allCases.filter { KernelSet($0) != nil })
    func tinyModels(name: String, set: KernelSet.InstructionSet) throws {
        let kernels = try #require(KernelSet(set))
        let fixture = try ModelFixture(tiny: name)
        let model = try fixture.model(kernels: kernels)
        let tap = KeepingTap()
        let logits = try model.forward(try fixture.integers("ids"), tap: tap)

        let ofLogits = difference(logits.values, try fixture.floats("logits"), relative: true)
        #expect(ofLogits < 2e-4)
        let layers = (0..<model.configuration.layerCount).compactMap { tap.layers[$0] }
        #expect(layers.count == model.configuration.layerCount)
        let ofWeights = difference(layers.flatMap(\.weights), try fixture.floats("attention"), relative: false)
        #expect(ofWeights < 5e-5)
        let ofSums = difference(layers.flatMap(\.logSumExp), try fixture.floats("log_sum_exp"), relative: true)
        #expect(ofSums < 2e-5)
        print("parity \(name) \(set.rawValue): logits \(ofLogits), attention \(ofWeights), log-sum-exp \(ofSums)")
    }

    @Test(arguments: ModelFixture.sampled + ModelFixture.embedded)
    func theSameTokensAtTemperatureZero(name: String) throws {
        let fixture = try ModelFixture(named: name)
        let model = try fixture.model()
        let expected = try fixture.integers("generated")
        let prompt = Array(expected.prefix(6))
        #expect(expected.count == 22)
        let generation: Generation
        if let maskID = model.configuration.maskTokenID {
            generation = try LLaDASampler(steps: 16, genLength: 16, blockLength: 8)
                .generate(from: prompt, with: model, maskID: Int32(maskID))
        } else {
            generation = try AutoregressiveSampler(maxNewTokens: 16, eosTokenIDs: [])
                .generate(from: prompt, with: model)
        }
        #expect(generation.finalIDs == expected)
    }

    @Test(arguments: ModelFixture.embedded)
    func embeddedModels(name: String) throws {
        let fixture = try ModelFixture(embedded: name)
        let digest = try Checkpoint(directory: fixture.directory).weightsSHA256()
        let wanted = try fixture.bytes("weights_sha256").map { byte in
            let hex = String(byte, radix: 16)
            return hex.count == 1 ? "0" + hex : hex
        }.joined()
        try #require(digest == wanted, "new weights: run Tests/Fixtures/model/make_fixtures.py --embedded")

        let model = try fixture.model()
        let tap = KeepingTap()
        let rows = try fixture.integers("rows").map(Int.init)
        let ids = try fixture.integers("ids")
        let logits = try model.forward(ids, logitsFor: .positions(rows), tap: tap)
        let ofLogits = difference(logits.values, try fixture.floats("logits"), relative: true)
        #expect(ofLogits < 2e-4)
        let places = try fixture.integers("maps").map(Int.init)
        var maps: [Float] = []
        for place in stride(from: 0, to: places.count, by: 2) {
            let layer = try #require(tap.layers[places[place]])
            let size = layer.queries * layer.keys
            maps += layer.weights[places[place + 1] * size..<(places[place + 1] + 1) * size]
        }
        let ofWeights = difference(maps, try fixture.floats("attention"), relative: false)
        #expect(ofWeights < 5e-5)
        print("parity \(name): logits \(ofLogits), attention \(ofWeights)")
    }

    @Test(arguments: ModelFixture.tiny)
    func rowsSumToOneAndHideWhatIsNotVisible(name: String) throws {
        let fixture = try ModelFixture(tiny: name)
        let model = try fixture.model()
        let tap = KeepingTap()
        let ids = try fixture.integers("ids")
        _ = try model.forward(ids, logitsFor: .none, tap: tap)
        let causal = model.configuration.visibility == .causal
        for layer in tap.layers.values {
            for row in 0..<model.configuration.headCount * ids.count {
                let weights = layer.weights[row * ids.count..<(row + 1) * ids.count]
                #expect(abs(weights.reduce(0, +) - 1) < 1e-5)
                let visible = causal ? row % ids.count + 1 : ids.count
                #expect(weights.dropFirst(visible).allSatisfy { $0 == 0 })
                #expect(weights.prefix(visible).allSatisfy { $0 > 0 })
            }
        }
    }
}
