import CKernels
import Foundation
import Testing

@testable import Capture

/// The sizes that the recorder takes of vectors, against plain loops.
@Suite struct VectorKernelTests {
    private func numbers(_ count: Int, seed: UInt64) -> [Float] {
        let random = CounterRandom(seed: seed)
        return (0..<count).map { Float(random.uniform(step: $0, position: count, token: 0, stream: .gumbel) * 8 - 4) }
    }

    @Test func sizesOfRows() {
        for count in [1, 2, 3, 7, 8, 16, 17, 64, 255, 1000] {
            for levels in [0, 3] {
                var x = numbers(count, seed: UInt64(levels))
                if levels > 0 { x = x.map { ($0 * Float(levels)).rounded() } }
                // Numbers of very different size, as a massive activation is.
                if count > 16 { x[9] = -3e4 }
                var scratch = [UInt32](repeating: 0, count: count)
                let size = ck_measure(x, count, &scratch)
                let sizes = x.map(abs)
                #expect(size.largest == sizes.max())
                #expect(sizes.firstIndex(of: size.largest) == Int(size.channel))
                #expect(size.median == sizes.sorted()[(count - 1) / 2])
                let norm = x.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
                #expect(abs(Double(size.norm) - norm) <= 6e-8 * norm && ck_norm(x, count) == size.norm)
            }
        }
    }

    @Test func cosines() {
        for count in [1, 8, 19, 128] {
            let (a, b) = (numbers(count, seed: 1), numbers(count, seed: 2))
            let dot = zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            let wanted = dot / (Double(ck_norm(a, count)) * Double(ck_norm(b, count)))
            #expect(abs(Double(ck_cosine(a, b, count)) - wanted) < 1e-6)
            #expect(abs(ck_cosine(a, a, count) - 1) < 1e-6 && ck_cosine(a, a, count) <= 1)
            #expect(ck_cosine(a, [Float](repeating: 0, count: count), count).isNaN)
        }
    }

    @Test func differences() {
        let a = numbers(100, seed: 1)
        var b = a
        #expect(ck_largest_difference(a, b, 100) == 0)
        b[99] += 0.5
        #expect(ck_largest_difference(a, b, 100) == abs(a[99] - b[99]))
        b[3] = .nan
        #expect(ck_largest_difference(a, b, 100) == .infinity)
        #expect(ck_largest_difference(a, b, 0) == 0)
    }

    @Test func vectorsBeyondFloat16CannotBeRebuilt() throws {
        // One head, one key, whose vector becomes infinity in float16.
        let meter = RebuildMeter(causality: .bidirectional, threadCount: 1, kernels: .best)
        meter.begin(keys: 1, channels: 2)
        for (value, isLost) in [(Float(100), false), (70_000, true)] {
            let vector = [Float](repeating: value, count: 2)
            let panels = [Float](repeating: value, count: KeyPanels.size(keyCount: 1, channelCount: 2))
            [Float(1)].withUnsafeBufferPointer { weights in
                vector.withUnsafeBufferPointer { vector in
                    panels.withUnsafeBufferPointer { panels in
                        meter.absorb(
                            HeadAttention(
                                layer: 0, head: 0, worker: 0, queryCount: 1, firstQuery: 0, keyCount: 1,
                                weights: weights, logSumExp: weights,
                                queries: HeadVectors(
                                    vector, headCount: 1, rowCount: 1, channelCount: 2, headStride: 2, rowStride: 2),
                                keys: KeyPanels(
                                    panels, headCount: 1, keyCount: 1, channelCount: 2, headStride: panels.count)))
                    }
                }
            }
            let error = meter.takeLargest()
            #expect(error == (isLost ? .infinity : 0))
        }
    }
}
