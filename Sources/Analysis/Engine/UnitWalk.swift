import TraceFormat

/// Reads the units of a pass and hands them to reductions.
struct UnitWalk: Sendable {
    private let subject: Subject
    /// What each metric reads.
    private let readers: [Set<Input>]
    private let views: DatasetViews
    private let received: DatasetView<Float>?
    private let window: Int?
    private let maps: MapReader?
    private let answers: AnswerReader?

    init(of subject: Subject, inputs: Set<Input>, readers: [Set<Input>], byteBudget: Int) throws {
        self.subject = subject
        self.readers = readers
        let windows = Set(
            inputs.compactMap { input in
                if case .window(let rows) = input { rows } else { nil }
            })
        guard windows.count <= 1 else {
            throw AnalysisError.badParameter(
                name: "window", value: windows.sorted().map(String.init).joined(separator: ", "),
                reason: "one pass has windows of one length")
        }
        window = windows.first
        let needsReceived = inputs.contains(.received) || window != nil
        views = try DatasetViews(of: subject, inputs: inputs)
        received =
            needsReceived ? try subject.trace.view(of: DatasetKey<Float>.received.of(subject.pass)) : nil
        maps = inputs.contains(.maps) ? try MapReader(of: subject, byteBudget: byteBudget) : nil
        answers = inputs.contains(.answers) ? try AnswerReader(of: subject) : nil
    }

    func absorb(_ unit: TracePass.Unit, _ buffers: ThreadBuffers, into parts: inout [any Reduction]) throws {
        switch unit.kind {
        case .steps(let layer, let run): try absorb(layer: layer, run, buffers, into: &parts)
        case .answers(let layer):
            try answers?.forEachRow(layer: layer) { row in
                for place in parts.indices where readers[place].contains(.answers) { try parts[place].absorb(row) }
            }
        case .depth(let depth):
            // A causal trace keeps its rows once, as of its last step.
            let steps = subject.causality == .causal ? [subject.trace.committedSteps - 1] : subject.steps
            for step in steps {
                guard let row = views.rowPlace(ofStep: step) else { continue }
                let depthStep = try depthStep(depth, step: step, row: row)
                for place in parts.indices where readers[place].contains(.residual) {
                    try parts[place].absorb(depthStep)
                }
            }
        }
    }

    private func absorb(
        layer: Int, _ run: Range<Int>, _ buffers: ThreadBuffers, into parts: inout [any Reduction]
    ) throws {
        guard !run.isEmpty else { return }
        let isCausal = subject.causality == .causal
        // Running sums start at the beginning, also of a selection.
        let first = isCausal ? 0 : subject.steps[run.lowerBound]
        var accumulator = try received.map { try ReceivedAccumulator(subject, layer: layer, view: $0, window, first) }
        var wanted = run.lowerBound
        for step in first...subject.steps[run.upperBound - 1] {
            let isWanted = subject.steps[wanted] == step
            guard isWanted || isCausal else { continue }
            let frame = try accumulator?.frame(step: step, views, received, layer: layer)
            guard isWanted else { continue }
            wanted += 1
            try absorb(layer: layer, step: step, received: frame, buffers, into: &parts)
        }
        // A causal trace keeps maps and rows once, as of its last step; of a selection of steps, whose rows are of it.
        let last = subject.trace.committedSteps - 1
        if isCausal, subject.steps.last != last {
            try absorb(layer: layer, step: last, received: nil, buffers, into: &parts)
        }
    }

    private func absorb(
        layer: Int, step: Int, received: StepFrame?, _ buffers: ThreadBuffers, into parts: inout [any Reduction]
    ) throws {
        let layerStep = LayerStep(subject: subject, step: step, layerIndex: layer, received: received, views: views)
        if let maps, let place = views.rowPlace(ofStep: step) {
            try maps.forEachTile(of: layerStep, place: place, buffers) { tile in
                for place in parts.indices where readers[place].contains(.maps) { try parts[place].absorb(tile) }
            }
        }
        for place in parts.indices { try parts[place].absorb(layerStep) }
    }

    private func depthStep(_ depth: Int, step: Int, row: Int) throws -> DepthStep {
        let trace = subject.trace
        let box: Selection = [.rowStep: row..<row + 1, .depth: depth..<depth + 1]
        let chosen = Set(subject.steps)
        /// What stands at positions that no step looked at has computed becomes `none`.
        func values<E: TraceElement>(_ key: DatasetKey<E>, _ none: E) throws -> [E] {
            let values = try trace.read(key.of(subject.pass), box).values
            guard subject.causality == .causal else { return values }
            return values.enumerated().map { position, value in
                chosen.contains(subject.step(ofCausalRow: position)) ? value : none
            }
        }
        return DepthStep(
            step: step, depth: depth, norm: try values(.hiddenNorm, .nan), largest: try values(.hiddenMax, .nan),
            channel: try values(.hiddenMaxChannel, -1), median: try values(.hiddenMedian, .nan))
    }
}

extension ReceivedAccumulator {
    /// Of one layer of a pass, from step `first` on.
    fileprivate init(
        _ subject: Subject, layer: Int, view: DatasetView<Float>, _ window: Int?, _ first: Int
    ) throws {
        let selection = subject.selection(ofLayer: layer)
        var promptRows: [[Double]] = []
        if let window, subject.pass == .conditional {
            promptRows = try ReceivedStream.lastPromptRows(
                window, of: subject.trace, selection: selection, keys: view.shape[4])
        }
        self.init(
            causality: subject.causality, promptLength: subject.promptLength, keys: view.shape[4],
            classes: view.shape[3], selection: selection, stepLabels: Array(0..<subject.trace.committedSteps),
            window: window, promptRows: promptRows, firstStep: first)
    }

    /// Reads one step; steps must follow each other in a causal trace.
    fileprivate mutating func frame(
        step: Int, _ views: DatasetViews, _ view: DatasetView<Float>?, layer: Int
    ) throws -> StepFrame? {
        guard let view, let box = views.box(of: view.dimensions, step: step, layer: layer) else { return nil }
        let origin = view.dimensions.map { box.ranges[$0]?.lowerBound ?? 0 }
        let shape = zip(view.dimensions, view.shape).map { box.ranges[$0]?.count ?? $1 }
        skip(to: step)
        try absorb(TraceArray(origin: origin, shape: shape, values: view.read(box)))
        return next()
    }
}
