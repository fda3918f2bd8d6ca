import Foundation
import Testing
import TraceFormat

@testable import Capture

extension RecordedRun {
    /// Compares every further signal in the file with plain loops over what the model handed over.
    func checkSignals(_ pass: Pass) throws {
        if plan.signals.contains(.distance) { try checkDistance(pass) }
        if plan.signals.contains(.norms) { try checkNorms(pass) }
        if plan.signals.contains(.qk) { try checkVectors(pass) }
        if plan.signals.contains(.cosine) { try checkCosines(pass) }
        if plan.signals.contains(.residual) { try checkResidual(pass) }
    }

    private func vector(_ handed: HashModel.Handed, _ kind: HashModel.Kind, head: Int, row: Int) throws -> [Float] {
        try #require(handed.vectors[kind])[head][row]
    }

    private func norm(_ vector: [Float]) -> Double {
        vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    }

    /// Calls `body` for each recorded row of a signal with its index: all rows fed in, or those of recorded queries.
    private func forEachRow(
        heads: [Int], positions: [Int], pass: Pass,
        _ body: (_ index: Int, _ handed: HashModel.Handed, _ head: Int, _ position: Int) throws -> Void
    ) throws {
        for (step, place) in keptSteps {
            for (l, layer) in plan.layers.enumerated() {
                let handed = try handed(step: step, layer: layer, pass: pass)
                for (h, head) in heads.enumerated() {
                    for (p, position) in positions.enumerated() where handed.queries.contains(position) {
                        let index = ((place * plan.layers.count + l) * heads.count + h) * positions.count + p
                        try body(index, handed, head, position)
                    }
                }
            }
        }
    }

    private var fed: [Int] { Array(0..<(log.inputs.last?.queries.upperBound ?? 0)) }

    private func checkDistance(_ pass: Pass) throws {
        let distance = try trace.read(.attendedDistance.of(pass))
        let mass = try trace.read(.maskMass.of(pass))
        #expect(distance.shape == [keptStepCount, plan.layers.count, plan.heads.count, queries.count])
        #expect(mass.shape == distance.shape)
        var seen = 0
        try forEachRow(heads: plan.heads, positions: queries, pass: pass) { index, handed, head, query in
            let step = plan.isGuided ? handed.call / 2 : handed.call
            var (far, masked) = (0.0, 0.0)
            for key in 0..<handed.keyCount {
                let weight = Double(weight(handed, head: head, query: query, key: key))
                far += weight * Double(abs(query - key))
                if log.inputs[step].isMasked[key] { masked += weight }
            }
            #expect(abs(Double(distance.values[index]) - far) <= 1e-6 * far + 1e-6)
            #expect(abs(Double(mass.values[index]) - masked) <= 1e-6)
            seen += 1
        }
        #expect(seen == distance.values.count)
    }

    private func checkNorms(_ pass: Pass) throws {
        let cases: [(DatasetKey<Float>, HashModel.Kind, [Int], [Int])] = [
            (.queryNorm, .query, plan.heads, queries), (.outputNorm, .output, plan.heads, queries),
            (.keyNorm, .key, plan.kvHeads, fed), (.valueNorm, .value, plan.kvHeads, fed),
        ]
        for (key, kind, heads, positions) in cases {
            let array = try trace.read(key.of(pass))
            #expect(array.shape == [keptStepCount, plan.layers.count, heads.count, positions.count])
            var seen = 0
            try forEachRow(heads: heads, positions: positions, pass: pass) { index, handed, head, position in
                let row = position - handed.queries.lowerBound
                let expected = norm(try vector(handed, kind, head: head, row: row))
                #expect(abs(Double(array.values[index]) - expected) <= 6e-8 * expected, "\(key.path)")
                seen += 1
            }
            #expect(seen == array.values.count)
        }
    }

    private func checkVectors(_ pass: Pass) throws {
        let cases: [(DatasetKey<Float16>, HashModel.Kind, [Int], [Int])] = [
            (.queryVector, .query, plan.heads, queries), (.keyVector, .key, plan.kvHeads, fed),
        ]
        for (key, kind, heads, positions) in cases {
            let array = try trace.read(key.of(pass))
            let width = plan.headWidth
            #expect(array.shape == [keptStepCount, plan.layers.count, heads.count, positions.count, width])
            try forEachRow(heads: heads, positions: positions, pass: pass) { index, handed, head, position in
                let row = position - handed.queries.lowerBound
                let expected = try vector(handed, kind, head: head, row: row).map { Float16($0) }
                #expect(Array(array.values[index * width..<(index + 1) * width]) == expected, "\(key.path)")
            }
        }
        try checkRebuildError(pass)
    }

