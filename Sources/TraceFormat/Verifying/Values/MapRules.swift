import Foundation
import Synchronization

/// Judges maps: each row a distribution over what its query sees, and every number beside them what it says it is.
///
/// Of a bidirectional trace no more than the sums of one head wait at a time and thread; of a causal trace the sums of
/// the prompt's rows, 8 bytes for each layer, head and prompt position.
final class MapRules: PieceRule {
    private let outline: TraceOutline
    private let log: FindingLog
    private let prefix: String
    private let path: String
    private let queries: [Int]
    private let keys: Int
    private let tolerance: AttentionTolerance
    /// Answers scored by a row, by step and query.
    private let answers: [[Int]: [Int]]
    private let rowPaths: [RowQuantity: String]

    /// Sums of the rows of one head that have been seen, by class.
    private struct HeadSums {
        var layer: Int
        var head: Int
        var counts = [0, 0, 0]
        var sums: [[Double]]
    }
    /// A head that is seen in part, by its place along `map_step`.
    private let open = Mutex<[Int: HeadSums]>([:])

    private struct PromptSums {
        var counts: [Int]
        var sums: [[Double]]
    }
    /// Of a causal trace: the prompt's rows, by layer and head.
    private let prompt: Mutex<PromptSums>

    /// What is recorded of each row, beside the map.
    private enum RowQuantity: String, CaseIterable {
        case entropy
        case maxWeight = "max_weight"
        case attendedDistance = "attended_distance"
        case maskMass = "mask_mass"
    }

    init(_ outline: TraceOutline, log: FindingLog, prefix: String) {
        self.outline = outline
        self.log = log
        self.prefix = prefix
        path = prefix + "maps/attention"
        queries = outline.queries
        keys = outline.length(.key)
        tolerance = AttentionTolerance(of: path, in: outline)
        rowPaths = Dictionary(
            uniqueKeysWithValues: RowQuantity.allCases.map { ($0, prefix + $0.rawValue) }
                .filter { outline.readers[$0.1] != nil })
        answers = prefix.isEmpty ? Self.answers(of: outline) : [:]
        let sites = outline.isCausal ? outline.plan.layers.count * outline.plan.heads.count : 0
        prompt = Mutex(
            PromptSums(
                counts: Array(repeating: 0, count: sites),
                sums: Array(repeating: Array(repeating: 0, count: outline.plan.promptLength), count: sites)))
    }

    /// Answers scored by a row of the first pass, by step and query.
    static func answers(of outline: TraceOutline) -> [[Int]: [Int]] {
        guard let steps = outline.vector(Int32.self, "answer/source_step"),
            let rows = outline.vector(Int32.self, "answer/source_query"), steps.count == rows.count
        else { return [:] }
        return Dictionary(grouping: steps.indices.filter { steps[$0] >= 0 }) { [Int(steps[$0]), Int(rows[$0])] }
    }

    // MARK: Pieces

    func examine(_ piece: ValueSweep.Piece) {
        let (box, bits) = (piece.box, piece.values(UInt16.self))
        guard keys > 0, box.shape[4] == keys, let base = bits.baseAddress else { return }
        let rows = box.shape[3]
        var start = 0
        for place in box.origin[0]..<box.origin[0] + box.shape[0] {
            let masked = outline.isCausal ? nil : maskedPositions(step: outline.mapSteps[place])
            for layer in box.origin[1]..<box.origin[1] + box.shape[1] {
                let heads = box.origin[2]..<box.origin[2] + box.shape[2]
                let beside = Beside(
                    self, place: place, layer: layer, heads: heads, rows: box.origin[3]..<box.origin[3] + rows)
                for head in heads {
                    let site = Site(place: place, layer: layer, head: head, firstRow: box.origin[3], rowCount: rows)
                    judge(site, base + start, masked: masked, beside: beside)
                    start += rows * keys
                }
            }
        }
    }

    /// Some rows of one head.
    private struct Site {
        let place: Int
        let layer: Int
        let head: Int
        let firstRow: Int
        let rowCount: Int
    }

