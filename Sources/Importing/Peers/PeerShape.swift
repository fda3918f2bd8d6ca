import Foundation
import TraceFormat

/// The trace that a peer's file becomes: its plan, and the tokens of its steps as far as they are known.
struct PeerShape {
    let plan: TracePlan
    /// Ids after the last step; -1 where unknown.
    let finalIDs: [Int32]
    /// Ids fed in at each step of a diffusion trace; -1 where unknown.
    let stepIDs: [[Int32]]
    /// Whether each was masked.
    let stepMasks: [[Bool]]
    let maskTokenID: Int
    /// Token ids of the file that do not fit its maps, and are not taken.
    let leftOut: [String]
    /// Right answers, as a JSON array of texts; empty where there are none.
    let goldAnswers: String

    var isCausal: Bool { plan.causality == .causal }

    init(_ attention: PeerAttention, _ survey: PeerSurvey, _ options: PeerImport.Options) throws(ImportError) {
        let (file, length) = (attention.file, attention.length)
        let causality = options.causality ?? (survey.isCausal && attention.content != .steps ? .causal : .bidirectional)
        if causality == .causal, attention.content == .steps || !survey.isCausal {
            throw ImportError(
                .misuse, path: file.path, "is not causal: queries attend to later keys, or there are denoising steps")
        }
        guard let prompt = options.promptLength ?? file.promptLength else {
            throw ImportError(.lacking, path: file.path, "does not say how long the prompt is (--prompt-length)")
        }
        guard prompt < length, prompt >= (causality == .causal ? 1 : 0) else {
            throw ImportError(
                .misuse, path: file.path, "has a prompt of \(prompt) in a sequence of \(length) tokens")
        }
        var known = [Int32](repeating: -1, count: length)
        var leftOut: [String] = []
        if let ids = file.answerIDs {
            if prompt + ids.count == length {
                known.replaceSubrange(prompt..., with: ids.map { Int32(clamping: $0) })
            } else {
                leftOut.append("answer_tokens (\(ids.count) ids where \(length - prompt) were generated)")
            }
        }
        if let ids = file.sequenceIDs {
            if ids.count == length {
                known = ids.map { Int32(clamping: $0) }
            } else {
                leftOut.append("full_sequence_ids (\(ids.count) ids where maps are of \(length))")
            }
        }
        self.leftOut = leftOut
        var steps = [known]
        if attention.content == .steps {
            guard options.maskTokenID != nil, !attention.moments.contains(where: { $0.ids == nil }) else {
                throw ImportError(
                    .lacking, path: file.path,
                    "does not say which positions are masked: its steps need a 'sequence', and --mask-token-id names the mask"
                )
            }
            steps = attention.moments.map { ($0.ids ?? []).map { Int32(clamping: $0) } }
            // What no answer tells stays as it was fed in last.
            let last = steps[steps.count - 1]
            known = known.indices.map { known[$0] >= 0 ? known[$0] : last[$0] }
        }
        maskTokenID = options.maskTokenID ?? -1
        let mask = Int32(clamping: maskTokenID)
        stepIDs = steps
        stepMasks = steps.map { ids in ids.map { $0 >= 0 && $0 == mask } }
        finalIDs = known
        let generated = length - prompt
        do {
            goldAnswers =
                file.goldAnswers.isEmpty
                ? "" : String(decoding: try JSONEncoder().encode(file.goldAnswers), as: UTF8.self)
        } catch { throw ImportError(.malformed, path: file.path, member: "gold_answer", "is no text") }
        plan = TracePlan(
            causality: causality, promptLength: prompt, generatedLength: generated,
            stepCount: causality == .causal ? generated : steps.count, layers: attention.layers,
            heads: Array(0..<attention.heads), layerCount: (attention.layers.last ?? 0) + 1,
            signals: [.maps, .received], textWidth: 1)
    }

    func provenance(origin: String, _ options: PeerImport.Options) -> Provenance {
        Provenance(
            modelName: options.modelName, architecture: "", modelConfiguration: "{}", weightsSHA256: "",
            tokenizerSHA256: "", headCount: plan.heads.count, kvHeadCount: plan.heads.count,
            layerCount: plan.layerCount, predictionOffset: isCausal ? 1 : 0, maskTokenID: maskTokenID, sampler: "",
            samplerParameters: "{}", seed: 0, numericType: "", kernel: "", threads: 1, producer: options.producer,
            commandLine: options.commandLine, createdAt: ISO8601DateFormatter().string(from: Date()), prompt: "",
            goldAnswers: goldAnswers, origin: origin)
    }
}
