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
            // One end and one start that are within reach of each other: the link is never dearer than none.
            if component.ends.count == 1, component.starts.count == 1 {
                followers[component.ends[0]] = component.starts[0]
                continue
            }
            let ends = component.ends.sorted {
                (presences[$0].last, placed[$0]) < (presences[$1].last, placed[$1])
            }
            let starts = component.starts.sorted {
                (presences[$0].first, placed[$0]) < (presences[$1].first, placed[$1])
            }
            // Square: each end has a column of its own for staying unmatched, each start a row; those meet for free.
            let size = ends.count + starts.count
            var cost = Array(repeating: 0, count: size * size)
            for (row, end) in ends.enumerated() {
                for column in 0..<size {
                    if column < starts.count {
                        cost[row * size + column] = linkCost(
                            from: end, to: starts[column], presences: presences, placed: placed, options: options)
                    } else {
                        cost[row * size + column] =
                            column - starts.count == row ? options.unmatchedCost : Assignment.forbidden
                    }
                }
            }
            for (place, _) in starts.enumerated() {
                for column in starts.indices {
                    cost[(ends.count + place) * size + column] =
                        column == place ? options.unmatchedCost : Assignment.forbidden
                }
            }
            let columns = Assignment(minimising: cost, size: size).columns
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
        // Presences come by first step: those that start at a step follow each other.
        let lastStart = presences.last?.first ?? 0
        var firstAt = Array(repeating: 0, count: lastStart + 2)
        for presence in presences { firstAt[presence.first + 1] += 1 }
        for step in 0...lastStart { firstAt[step + 1] += firstAt[step] }
        var isLinked = Array(repeating: false, count: 2 * count)
        for (end, presence) in presences.enumerated() {
            guard presence.last < lastStart else { continue }
            for delay in 1...min(options.reach, lastStart - presence.last) {
                let step = presence.last + delay
                for start in firstAt[step]..<firstAt[step + 1]
                where abs(placed[start] - placed[end]) <= 2 * options.unmatchedCost {
                    parent[root(end)] = root(count + start)
                    isLinked[end] = true
                    isLinked[count + start] = true
                }
            }
        }
        var place = Array(repeating: -1, count: 2 * count)
        var members: [(ends: [Int], starts: [Int])] = []
        for node in 0..<2 * count where isLinked[node] {
            let top = root(node)
            if place[top] < 0 {
                place[top] = members.count
                members.append(([], []))
            }
            if node < count {
                members[place[top]].ends.append(node)
            } else {
                members[place[top]].starts.append(node - count)
            }
        }
        return members
    }
}