    /// The weights again, in double, from vectors rounded to float16.
    private func checkRebuildError(_ pass: Pass) throws {
        let array = try trace.read(.rebuildError.of(pass))
        #expect(array.shape == [keptStepCount, plan.layers.count])
        let width = Double(plan.headWidth)
        var expected = [Double](repeating: 0, count: array.values.count)
        for (step, place) in keptSteps {
            for (l, layer) in plan.layers.enumerated() {
                let handed = try handed(step: step, layer: layer, pass: pass)
                for head in plan.heads {
                    let kvHead = head * (model.kvHeadCount ?? model.headCount) / model.headCount
                    for query in handed.queries {
                        let q = try vector(handed, .query, head: head, row: query - handed.queries.lowerBound)
                        let visible = plan.causality == .causal ? query + 1 : handed.keyCount
                        let scores = try (0..<visible).map { key in
                            let k = try vector(handed, .allKeys, head: kvHead, row: key)
                            return zip(q, k).reduce(0) { $0 + Double(Float16($1.0)) * Double(Float16($1.1)) }
                                / width.squareRoot()
                        }
                        let sum = scores.reduce(0) { $0 + exp($1) }
                        for (key, score) in scores.enumerated() {
                            let weight = Double(weight(handed, head: head, query: query, key: key))
                            let index = place * plan.layers.count + l
                            expected[index] = max(expected[index], abs(exp(score) / sum - weight))
                        }
                    }
                }
            }
        }
        for (found, wanted) in zip(array.values, expected) {
            #expect(found > 0 && abs(Double(found) - wanted) < 1e-6)
        }
    }

    private func checkCosines(_ pass: Pass) throws {
        for (key, kind) in [(DatasetKey<Float>.keyCosine, HashModel.Kind.key), (.valueCosine, .value)] {
            let array = try trace.read(key.of(pass))
            let (layers, heads, keys) = (plan.layers.count, plan.kvHeads.count, plan.keyCount)
            #expect(array.shape == [log.inputs.count, layers, heads, keys])
            var index = 0
            for step in log.inputs.indices {
                for layer in plan.layers {
                    let now = try handed(step: step, layer: layer, pass: pass)
                    let before = step == 0 ? nil : try handed(step: step - 1, layer: layer, pass: pass)
                    for head in plan.kvHeads {
                        for position in 0..<keys {
                            defer { index += 1 }
                            guard let before else {
                                #expect(array.values[index].isNaN)
                                continue
                            }
                            let a = try vector(now, kind, head: head, row: position)
                            let b = try vector(before, kind, head: head, row: position)
                            let dot = zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
                            #expect(abs(Double(array.values[index]) - dot / (norm(a) * norm(b))) < 1e-6)
                        }
                    }
                }
            }
        }
    }

    private func checkResidual(_ pass: Pass) throws {
        let isCausal = plan.causality == .causal
        let positions = plan.positionCount
        let shape = [keptStepCount, plan.layerCount + 1, positions]
        func read<E: TraceElement>(_ key: DatasetKey<E>) throws -> [E] {
            let array = try trace.read(key.of(pass))
            #expect(array.shape == shape)
            return array.values
        }
        let (norms, maxima, medians) = (try read(.hiddenNorm), try read(.hiddenMax), try read(.hiddenMedian))
        let channels = try read(.hiddenMaxChannel)
        var seen: Set<Int> = []
        for (step, place) in keptSteps {
            let call = plan.isGuided ? 2 * step + (pass == .conditional ? 0 : 1) : step
            let streams = model.streams.filter { $0.call == call }
            #expect(streams.map(\.depth) == Array(0...plan.layerCount))
            for stream in streams {
                for (row, position) in stream.queries.enumerated() {
                    let index = (place * shape[1] + stream.depth) * positions + position
                    let sizes = stream.values[row].map(abs)
                    let largest = sizes.max() ?? 0
                    let wanted = norm(stream.values[row])
                    #expect(abs(Double(norms[index]) - wanted) <= 6e-8 * wanted)
                    #expect(maxima[index] == largest)
                    #expect(channels[index] == sizes.firstIndex(of: largest).map { Int32($0) })
                    #expect(medians[index] == sizes.sorted()[(sizes.count - 1) / 2])
                    seen.insert(index)
                }
            }
        }
        // The last token of a causal run is never fed in.
        let unfed = Set(norms.indices).subtracting(seen)
        #expect(unfed.count == (isCausal ? plan.layerCount + 1 : 0))
        for index in unfed {
            #expect(norms[index].isNaN && maxima[index].isNaN && medians[index].isNaN && channels[index] == -1)
        }
    }

    /// The likeliest tokens, from the model's own logits: of the sampler's result is checked what the file holds.
    func checkTop() throws {
        let ids = try trace.read(.topID)
        let probabilities = try trace.read(.topProbability)
        let shape = [log.inputs.count, plan.positionCount, plan.rankCount]
        #expect(ids.shape == shape && probabilities.shape == shape)
        var asked = 0
        for (step, result) in log.results.enumerated() {
            for position in 0..<plan.positionCount {
                let start = (step * plan.positionCount + position) * plan.rankCount
                let found = Array(ids.values[start..<start + plan.rankCount])
                let shares = Array(probabilities.values[start..<start + plan.rankCount])
                guard result.predictedIDs[position] >= 0 else {
                    #expect(found.allSatisfy { $0 == -1 } && shares.allSatisfy(\.isNaN))
                    continue
                }
                asked += 1
                // The token that the sampler takes at temperature 0 is the likeliest; its share is the confidence.
                #expect(found[0] == result.predictedIDs[position] && shares[0] == result.confidence[position])
                let logits = model.guidedLogits(step: step, position: position, scale: guidance)
                let order = logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }
                let sum = logits.reduce(0) { $0 + exp(Double($1)) }
                #expect(found == order.prefix(plan.rankCount).map { Int32($0) })
                for (share, token) in zip(shares, order) {
                    #expect(abs(Double(share) - exp(Double(logits[token])) / sum) < 1e-6)
                }
            }
        }
        #expect(asked > 0)
    }
}
