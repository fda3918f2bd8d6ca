/// Links the presences of one site over time by one minimum-cost matching.
///
/// Presence b may follow presence a if 1 <= start_b - end_a <= G. A link costs |position difference|; each end and
/// each start left unmatched costs D. All costs are integers, so that ties are exact: among the matchings of minimum
/// cost the ends are served in the order of (last step, position), each taking the start that comes first in the
/// order of (first step, position), and staying unmatched last.
enum Linking {
    /// The follower of each presence, as an index into `presences`; nil where it has none.
    ///
    /// `presences` are those of one site, by first step, then position. `placed` are the positions to measure by:
    /// the presences' own, or permuted ones.
    static func followers(of presences: [Presence], placed: [Int], options: LinkingOptions) -> [Int?] {
        var followers: [Int?] = Array(repeating: nil, count: presences.count)
        for component in components(of: presences, placed: placed, options: options) {
            let ends = component.ends.sorted {
                (presences[$0].last, placed[$0]) < (presences[$1].last, placed[$1])
            }
            let starts = component.starts.sorted {
                (presences[$0].first, placed[$0]) < (presences[$1].first, placed[$1])
            }
            // Square: each end has a column of its own for staying unmatched, each start a row; those meet for free.
            let size = ends.count + starts.count
            var cost = Array(repeating: Array(repeating: 0, count: size), count: size)
            for (row, end) in ends.enumerated() {
                for column in 0..<size {
                    if column < starts.count {
                        cost[row][column] = linkCost(
                            from: end, to: starts[column], presences: presences, placed: placed, options: options)
                    } else {
                        cost[row][column] =
                            column - starts.count == row ? options.unmatchedCost : Assignment.forbidden
                    }
                }
            }
            for (place, _) in starts.enumerated() {
                for column in starts.indices {
                    cost[ends.count + place][column] =
                        column == place ? options.unmatchedCost : Assignment.forbidden
                }
            }
            let columns = Assignment(minimising: cost).columns
            for (row, end) in ends.enumerated() where columns[row] < starts.count {
                followers[end] = starts[columns[row]]
            }
        }
        return followers
    }

    private static func linkCost(
        from end: Int, to start: Int, presences: [Presence], placed: [Int], options: LinkingOptions
    ) -> Int {
        let delay = presences[start].first - presences[end].last
        guard delay >= 1, delay <= options.reach else { return Assignment.forbidden }
        return abs(placed[start] - placed[end])
    }

    /// Ends and starts that links of use can join: matchings of the components are independent of each other.
    private static func components(
        of presences: [Presence], placed: [Int], options: LinkingOptions
    ) -> [(ends: [Int], starts: [Int])] {
        // Nodes: the end of presence i is i, its start count + i.
        let count = presences.count
        var parent = Array(0..<2 * count)
        func root(_ node: Int) -> Int {
            var node = node
            while parent[node] != node {
                parent[node] = parent[parent[node]]
                node = parent[node]
            }
            return node
        }
        var startsAt: [Int: [Int]] = [:]
        for (index, presence) in presences.enumerated() { startsAt[presence.first, default: []].append(index) }
        var isLinked = Array(repeating: false, count: 2 * count)
        let lastStart = presences.map(\.first).max() ?? 0
        for (end, presence) in presences.enumerated() {
            guard presence.last < lastStart else { continue }
            for delay in 1...min(options.reach, lastStart - presence.last) {
                for start in startsAt[presence.last + delay] ?? []
                where abs(placed[start] - placed[end]) <= 2 * options.unmatchedCost {
                    parent[root(end)] = root(count + start)
                    isLinked[end] = true
                    isLinked[count + start] = true
                }
            }
        }
        var members: [Int: (ends: [Int], starts: [Int])] = [:]
        for node in 0..<2 * count where isLinked[node] {
            if node < count {
                members[root(node), default: ([], [])].ends.append(node)
            } else {
                members[root(node), default: ([], [])].starts.append(node - count)
            }
        }
        return members.keys.sorted().compactMap { members[$0] }
    }
}
