import Foundation
import Testing

@testable import Capture

/// Attention without some keys is attention over the others.
@Suite struct SuppressionTests {
    /// Takes keys out of layer 0, and keeps its weights.
    private final class Changing: AttentionTap {
        let kept = KeepingTap(wanted: [0])
        let flags: (_ head: Int, _ key: Int) -> UInt8

        init(flags: @escaping (Int, Int) -> UInt8) { self.flags = flags }

        func parts(ofLayer layer: Int) -> LayerParts { kept.parts(ofLayer: layer) }
        func absorb(_ head: HeadAttention) { kept.absorb(head) }
        func absorb(_ attention: LayerAttention) { kept.absorb(attention) }
        func suppressedKeys(inLayer layer: Int, headCount: Int, keyCount: Int) -> [UInt8]? {
            guard layer == 0 else { return nil }
            return (0..<headCount).flatMap { head in (0..<keyCount).map { flags(head, $0) } }
        }
    }

    @Test(arguments: ModelFixture.tiny, KernelSet.InstructionSet.allCases)
    func theOtherKeysShareTheWeight(name: String, set: KernelSet.InstructionSet) throws {
        guard let kernels = KernelSet(set) else { return }
        let fixture = try ModelFixture(tiny: name)
        let ids = try fixture.integers("ids")
        let plain = KeepingTap(wanted: [0])
        let model = try fixture.model(kernels: kernels)
        let logits = try model.forward(ids, tap: plain)
        let isCausal = model.configuration.visibility == .causal
        // Head 0 as it is; head 1 without every third key; the others without the first five, but for their own queries.
        let changing = Changing { head, key in
            switch head {
            case 0: 0
            case 1: key % 3 == 0 ? 1 : 0
            default: key < 5 ? 2 : 0
            }
        }
        // A single head is head 0.
        #expect((try model.forward(ids, tap: changing) != logits) == (model.configuration.headCount > 1))
        let (before, after) = (try #require(plain.layers[0]), try #require(changing.kept.layers[0]))
        for head in 0..<model.configuration.headCount {
            for query in 0..<ids.count {
                let row = (head * ids.count + query) * ids.count..<(head * ids.count + query + 1) * ids.count
                let (old, new) = (Array(before.weights[row]), Array(after.weights[row]))
                let visible = isCausal ? query + 1 : ids.count
                var isHidden = (0..<visible).map { key in
                    let flag = changing.flags(head, key)
                    return flag == 1 || (flag == 2 && key != query)
                }
                if !isHidden.contains(false) { isHidden = isHidden.map { _ in false } }
                let share = zip(old, isHidden).reduce(0) { $0 + ($1.1 ? 0 : Double($1.0)) }
                for key in 0..<visible {
                    let expected = isHidden[key] ? 0 : Double(old[key]) / share
                    #expect(abs(Double(new[key]) - expected) <= 1e-5 * expected + 1e-9)
                }
                // Without suppression not a bit changes.
                if head == 0 { #expect(old == new) }
                let place = head * ids.count + query
                #expect(abs(Double(after.logSumExp[place] - before.logSumExp[place]) - log(share)) < 1e-4)
            }
        }
        // Flags that suppress nothing change nothing.
        #expect(try model.forward(ids, tap: Changing { _, _ in 0 }) == logits)
    }
}
