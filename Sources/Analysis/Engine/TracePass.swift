import Dispatch
import Foundation
import Synchronization
import TraceFormat

/// One pass over a trace, in which any number of metrics are gathered side by side.
///
///     let pass = try TracePass(over: trace, Extent(layers: [0, 1]))
///     let (mass, rows) = try pass.run(FirstTokens(), RowStatistics())
///
/// The work is cut into units, by layer and run of steps, from the shape of the trace alone; several threads take units,
/// and what they gathered is merged in the units' order. So a result has the same bits with any number of threads. Every
/// chunk is decoded once, and only what some metric reads.
public struct TracePass: Sendable {
    /// The trace and the part of it that is looked at.
    public let subject: Subject
    /// Threads that read and gather.
    public let threads: Int
    /// Bytes that the threads together may hold of the trace at a time; what metrics gather comes on top.
    public let byteBudget: Int

    /// The budget unless another is given.
    public static let defaultBudget = 128 << 20

    /// Opens a pass; reads no attention.
    ///
    /// Throws ``AnalysisError`` for labels that were not recorded, and what reading throws.
    public init(
        over trace: Trace, _ extent: Extent = .all, pass: Pass = .conditional, threads: Int? = nil,
        byteBudget: Int = TracePass.defaultBudget
    ) throws {
        subject = try Subject(trace, extent, pass: pass)
        self.threads = max(1, threads ?? ProcessInfo.processInfo.activeProcessorCount)
        self.byteBudget = byteBudget
    }

    /// Gathers metrics, and gives their outcomes.
    ///
    /// Throws ``AnalysisError/inputsNotRecorded(path:metric:inputs:)``, and what the metrics and reading throw.
    public func run<each M: Metric>(_ metrics: repeat each M) throws -> (repeat (each M).Gathering.Outcome) {
        var list: [any Metric] = []
        repeat list.append(each metrics)
        let gathered = try gather(list)
        var place = 0
        func outcome<One: Metric>(_ metric: One) throws -> One.Gathering.Outcome {
            defer { place += 1 }
            return try metric.outcome(gathered[place])
        }
        return (repeat try outcome(each metrics))
    }

    /// Gathers metrics, and gives their results as labelled quantities and tables, in their order.
    ///
    /// Throws as ``run(_:)``.
    public func results(of metrics: [any Metric]) throws -> [MetricResult] {
        try zip(metrics, gather(metrics)).map { try $0.erasedResult($1, on: subject) }
    }

    /// What a metric needs and the trace lacks.
    public func missingInputs(of metric: any Metric) -> [Input] {
        metric.inputs(of: subject).filter { !$0.isRecorded(in: subject.trace, pass: subject.pass) }
            .sorted { $0.description < $1.description }
    }

    // MARK: The walk

