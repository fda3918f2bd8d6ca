import Testing

@testable import Analysis

@Suite struct TrajectoryTests {
    /// Sets from positions by step; nil for an undefined set.
    private func sets(_ positions: [[Int]?]) -> [SinkSet] {
        positions.map { positions in
            SinkSet(
                sinks: (positions ?? []).map {
                    Sink(position: $0, score: Double($0 + 1), strength: 0.1, strengthOverUniform: 1)
                }, undefined: positions == nil ? .tooFewRows : nil)
        }
    }

    private func link(_ positions: [[Int]?], _ options: LinkingOptions = LinkingOptions()) -> [Trajectory] {
        Trajectory.link(Presence.find(in: sets(positions), gap: options.gap), options: options)
    }

    @Test func presencesAreMaximalRuns() {
        let steps: [[Int]?] = [[1], [1, 5], [5], [1], [1]]
        let found = Presence.find(in: sets(steps))
        #expect(found.map(\.position) == [1, 5, 1])
        #expect(found.map(\.first) == [0, 1, 3])
        #expect(found.map(\.last) == [1, 2, 4])
        #expect(found.map(\.dwell) == [2, 2, 2])
        let joined = Presence.find(in: sets(steps), gap: 1)
        #expect(joined.map(\.position) == [1, 5])
        #expect(joined[0].members == [0, 1, 3, 4])
        #expect(joined[0].dwell == 5)
        // A gap of exactly g joins, one of g + 1 does not.
        #expect(Presence.find(in: sets([[2], [], [], [2]]), gap: 2).count == 1)
        #expect(Presence.find(in: sets([[2], [], [], [2]]), gap: 1).count == 2)
        #expect(Presence.find(in: sets([[2], nil, [2]])).count == 2)
        #expect(Presence.find(in: sets([])).isEmpty)
        #expect(Presence.find(in: sets([[], []])).isEmpty)
    }

    @Test func aMovingSinkIsOneTrajectory() {
        let found = link((0..<6).map { [3 * $0] })
        #expect(found.count == 1)
        #expect(found[0].hops.map(\.distance) == [3, 3, 3, 3, 3])
        #expect(found[0].lifetime == 6)
        #expect(found[0].netDisplacement == 15)
        #expect(found[0].pathLength == 15)
        #expect(abs(found[0].drift - 3) < 1e-12)
        #expect(found[0].distinctPositions == 6)
        #expect(found[0].hopsPerStep == 1)
    }

    @Test func twoCrossingSinksTakeTheShorterWay() {
        // 0 -> 4 and 10 -> 6, then they pass: the matching takes the nearest at each step, and never their crossing.
        let found = link([[0, 10], [4, 6], [2, 8]])
        #expect(found.map { $0.hops.map(\.to) } == [[4, 2], [6, 8]])
        // One matching for all: 0 is nearer to 3 than 5 is, but 5 can only take 3 or 40.
        let shared = link([[0, 5], [3, 33]])
        #expect(shared.map { $0.hops.map(\.to) } == [[3], [33]])
    }

    @Test func aHopBeyondTwiceTheUnmatchedCostIsNotMade() {
        #expect(link([[0], [32]]).count == 1)
        #expect(link([[0], [33]]).count == 2)
        #expect(link([[0], [4]], LinkingOptions(unmatchedCost: 2)).count == 1)
        #expect(link([[0], [5]], LinkingOptions(unmatchedCost: 2)).count == 2)
        #expect(link([[0], [1]], LinkingOptions(unmatchedCost: 0)).count == 2)
    }

    @Test func theReachIsInSteps() {
        #expect(link([[0], [], [1]]).count == 2)
        #expect(link([[0], [], [1]], LinkingOptions(reach: 2)).count == 1)
        #expect(link([[0], nil, [1]], LinkingOptions(reach: 2)).count == 1)
        // Presences that overlap in time are never linked.
        #expect(link([[0, 1], [0, 1], [1]]).count == 2)
    }

