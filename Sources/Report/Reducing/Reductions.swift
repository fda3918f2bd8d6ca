import TraceFormat

/// What a plan leaves out of a trace, in sentences for the reader of the page.
enum Reductions {
    /// A sentence for each thing that is left out, and for each that the trace lacks; none where all is shown.
    static func sentences(of plan: ViewPlan, in trace: Trace) throws -> [String] {
        guard trace.committedSteps > 0 else {
            return ["No step of the run is whole yet: there is nothing to show but what was planned."]
        }
        let all = try ViewPlan.everything(of: trace)
        var sentences: [String] = []
        if !trace.isComplete {
            sentences.append(
                "The run was cut short or goes on: \(trace.committedSteps) of \(trace.planned.stepCount) steps are shown."
            )
        }
        if plan.timelineSteps != all.timelineSteps {
            sentences.append(
                "The text is shown at \(plan.timelineSteps.count) of \(all.timelineSteps.count) steps, evenly spread.")
        }
        sentences += received(plan.received, all.received)
        sentences += maps(plan.maps, all.maps, trace)
        return sentences
    }

    private static func received(_ shown: ViewPlan.Received?, _ all: ViewPlan.Received?) -> [String] {
        guard let all else {
            return ["Received sums were not recorded: no drift, sinks or trajectories are shown."]
        }
        guard let shown else { return ["Received sums are left out."] }
        var parts: [String] = []
        if shown.steps != all.steps { parts.append("at \(shown.steps.count) of \(all.steps.count) steps") }
        if shown.heads != all.heads { parts.append("as means over the \(all.heads.count) heads of a layer") }
        if shown.keySpan > 1 { parts.append("in cells of \(shown.keySpan) positions, a mean over them") }
        return parts.isEmpty ? [] : ["Received attention is shown \(parts.joined(separator: ", "))."]
    }

    private static func maps(_ shown: ViewPlan.Maps?, _ all: ViewPlan.Maps?, _ trace: Trace) -> [String] {
        guard let all else { return ["Full attention was not recorded: no maps are shown."] }
        guard let shown else { return ["Maps are left out."] }
        var parts: [String] = []
        var sentences: [String] = []
        if trace.plan.causality == .causal {
            sentences.append(
                "Rows of a causal model never change: its map after the last step shows those of every step.")
        } else if let kept = trace.plan.mapSteps, kept.count < trace.planned.stepCount {
            sentences.append("The trace keeps maps at \(all.steps.count) of \(trace.committedSteps) steps.")
        }
        if shown.steps != all.steps { parts.append("at \(shown.steps.count) of \(all.steps.count) steps") }
        if shown.heads != all.heads { parts.append("as means over the \(all.heads.count) heads of a layer") }
        if shown.span > 1 {
            parts.append("in cells of \(shown.span) x \(shown.span) positions, a mean over them")
        }
        if !parts.isEmpty { sentences.append("Maps are shown \(parts.joined(separator: ", ")).") }
        return sentences
    }
}