    private func gather(_ metrics: [any Metric]) throws -> [any Reduction] {
        let work = try Work(metrics, in: self)
        let progress = Mutex(Progress(of: work))
        let next = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: min(threads, work.units.count)) { _ in
            let buffers = ThreadBuffers()
            while !progress.withLock({ $0.hasFailed }) {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < work.units.count else { return }
                let result = Result { () throws -> [any Reduction] in
                    var parts = try work.gather(work.units[index], buffers)
                    if work.units[index].isWhole { try parts.settle() }
                    return parts
                }
                progress.withLock { $0.take(result, of: index) }
            }
        }
        return try progress.withLock { try $0.outcome() }
    }

    /// What was gathered so far. Units are merged in their order: those that are done early wait.
    private struct Progress {
        private let units: [Unit]
        private var gathered: [any Reduction]
        private var open: [any Reduction] = []
        private var waiting: [Int: Result<[any Reduction], any Error>] = [:]
        private var merged = 0
        private var failure: (any Error)?
        /// Whether a unit failed: no further ones are begun. Those before it were, so that the first failure wins.
        private(set) var hasFailed = false

        init(of work: Work) {
            units = work.units
            gathered = work.empty
        }

        mutating func take(_ result: Result<[any Reduction], any Error>, of index: Int) {
            if case .failure = result { hasFailed = true }
            waiting[index] = result
            while failure == nil, let result = waiting.removeValue(forKey: merged) {
                do {
                    try merge(result.get(), of: units[merged])
                } catch {
                    failure = error
                    hasFailed = true
                }
                merged += 1
            }
        }

        private mutating func merge(_ parts: [any Reduction], of unit: Unit) throws {
            if unit.isWhole { return try gathered.merge(parts) }
            if unit.isFirst { open = parts } else { try open.merge(parts) }
            guard unit.isLast else { return }
            try open.settle()
            try gathered.merge(open)
            open = []
        }

        func outcome() throws -> [any Reduction] {
            if let failure { throw failure }
            return gathered
        }
    }

    /// Metrics, what they read, and the units of the work, cut as a pass cuts them.
    struct Work: Sendable {
        let empty: [any Reduction]
        let units: [Unit]
        private let walk: UnitWalk

        /// `parallelism`: how many units there should be at least; layers are cut into runs of steps where they are fewer.
        init(_ metrics: [any Metric], in pass: TracePass, parallelism: Int = Unit.parallelism) throws {
            let subject = pass.subject
            for metric in metrics {
                let missing = pass.missingInputs(of: metric)
                guard missing.isEmpty else {
                    throw AnalysisError.inputsNotRecorded(
                        path: subject.trace.path, metric: type(of: metric).name, inputs: missing.map(\.description))
                }
            }
            let readers = metrics.map { $0.inputs(of: subject) }
            let inputs = readers.reduce(into: Set<Input>()) { $0.formUnion($1) }
            empty = try metrics.map { try $0.start(on: subject) as any Reduction }
            walk = try UnitWalk(
                of: subject, inputs: inputs, readers: readers, byteBudget: pass.byteBudget / pass.threads)
            units = Unit.all(of: subject, inputs: inputs, parallelism: parallelism)
        }

        func gather(_ unit: Unit, _ buffers: ThreadBuffers = ThreadBuffers()) throws -> [any Reduction] {
            var parts = empty
            try walk.absorb(unit, buffers, into: &parts)
            return parts
        }
    }

    /// A piece of the work.
    struct Unit: Sendable {
        enum Kind: Sendable {
            /// Steps of a layer, as places among those looked at.
            case steps(layer: Int, Range<Int>)
            /// The answer rows of a layer.
            case answers(layer: Int)
            /// All steps of a depth.
            case depth(Int)
        }

        let kind: Kind
        /// Whether it is the first, and the last, of the units of its layer.
        var isFirst = true
        var isLast = true
        /// Whether nothing else belongs to its layer.
        var isWhole: Bool { isFirst && isLast }

        /// Fewer layers than this have their steps cut into runs.
        static let parallelism = 8

        static func all(of subject: Subject, inputs: Set<Input>, parallelism: Int) -> [Unit] {
            var units: [Unit] = []
            let readsSteps = inputs.contains { $0.isOfSteps }
            let steps = subject.steps.count
            // A causal trace's running sums need every step before.
            let runs =
                subject.causality == .causal
                ? 1 : max(1, min(steps, (parallelism + subject.layers.count - 1) / max(1, subject.layers.count)))
            for layer in subject.layers.indices {
                var ofLayer: [Unit] = []
                if readsSteps {
                    for run in 0..<runs {
                        ofLayer.append(
                            Unit(kind: .steps(layer: layer, run * steps / runs..<(run + 1) * steps / runs)))
                    }
                }
                if inputs.contains(.answers) { ofLayer.append(Unit(kind: .answers(layer: layer))) }
                for place in ofLayer.indices {
                    ofLayer[place].isFirst = place == 0
                    ofLayer[place].isLast = place == ofLayer.count - 1
                }
                units += ofLayer
            }
            if inputs.contains(.residual) {
                units += (0...subject.trace.plan.layerCount).map { Unit(kind: .depth($0)) }
            }
            return units
        }
    }
}

extension [any Reduction] {
    /// Merges reductions one by one with others of the same kinds.
    mutating func merge(_ others: [any Reduction]) throws {
        for place in indices { try self[place].merge(erased: others[place]) }
    }

    /// Settles each.
    mutating func settle() throws {
        for place in indices { try self[place].settle() }
    }
}
