/// A maximal run of steps in which one position stays a sink of one site.
public struct Presence: Sendable, Hashable {
    /// The key's position.
    public let position: Int
    /// The steps in which it is a sink, ascending; more than one run where gaps are allowed.
    public let members: [Int]
    /// Mean score over those steps, in the rule's unit.
    public let meanScore: Double
    /// Largest score over those steps, in the rule's unit.
    public let peakScore: Double

    /// The first step.
    public var first: Int { members[0] }
    /// The last step.
    public var last: Int { members[members.count - 1] }
    /// The dwell time: steps from the first to the last, gaps included.
    public var dwell: Int { last - first + 1 }

    /// The presences of one site's sink sets, by first step, then position.
    ///
    /// `steps` are the sets' steps; nil for 0, 1, ... A presence goes on over gaps of at most `gap` steps in which the
    /// position is not a sink, the set is undefined, or the step is not looked at.
    public static func find(in sets: [SinkSet], at steps: [Int]? = nil, gap: Int = 0) -> [Presence] {
        struct Run {
            let position: Int
            var members: [Int]
            var sum: Double
            var peak: Double
        }
        var runs: [Run] = []
        // The run that a position is in, by position.
        var current: [Int] = []
        for (step, set) in zip(steps ?? Array(sets.indices), sets) {
            for sink in set.sinks {
                let position = sink.position
                if position >= current.count {
                    current += Array(repeating: -1, count: position + 1 - current.count)
                }
                let run = current[position]
                if run >= 0, step - (runs[run].members.last ?? step) <= gap + 1 {
                    runs[run].members.append(step)
                    runs[run].sum += sink.score
                    runs[run].peak = max(runs[run].peak, sink.score)
                } else {
                    current[position] = runs.count
                    runs.append(Run(position: position, members: [step], sum: sink.score, peak: sink.score))
                }
            }
        }
        // Runs were opened by step, then position.
        return runs.map { run in
            Presence(
                position: run.position, members: run.members, meanScore: run.sum / Double(run.members.count),
                peakScore: run.peak)
        }
    }
}
