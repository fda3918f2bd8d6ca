import Foundation
import TraceFormat

/// Settles what of each trace goes into a page, so that the page stays within a size.
///
/// Sizes are measured on samples of the trace's own blocks, compressed as they will be: the same traces give the same plan.
/// First the timeline and the received means take what they need, then the maps get the rest. Steps are thinned, then
/// positions averaged, then heads left out for their means, in the order that leaves most to walk through.
struct ReportPlanner: ~Copyable {
    private let encoder = BlockEncoder()

    /// The share of a trace's bytes that received means may take where there are maps as well.
    private static let receivedShare = 0.35
    private static let timelineShare = 0.1
    /// Steps that maps of single heads are wanted at, and cells across such a map, before heads give way to their means.
    private static let leastHeadSteps = 12
    private static let leastHeadCells = 96
    /// Steps that mean maps are wanted at before their positions are averaged.
    private static let leastMeanSteps = 24
    /// Steps of received means that are kept before anything else goes.
    private static let leastReceivedSteps = 128

    /// What of each trace is shown within so many bytes of blocks.
    ///
    /// The smallest trace chooses first, from an equal share; what it leaves is the others'. Throws what reading throws.
    borrowing func plans(of traces: [TraceViews], within bytes: Double) throws -> [ViewPlan] {
        var plans = try traces.map { try ViewPlan.everything(of: $0.trace) }
        let sizes = zip(traces, plans).map { Self.roughSize(of: $1, in: $0.trace) }
        var left = bytes
        let order = traces.indices.sorted { (sizes[$0], $0) < (sizes[$1], $1) }
        for (served, index) in order.enumerated() {
            let (plan, size) = try plan(
                of: traces[index], plans[index], within: left / Double(traces.count - served))
            plans[index] = plan
            left -= size
        }
        return plans
    }

    private static func roughSize(of plan: ViewPlan, in trace: Trace) -> Double {
        let keys = Double(trace.plan.keyCount)
        func product(_ counts: Int...) -> Double { counts.reduce(1) { $0 * Double($1) } }
        var cells = product(plan.timelineSteps.count, trace.plan.positionCount)
        if let received = plan.received {
            cells += product(received.steps.count, received.layers.count, received.heads.count + 1) * keys
        }
        if let maps = plan.maps {
            cells +=
                product(maps.steps.count, maps.layers.count, maps.heads.count + 1, trace.plan.queryCount) * keys
        }
        return cells
    }

    /// The plan of a trace, and about the bytes that it takes.
    private borrowing func plan(
        of views: TraceViews, _ everything: ViewPlan, within bytes: Double
    ) throws -> (ViewPlan, Double) {
        var plan = everything
        guard !plan.timelineSteps.isEmpty else { return (plan, 0) }
        var left = bytes
        let timeline = Double(
            encoder.size(of: try views.reduced(to: plan).block(.timeline, isExact: false)) + Self.elementBytes)
        let share = bytes * Self.timelineShare
        if timeline > share {
            plan.timelineSteps = plan.timelineSteps.thinned(
                to: Int(Double(plan.timelineSteps.count) * share / timeline))
        }
        left -= min(timeline, share)
        if let received = plan.received {
            let room = plan.maps == nil ? left : bytes * Self.receivedShare
            let (chosen, size) = try self.received(received, views, within: room)
            plan.received = chosen
            left -= size
        }
        if let maps = plan.maps {
            let (chosen, size) = try self.maps(maps, views, within: max(0, left))
            plan.maps = chosen
            left -= size
        }
        return (plan, bytes - left)
    }

    // MARK: Received means

    private borrowing func received(
        _ all: ViewPlan.Received, _ views: TraceViews, within room: Double
    ) throws -> (ViewPlan.Received, Double) {
        let limits = [all.steps.count, 2 * Self.leastReceivedSteps, Self.leastReceivedSteps]
        var candidates: [ViewPlan.Received] = []
        for heads in [all.heads, []] {
            for limit in limits where limit == all.steps.count || limit < all.steps.count {
                var candidate = all
                candidate.heads = heads
                candidate.steps = all.steps.thinned(to: limit)
                candidates.append(candidate)
            }
        }
        // A layer by itself and its heads, at every step: what is thinned takes less in proportion.
        let (mean, heads) = try sampledReceived(all, views)
        func size(_ candidate: ViewPlan.Received) -> Double {
            let share = Double(candidate.steps.count) / Double(all.steps.count) / Double(candidate.keySpan)
            return Double(all.layers.count) * share * (mean + (candidate.heads.isEmpty ? 0 : heads))
        }
        if let fitting = candidates.first(where: { size($0) <= room }) { return (fitting, size(fitting)) }
        var last = candidates[candidates.count - 1]
        while size(last) > room, last.keySpan < views.trace.plan.keyCount { last.keySpan += 1 }
        if size(last) > room {
            last.steps = all.steps.thinned(to: Int(Double(last.steps.count) * room / size(last)))
        }
        return (last, size(last))
    }

