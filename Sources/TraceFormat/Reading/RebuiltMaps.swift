/// Maps of a trace that recorded query and key vectors in their place, opened once and rebuilt many times.
public struct RebuiltMaps: Sendable {
    private let trace: Trace
    private let queries: DatasetView<Float16>
    private let keys: DatasetView<Float16>
    private let suppressed: DatasetView<UInt8>?

    /// Opens the vectors of a pass.
    ///
    /// - Throws: ``TraceError/notRecorded(path:object:)`` where there are none; what reading throws.
    public init(of trace: Trace, pass: Pass = .conditional) throws {
        self.trace = trace
        queries = try trace.view(of: DatasetKey<Float16>.queryVector.of(pass))
        keys = try trace.view(of: DatasetKey<Float16>.keyVector.of(pass))
        let flags = DatasetKey<UInt8>.suppressed.of(pass)
        suppressed = trace.contains(flags) ? try trace.view(of: flags) : nil
    }

    /// Reads the vectors of some heads, given by their places along `head`, ready to rebuild any of their rows.
    ///
    /// - Throws: ``TraceError/outOfRange(path:object:reason:)`` for a step that keeps no maps;
    ///   ``TraceError/damaged(path:object:reason:)``; what reading throws.
    public func heads(_ places: [Int], step: Int, layer: Int) throws -> Heads {
        let plan = trace.planned
        guard let first = places.min(), let last = places.max() else {
            throw TraceError.misuse("no head's maps are to be rebuilt")
        }
        guard first >= 0, last < plan.heads.count else {
            throw TraceError.outOfRange(
                path: trace.path, object: DatasetKey<Float16>.queryVector.path,
                reason: "head \(first)...\(last) is outside 0..<\(plan.heads.count)")
        }
        guard let place = plan.mapPlace(ofStep: step) else {
            throw TraceError.outOfRange(
                path: trace.path, object: DatasetKey<Float16>.queryVector.path, reason: "step \(step) keeps no maps")
        }
        let queryCount = plan.length(of: .query, afterSteps: step + 1) ?? 0
        let keyCount = plan.keyCount(afterSteps: step + 1)
        let kvPlaces = try places.map { head in
            let groups = trace.provenance.kvHeads(of: [plan.heads[head]])
            guard let kvHead = groups.first.flatMap(plan.kvHeads.firstIndex(of:)) else {
                throw TraceError.damaged(
                    path: trace.path, object: DatasetKey<Float16>.keyVector.path,
                    reason: "lacks the key-value head of head \(plan.heads[head])")
            }
            return kvHead
        }
        let channels = queries.shape[4]
        let firstGroup = kvPlaces.min() ?? 0
        let box: Selection = [.mapStep: place..<place + 1, .layer: layer..<layer + 1]
        var (ofQueries, ofKeys) = (box, box)
        ofQueries.ranges[.head] = first..<last + 1
        ofQueries.ranges[.query] = 0..<queryCount
        ofKeys.ranges[.kvHead] = firstGroup..<(kvPlaces.max() ?? 0) + 1
        ofKeys.ranges[.key] = 0..<keyCount
        let keyValues = try keys.read(ofKeys)
        var rebuilders: [Int: MapRebuilder] = [:]
        for group in Set(kvPlaces) {
            let start = (group - firstGroup) * keyCount * channels
            rebuilders[group] = try keyValues.withUnsafeBufferPointer {
                try MapRebuilder(
                    keys: UnsafeBufferPointer(rebasing: $0[start..<start + keyCount * channels]),
                    channelCount: channels)
            }
        }
        var byHead: [Int: MapRebuilder] = [:]
        for (head, group) in zip(places, kvPlaces) { byHead[head] = rebuilders[group] }
        return Heads(
            maps: self, step: step, layer: layer, firstHead: first, keyCount: keyCount,
            positions: plan.queries.map { Array($0[..<queryCount]) } ?? Array(0..<queryCount), channels: channels,
            vectors: try queries.read(ofQueries), rebuilders: byHead)
    }

    /// The vectors of some heads of one layer at one step.
    public struct Heads {
        private let maps: RebuiltMaps
        private let step: Int
        private let layer: Int
        private let firstHead: Int
        /// Keys: the length of a row.
        public let keyCount: Int
        /// Position of each row's query.
        public let positions: [Int]
        private let channels: Int
        private let vectors: [Float16]
        private let rebuilders: [Int: MapRebuilder]

        fileprivate init(
            maps: RebuiltMaps, step: Int, layer: Int, firstHead: Int, keyCount: Int, positions: [Int], channels: Int,
            vectors: [Float16], rebuilders: [Int: MapRebuilder]
        ) {
            self.maps = maps
            self.step = step
            self.layer = layer
            self.firstHead = firstHead
            self.keyCount = keyCount
            self.positions = positions
            self.channels = channels
            self.vectors = vectors
            self.rebuilders = rebuilders
        }

        /// Rebuilds rows of one head, (row, key), by their places along `query`, on one thread for each processor unless
        /// told otherwise.
        ///
        /// - Throws: ``TraceError/misuse(_:)`` for a head that was not asked for, or too little room; what reading throws.
        public func rebuild(
            head: Int, rows: Range<Int>, threads: Int? = nil, into weights: UnsafeMutableBufferPointer<Float>
        ) throws {
            guard let rebuilder = rebuilders[head], weights.count == rows.count * keyCount else {
                throw TraceError.misuse("room for \(weights.count) weights of rows \(rows) of head \(head)")
            }
            for group in maps.trace.rowGroups(positions, step: step) {
                let places = group.places.clamped(to: rows)
                guard !places.isEmpty else { continue }
                let asked = Array(positions[places])
                let suppressed = try maps.suppressedKeys(step: group.step, layer: layer, head: head, keys: keyCount)
                let first = (head - firstHead) * positions.count
                let out = (places.lowerBound - rows.lowerBound) * keyCount
                try vectors.withUnsafeBufferPointer { all in
                    let part = (first + places.lowerBound) * channels..<(first + places.upperBound) * channels
                    try rebuilder.rebuild(
                        queries: UnsafeBufferPointer(rebasing: all[part]),
                        visibility: maps.trace.planned.causality == .causal
                            ? .causal(positions: asked) : .bidirectional,
                        suppressed: suppressed, positions: asked, threads: threads,
                        into: UnsafeMutableBufferPointer(
                            rebasing: weights[out..<out + places.count * keyCount]))
                }
            }
        }
    }

    private func suppressedKeys(step: Int, layer: Int, head: Int, keys: Int) throws -> [UInt8] {
        try suppressed?.read([
            .step: step..<step + 1, .layer: layer..<layer + 1, .head: head..<head + 1, .key: 0..<keys,
        ]) ?? []
    }
}

extension Trace {
    /// Rows by the step that computed them. A causal step computes its new rows only, which matters where it suppressed
    /// keys that others did not.
    fileprivate func rowGroups(_ positions: [Int], step: Int) -> [(places: Range<Int>, step: Int)] {
        guard planned.causality == .causal, planned.signals.contains(.suppressed) else {
            return [(0..<positions.count, step)]
        }
        let ofPrompt = positions.count { $0 < planned.promptLength }
        return [(0..<ofPrompt, 0)]
            + (ofPrompt..<positions.count).map { ($0..<$0 + 1, positions[$0] - planned.promptLength + 1) }
    }
}
