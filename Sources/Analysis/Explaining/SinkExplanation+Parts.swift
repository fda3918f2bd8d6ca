import TraceFormat

extension SinkExplanation {
    /// A token as it was fed in.
    public struct Token: Sendable, Equatable {
        /// Its id; nil where unknown.
        public let id: Int?
        /// Its text; nil where unknown.
        public let text: String?
        /// Whether it belongs to the prompt, was written, or is masked.
        public let queryClass: QueryClass
        /// The region that it lies in; nil where none is recorded.
        public let region: Region?
        /// The step that unmasked it; nil for the prompt, for what stayed masked and where unknown.
        public let unmaskStep: Int?
        /// Steps since then: negative before; nil as above.
        public let age: Int?
        /// Text of the token that ends up there; nil where unknown.
        public let finalText: String?

        init(at place: KeyPlace) {
            let (subject, step, position) = (place.subject, place.step, place.position)
            id = subject.tokens.id(step: step, position: position).map { Int($0) }
            text = subject.tokens.token(step: step, position: position)
            queryClass = place.queryClass(of: position)
            region = place.region(of: position)
            unmaskStep = subject.tokens.unmaskStep(of: position).flatMap { $0 >= 0 ? $0 : nil }
            age = subject.tokens.age(step: step, position: position)
            finalText = subject.tokens.finalToken(position: position)
        }
    }

    /// What the rule says of the key, and how far it is from saying otherwise.
    public struct Judgement: Sendable, Equatable {
        /// Whether it is a sink; nil where the rule says nothing.
        public let isSink: Bool?
        /// Why the rule says nothing.
        public let undefined: Undefined?
        /// Its score in the rule's unit; NaN where undefined.
        public let score: Double
        /// The mean score of the other keys.
        public let meanOfOthers: Double
        /// What the score must exceed: `excess` mean of the others + epsilon, `deviation` mu + z sigma, `share` epsilon;
        /// of `top` the K-th largest score, which it must reach.
        public let threshold: Double
        /// 1 for the largest score; one more for each key with a larger one.
        public let rank: Int?
        /// Keys with a score.
        public let scoredKeys: Int
        /// The share of all attention that it holds, s_j / n.
        public let strength: Double
        /// The same under uniform attention with the same visibility.
        public let uniformStrength: Double
        /// The one over the other.
        public var strengthOverUniform: Double { strength / uniformStrength }

        init(_ scored: PositionSurvey.Scored, rule: SinkRule, position: Int) {
            let scores = scored.scores ?? []
            switch scored.verdict {
            case .sinks(let positions):
                isSink = positions.contains(position)
                undefined = nil
            case .undefined(let reason):
                isSink = nil
                undefined = reason
            }
            let own = scores.indices.contains(position) ? scores[position] : .nan
            score = own
            meanOfOthers = Statistics.mean(
                of: scores.indices.lazy.filter { $0 != position }.map { scores[$0] })
            let defined = scores.filter { !$0.isNaN }
            scoredKeys = defined.count
            rank = own.isNaN ? nil : 1 + defined.count { $0 > own }
            switch rule.form {
            case .excess(let epsilon): threshold = meanOfOthers + epsilon
            case .deviation(let z, _):
                threshold = Statistics.mean(of: defined) + z * Statistics.variance(of: defined).squareRoot()
            case .share(let epsilon): threshold = epsilon
            case .top(let count):
                threshold = defined.sorted(by: >).prefix(count).last ?? .nan
            }
            strength = scored.received / Double(scored.rows)
            uniformStrength = scored.uniform / Double(scored.rows)
        }
    }

    /// What queries of one class give to the key.
    public struct ReceivedShare: Sendable, Equatable {
        /// The class of the queries as fed in.
        public let queryClass: QueryClass
        /// The sum of their attention.
        public let sum: Double
        /// Of all that the key received.
        public let share: Double
    }

    /// Who attends to the key, from a recorded map.
    public struct Attenders: Sendable, Equatable {
        /// A query and what it gives to the key.
        public struct Query: Sendable, Equatable {
            /// Its position.
            public let position: Int
            /// Its token as fed in; nil where unknown.
            public let token: String?
            /// Its class as fed in.
            public let queryClass: QueryClass
            /// Its weight on the key.
            public let weight: Double
        }

        /// The queries that attend most to it, the most first, ties to the smaller position; none that gives nothing.
        public let top: [Query]
        /// Queries of the map that see the key.
        public let queryCount: Int
        /// The sum of their weights.
        public let sum: Double
        /// Those for whom the key is the one that they attend to most, ties to the smaller position.
        public let topKeyOf: Int
        /// The sum by the region of the query, in the order of regions, then those in none; empty without regions.
        public let byRegion: [(region: String, sum: Double, queries: Int)]

        /// Whether both say the same.
        public static func == (first: Attenders, second: Attenders) -> Bool {
            first.top == second.top && first.queryCount == second.queryCount && first.sum == second.sum
                && first.topKeyOf == second.topKeyOf && first.byRegion.elementsEqual(second.byRegion, by: ==)
        }
    }

    /// A number of the key, and the median over the other keys that are visible at the step.
    public struct AgainstOthers: Sendable, Equatable {
        /// Of the key.
        public let value: Double
        /// Median over the others, NaN left out.
        public let medianOfOthers: Double
        /// The one over the other.
        public var ratio: Double { value / medianOfOthers }
    }

