extension ValueSweep {
    /// The rules for the values of a dataset.
    func rules(for path: String) -> [any PieceRule] {
        let isSecond = path.hasPrefix(Schema.unconditional)
        let prefix = isSecond ? Schema.unconditional : ""
        let plain = isSecond ? String(path.dropFirst(prefix.count)) : path
        guard let schema = outline.readers[path]?.schema else { return [] }
        switch schema.type {
        case .utf8: return [TextRule(log: log)]
        case .uint8: return [FlagRule(log: log, largest: plain == "suppressed" ? 2 : 1)]
        case .float16: return halfRules(plain, prefix)
        case .float32: return floatRules(plain, prefix)
        case .int32: return integerRules(plain)
        }
    }

    private func halfRules(_ plain: String, _ prefix: String) -> [any PieceRule] {
        switch plain {
        case "maps/attention":
            return [HalfRule(log: log, isProbability: true), MapRules(outline, log: log, prefix: prefix)]
        case "answer/attention":
            return [HalfRule(log: log, isProbability: true), AnswerRowRule(outline, log: log)]
        default: return [HalfRule(log: log, isProbability: false)]
        }
    }

    private func floatRules(_ plain: String, _ prefix: String) -> [any PieceRule] {
        func rule(
            _ undefined: FloatRule.Undefined, _ low: Float, _ high: Float = .greatestFiniteMagnitude,
            _ code: FindingCode = .valueRange
        ) -> FloatRule {
            let fed = outline.isCausal ? outline.length(.key) : outline.length(.position)
            return FloatRule(log: log, undefined: undefined, low: low, high: high, code: code, fed: fed)
        }
        // A sum of weights may exceed 1 by its rounding.
        let one: Float = 1.00001
        switch plain {
        case "received": return [rule(.nowhere, 0), ReceivedRule(outline, log: log, prefix: prefix)]
        case "confidence", "top_probability": return [rule(.anywhere, 0, one, .valueProbability)]
        case "time": return [rule(.anywhere, 0, 1, .valueProbability)]
        case "max_weight", "mask_mass": return [rule(.nowhere, 0, one, .valueProbability)]
        case "transfer_score": return [rule(.anywhere, -.greatestFiniteMagnitude)]
        case "prediction_entropy": return [rule(.anywhere, 0)]
        case "logsumexp": return [rule(.nowhere, -.greatestFiniteMagnitude)]
        case "key_cosine", "value_cosine": return [rule(.anywhere, -one, one)]
        case "hidden_norm", "hidden_max", "hidden_median": return [rule(.whereNotFed, 0)]
        default: return [rule(.nowhere, 0)]
        }
    }

    private func integerRules(_ plain: String) -> [any PieceRule] {
        func from(_ low: Int32, to high: Int32 = .max, _ code: FindingCode = .valueRange) -> IntegerRule {
            IntegerRule(log: log, range: low...max(low, high), code: code)
        }
        switch plain {
        case "token_id", "predicted_id", "final_id", "top_id":
            guard let ids = outline.vector(Int32.self, "vocab_id") else { return [] }
            let allowsNone =
                outline.isImported || plain != "final_id" && (plain != "token_id" || outline.isCausal)
            var rule = VocabularyRule(log: log, ids: Set(ids), allowsNone: allowsNone)
            if plain == "final_id", let steps = outline.vector(Int32.self, "unmask_step") {
                rule.uncommitted = Set(steps.indices.filter { outline.isOpen(steps[$0]) })
            }
            return [rule]
        case "block": return [from(-1)]
        case "hidden_max_channel":
            // The last token of a causal run is never fed in, and has no values.
            var rule = from(-1)
            if outline.isCausal { rule.written = outline.length(.key) }
            return [rule]
        case "position_id": return [from(0)]
        case "region": return [from(-1, to: Int32(clamping: outline.plan.regionCount - 1), .regionIndex)]
        case "visible_queries": return [VisibleRule(outline: outline, log: log)]
        default: return []
        }
    }
}
