import Testing

@testable import Capture

@Suite struct CounterRandomTests {
    /// The known-answer vectors that Random123 publishes (kat_vectors, philox4x32, 10 rounds).
    @Test(
        arguments: [
            ([0, 0, 0, 0], [0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            (
                [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff], [0xffff_ffff, 0xffff_ffff],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
            ),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
            ),
        ] as [([UInt32], [UInt32], [UInt32])])
    func philoxGivesThePublishedAnswers(counter: [UInt32], key: [UInt32], answer: [UInt32]) {
        #expect(CounterRandom.block(counter: SIMD4(counter), key: SIMD2(key)) == SIMD4(answer))
    }

    @Test func agreesWithTheOtherImplementation() throws {
        for one in SamplingFixtures.all.philox {
            #expect(CounterRandom.block(counter: SIMD4(one.counter), key: SIMD2(one.key)) == SIMD4(one.words))
        }
        for one in SamplingFixtures.all.uniform {
            let random = CounterRandom(seed: try #require(UInt64(one.seed)))
            let stream = try #require(CounterRandom.Stream(rawValue: UInt32(one.at[3])))
            #expect(
                random.uniform(step: one.at[0], position: one.at[1], token: one.at[2], stream: stream) == one.value)
        }
    }

    @Test func numbersAreUniformAndNeverAnEnd() {
        let random = CounterRandom(seed: 42)
        let numbers = (0..<20000).map { random.uniform(step: 0, position: $0, token: 0, stream: .gumbel) }
        #expect(numbers.allSatisfy { $0 > 0 && $0 < 1 })
        let mean = numbers.reduce(0, +) / 20000
        // The mean of 20000 has a standard deviation of 0.002.
        #expect(abs(mean - 0.5) < 0.01)
        #expect(Set(numbers).count == 20000)
    }
}
