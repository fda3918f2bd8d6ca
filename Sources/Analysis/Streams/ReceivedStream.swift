import TraceFormat

/// The received sums of a trace, a step at a time, read once in blocks of a stated size.
///
/// A bidirectional step is what its own queries gave. A causal step is the running sum over all rows seen so far:
/// values computed from it are *cumulative*, and never set against a bidirectional trace's.
public struct ReceivedStream: Sendable {
    /// The layers, heads and sites of every frame.
    public let grid: SiteGrid
    /// Keys of the trace, at full length.
    public let keyCount: Int
    private var cursor: BlockCursor<Float>
    private var accumulator: ReceivedAccumulator

    /// Opens the stream.
    ///
    /// - Parameters:
    ///   - trace: the trace; its signal `received` is needed.
    ///   - scope: what heads and layers are averaged into.
    ///   - layers: recorded layers to read; nil for all.
    ///   - heads: recorded heads to read; nil for all.
    ///   - window: rows of the unit `window`, where it is wanted; a causal trace's only.
    ///   - pass: the forward pass to read, where the trace has two.
    ///   - byteBudget: bytes of one block; the pass also holds one step of the selected sites.
    ///
    /// Throws ``AnalysisError`` for what the trace does not hold, and what reading it throws.
    public init(
        of trace: Trace, per scope: Scope, layers: Set<Int>? = nil, heads: Set<Int>? = nil, window: Int? = nil,
        pass: Pass = .conditional, byteBudget: Int = 64 << 20
    ) throws {
        let key: DatasetKey<Float> = pass == .conditional ? .received : .received.unconditional
        guard trace.contains(key) else { throw AnalysisError.receivedNotRecorded(path: trace.path) }
        if window != nil, trace.plan.causality == .bidirectional {
            throw AnalysisError.windowNeedsCausalTrace(path: trace.path)
        }
        let shape = try trace.shape(of: key)
        guard shape.count == 5 else {
            throw AnalysisError.shapeMismatch(what: "\(trace.path): \(key.path) has \(shape.count) axes, not 5")
        }
        guard shape[0] > 0 else { throw AnalysisError.noSteps(path: trace.path) }
        let selection = try SiteSelection(of: trace, per: scope, layers: layers, heads: heads)
        grid = selection.grid
        keyCount = shape[4]
        var promptRows: [[Double]] = []
        if let window, pass == .conditional {
            promptRows = try Self.lastPromptRows(window, of: trace, selection: selection, keys: shape[4])
        }
        accumulator = ReceivedAccumulator(
            causality: trace.plan.causality, promptLength: trace.plan.promptLength, keys: shape[4], classes: shape[3],
            selection: selection, stepLabels: Array(try trace.coordinate(.step).prefix(shape[0])), window: window,
            promptRows: promptRows)
        cursor = try trace.blocks(of: key, selection.box, byteBudget: byteBudget)
    }

    /// The next step; nil after the last.
    ///
    /// Throws ``AnalysisError/shapeMismatch(what:)`` when the trace ends inside a step, and what reading throws.
    public mutating func next() throws -> StepFrame? {
        while true {
            if let frame = accumulator.next() { return frame }
            guard let block = try cursor.next() else {
                guard !accumulator.isIncomplete else {
                    throw AnalysisError.shapeMismatch(what: "the received sums end inside a step")
                }
                return nil
            }
            try accumulator.absorb(block)
        }
    }

    /// The prompt's last rows from the recorded maps, averaged into sites; none where the maps do not hold them.
    static func lastPromptRows(
        _ window: Int, of trace: Trace, selection: SiteSelection, keys: Int
    ) throws -> [[Double]] {
        guard trace.contains(.attention) else { return [] }
        let shape = try trace.shape(of: .attention)
        let prompt = trace.plan.promptLength
        // A selection of queries would leave holes; row i must be query i.
        let queries = Array(try trace.coordinate(.query).prefix(prompt))
        guard shape.count == 5, shape[0] >= 1, shape[3] >= prompt, shape[4] == keys, queries == Array(0..<prompt)
        else { return [] }
        let grid = selection.grid
        let first = max(0, prompt - window)
        var rows = Array(
            repeating: Array(repeating: 0.0, count: grid.sites.count * keys), count: prompt - first)
        for (layer, layerPlace) in selection.layerPlace.enumerated() where layerPlace >= 0 {
            for (head, headPlace) in selection.headPlace.enumerated() where headPlace >= 0 {
                let box: Selection = [
                    .mapStep: 0..<1, .layer: layer..<layer + 1, .head: head..<head + 1, .query: first..<prompt,
                ]
                let values = try trace.read(.attention, box).values
                let base = grid.site(layer: layerPlace, head: headPlace) * keys
                for row in rows.indices {
                    for key in 0...first + row { rows[row][base + key] += Double(values[row * keys + key]) }
                }
            }
        }
        let scale = Double(grid.headsPerSite)
        if scale != 1 { for row in rows.indices { for index in rows[row].indices { rows[row][index] /= scale } } }
        return rows
    }
}
