/// A maximal run of steps in which one position stays a sink of one site.
public struct Presence: Sendable, Hashable {
    /// The key's position.
    public let position: Int
    /// The steps in which it is a sink, ascending, as places in the pass; more than one run where gaps are allowed.
    public let members: [Int]
    /// Mean score over those steps, in the rule's unit.
    public let meanScore: Double
    /// Largest score over those steps, in the rule's unit.
    public let peakScore: Double

    /// Place in the pass of the first step.
    public var first: Int { members[0] }
    /// Place in the pass of the last step.
    public var last: Int { members[members.count - 1] }
    /// The dwell time: steps from the first to the last, gaps included.
    public var dwell: Int { last - first + 1 }

    /// The presences of one site's sink sets, by first step, then position.
    ///
    /// A presence goes on over gaps of at most `gap` steps in which the position is not a sink, or the set undefined.
    public static func find(in sets: [SinkSet], gap: Int = 0) -> [Presence] {
        var open: [Int: (members: [Int], scores: [Double])] = [:]
        var found: [Presence] = []
        func close(_ position: Int, _ run: (members: [Int], scores: [Double])) {
            found.append(
                Presence(
                    position: position, members: run.members, meanScore: Statistics.mean(of: run.scores),
                    peakScore: run.scores.max() ?? .nan))
        }
        for (step, set) in sets.enumerated() {
            for sink in set.sinks {
                var run = open[sink.position] ?? ([], [])
                if let last = run.members.last, step - last > gap + 1 {
                    close(sink.position, run)
                    run = ([], [])
                }
                run.members.append(step)
                run.scores.append(sink.score)
                open[sink.position] = run
            }
        }
        for (position, run) in open { close(position, run) }
        return found.sorted { ($0.first, $0.position) < ($1.first, $1.position) }
    }
}
