import TraceFormat

/// Received sums added over layers and averaged over heads, by step and key: what is judged over all layers at once.
struct OverallSums: Sendable {
    private struct Step: Sendable {
        var layers = 0
        var rows = 0
        var keys = 0
        var received: [Double] = []
        var masked: [Double]?
        var window: [Double]?
        var windowUndefined: Undefined?
    }

    private let causality: Causality
    private let labels: [Int]
    private var steps: [Step]

    init(on subject: Subject) {
        causality = subject.causality
        labels = subject.steps
        steps = Array(repeating: Step(), count: labels.count)
    }

    /// Adds one layer of the step at a place among those looked at.
    mutating func add(_ frame: StepFrame, at place: Int) {
        let mean = frame.averagingSites()
        add(
            Step(
                layers: 1, rows: mean.rows, keys: mean.keyCount, received: mean.received, masked: mean.fromMasked,
                window: mean.window, windowUndefined: mean.windowUndefined), at: place)
    }

    private mutating func add(_ step: Step, at place: Int) {
        guard steps[place].layers > 0 else { return steps[place] = step }
        steps[place].layers += step.layers
        for key in step.received.indices { steps[place].received[key] += step.received[key] }
        if let masked = step.masked { for key in masked.indices { steps[place].masked?[key] += masked[key] } }
        if let window = step.window { for key in window.indices { steps[place].window?[key] += window[key] } }
    }

    /// Adds other layers, or other steps.
    mutating func merge(_ other: OverallSums) {
        for place in steps.indices where other.steps[place].layers > 0 { add(other.steps[place], at: place) }
    }

    /// A frame of one site for each step that has come: the mean over layers and heads.
    func frames() -> [StepFrame] {
        zip(labels, steps).compactMap { label, step in
            guard step.layers > 0 else { return nil }
            let scale = Double(step.layers)
            return StepFrame(
                step: label, rows: step.rows, keyCount: step.keys, siteCount: 1,
                received: step.received.map { $0 / scale }, fromMasked: step.masked?.map { $0 / scale },
                visibleQueries: Visibility.queries(causality, rows: step.rows, keys: step.keys),
                uniform: Visibility.uniform(causality, rows: step.rows, keys: step.keys),
                window: step.window?.map { $0 / scale }, windowUndefined: step.windowUndefined)
        }
    }
}
