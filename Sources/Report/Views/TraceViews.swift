import Analysis
import Synchronization
import TraceFormat

/// What a page shows of one trace, read when asked for.
///
/// Holds the open file, and what was asked for once: the verdict and the analysis. Every call may come from any thread;
/// a block takes some megabytes while it is made.
public final class TraceViews: Sendable {
    /// The trace.
    public let trace: Trace
    /// What it is called on the page.
    public let name: String
    /// What the views were told.
    public let options: ReportOptions
    /// What of the trace is shown.
    public let plan: ViewPlan
    /// What was left out on the way, a sentence each.
    let reductions: [String]
    private let shared: Shared

    /// What is made once for all views of the same file, whatever they leave out.
    private final class Shared: Sendable {
        let report = Mutex<VerificationReport?>(nil)
        let analysis = Mutex<JSONValue?>(nil)
    }

    /// Opens a trace for looking at; reads its attributes and coordinates.
    ///
    /// All of it can be asked for, except that blocks larger than a browser can draw are averaged.
    ///
    /// Throws ``TraceError`` and ``HDF5Error``.
    public convenience init(path: String, name: String? = nil, options: ReportOptions = ReportOptions()) throws {
        let trace = try Trace(path: path)
        let plan = try ViewPlan.onRequest(of: trace)
        try self.init(
            trace: trace, name: name ?? TraceNames.last(of: path), options: options, plan: plan,
            reductions: Reductions.sentences(of: plan, in: trace), shared: Shared())
    }

    private init(
        trace: Trace, name: String, options: ReportOptions, plan: ViewPlan, reductions: [String], shared: Shared
    ) {
        self.trace = trace
        self.name = name
        self.options = options
        self.plan = plan
        self.reductions = reductions
        self.shared = shared
    }

    /// The same trace with less of it shown.
    func reduced(to plan: ViewPlan) throws -> TraceViews {
        try TraceViews(
            trace: trace, name: name, options: options, plan: plan,
            reductions: Reductions.sentences(of: plan, in: trace), shared: shared)
    }

    /// How the trace is judged; nil where it is not to be. Judged when first asked for.
    ///
    /// Throws what the system refuses.
    public func verification() throws -> VerificationReport? {
        guard options.verification != .none else { return nil }
        return try shared.report.withLock { known in
            if let known { return known }
            let report = try TraceVerifier(path: trace.path).run(deep: options.verification == .deep)
            known = report
            return report
        }
    }

    /// The trace's part of `page()`: all that is known without reading attention.
    ///
    /// Throws what reading throws.
    public func page() throws -> JSONValue { try TracePage(of: self).json() }

    /// `analysis(trace)`: the metrics, trajectories and tables. Made when first asked for, in one pass over the trace, which
    /// is kept; who asks meanwhile waits.
    ///
    /// Throws what analysing throws.
    public func analysis() throws -> JSONValue {
        try shared.analysis.withLock { known in
            if let known { return known }
            let made = try TraceAnalysisView(of: self).json()
            known = made
            return made
        }
    }

    /// A block of numbers, as they are: in single precision.
    ///
    /// Throws ``ReportError/noSuchBlock(trace:block:)`` for one that ``plan`` has not, and what reading throws.
    public func block(_ path: BlockPath) throws -> Block { try block(path, isExact: true) }

    /// A block of numbers, as they are or as codes of 8 bits.
    func block(_ path: BlockPath, isExact: Bool) throws -> Block {
        guard plan.contains(path) else { throw ReportError.noSuchBlock(trace: name, block: path.description) }
        switch path {
        case .timeline:
            return try TimelineView(trace: trace, steps: plan.timelineSteps, isExact: isExact).block()
        case .received(let layer, let head):
            guard let received = plan.received else { break }
            let view = ReceivedView(
                trace: trace, rule: options.analysis.options.rule, plan: received, isExact: isExact)
            return try head.map { try view.blocks(ofLayer: layer, heads: [$0])[0] } ?? view.mean(ofLayer: layer)
        case .map(let step, let layer, let head):
            guard let maps = plan.maps else { break }
            var made: Block?
            try MapView(trace: trace, span: maps.span, isExact: isExact).forEachBlock(
                step: step, layer: layer, heads: head.map { [$0] } ?? [], withMean: head == nil
            ) { made = $1 }
            if let made { return made }
        }
        throw ReportError.noSuchBlock(trace: name, block: path.description)
    }

    /// A part of the blocks that a page shows, which are read together.
    enum Part: Sendable {
        /// The timeline.
        case timeline
        /// Received means of a layer and its heads.
        case received(layer: Int)
        /// Maps of a layer at a step.
        case maps(step: Int, layer: Int)
    }

    /// The parts of all that the page shows, in the order in which they are written.
    var parts: [Part] {
        (plan.contains(.timeline) ? [.timeline] : [])
            + (plan.received?.layers.map { .received(layer: $0) } ?? [])
            + (plan.maps.map { maps in
                maps.steps.flatMap { step in maps.layers.map { .maps(step: step, layer: $0) } }
            } ?? [])
    }

    /// The blocks of a part, one after another, as codes: a page is to stay small.
    ///
    /// Throws what reading, and the closure, throws.
    func forEachBlock(of part: Part, _ body: (BlockPath, Block) throws -> Void) throws {
        switch part {
        case .timeline:
            try body(.timeline, block(.timeline, isExact: false))
        case .received(let layer):
            let mean = BlockPath.received(layer: layer, head: nil)
            try body(mean, block(mean, isExact: false))
            guard let received = plan.received, !received.heads.isEmpty else { return }
            let view = ReceivedView(trace: trace, rule: options.analysis.options.rule, plan: received)
            for (head, block) in zip(received.heads, try view.blocks(ofLayer: layer, heads: received.heads)) {
                try body(.received(layer: layer, head: head), block)
            }
        case .maps(let step, let layer):
            guard let maps = plan.maps else { return }
            try MapView(trace: trace, span: maps.span).forEachBlock(
                step: step, layer: layer, heads: maps.heads, withMean: true
            ) { head, block in try body(.map(step: step, layer: layer, head: head), block) }
        }
    }
}
