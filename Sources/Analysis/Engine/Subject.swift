import TraceFormat

/// The trace that a pass goes over: the part that is looked at, and what is known of its tokens. Holds no attention.
public final class Subject: Sendable {
    /// The trace.
    public let trace: Trace
    /// The forward pass that is read.
    public let pass: Pass
    /// Steps that are looked at, ascending.
    public let steps: [Int]
    /// Layers that are looked at, ascending, by their recorded labels.
    public let layers: [Int]
    /// Heads that are looked at, ascending, by their recorded labels.
    public let heads: [Int]
    /// Places along the axis `kv_head` of the heads that are looked at; empty where the trace lists none.
    public let kvPlaces: [Int]
    /// Recorded queries that are looked at: places along the axis `query`, ascending, and their positions.
    public let queries: [(place: Int, position: Int)]
    /// Queries that were asked for, whether or not the trace keeps their rows of maps; nil for all.
    let chosenQueries: Set<Int>?
    /// Keys of the trace, at full length.
    public let keyCount: Int
    /// Whether results report on a key.
    public let reportsKey: [Bool]
    /// What stood where at each step.
    public let tokens: TokenTimeline
    /// The regions; none where none are recorded.
    public let regions: [Region]
    /// The region of each position, along ``regions``; -1 for none. Empty where none are recorded.
    public let regionOfPosition: [Int]

    /// Places of ``layers`` and ``heads`` along the trace's axes.
    let layerPlaces: [Int]
    let headPlaces: [Int]

    /// Which queries see which keys.
    public var causality: Causality { trace.plan.causality }
    /// Tokens of the prompt.
    public var promptLength: Int { trace.plan.promptLength }

    /// Looks at a part of a trace.
    ///
    /// Throws ``AnalysisError`` for labels that were not recorded, and what reading throws.
    public init(_ trace: Trace, _ extent: Extent = .all, pass: Pass = .conditional) throws {
        guard trace.committedSteps > 0 else { throw AnalysisError.noSteps(path: trace.path) }
        if let missing = extent.steps?.filter({ !(0..<trace.committedSteps).contains($0) }).min() {
            throw AnalysisError.noSuchStep(missing, count: trace.committedSteps)
        }
        if pass == .unconditional, !trace.plan.isGuided {
            throw AnalysisError.badParameter(
                name: "pass", value: pass.rawValue, reason: "\(trace.path) has one forward pass a step")
        }
        let recordedLayers = try trace.coordinate(.layer)
        let recordedHeads = try trace.coordinate(.head)
        if let missing = extent.layers?.subtracting(recordedLayers).min() {
            throw AnalysisError.noSuchLayer(missing, recorded: recordedLayers)
        }
        if let missing = extent.heads?.subtracting(recordedHeads).min() {
            throw AnalysisError.noSuchHead(missing, recorded: recordedHeads)
        }
        func places(_ recorded: [Int], _ chosen: Set<Int>?) -> [Int] {
            recorded.indices.filter { chosen?.contains(recorded[$0]) ?? true }
        }
        self.trace = trace
        self.pass = pass
        steps = (0..<trace.committedSteps).filter { extent.steps?.contains($0) ?? true }
        layerPlaces = places(recordedLayers, extent.layers)
        headPlaces = places(recordedHeads, extent.heads)
        layers = layerPlaces.map { recordedLayers[$0] }
        heads = headPlaces.map { recordedHeads[$0] }
        let kvHeads = trace.plan.kvHeads
        let kvPlaces = heads.compactMap { head in
            trace.provenance.kvHeads(of: [head]).first.flatMap(kvHeads.firstIndex(of:))
        }
        self.kvPlaces = kvPlaces.count == heads.count ? kvPlaces : []
        // Reading these finds out a file that claims more positions than it has, before anything is made for each.
        _ = try trace.coordinate(.position)
        tokens = try TokenTimeline(of: trace, pass: pass)
        let keyCount = trace.plan.keyCount
        self.keyCount = keyCount
        let prompt = trace.plan.promptLength
        let isCausal = trace.plan.causality == .causal
        let recordedQueries = trace.plan.queries?.filter { $0 < keyCount } ?? Array(0..<keyCount)
        queries = recordedQueries.enumerated().filter { _, position in
            // A causal row belongs to the step that computed it.
            let isOfSteps = !isCausal || (extent.steps?.contains(max(0, position - prompt + 1)) ?? true)
            return isOfSteps && (extent.queries?.contains(position) ?? true)
        }.map { (place: $0.offset, position: $0.element) }
        if let missing = [extent.queries, extent.keys].compactMap({ $0?.first { !(0..<keyCount).contains($0) } }).min()
        {
            throw AnalysisError.noSuchPosition(missing, count: keyCount)
        }
        chosenQueries = extent.queries
        reportsKey = (0..<keyCount).map { extent.keys?.contains($0) ?? true }
        let (regions, ofPosition) = try trace.regions()
        self.regions = regions
        regionOfPosition = ofPosition.map { Int($0) }
    }

    /// Steps that are looked at and keep maps and rows, ascending. A causal trace keeps each row once, and a row belongs to
    /// the step that computed it: all.
    public var keptSteps: [Int] {
        guard causality == .bidirectional, let kept = trace.plan.mapSteps.map(Set.init) else { return steps }
        return steps.filter(kept.contains)
    }

    /// The step of a causal trace that computed a row, by the query's position.
    func step(ofCausalRow position: Int) -> Int { max(0, position - promptLength + 1) }

    /// What stood at a position at a step: part of the prompt, unmasked, or masked.
    public func queryClass(step: Int, position: Int) -> QueryClass {
        if position < promptLength { return .prompt }
        return tokens.isMasked(step: step, position: position) ? .masked : .unmasked
    }

    /// Sites of the heads, or of the layers, that are looked at.
    public func grid(per scope: Scope) -> SiteGrid { SiteGrid(layers: layers, heads: heads, scope: scope) }

    /// One layer's selection, for the accumulator of received sums.
    func selection(ofLayer place: Int) -> SiteSelection {
        SiteSelection(
            grid: SiteGrid(layers: [layers[place]], heads: heads, scope: .head), layerPlace: layerPlaces[place],
            headPlaces: headPlaces)
    }
}
