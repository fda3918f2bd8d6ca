import Foundation
import Testing

@testable import Capture

/// Tests/Fixtures/sampling/fixtures.json: what an independent NumPy implementation of the samplers does.
struct SamplingFixtures: Decodable {
    struct Philox: Decodable {
        let counter: [UInt32]
        let key: [UInt32]
        let words: [UInt32]
    }
    struct Uniform: Decodable {
        let seed: String
        let at: [Int]
        let value: Double
    }
    struct Case<Options: Decodable & Sendable>: Decodable, Sendable, CustomTestStringConvertible {
        let name: String
        let model: HashModel.Options
        let prompt: [Int32]
        let sampler: Options
        let expected: Expected
        var testDescription: String { name }
    }
    struct Expected: Decodable, Sendable {
        let finalIDs: [Int32]
        let unmaskStep: [Int32]
        let unmaskOrder: [Int32]
        let steps: [Step]

        private enum CodingKeys: String, CodingKey {
            case finalIDs = "final_id"
            case unmaskStep = "unmask_step"
            case unmaskOrder = "unmask_order"
            case steps
        }
    }
    struct Step: Decodable, Sendable {
        let fed: [Int32]
        let predictedIDs: [Int32]
        let confidence: [Double?]
        let transferScore: [Double?]
        let predictionEntropy: [Double?]
        let block: Int

        private enum CodingKeys: String, CodingKey {
            case fed, confidence, block
            case predictedIDs = "predicted_id"
            case transferScore = "transfer_score"
            case predictionEntropy = "prediction_entropy"
        }
    }

    let philox: [Philox]
    let uniform: [Uniform]
    let diffusion: [Case<LLaDASampler>]
    let mmada: [Case<MMaDASampler>]
    let dream: [Case<DreamSampler>]
    let autoregressive: [Case<AutoregressiveSampler>]

    static let all: SamplingFixtures = {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/sampling/fixtures.json")
        // A test without its fixtures cannot go on.
        // swift-format-ignore: NeverUseForceTry
        return try! JSONDecoder().decode(SamplingFixtures.self, from: Data(contentsOf: path))
    }()
}