    /// What was recorded beside the maps of some rows of a layer.
    private struct Beside {
        let heads: Range<Int>
        let rows: Range<Int>
        var quantities: [RowQuantity: [Float]] = [:]
        /// Rows of answers, (head, key), by answer.
        var answers: [Int: [UInt16]] = [:]
        /// What keys received, (head, class, key), by step.
        var received: [Int: [Float]] = [:]

        init(_ rules: MapRules, place: Int, layer: Int, heads: Range<Int>, rows: Range<Int>) {
            self.heads = heads
            self.rows = rows
            for (quantity, path) in rules.rowPaths {
                quantities[quantity] = rules.outline.read(
                    Float.self, path, origin: [place, layer, heads.lowerBound, rows.lowerBound],
                    shape: [1, 1, heads.count, rows.count])
            }
            for row in rows where rules.isComplete(row) {
                let step = rules.step(place: place, row: row)
                received[step] = rules.received(step: step, layer: layer, heads: heads)
            }
            guard !rules.answers.isEmpty else { return }
            for row in rows {
                for answer in rules.answers[[rules.step(place: place, row: row), rules.queries[row]]] ?? [] {
                    answers[answer] =
                        rules.outline.read(
                            Float16.self, "answer/attention", origin: [answer, layer, heads.lowerBound, 0],
                            shape: [1, 1, heads.count, rules.keys])?.map(\.bitPattern)
                }
            }
        }
    }

    /// The step at which a row was computed.
    private func step(place: Int, row: Int) -> Int {
        outline.isCausal ? max(0, queries[row] - outline.plan.promptLength + 1) : outline.mapSteps[place]
    }

    /// Whether with this row everything that a class of queries gives at its step has been seen: of a causal trace's
    /// generated rows each, of a bidirectional map the last.
    private func isComplete(_ row: Int) -> Bool {
        outline.isCausal ? queries[row] >= outline.plan.promptLength : row == queries.count - 1
    }

    private func received(step: Int, layer: Int, heads: Range<Int>) -> [Float]? {
        outline.read(
            Float.self, prefix + "received", origin: [step, layer, heads.lowerBound, 0, 0],
            shape: [1, 1, heads.count, 3, keys])
    }

    private func maskedPositions(step: Int) -> [UInt8]? {
        outline.read(UInt8.self, "is_masked", origin: [step, 0], shape: [1, outline.length(.position)])
    }

    private func place(_ site: Site, _ row: Int) -> String {
        "map_step \(site.place), layer \(site.layer), head \(site.head), query \(queries[row])"
    }

    // MARK: Rows