    /// Norms of the key's vectors, L2, the key vector after position encoding.
    public struct Norms: Sendable, Equatable {
        /// Of the key vector.
        public let key: AgainstOthers
        /// Of the value vector.
        public let value: AgainstOthers
    }

    /// Cosines of the key's vectors with those of the step before; NaN at step 0.
    public struct Cosines: Sendable, Equatable {
        /// Of the key vector.
        public let key: AgainstOthers
        /// Of the value vector.
        public let value: AgainstOthers
    }

    /// The mean over queries that see a key of the cosine between query and key vector.
    public struct Alignment: Sendable, Equatable {
        /// Of the key.
        public let cosine: Double
        /// The mean of the others' means.
        public let meanOfOthers: Double
        /// Keys whose mean is larger, plus 1.
        public let rank: Int
        /// Keys with a mean.
        public let keys: Int
    }

    /// The residual stream at the position, as it enters the layer: depth = layer.
    public struct Residual: Sendable, Equatable {
        /// The depth.
        public let depth: Int
        /// L2 norm.
        public let norm: AgainstOthers
        /// Largest absolute value.
        public let largest: AgainstOthers
        /// The channel that holds it.
        public let channel: Int
        /// Median absolute value over the channels.
        public let median: Double
    }

    /// Where a sink came from or went, at a step.
    public struct Passage: Sendable, Equatable {
        /// What kind of passage.
        public enum Kind: String, Sendable {
            /// A hop of the trajectory.
            case hop
            /// The key that received most, where no hop was found.
            case topKey = "top_key"
        }

        /// What kind of passage.
        public let kind: Kind
        /// The step at which the other key is looked at.
        public let step: Int
        /// The other key.
        public let position: Int
        /// Its token as fed in at that step; nil where unknown.
        public let token: String?
    }

    /// The key as a sink of its head, over time.
    public struct Course: Sendable, Equatable {
        /// The presence that covers the step; nil where the key is no sink then.
        public struct Stay: Sendable, Equatable {
            /// Its first step.
            public let firstStep: Int
            /// Its last step.
            public let lastStep: Int
            /// Steps from the first to the last.
            public let dwell: Int
            /// Mean score, in the rule's unit.
            public let meanScore: Double
            /// Largest score.
            public let peakScore: Double
            /// Static or moving.
            public let kind: SinkKind
            /// The trajectory's number, as in the table of trajectories.
            public let trajectory: Int
            /// Where it came from: a hop, else the top key of the step before; nil where that has no defined sink set.
            public let before: Passage?
            /// What took over: a hop, else the top key of the step after; nil where that has no defined sink set.
            public let after: Passage?
        }

        /// The presence that covers the step; nil where there is none.
        public let stay: Stay?
        /// Steps in which the key is a sink of the head.
        public let sinkSteps: Int
        /// Steps in which the head's sink set is defined.
        public let definedSteps: Int
        /// Its presences, each from first to last step.
        public let presences: [ClosedRange<Int>]

        init(of site: SiteAnalysis, step: Int, position: Int, labels: [Int], tokens: TokenTimeline) {
            sinkSteps = site.sets.count { $0.positions.contains(position) }
            definedSteps = site.sets.count { $0.isDefined }
            let own = site.presences.indices.filter { site.presences[$0].position == position }
            presences = own.map { labels[site.presences[$0].first]...labels[site.presences[$0].last] }
            guard let index = own.first(where: { (site.presences[$0].first...site.presences[$0].last).contains(step) }),
                let number = site.trajectories.firstIndex(where: { $0.presences.contains(index) }),
                let order = site.trajectories[number].presences.firstIndex(of: index)
            else {
                stay = nil
                return
            }
            let presence = site.presences[index]
            let hops = site.trajectories[number].hops
            func passage(_ kind: Passage.Kind, _ step: Int, _ position: Int) -> Passage {
                Passage(
                    kind: kind, step: labels[step], position: position,
                    token: tokens.token(step: labels[step], position: position))
            }
            var before: Passage?
            if order > 0 {
                before = passage(.hop, hops[order - 1].fromStep, hops[order - 1].from)
            } else if presence.first > 0, site.sets[presence.first - 1].isDefined {
                before = passage(.topKey, presence.first - 1, site.topKeys[presence.first - 1])
            }
            var after: Passage?
            if order < hops.count {
                after = passage(.hop, hops[order].toStep, hops[order].to)
            } else if presence.last + 1 < site.topKeys.count, site.sets[presence.last + 1].isDefined {
                after = passage(.topKey, presence.last + 1, site.topKeys[presence.last + 1])
            }
            stay = Stay(
                firstStep: labels[presence.first], lastStep: labels[presence.last], dwell: presence.dwell,
                meanScore: presence.meanScore, peakScore: presence.peakScore, kind: site.presenceKinds[index],
                trajectory: number, before: before, after: after)
        }
    }

    /// How many heads of a layer have the position as a sink.
    public struct LayerCount: Sendable, Equatable {
        /// The layer.
        public let layer: Int
        /// The heads that have it as a sink.
        public let heads: [Int]
        /// Heads whose sink set is defined.
        public let definedHeads: Int
    }
}
