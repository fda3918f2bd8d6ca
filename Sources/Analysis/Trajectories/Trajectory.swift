/// A link between two presences: the sink moved.
public struct Hop: Sendable, Hashable {
    /// The last step at the old position.
    public let fromStep: Int
    /// The first step at the new position.
    public let toStep: Int
    /// The old position.
    public let from: Int
    /// The new position.
    public let to: Int
    /// The signed distance, in positions: positive to the right.
    public var distance: Int { to - from }
}

/// Presences of one site linked over time.
public struct Trajectory: Sendable, Hashable {
    /// Its presences, as indices into the site's, in time.
    public let presences: [Int]
    /// The hops between them.
    public let hops: [Hop]
    /// Its first step.
    public let first: Int
    /// Its last step.
    public let last: Int
    /// The position at its first step.
    public let start: Int
    /// The position at its last step.
    public let end: Int
    /// Least-squares slope of position over the steps in which it is a sink, in positions a step; NaN for one step.
    public let drift: Double
    /// Positions that it visits.
    public let distinctPositions: Int

    /// Steps from the first to the last.
    public var lifetime: Int { last - first + 1 }
    /// Hops over the steps in which it could have hopped; NaN for a lifetime of one step.
    public var hopsPerStep: Double { lifetime > 1 ? Double(hops.count) / Double(lifetime - 1) : .nan }
    /// Last position less first, in positions.
    public var netDisplacement: Int { end - start }
    /// Sum of the unsigned hop distances, in positions.
    public var pathLength: Int { hops.reduce(0) { $0 + abs($1.distance) } }

    /// The trajectories of one site's presences, by first step, then position.
    ///
    /// `placed` gives each presence's position; without it, its own.
    static func link(_ presences: [Presence], placed: [Int]? = nil, options: LinkingOptions) -> [Trajectory] {
        let placed = placed ?? presences.map(\.position)
        let followers = Linking.followers(of: presences, placed: placed, options: options)
        var isFollower = Array(repeating: false, count: presences.count)
        for follower in followers.compactMap({ $0 }) { isFollower[follower] = true }
        return presences.indices.filter { !isFollower[$0] }.map { head in
            // Most never move: their slope is 0.
            guard followers[head] != nil else {
                let (presence, place) = (presences[head], placed[head])
                return Trajectory(
                    presences: [head], hops: [], first: presence.first, last: presence.last, start: place, end: place,
                    drift: presence.members.count > 1 ? 0 : .nan, distinctPositions: 1)
            }
            var chain = [head]
            var hops: [Hop] = []
            var current = head
            while let next = followers[current] {
                hops.append(
                    Hop(
                        fromStep: presences[current].last, toStep: presences[next].first, from: placed[current],
                        to: placed[next]))
                chain.append(next)
                current = next
            }
            let points = chain.flatMap { index in
                presences[index].members.map { (x: Double($0), y: Double(placed[index])) }
            }
            return Trajectory(
                presences: chain, hops: hops, first: presences[head].first, last: presences[current].last,
                start: placed[head], end: placed[current], drift: Statistics.slope(of: points),
                distinctPositions: Set(chain.map { placed[$0] }).count)
        }
    }
}