    @Test func tiesGoToTheSmallerEndThenPosition() {
        // 5 is as far from 3 as from 7: the smaller position wins.
        #expect(link([[5], [3, 7]])[0].hops.map(\.to) == [3])
        // Both ends are as near to the one start: the one in front wins.
        let ends = link([[3, 7], [5]])
        #expect(ends.map(\.hops.count) == [1, 0])
        // Two ways cost the same: 0 -> 1, 2 -> 3 and 0 -> 3, 2 -> 1 (1 + 1 = 2, 3 + 1 = 4: no) and with equal sums
        // 0 -> 4, 2 -> 6 (4 + 4) and 0 -> 6, 2 -> 4 (6 + 2): the end at 0 takes 4.
        #expect(link([[0, 2], [4, 6]]).map { $0.hops.map(\.to) } == [[4], [6]])
        // The earlier end comes first: ends at steps 0 and 1, one start at step 2.
        let early = link([[9], [1], [5]], LinkingOptions(reach: 2, unmatchedCost: 3))
        #expect(early.map { $0.hops.map(\.to) } == [[5], []])
    }

    /// Against every matching there is, tried one by one.
    @Test(arguments: 0..<300) func theMatchingIsTheFirstOfTheCheapest(seed: Int) {
        var random = TestRandom(seed: UInt64(seed))
        let options = LinkingOptions(
            gap: seed % 2, reach: 1 + seed % 3, unmatchedCost: [0, 1, 3, 16][seed % 4])
        let steps = (0..<5).map { _ in (0..<9).filter { _ in random.unit() < 0.25 } }
        let presences = Presence.find(in: sets(steps), gap: options.gap)
        guard presences.count <= 9 else { return }
        let placed = presences.map(\.position)
        let ends = presences.indices.sorted { (presences[$0].last, placed[$0]) < (presences[$1].last, placed[$1]) }
        var best: (cost: Int, followers: [Int?])?
        var followers: [Int?] = Array(repeating: nil, count: presences.count)
        func search(_ place: Int, _ cost: Int) {
            guard place < ends.count else {
                let total = cost + options.unmatchedCost * (presences.count - followers.compactMap { $0 }.count)
                if total < best?.cost ?? Int.max { best = (total, followers) }
                return
            }
            let end = ends[place]
            for start in presences.indices where !followers.contains(start) {
                let delay = presences[start].first - presences[end].last
                guard delay >= 1, delay <= options.reach else { continue }
                followers[end] = start
                search(place + 1, cost + abs(placed[start] - placed[end]))
                followers[end] = nil
            }
            search(place + 1, cost + options.unmatchedCost)
        }
        search(0, 0)
        #expect(Linking.followers(of: presences, placed: placed, options: options) == best?.followers)
    }

    @Test func assignmentsAreExactOnLargerMatrices() {
        // Cost (row - column)^2 is least on the diagonal; all equal costs give the first permutation.
        let size = 60
        let squares = (0..<size).map { row in (0..<size).map { (row - $0) * (row - $0) } }
        #expect(Assignment(minimising: squares).columns == Array(0..<size))
        let equal = Array(repeating: Array(repeating: 7, count: size), count: size)
        #expect(Assignment(minimising: equal).columns == Array(0..<size))
    }

    @Test func permutationsAreKeyedBySiteAndDraw() {
        let one = Permutation(of: 40, seed: 1, site: Site(layer: 0, head: 0), replicate: 0).places
        #expect(one.sorted() == Array(0..<40))
        #expect(one == Permutation(of: 40, seed: 1, site: Site(layer: 0, head: 0), replicate: 0).places)
        for (site, seed, replicate) in [
            (Site(layer: 0, head: 1), 1, 0), (Site(layer: 1, head: 0), 1, 0), (Site(layer: 0), 1, 0), (Site(), 1, 0),
            (Site(layer: 0, head: 0), 2, 0), (Site(layer: 0, head: 0), 1, 1),
        ] {
            #expect(one != Permutation(of: 40, seed: UInt64(seed), site: site, replicate: replicate).places)
        }
        #expect(Permutation(of: 1, seed: 0, site: Site(), replicate: 0).places == [0])
    }

    @Test func slopesNeedTwoSteps() {
        #expect(Statistics.slope(of: [(x: 1, y: 5)]).isNaN)
        #expect(Statistics.slope(of: []).isNaN)
        #expect(Statistics.slope(of: [(x: 0, y: 1), (x: 2, y: -3)]) == -2)
    }
}
