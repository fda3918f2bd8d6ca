import TraceFormat

/// What a trace holds of one layer at one step. Read when asked for, once for all metrics of a pass.
///
/// Lives on one thread, and only as long as the call that it is handed to.
public final class LayerStep {
    /// The trace and the part of it that is looked at.
    public let subject: Subject
    /// The step.
    public let step: Int
    /// The recorded layer.
    public let layer: Int
    /// Place of the layer among those looked at.
    public let layerIndex: Int
    /// Received sums, a site a head; of a causal trace the running sums of all rows so far. Nil unless a metric of the
    /// pass needs them.
    public let received: StepFrame?
    private let views: DatasetViews
    private var cache: [String: [Float]] = [:]

    init(subject: Subject, step: Int, layerIndex: Int, received: StepFrame?, views: DatasetViews) {
        self.subject = subject
        self.step = step
        self.layerIndex = layerIndex
        layer = subject.layers[layerIndex]
        self.received = received
        self.views = views
    }

    /// What a dataset holds of this step and layer, row-major in its remaining axes; nil where it keeps nothing of this
    /// step. Along `head` only the heads that are looked at; other axes are whole, `key` and `query` up to what exists.
    ///
    /// A causal trace keeps per-query rows, norms, maps and vectors once: they come with the last step. Throws what
    /// reading throws.
    public func values(of key: DatasetKey<Float>) throws -> [Float]? {
        try values(of: key, views.floats) { $0 }
    }

    /// The same of a dataset in float16, widened.
    public func values(of key: DatasetKey<Float16>) throws -> [Float]? {
        try values(of: key, views.halves) { Float16Conversion.decode($0) }
    }

    /// The same of a dataset in bytes.
    public func values(of key: DatasetKey<UInt8>) throws -> [Float]? {
        try values(of: key, views.bytes) { $0.map(Float.init) }
    }

    private func values<E>(
        of key: DatasetKey<E>, _ open: [String: DatasetView<E>], _ widened: ([E]) -> [Float]
    ) throws -> [Float]? {
        if let known = cache[key.path] { return known }
        guard let view = open[key.path] else {
            throw AnalysisError.notDeclared(object: key.path)
        }
        guard let box = views.box(of: view.dimensions, step: step, layer: layerIndex) else { return nil }
        var values = widened(try view.read(box))
        // Chosen heads need not lie side by side.
        if let axis = view.dimensions.firstIndex(of: .head), let first = subject.headPlaces.first,
            let last = subject.headPlaces.last, last - first + 1 != subject.headPlaces.count
        {
            let size = view.shape[(axis + 1)...].reduce(1, *)
            values = subject.headPlaces.flatMap { values[($0 - first) * size..<($0 - first + 1) * size] }
        }
        cache[key.path] = values
        return values
    }
}

/// The datasets that a pass reads by step and layer, opened once.
struct DatasetViews: Sendable {
    let subject: Subject
    private(set) var floats: [String: DatasetView<Float>] = [:]
    private(set) var halves: [String: DatasetView<Float16>] = [:]
    private(set) var bytes: [String: DatasetView<UInt8>] = [:]
    /// Steps along `row_step` and `map_step`, by label.
    private let rowPlaces: [Int: Int]

    init(of subject: Subject, inputs: Set<Input>) throws {
        self.subject = subject
        let trace = subject.trace
        let isCausal = subject.causality == .causal
        let kept = isCausal ? [trace.committedSteps - 1] : trace.plan.mapSteps ?? Array(0..<trace.committedSteps)
        rowPlaces = Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($0.element, $0.offset) })
        for case .dataset(let path) in inputs {
            guard let type = Schema.dataset(at: path)?.type else { throw AnalysisError.notDeclared(object: path) }
            switch type {
            case .float16:
                halves[path] = try trace.view(of: DatasetKey<Float16>(path).of(subject.pass))
            case .uint8:
                bytes[path] = try trace.view(of: DatasetKey<UInt8>(path).of(subject.pass))
            case .float32:
                floats[path] = try trace.view(of: DatasetKey<Float>(path).of(subject.pass))
            default:
                throw AnalysisError.notDeclared(object: path)
            }
        }
    }

    /// The place of a step along `row_step` and `map_step`; nil where it keeps none.
    func rowPlace(ofStep step: Int) -> Int? { rowPlaces[step] }

    /// The box of one step and layer; nil where nothing is kept of the step.
    func box(of dimensions: [Dimension], step: Int, layer: Int) -> Selection? {
        var box = Selection()
        for dimension in dimensions {
            switch dimension {
            case .step: box.ranges[.step] = step..<step + 1
            case .rowStep, .mapStep:
                guard let place = rowPlace(ofStep: step) else { return nil }
                box.ranges[dimension] = place..<place + 1
            case .layer: box.ranges[.layer] = subject.layerPlaces[layer]..<subject.layerPlaces[layer] + 1
            case .head:
                if let first = subject.headPlaces.first, let last = subject.headPlaces.last {
                    box.ranges[.head] = first..<last + 1
                }
            default: break
            }
        }
        return box
    }
}
