import TraceFormat

/// Makes sure that every pointer that the recorder follows stays within what was handed over.
struct RecordedPartCheck {
    let plan: TracePlan
    let step: StepInput

    /// Checks a layer's attention, and that the parts asked for are there. Errors: ``RecordingError``.
    func check(_ attention: LayerAttention, parts: LayerParts) throws(RecordingError) {
        func fail(_ text: String) -> RecordingError {
            .wrongAttention(step: step.index, layer: attention.layer, text)
        }
        guard plan.heads.allSatisfy({ 0 <= $0 && $0 < attention.headCount }) else {
            throw fail("\(attention.headCount) heads, but head \(plan.heads.max() ?? 0) is to be recorded")
        }
        let queries = attention.firstQuery..<attention.firstQuery + attention.queryCount
        guard queries == step.queries else { throw fail("rows \(queries) instead of \(step.queries)") }
        guard attention.keyCount == queries.upperBound, attention.keyCount <= plan.keyCount else {
            throw fail("\(attention.keyCount) keys for rows \(queries) of \(plan.keyCount)")
        }
        guard attention.suppressed.isEmpty || attention.suppressed.count == attention.headCount * attention.keyCount
        else { throw fail("\(attention.suppressed.count) flags of suppressed keys") }
        guard
            step.candidates.allSatisfy({
                $0 < plan.promptLength || step.queries.contains(step.scoringRow(of: $0))
            })
        else {
            throw fail("a candidate's row was not fed in")
        }
        let kvHeadCount = attention.keys?.headCount ?? attention.allKeys?.headCount ?? attention.values?.headCount
        for (part, name, vectors, heads) in [
            (LayerParts.queries, "query", attention.queries, attention.headCount),
            (.outputs, "output", attention.outputs, attention.headCount),
            (.keys, "key", attention.keys, kvHeadCount ?? 0), (.values, "value", attention.values, kvHeadCount ?? 0),
        ] where parts.contains(part) {
            guard let vectors, vectors.headCount == heads, vectors.rowCount == attention.queryCount,
                vectors.channelCount == plan.headWidth
            else { throw fail("no \(name) vectors of \(heads) heads, \(attention.queryCount) rows") }
        }
        if parts.contains(.allKeys) {
            guard let keys = attention.allKeys, keys.keyCount == attention.keyCount, keys.headCount == kvHeadCount,
                keys.channelCount == plan.headWidth
            else { throw fail("no key vectors of \(attention.keyCount) keys") }
        }
        if let kvHeadCount, !parts.isDisjoint(with: [.keys, .values, .allKeys]) {
            guard attention.headCount % kvHeadCount == 0,
                plan.kvHeads == Set(plan.heads.map { $0 / (attention.headCount / kvHeadCount) }).sorted()
            else { throw fail("\(kvHeadCount) key-value heads, but \(plan.kvHeads) are to be recorded") }
        }
    }

    /// Checks the residual stream. Errors: ``RecordingError``.
    func check(_ stream: ResidualStream, expected depth: Int) throws(RecordingError) {
        let rows = stream.firstPosition..<stream.firstPosition + stream.rowCount
        guard stream.depth == depth, depth <= plan.layerCount, rows == step.queries, stream.width > 0 else {
            throw .wrongStream(step: step.index, depth: stream.depth, "rows \(rows), where depth \(depth) is due")
        }
    }
}
