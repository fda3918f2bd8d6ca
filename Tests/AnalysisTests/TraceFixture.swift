// A test may stop at a broken fixture.
// swift-format-ignore-file: NeverForceUnwrap, NeverUseForceTry

import Foundation
import TraceFormat

/// A small trace as JSON, with what the NumPy reference says of it: see Tests/Fixtures/metrics/make_fixtures.py.
struct TraceFixture {
    let name: String
    let causality: Causality
    let prompt: Int
    let generated: Int
    let steps: Int
    let keys: Int
    let layers: [Int]
    let heads: [Int]
    let received: [Float]
    let answer: [Float16]
    let sourceQuery: [Int32]
    let sourceStep: [Int32]
    let unmaskOrder: [Int32]
    let unmaskStep: [Int32]
    let tokenID: [Int32]
    let maps: [Float16]?
    let analyses: [[String: Any]]

    static let names = [
        "diffusion", "diffusion_split", "single_step", "causal", "causal_with_maps", "causal_one_token",
        "causal_prompt_of_one",
    ]

    init(named name: String) throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let url = folder.appendingPathComponent("Fixtures/metrics/fixtures/\(name).json")
        let json = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as! [String: Any]
        func numbers(_ key: String) -> [Double] { (json[key] as! [NSNumber]).map(\.doubleValue) }
        func integer(_ key: String) -> Int { (json[key] as! NSNumber).intValue }
        self.name = name
        causality = Causality(rawValue: json["causality"] as! String)!
        prompt = integer("prompt")
        generated = integer("generated")
        steps = integer("steps")
        keys = integer("keys")
        layers = numbers("layers").map { Int($0) }
        heads = numbers("heads").map { Int($0) }
        received = numbers("received").map { Float($0) }
        answer = numbers("answer").map { Float16($0) }
        sourceQuery = numbers("source_query").map { Int32($0) }
        sourceStep = numbers("source_step").map { Int32($0) }
        unmaskOrder = numbers("unmask_order").map { Int32($0) }
        unmaskStep = numbers("unmask_step").map { Int32($0) }
        tokenID = numbers("token_id").map { Int32($0) }
        maps = json["maps"] is NSNull ? nil : numbers("maps").map { Float16($0) }
        analyses = json["analyses"] as! [[String: Any]]
    }

    var positions: Int { prompt + generated }

    var plan: TracePlan {
        TracePlan(
            causality: causality, promptLength: prompt, generatedLength: generated, stepCount: steps, layers: layers,
            heads: heads, signals: maps == nil ? [.received] : [.received, .maps])
    }

    /// Writes the trace as a file, stopping after `count` steps when given.
    func write(to path: String, steps count: Int? = nil, finishing: Bool = true) throws {
        let writer = try TraceWriter(creating: path, plan: plan, provenance: .invented, overwrite: true)
        let isCausal = causality == .causal
        let L = layers.count
        let H = heads.count
        for step in 0..<(count ?? steps) {
            let seen = isCausal ? prompt + step : keys
            let ids = Array(tokenID[step * positions..<step * positions + positions])
            try writer.write(.tokenID, at: [step, 0], shape: [1, positions], values: ids)
            let visible = (0..<keys).map { Int32(isCausal ? max(0, seen - $0) : keys) }
            try writer.write(.visibleQueries, at: [step, 0], shape: [1, keys], values: visible)
            for layer in 0..<L {
                var values: [Float] = []
                for row in 0..<H * 3 {
                    let base = ((step * L + layer) * H * 3 + row) * keys
                    values += received[base..<base + keys]
                }
                try writer.write(.received, at: [step, layer, 0, 0, 0], shape: [1, 1, H, 3, keys], values: values)
                guard let maps else { continue }
                for query in step == 0 ? 0..<seen : seen - 1..<seen {
                    var row: [Float16] = []
                    for head in 0..<H {
                        let base = ((layer * H + head) * keys + query) * keys
                        row += maps[base..<base + keys]
                    }
                    try writer.write(
                        .attention, at: [0, layer, 0, query, 0], shape: [1, 1, H, 1, keys], values: row)
                }
            }
            for place in 0..<generated where sourceStep[place] == step {
                for layer in 0..<L {
                    var row: [Float16] = []
                    for head in 0..<H {
                        let base = ((place * L + layer) * H + head) * keys
                        row += answer[base..<base + keys]
                    }
                    try writer.write(.answerAttention, at: [place, layer, 0, 0], shape: [1, 1, H, keys], values: row)
                }
                try writer.write(.answerSourceQuery, at: [place], shape: [1], values: [sourceQuery[place]])
                try writer.write(.answerSourceStep, at: [place], shape: [1], values: [sourceStep[place]])
            }
            let length = isCausal ? prompt + step + 1 : positions
            try writer.write(
                TokenState(
                    ids: (0..<length).map { Int32($0 % 7) }, unmaskStep: Array(unmaskStep.prefix(length)),
                    unmaskOrder: Array(unmaskOrder.prefix(length))))
            if step == 0 {
                let ids = Set(tokenID).union((0..<Int32(positions)).map { $0 % 7 })
                try writer.addVocabulary(ids.filter { $0 >= 0 }.sorted().map { ($0, "t\($0)") })
            }
            try writer.commitStep()
        }
        guard finishing else { return writer.abandon() }
        try writer.finish()
    }

    /// Writes the trace to a place of its own and opens it.
    func open(steps: Int? = nil) throws -> Trace {
        let path = Scratch.path("\(name).h5")
        try write(to: path, steps: steps)
        return try Trace(path: path)
    }
}

/// A folder for the files of one run of the tests, removed when they end.
enum Scratch {
    static let folder: String = {
        let path = NSTemporaryDirectory() + "attntrace-analysis-\(UUID().uuidString)"
        try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        atexit { try? FileManager.default.removeItem(atPath: Scratch.folder) }
        return path
    }()

    static func path(_ name: String) -> String { "\(folder)/\(UUID().uuidString)-\(name)" }
}

extension Provenance {
    static var invented: Provenance {
        Provenance(
            modelName: "invented", architecture: "none", modelConfiguration: "{}", weightsSHA256: "",
            tokenizerSHA256: "", headCount: 8, kvHeadCount: 8, layerCount: 8, predictionOffset: 0, maskTokenID: 9,
            sampler: "llada", samplerParameters: "{}", seed: 0, numericType: "float32", kernel: "none", threads: 1,
            producer: "test", commandLine: "", createdAt: "2026-11-21T00:00:00Z", prompt: "")
    }
}
