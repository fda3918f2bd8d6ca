import TraceFormat

/// Turns blocks of received sums into whole steps: classes summed, heads averaged into sites, causal increments
/// accumulated, and the last rows of a causal trace kept for the unit `window`.
///
/// Blocks may cover any part of a step in any order of layers and heads; steps leave in ascending order.
struct ReceivedAccumulator: Sendable {
    let causality: Causality
    let promptLength: Int
    let keys: Int
    let classes: Int
    let selection: SiteSelection
    /// Labels of the steps by index along the axis.
    let stepLabels: [Int]
    let window: Int?

    /// Steps of which a part has come.
    private var pending: [Int: Part] = [:]
    private var nextStep: Int
    /// Causal: the sum of all rows so far, (site, key).
    private var running: [Double]
    /// Causal with a window: the last rows known one by one, oldest first, each (site, key).
    private var recent: [[Double]]

    private struct Part {
        var received: [Double]
        var masked: [Double]
        var heads = 0
    }

    /// `promptRows` are the last rows of the prompt where maps were recorded, oldest first, each (site, key). Blocks may
    /// begin at a later step than the first; not in a causal trace, whose sums run on.
    init(
        causality: Causality, promptLength: Int, keys: Int, classes: Int, selection: SiteSelection,
        stepLabels: [Int], window: Int?, promptRows: [[Double]], firstStep: Int = 0
    ) {
        nextStep = firstStep
        self.causality = causality
        self.promptLength = promptLength
        self.keys = keys
        self.classes = classes
        self.selection = selection
        self.stepLabels = stepLabels
        self.window = window
        recent = promptRows
        let size = selection.grid.sites.count * keys
        running = causality == .causal ? Array(repeating: 0, count: size) : []
    }

    /// Rows seen at a step.
    func rows(atStep step: Int) -> Int {
        causality == .causal ? min(keys, promptLength + stepLabels[step]) : keys
    }

    /// Takes in a block of (step, layer, head, query_class, key).
    mutating func absorb(_ block: TraceArray<Float>) throws(AnalysisError) {
        guard block.shape.count == 5, block.shape[4] == keys, block.shape[3] == classes else {
            throw .shapeMismatch(
                what: "a block of received sums has shape \(block.shape); all classes and keys are needed")
        }
        let grid = selection.grid
        let size = grid.sites.count * keys
        var offset = 0
        for step in block.origin[0]..<block.origin[0] + block.shape[0] {
            let seen = rows(atStep: step)
            let visible = causality == .causal ? seen : keys
            var part =
                pending.removeValue(forKey: step)
                ?? Part(received: Array(repeating: 0, count: size), masked: Array(repeating: 0, count: size))
            for layer in block.origin[1]..<block.origin[1] + block.shape[1] {
                let layerPlace = selection.layerPlace[layer]
                for head in block.origin[2]..<block.origin[2] + block.shape[2] {
                    let headPlace = selection.headPlace[head]
                    defer { offset += classes * keys }
                    guard layerPlace >= 0, headPlace >= 0 else { continue }
                    let base = grid.site(layer: layerPlace, head: headPlace) * keys
                    block.values.withUnsafeBufferPointer { values in
                        for queryClass in 0..<classes {
                            let row = offset + queryClass * keys
                            // Keys not yet visible have received nothing, and may be stored as NaN.
                            part.received.withUnsafeMutableBufferPointer { received in
                                for key in 0..<visible { received[base + key] += Double(values[row + key]) }
                            }
                            guard queryClass == QueryClass.masked.rawValue else { continue }
                            part.masked.withUnsafeMutableBufferPointer { masked in
                                for key in 0..<visible { masked[base + key] += Double(values[row + key]) }
                            }
                        }
                    }
                    part.heads += 1
                }
            }
            pending[step] = part
        }
    }

    /// The next step, once all of it has come.
    mutating func next() -> StepFrame? {
        let grid = selection.grid
        guard let part = pending[nextStep], part.heads == grid.headCount else { return nil }
        pending[nextStep] = nil
        defer { nextStep += 1 }
        let scale = Double(grid.headsPerSite)
        var sums = part.received
        if scale != 1 { for index in sums.indices { sums[index] /= scale } }
        let rows = rows(atStep: nextStep)
        let label = stepLabels[nextStep]
        guard causality == .causal else {
            var masked = part.masked
            if scale != 1 { for index in masked.indices { masked[index] /= scale } }
            return StepFrame(
                step: label, rows: rows, keyCount: keys, siteCount: grid.sites.count, received: sums,
                fromMasked: masked, visibleQueries: Visibility.queries(.bidirectional, rows: rows, keys: keys),
                uniform: Visibility.uniform(.bidirectional, rows: rows, keys: keys))
        }
        for index in running.indices { running[index] += sums[index] }
        let (windowScores, windowUndefined) = windowScores(addingRow: sums, step: nextStep, rows: rows)
        return StepFrame(
            step: label, rows: rows, keyCount: rows, siteCount: grid.sites.count, received: visible(running, rows),
            visibleQueries: Visibility.queries(.causal, rows: rows, keys: rows),
            uniform: Visibility.uniform(.causal, rows: rows, keys: rows), window: windowScores,
            windowUndefined: windowUndefined)
    }

    /// Goes on at a later step. Not in a causal trace, whose sums run on.
    mutating func skip(to step: Int) {
        if causality == .bidirectional { nextStep = step }
    }

    /// Whether steps are left of which only a part has come.
    var isIncomplete: Bool { !pending.isEmpty }

    /// (site, `keys`) cut to the first `count` keys.
    private func visible(_ values: [Double], _ count: Int) -> [Double] {
        guard count < keys else { return values }
        var cut: [Double] = []
        cut.reserveCapacity(selection.grid.sites.count * count)
        for site in 0..<selection.grid.sites.count { cut += values[site * keys..<site * keys + count] }
        return cut
    }

    /// r_j = n x mean over the last W rows of A_ij, for keys j < n - W, where W single rows are known and n >= 2 W.
    private mutating func windowScores(
        addingRow sums: [Double], step: Int, rows: Int
    ) -> (scores: [Double]?, undefined: Undefined?) {
        guard let window else { return (nil, .rowsNotRecorded) }
        // The first step's sum is a single row only when the prompt is one token; others come from its maps.
        if step > 0 || (promptLength == 1 && recent.isEmpty) {
            recent.append(sums)
            if recent.count > window { recent.removeFirst() }
        }
        if rows < 2 * window { return (nil, .tooFewRows) }
        if recent.count < window { return (nil, .rowsNotRecorded) }
        var scores = Array(repeating: Double.nan, count: selection.grid.sites.count * rows)
        let factor = Double(rows) / Double(window)
        for site in 0..<selection.grid.sites.count {
            for key in 0..<rows - window {
                var sum = 0.0
                for row in recent { sum += row[site * keys + key] }
                scores[site * rows + key] = factor * sum
            }
        }
        return (scores, nil)
    }
}
