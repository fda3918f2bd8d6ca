/// Judges everything about a file but the values of its datasets, and makes the outline by which they are judged.
struct StructureRules {
    private let file: HDF5File
    private let log: FindingLog
    private let attributes: AttributeRules
    /// Datasets that were looked at.
    private(set) var datasetCount = 0
    /// The content hash that the file states, as it is there.
    private(set) var contentHash: [UInt8]?
    /// The table of content hashes, where it can be made out.
    private(set) var table: ContentTable?

    /// Attributes of the root group that are there and of their type.
    var attributeCount: Int { attributes.values.count }

    init(_ file: HDF5File, log: FindingLog) {
        self.file = file
        self.log = log
        attributes = AttributeRules(file, log: log)
    }

    /// Judges, and gives the outline; nil where the shape of the trace cannot be made out.
    mutating func judge() -> TraceOutline? {
        let commit = CommitRules(file: file, log: log)
        let schemaText = commit.text(TraceScalar.schemaText)
        contentHash = commit.text(TraceScalar.contentSHA256)
        attributes.judgeValues(schemaText: schemaText)
        let plan = plan()
        let record = commit.record(plan: plan)
        var outline = plan.flatMap { plan in record.map { self.outline(plan, $0.committed, $0.isComplete) } }

        let wanted = wantedDatasets(plan)
        let scalars = Set(Schema.scalars.map(\.path))
        let links = ObjectRules(file: file, log: log)
        let outside = links.judge(wanted: Set(wanted.map(\.path)).union(scalars))
        let rules = DatasetRules(
            file: file, log: log, outline: outline, textWidth: attributes.number("text_width"),
            knowsWords: attributes.text("format_version") == Schema.version)
        datasetCount = scalars.count
        for (path, schema) in wanted where !outside.contains(where: { path == $0 || path.hasPrefix($0 + "/") }) {
            datasetCount += 1
            if let reader = rules.judge(schema, at: path) { outline?.readers[path] = reader }
        }
        outline?.isHashed = !(contentHash ?? []).isEmpty
        guard let outline else { return nil }
        LabelRules(outline: outline, log: log).judge(
            layerCount: attributes.number("layer_count"), headCount: attributes.number("head_count"),
            kvHeadCount: attributes.number("kv_head_count"))
        if outline.isComplete { table = ContentTableRules(outline: outline, log: log).judge(total: contentHash) }
        return outline
    }

    /// The datasets that the trace says it has, in the schema's order, coordinates first.
    private func wantedDatasets(_ plan: TracePlan?) -> [(path: String, schema: Schema.Dataset)] {
        let listed = Set(
            (attributes.text("signals") ?? "").split(separator: ",").compactMap { Signal(rawValue: String($0)) })
        let present = Schema.datasets.filter { $0.signal.map(listed.contains) ?? true }
        let used = Set(present.flatMap(\.dimensions))
        var wanted = Schema.coordinates.filter { used.contains($0.dimensions[0]) }.map { (path: $0.path, schema: $0) }
        wanted += present.map { (path: $0.path, schema: $0) }
        if attributes.number("is_guided") == 1 {
            wanted += present.filter { Schema.guidedPaths.contains($0.path) }
                .map { (path: Schema.unconditional + $0.path, schema: $0) }
        }
        return wanted
    }

    // MARK: Outline

    /// The shape of the trace; nil where what it follows from is missing.
    private func plan() -> TracePlan? {
        guard let causality = attributes.text("causality").flatMap(Causality.init),
            let prompt = attributes.number("prompt_length"), prompt >= (causality == .causal ? 1 : 0),
            let generated = attributes.number("planned_generated_length"), generated >= 1,
            let steps = attributes.number("planned_steps"), steps >= 1, let signals = attributes.text("signals"),
            let layers = LabelRules.read(.layer, in: file, log: log),
            let heads = LabelRules.read(.head, in: file, log: log)
        else { return nil }
        for (dimension, labels) in [(Dimension.layer, layers), (.head, heads)] where labels.isEmpty {
            log.add(.labelValue, dimension.rawValue, "is empty")
        }
        guard !layers.isEmpty, !heads.isEmpty else { return nil }
        let (positions, overflow) = prompt.addingReportingOverflow(generated)
        guard !overflow,
            let queries = attributes.selection(
                "planned_queries", limit: causality == .causal ? positions - 1 : positions),
            let mapSteps = attributes.selection("planned_map_steps", limit: causality == .causal ? 0 : steps)
        else { return nil }
        func count(_ dimension: Dimension) -> Int { LabelRules.read(dimension, in: file, log: log)?.count ?? 0 }
        return TracePlan(
            causality: causality, promptLength: prompt, generatedLength: generated, stepCount: steps, layers: layers,
            heads: heads, kvHeads: LabelRules.read(.kvHead, in: file, log: log) ?? [], queries: queries,
            mapSteps: mapSteps, headWidth: attributes.number("head_dim") ?? 0,
            layerCount: attributes.number("layer_count") ?? 0, rankCount: count(.rank),
            regionCount: count(.regionIndex),
            signals: Set(signals.split(separator: ",").compactMap { Signal(rawValue: String($0)) }),
            isGuided: attributes.number("is_guided") == 1, textWidth: attributes.number("text_width") ?? 1)
    }

    private func outline(_ plan: TracePlan, _ committed: Int, _ isComplete: Bool) -> TraceOutline {
        // No step beyond the plan can have been committed; what claims to be is a finding already.
        let committed = min(committed, max(plan.stepCount, plan.causality == .causal ? plan.generatedLength : 0))
        let steps =
            plan.causality == .causal
            ? (committed > 0 ? [committed - 1] : [])
            : plan.mapSteps.map { $0.filter { $0 < committed } } ?? Array(0..<committed)
        return TraceOutline(
            file: file, plan: plan, committed: committed, isComplete: isComplete, mapSteps: steps,
            predictionOffset: attributes.number("prediction_offset") ?? 0,
            maskTokenID: attributes.number("mask_token_id") ?? -1, isImported: attributes.isImported)
    }
}
