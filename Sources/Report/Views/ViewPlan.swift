import TraceFormat

/// Which steps, layers and heads of a trace a page shows, and how many positions go into one cell.
///
/// Steps, layers and heads are recorded indices, ascending.
public struct ViewPlan: Sendable, Equatable {
    /// What of the received means is shown.
    public struct Received: Sendable, Equatable {
        /// Steps.
        public var steps: [Int]
        /// Layers.
        public var layers: [Int]
        /// Heads that are shown one by one; none: only the means over heads.
        public var heads: [Int]
        /// Keys of one cell, which is their mean.
        public var keySpan: Int
    }

    /// What of the maps is shown.
    public struct Maps: Sendable, Equatable {
        /// Steps. Of a causal trace, whose rows never change, the last.
        public var steps: [Int]
        /// Layers.
        public var layers: [Int]
        /// Heads that are shown one by one; none: only the means over heads.
        public var heads: [Int]
        /// Queries, and keys, of one cell, which is the mean of its square.
        public var span: Int
    }

    /// Steps of the timeline.
    public var timelineSteps: [Int]
    /// Nil where received sums were not recorded.
    public var received: Received?
    /// Nil where no full attention was recorded.
    public var maps: Maps?

    /// Everything that a trace holds.
    static func everything(of trace: Trace) throws -> ViewPlan {
        let plan = trace.plan
        let steps = Array(0..<trace.committedSteps)
        guard !steps.isEmpty else { return ViewPlan(timelineSteps: []) }
        let isCausal = plan.causality == .causal
        let mapSteps = isCausal ? steps.suffix(1) : (plan.mapSteps?.filter { $0 < steps.count } ?? steps)[...]
        return ViewPlan(
            timelineSteps: steps,
            received: trace.contains(.received)
                ? Received(steps: steps, layers: plan.layers, heads: plan.heads, keySpan: 1) : nil,
            maps: trace.hasMaps() && !mapSteps.isEmpty
                ? Maps(steps: Array(mapSteps), layers: plan.layers, heads: plan.heads, span: 1) : nil)
    }

    /// Cells of one block at most where blocks are made one by one as they are asked for: some megabytes as they are made.
    private static let blockCells = 1 << 20

    /// Everything, but no block of more cells than a browser draws and a server holds.
    static func onRequest(of trace: Trace) throws -> ViewPlan {
        var plan = try everything(of: trace)
        let keys = max(1, trace.plan.keyCount)
        let positions = max(1, trace.plan.positionCount)
        plan.timelineSteps = plan.timelineSteps.thinned(to: blockCells / positions)
        if var received = plan.received {
            received.keySpan = (keys + 8191) / 8192
            received.steps = received.steps.thinned(to: 2 * blockCells / (keys / received.keySpan + 1))
            plan.received = received
        }
        while let maps = plan.maps, (keys / maps.span + 1) * (keys / maps.span + 1) > 2 * blockCells {
            plan.maps?.span += 1
        }
        return plan
    }

    /// How many blocks there are.
    var blockCount: Int {
        let ofReceived = received.map { $0.layers.count * ($0.heads.count + 1) } ?? 0
        let ofMaps = maps.map { $0.steps.count * $0.layers.count * ($0.heads.count + 1) } ?? 0
        return (timelineSteps.isEmpty ? 0 : 1) + ofReceived + ofMaps
    }

    /// Whether a block is one of those that are shown.
    func contains(_ path: BlockPath) -> Bool {
        switch path {
        case .timeline: !timelineSteps.isEmpty
        case .received(let layer, let head):
            received.map { $0.layers.contains(layer) && (head.map($0.heads.contains) ?? true) } ?? false
        case .map(let step, let layer, let head):
            maps.map {
                $0.steps.contains(step) && $0.layers.contains(layer) && (head.map($0.heads.contains) ?? true)
            } ?? false
        }
    }
}

extension [Int] {
    /// At most so many of them, evenly spread: the first and the last always among them; of one, the last.
    func thinned(to limit: Int) -> [Int] {
        guard count > Swift.max(1, limit) else { return self }
        guard limit > 1 else { return suffix(1) }
        return (0..<limit).map { self[($0 * (count - 1) + (limit - 1) / 2) / (limit - 1)] }
    }
}