    /// Bytes that a layer takes, on average: as the mean over its heads, and its heads.
    private borrowing func sampledReceived(
        _ all: ViewPlan.Received, _ views: TraceViews
    ) throws -> (mean: Double, heads: Double) {
        // A thinned sample of a long run says the same in less time.
        var sampled = all
        sampled.steps = all.steps.thinned(to: 64)
        let factor = Double(all.steps.count) / Double(sampled.steps.count)
        let view = ReceivedView(
            trace: views.trace, rule: views.options.analysis.options.rule, plan: sampled)
        let layers = all.layers.middles(of: 3)
        let some = all.heads.middles(of: 4)
        var (mean, heads) = (0.0, 0.0)
        for layer in layers {
            mean += Double(encoder.size(of: try view.mean(ofLayer: layer)) + Self.elementBytes)
            for block in try view.blocks(ofLayer: layer, heads: some) {
                heads += Double(encoder.size(of: block) + Self.elementBytes)
            }
        }
        let count = Double(layers.count)
        return (factor * mean / count, factor * heads / count * Double(all.heads.count) / Double(some.count))
    }

    // MARK: Maps

    private borrowing func maps(
        _ all: ViewPlan.Maps, _ views: TraceViews, within room: Double
    ) throws -> (ViewPlan.Maps?, Double) {
        let keys = max(1, views.trace.plan.keyCount)
        var chosen = all
        var sizeOfStep = 0.0
        /// Sets the smallest span, from `first` on, at which so many steps fit, and as many steps as fit then.
        func fit(steps least: Int, first: Int, last: Int) throws -> Bool {
            let least = min(least, all.steps.count)
            chosen.span = first
            while chosen.span <= last {
                let size = try sampledStep(chosen, views)
                sizeOfStep = size
                if size * Double(least) <= room {
                    chosen.steps = all.steps.thinned(to: Int(room / size))
                    return true
                }
                // Cells grow fewer by the square of the span, and a little less well compressed.
                let factor = (size * Double(least) / max(1, room)).squareRoot()
                let next = Double(chosen.span) * min(factor, Double(keys))
                chosen.span = max(chosen.span + 1, Int(next * 0.9))
            }
            return false
        }
        func outcome() -> (ViewPlan.Maps?, Double) { (chosen, sizeOfStep * Double(chosen.steps.count)) }
        if try fit(steps: Self.leastHeadSteps, first: 1, last: max(1, keys / Self.leastHeadCells)) {
            return outcome()
        }
        chosen.heads = []
        if try fit(steps: Self.leastMeanSteps, first: 1, last: keys) { return outcome() }
        // Not even single cells: fewer steps, or none.
        return try fit(steps: 1, first: keys, last: keys) ? outcome() : (nil, 0)
    }

    /// Bytes that a step's maps take, on average.
    private borrowing func sampledStep(_ plan: ViewPlan.Maps, _ views: TraceViews) throws -> Double {
        let view = MapView(trace: views.trace, span: plan.span)
        let steps = plan.steps.middles(of: 4)
        let layers = plan.layers.middles(of: 3)
        let heads = plan.heads.middles(of: 3)
        // A mean takes about what a head takes: reading all heads for a sample would cost more than it tells.
        let scale = heads.isEmpty ? 1 : Double(plan.heads.count + 1) / Double(heads.count)
        var size = 0.0
        for step in steps {
            for layer in layers {
                try view.forEachBlock(step: step, layer: layer, heads: heads, withMean: heads.isEmpty) { _, block in
                    size += scale * Double(encoder.size(of: block) + Self.elementBytes)
                }
            }
        }
        return size / Double(steps.count * layers.count) * Double(plan.layers.count)
    }

    /// Bytes of an element around a block.
    private static let elementBytes = 64
}

extension [Int] {
    /// The middle of each of some parts of equal length: a sample of the whole. All of them where they are not more.
    fileprivate func middles(of parts: Int) -> [Int] {
        guard count > parts else { return self }
        return (0..<parts).map { self[(2 * $0 + 1) * count / (2 * parts)] }
    }
}
