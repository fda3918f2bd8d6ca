import Foundation
import TraceFormat

/// Small traces with values that say where they belong, for round trips.
enum Samples {
    static func plan(_ causality: Causality, signals: Set<Signal> = [.received, .rows, .maps]) -> TracePlan {
        TracePlan(
            causality: causality, promptLength: 3, generatedLength: 4, stepCount: 4, layers: [0, 2], heads: [1, 3, 4],
            kvHeads: [1, 3, 4],
            headWidth: 4, layerCount: 3, signals: signals, isGuided: false, textWidth: 8)
    }

    static let provenance = Provenance(
        modelName: "sample", architecture: "LLaDAModelLM", modelConfiguration: "{\"d_model\":8}",
        weightsSHA256: "00", tokenizerSHA256: "", headCount: 5, kvHeadCount: 5, layerCount: 3, predictionOffset: 0,
        maskTokenID: 9, sampler: "llada", samplerParameters: "{\"steps\":4}", seed: 18_446_744_073_709_551_615,
        numericType: "float32", kernel: "none", threads: 2, producer: "test", commandLine: "", createdAt: "",
        prompt: "é ⏎")

    /// Where the tokens stand after a step: a position more is unmasked at each.
    static func state(_ plan: TracePlan, after step: Int) -> TokenState {
        let count = plan.length(of: .position, afterSteps: step + 1) ?? 0
        let unmaskStep = (0..<count).map { position in
            position < plan.promptLength ? -1 : position - plan.promptLength <= step ? position - plan.promptLength : -2
        }
        return TokenState(
            ids: (0..<count).map { unmaskStep[$0] == -2 ? 9 : Int32($0 + 10) },
            unmaskStep: unmaskStep.map { Int32($0) },
            unmaskOrder: unmaskStep.map { Int32($0) })
    }

    /// A value that a place determines.
    static func value(_ index: [Int]) -> Float {
        index.reduce(Float(0.001)) { ($0 * 7 + Float($1) * 0.013).truncatingRemainder(dividingBy: 1) }
    }

    static func values(_ origin: [Int], _ shape: [Int]) -> [Float] {
        var result: [Float] = []
        func visit(_ prefix: [Int]) {
            let axis = prefix.count
            if axis == shape.count {
                result.append(value(prefix))
                return
            }
            for place in 0..<shape[axis] { visit(prefix + [origin[axis] + place]) }
        }
        visit([])
        return result
    }

    /// Writes the steps of a plan, and ends it unless told otherwise.
    static func write(_ plan: TracePlan, to path: String, steps: Int? = nil, finish: Bool = true) throws {
        let writer = try TraceWriter(creating: path, plan: plan, provenance: provenance)
        for step in 0..<(steps ?? plan.stepCount) {
            try writeStep(step, of: plan, with: writer)
            try writer.commitStep()
        }
        if finish { try writer.finish() } else { writer.abandon() }
    }

    static func writeStep(_ step: Int, of plan: TracePlan, with writer: TraceWriter) throws {
        let layers = plan.layers.count
        let heads = plan.heads.count
        let keys = plan.keyCount
        let positions = plan.positionCount
        let isCausal = plan.causality == .causal
        try writer.write(
            .tokenID, at: [step, 0], shape: [1, positions], values: (0..<positions).map { Int32($0 + step) })
        try writer.write(
            .isMasked, at: [step, 0], shape: [1, positions], values: (0..<positions).map { UInt8($0 % 2) })
        try writer.write(.maskCount, at: [step], shape: [1], values: [Int32(4 - step)])
        let state = state(plan, after: step)
        try writer.write(state)
        try writer.addVocabulary(Set(state.ids).sorted().map { ($0, "t\($0)é") })
        for layer in 0..<layers {
            if plan.signals.contains(.received) {
                try writer.write(
                    .received, at: [step, layer, 0, 0, 0], shape: [1, 1, heads, 3, keys],
                    values: values([step, layer, 0, 0, 0], [1, 1, heads, 3, keys]))
            }
            guard plan.signals.contains(.maps) else { continue }
            let rows = newRows(step, plan)
            let place = isCausal ? 0 : step
            let origin = [place, layer, 0, rows.lowerBound, 0]
            let shape = [1, 1, heads, rows.count, keys]
            try writer.write(.attention, at: origin, shape: shape, values: values(origin, shape).map { Float16($0) })
        }
        if plan.signals.contains(.rows) {
            let rows = newRows(step, plan)
            let origin = [isCausal ? 0 : step, 0, 0, rows.lowerBound]
            let shape = [1, layers, heads, rows.count]
            for key in [DatasetKey<Float>.entropy, .logSumExp, .maxWeight] {
                try writer.write(key, at: origin, shape: shape, values: values(origin, shape))
            }
        }
        try writer.write(
            .answerAttention, at: [step, 0, 0, 0], shape: [1, layers, heads, keys],
            values: values([step, 0, 0, 0], [1, layers, heads, keys]).map { Float16($0) })
        try writer.write(.answerSourceStep, at: [step], shape: [1], values: [Int32(step)])
    }

    /// The rows that a step writes: all, or in a causal run the new ones.
    private static func newRows(_ step: Int, _ plan: TracePlan) -> Range<Int> {
        guard plan.causality == .causal else { return 0..<plan.keyCount }
        return step == 0 ? 0..<plan.promptLength : plan.promptLength + step - 1..<plan.promptLength + step
    }

    /// The values as float16 rounds them.
    static func halves(_ origin: [Int], _ shape: [Int]) -> [Float] { values(origin, shape).map { Float(Float16($0)) } }

    /// A folder of its own for a test's files, removed after.
    static func inFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "attntrace-test-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try body(folder.path)
    }
}