    private func judge(_ site: Site, _ bits: UnsafePointer<UInt16>, masked: [UInt8]?, beside: Beside) {
        let rowBuffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: keys)
        let sumBuffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: keys)
        defer {
            rowBuffer.deallocate()
            sumBuffer.deallocate()
        }
        guard let row = rowBuffer.baseAddress, let sum = sumBuffer.baseAddress else { return }
        sumBuffer.initialize(repeating: 0)
        var head = takeOpen(site)
        // Rows are summed in single precision, no more than 64 of one class, then in double.
        var waiting = (kind: 0, rows: 0)
        func flush() {
            guard waiting.rows > 0 else { return }
            head.counts[waiting.kind] += waiting.rows
            for key in 0..<keys { head.sums[waiting.kind][key] += Double(sum[key]) }
            sumBuffer.update(repeating: 0)
            waiting.rows = 0
        }
        var suppressed: (step: Int, flags: [UInt8])?
        for index in 0..<site.rowCount {
            let place = site.firstRow + index
            let query = queries[place]
            let values = UnsafeBufferPointer(start: bits + index * keys, count: keys)
            values.withMemoryRebound(to: Float16.self) { Float16Conversion.decode(from: $0, to: rowBuffer) }
            let (total, largest) = RowArithmetic.sumAndMax(row, keys)
            if !(abs(total - 1) <= tolerance.rowSum(keys: keys)) {
                log.add(.mapsRows, path, "the row sums to \(total) at \(self.place(site, place))")
            }
            let step = step(place: site.place, row: place)
            if outline.readers[prefix + "suppressed"] != nil, suppressed?.step != step {
                suppressed = (step, suppressedKeys(step: step, site) ?? [])
            }
            judgeVisibility(values, site, place, suppressed?.flags ?? [])
            judgeBeside(row, values, site, place, largest, masked, beside)
            if outline.isCausal, query >= outline.plan.promptLength {
                compareReceived(
                    beside.received[step], of: site.head - beside.heads.lowerBound, step: step, site, kind: 1,
                    UnsafeBufferPointer(rowBuffer), isWhole: true)
                continue
            }
            let kind = query < outline.plan.promptLength ? 0 : masked.map { $0[query] == 1 ? 2 : 1 } ?? 1
            if waiting.rows == 64 || waiting.kind != kind { flush() }
            waiting = (kind, waiting.rows + 1)
            RowArithmetic.add(row, to: sum, keys)
        }
        flush()
        put(head, site, masked: masked, beside)
    }

    private func suppressedKeys(step: Int, _ site: Site) -> [UInt8]? {
        outline.read(
            UInt8.self, prefix + "suppressed", origin: [step, site.layer, site.head, 0], shape: [1, 1, 1, keys])
    }

    private func judgeVisibility(
        _ values: UnsafeBufferPointer<UInt16>, _ site: Site, _ row: Int, _ suppressed: [UInt8]
    ) {
        if outline.isCausal, queries[row] + 1 < keys {
            var any: UInt16 = 0
            for key in queries[row] + 1..<keys { any |= values[key] }
            if any & 0x7fff != 0 {
                log.add(.mapsVisible, path, "keys after the query have weight at \(place(site, row))")
            }
        }
        // A query that sees no other key keeps its weights.
        let own = queries[row]
        func isSuppressed(_ key: Int) -> Bool { suppressed[key] == 1 || (suppressed[key] == 2 && key != own) }
        let visible = outline.isCausal ? min(own + 1, keys) : keys
        if suppressed.count == keys,
            (0..<keys).contains(where: { values[$0] & 0x7fff != 0 && isSuppressed($0) }),
            !(0..<visible).allSatisfy(isSuppressed)
        {
            log.add(.mapsVisible, path, "a suppressed key has weight at \(place(site, row))")
        }
    }

    private func judgeBeside(
        _ row: UnsafePointer<Float>, _ bits: UnsafeBufferPointer<UInt16>, _ site: Site, _ place: Int, _ largest: Float,
        _ masked: [UInt8]?, _ beside: Beside
    ) {
        func compare(_ quantity: RowQuantity, _ expected: Float, _ allowed: Float) {
            guard let values = beside.quantities[quantity] else { return }
            let offset = (site.head - beside.heads.lowerBound) * beside.rows.count + place - beside.rows.lowerBound
            // What is not a number is a finding of its own.
            if abs(values[offset] - expected) > allowed {
                log.add(
                    .rowsMaps, prefix + quantity.rawValue,
                    "is \(values[offset]) where the map gives \(expected) at \(self.place(site, place))")
            }
        }
        if rowPaths[.maxWeight] != nil { compare(.maxWeight, largest, tolerance.weight(largest)) }
        if rowPaths[.entropy] != nil {
            let terms = RowArithmetic.entropyTerms
            let entropy = terms.withUnsafeBufferPointer { terms in
                var sum: Double = 0
                for weight in bits { sum += weight <= 0x3c00 ? Double(terms[Int(weight)]) : 0 }
                return Float(sum)
            }
            compare(.entropy, entropy, tolerance.entropy(entropy, keys: keys))
        }
        if rowPaths[.attendedDistance] != nil {
            var sum: Double = 0
            for key in 0..<keys { sum += Double(row[key]) * Double(abs(queries[place] - key)) }
            compare(.attendedDistance, Float(sum), tolerance.distance(Float(sum), keys: keys))
        }
        if rowPaths[.maskMass] != nil, outline.isCausal || masked != nil {
            var sum: Double = 0
            if let masked { for key in 0..<keys where masked[key] == 1 { sum += Double(row[key]) } }
            compare(.maskMass, Float(sum), tolerance.sum(Float(sum), terms: keys) + 1e-5)
        }
        for answer in answers[[step(place: site.place, row: place), queries[place]]] ?? [] {
            guard let rows = beside.answers[answer] else { continue }
            let start = (site.head - beside.heads.lowerBound) * keys
            if !isSame(rows[start..<start + keys], bits) {
                log.add(
                    .answerMap, "answer/attention",
                    "generated \(answer) is not the row of the map at \(self.place(site, place))")
            }
        }
    }

    /// Whether a row is that of the map: its bits, or, where bits of the map were dropped, what they may have been.
    private func isSame(_ row: ArraySlice<UInt16>, _ bits: UnsafeBufferPointer<UInt16>) -> Bool {
        guard tolerance.isRounded else { return row.elementsEqual(bits) }
        return zip(row, bits).allSatisfy {
            let (exact, kept) = (Float(Float16(bitPattern: $0)), Float(Float16(bitPattern: $1)))
            return abs(kept - exact) <= tolerance.relative * exact + tolerance.absolute
        }
    }

    // MARK: Received

    private func takeOpen(_ site: Site) -> HeadSums {
        let fresh = HeadSums(
            layer: site.layer, head: site.head,
            sums: Array(repeating: Array(repeating: 0, count: keys), count: 3))
        guard !outline.isCausal else { return fresh }
        return open.withLock { open in
            guard let found = open.removeValue(forKey: site.place), found.layer == site.layer, found.head == site.head
            else { return fresh }
            return found
        }
    }

    private func put(_ head: HeadSums, _ site: Site, masked: [UInt8]?, _ beside: Beside) {
        if outline.isCausal {
            let index = site.layer * outline.plan.heads.count + site.head
            prompt.withLock { prompt in
                prompt.counts[index] += head.counts[0]
                for key in 0..<min(keys, outline.plan.promptLength) { prompt.sums[index][key] += head.sums[0][key] }
            }
            return
        }
        guard site.firstRow + site.rowCount == queries.count else {
            open.withLock { $0[site.place] = head }
            return
        }
        guard let masked else { return }
        var expected = [0, 0, 0]
        for position in masked.indices {
            expected[position < outline.plan.promptLength ? 0 : masked[position] == 1 ? 2 : 1] += 1
        }
        let step = outline.mapSteps[site.place]
        for kind in 0..<3 {
            head.sums[kind].map { Float($0) }.withUnsafeBufferPointer { sums in
                compareReceived(
                    beside.received[step], of: site.head - beside.heads.lowerBound, step: step, site, kind: kind, sums,
                    isWhole: head.counts[kind] == expected[kind])
            }
        }
    }

    /// Holds sums over rows against what keys have received; where not every row is kept, they can only be less.
    /// `received` is (head, class, key), and `place` the head's there.
    private func compareReceived(
        _ received: [Float]?, of place: Int, step: Int, _ site: Site, kind: Int, _ sums: UnsafeBufferPointer<Float>,
        isWhole: Bool
    ) {
        guard let received else { return }
        let start = (place * 3 + kind) * keys
        for key in 0..<min(keys, sums.count) {
            let stated = received[start + key]
            let allowed = tolerance.sum(max(sums[key], stated), terms: keys)
            let difference = stated - sums[key]
            if difference < -allowed || isWhole && difference > allowed {
                log.add(
                    .mapsReceived, prefix + "received",
                    "is \(stated) where the maps give \(sums[key]) at step \(step), layer \(site.layer), head \(site.head), query_class \(kind), key \(key)"
                )
                return
            }
        }
    }

    func finish() {
        guard outline.isCausal, outline.committed > 0 else { return }
        let promptRows = queries.count { $0 < outline.plan.promptLength }
        prompt.withLock { prompt in
            for index in prompt.counts.indices where prompt.counts[index] == promptRows {
                let (layer, head) = index.quotientAndRemainder(dividingBy: outline.plan.heads.count)
                let site = Site(place: 0, layer: layer, head: head, firstRow: 0, rowCount: promptRows)
                let received = received(step: 0, layer: layer, heads: head..<head + 1)
                prompt.sums[index].map { Float($0) }.withUnsafeBufferPointer { sums in
                    compareReceived(
                        received, of: 0, step: 0, site, kind: 0, sums,
                        isWhole: promptRows == outline.plan.promptLength)
                }
            }
        }
    }
}
