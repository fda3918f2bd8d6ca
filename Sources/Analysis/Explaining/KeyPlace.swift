import TraceFormat

/// One key of one head at one step, and what the trace holds of it.
struct KeyPlace {
    /// The trace, narrowed to the layer and the head.
    let subject: Subject
    let step: Int
    let position: Int
    /// Keys that exist at the step.
    let keyCount: Int

    private var trace: Trace { subject.trace }
    private var isCausal: Bool { subject.causality == .causal }
    private var layerPlace: Range<Int> { subject.layerPlaces[0]..<subject.layerPlaces[0] + 1 }
    private var headPlace: Range<Int> { subject.headPlaces[0]..<subject.headPlaces[0] + 1 }
    /// Place of the step along `row_step` and `map_step`; nil where it keeps nothing.
    private var rowPlace: Range<Int>? { trace.plan.mapPlace(ofStep: step).map { $0..<$0 + 1 } }

    /// A position's class as fed in at the step.
    func queryClass(of position: Int) -> QueryClass {
        if position < subject.promptLength { return .prompt }
        return subject.tokens.isMasked(step: step, position: position) ? .masked : .unmasked
    }

    func region(of position: Int) -> Region? {
        guard subject.regionOfPosition.indices.contains(position) else { return nil }
        let index = subject.regionOfPosition[position]
        return subject.regions.indices.contains(index) ? subject.regions[index] : nil
    }

    private func lacking(_ signal: String) -> String { "not recorded: capture with \(signal)" }
    private var keepsNothing: String { "step \(step) keeps no maps and rows: capture with it among --map-steps" }

    // MARK: Attention

    func receivedByClass() throws -> [SinkExplanation.ReceivedShare] {
        // A causal trace holds increments.
        let steps = isCausal ? 0..<step + 1 : step..<step + 1
        let box: Selection = [
            .step: steps, .layer: layerPlace, .head: headPlace, .key: position..<position + 1,
        ]
        let values = try trace.read(DatasetKey<Float>.received.of(subject.pass), box).values
        var sums = [Double](repeating: 0, count: QueryClass.allCases.count)
        for (index, value) in values.enumerated() {
            // What a step has not come to yet is not a number.
            if !value.isNaN { sums[index % sums.count] += Double(value) }
        }
        let total = sums.reduce(0, +)
        return QueryClass.allCases.map {
            SinkExplanation.ReceivedShare(queryClass: $0, sum: sums[$0.rawValue], share: sums[$0.rawValue] / total)
        }
    }

    func attenders(count: Int) throws -> Known<SinkExplanation.Attenders> {
        guard trace.hasMaps(pass: subject.pass) else { return .missing(lacking("--record maps or qk")) }
        guard rowPlace != nil else { return .missing(keepsNothing) }
        let extent = Extent(
            steps: isCausal ? Set(0...step) : [step], layers: Set(subject.layers), heads: Set(subject.heads))
        let column = try TracePass(over: trace, extent, pass: subject.pass).run(KeyColumn(position: position))
        let top = column.filter { $0.weight > 0 }.sorted { ($1.weight, $0.query) < ($0.weight, $1.query) }.prefix(count)
        var byRegion: [(region: String, sum: Double, queries: Int)] = []
        if !subject.regions.isEmpty {
            let names = subject.regions.enumerated().map { (index: $0.offset, name: $0.element.name) }
            for (index, region) in names + [(index: -1, name: "none")] {
                let members = column.filter {
                    let found = subject.regionOfPosition.indices.contains($0.query)
                    return (found ? subject.regionOfPosition[$0.query] : -1) == index
                }
                if index < 0, members.isEmpty { continue }
                byRegion.append((region, members.reduce(0) { $0 + $1.weight }, members.count))
            }
        }
        return .known(
            SinkExplanation.Attenders(
                top: top.map {
                    SinkExplanation.Attenders.Query(
                        position: $0.query, token: subject.tokens.token(step: step, position: $0.query),
                        queryClass: queryClass(of: $0.query), weight: $0.weight)
                },
                queryCount: column.count, sum: column.reduce(0) { $0 + $1.weight },
                topKeyOf: column.count { $0.isTop }, byRegion: byRegion))
    }

    // MARK: Vectors

    /// A number of the key among those of all keys.
    private func againstOthers(_ values: [Float]) -> SinkExplanation.AgainstOthers {
        let others = values.indices.filter { $0 != position && !values[$0].isNaN }.map { Double(values[$0]) }.sorted()
        let middle = others.count / 2
        let median =
            others.isEmpty
            ? .nan : others.count % 2 == 1 ? others[middle] : (others[middle - 1] + others[middle]) / 2
        return SinkExplanation.AgainstOthers(value: Double(values[position]), medianOfOthers: median)
    }

    /// What a dataset holds of the keys of the head at the step.
    private func keyValues(_ key: DatasetKey<Float>, _ box: Selection) throws -> [Float]? {
        let key = key.of(subject.pass)
        guard trace.contains(key), let kvPlace = subject.kvPlaces.first else { return nil }
        var box = box
        box.ranges[.layer] = layerPlace
        box.ranges[.kvHead] = kvPlace..<kvPlace + 1
        box.ranges[.key] = 0..<keyCount
        return try trace.read(key, box).values
    }

    func norms() throws -> Known<SinkExplanation.Norms> {
        guard let rowPlace else { return .missing(keepsNothing) }
        guard let keys = try keyValues(.keyNorm, [.rowStep: rowPlace]),
            let values = try keyValues(.valueNorm, [.rowStep: rowPlace])
        else { return .missing(lacking("--signals norms")) }
        return .known(SinkExplanation.Norms(key: againstOthers(keys), value: againstOthers(values)))
    }

    func cosines() throws -> Known<SinkExplanation.Cosines> {
        if isCausal { return .missing("an autoregressive model's keys and values never change") }
        let box: Selection = [.step: step..<step + 1]
        guard let keys = try keyValues(.keyCosine, box), let values = try keyValues(.valueCosine, box) else {
            return .missing(lacking("--signals cosine"))
        }
        return .known(SinkExplanation.Cosines(key: againstOthers(keys), value: againstOthers(values)))
    }

    func alignment() throws -> Known<SinkExplanation.Alignment> {
        let (queryKey, keyKey) = (
            DatasetKey<Float16>.queryVector.of(subject.pass), DatasetKey<Float16>.keyVector.of(subject.pass)
        )
        guard trace.contains(queryKey), trace.contains(keyKey), let kvPlace = subject.kvPlaces.first else {
            return .missing(lacking("--record qk"))
        }
        guard let rowPlace else { return .missing(keepsNothing) }
        let positions = (trace.plan.queries ?? Array(0..<keyCount)).filter { $0 < keyCount }
        let queries = try unitVectors(
            trace.read(
                queryKey,
                [.mapStep: rowPlace, .layer: layerPlace, .head: headPlace, .query: 0..<positions.count]))
        let keys = try unitVectors(
            trace.read(
                keyKey, [.mapStep: rowPlace, .layer: layerPlace, .kvHead: kvPlace..<kvPlace + 1, .key: 0..<keyCount]))
        let width = trace.plan.headWidth
        // The mean of cosines with a key is its unit vector times the mean of the queries' unit vectors: of all, or,
        // causal, of those from the key's position on, which are summed up from the last.
        var sum = [Double](repeating: 0, count: width)
        var count = 0
        var next = positions.count - 1
        var means = [Double](repeating: .nan, count: keyCount)
        for key in stride(from: keyCount - 1, through: 0, by: -1) {
            while next >= 0, !isCausal || positions[next] >= key {
                if let query = queries[next] {
                    for channel in 0..<width { sum[channel] += query[channel] }
                    count += 1
                }
                next -= 1
            }
            guard count > 0, let own = keys[key] else { continue }
            means[key] = zip(own, sum).reduce(0) { $0 + $1.0 * $1.1 } / Double(count)
        }
        let own = means[position]
        return .known(
            SinkExplanation.Alignment(
                cosine: own,
                meanOfOthers: Statistics.mean(of: means.indices.lazy.filter { $0 != position }.map { means[$0] }),
                rank: 1 + means.count { $0 > own }, keys: means.count { !$0.isNaN }))
    }

    /// Vectors of length 1; nil for those of length 0.
    private func unitVectors(_ array: TraceArray<Float16>) -> [[Double]?] {
        let width = array.shape[4]
        let values = Float16Conversion.decode(array.values)
        return (0..<array.shape[3]).map { index in
            let vector = values[index * width..<(index + 1) * width].map(Double.init)
            let norm = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return norm > 0 ? vector.map { $0 / norm } : nil
        }
    }

    func residual() throws -> Known<SinkExplanation.Residual> {
        let norm = DatasetKey<Float>.hiddenNorm.of(subject.pass)
        guard trace.contains(norm) else { return .missing(lacking("--signals residual")) }
        guard let rowPlace else { return .missing(keepsNothing) }
        let depth = subject.layers[0]
        let box: Selection = [.rowStep: rowPlace, .depth: depth..<depth + 1, .position: 0..<keyCount]
        let channel = try trace.read(DatasetKey<Int32>.hiddenMaxChannel.of(subject.pass), box).values[position]
        let median = try trace.read(DatasetKey<Float>.hiddenMedian.of(subject.pass), box).values[position]
        return .known(
            SinkExplanation.Residual(
                depth: depth, norm: againstOthers(try trace.read(norm, box).values),
                largest: againstOthers(try trace.read(DatasetKey<Float>.hiddenMax.of(subject.pass), box).values),
                channel: Int(channel), median: Double(median)))
    }
}
