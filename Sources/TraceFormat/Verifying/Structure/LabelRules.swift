/// Judges what the coordinates say: the recorded indices.
struct LabelRules {
    let outline: TraceOutline
    let log: FindingLog

    /// Reads the labels of an axis for the plan, which knows only from them what was recorded; nil where it cannot.
    static func read(_ dimension: Dimension, in file: HDF5File, log: FindingLog) -> [Int]? {
        let name = dimension.rawValue
        guard file.contains(name) else { return nil }
        return log.judging(name) {
            let dataset = try file.dataset(name)
            // What is wrong with its type or axes is a finding of the dataset.
            guard try dataset.elementType()?.type == .int32 else { return nil }
            let shape = try dataset.shape()
            guard shape.count == 1, shape[0] <= 1 << 20 else { return nil }
            var values = [Int32](repeating: 0, count: shape[0])
            if !values.isEmpty {
                try values.withUnsafeMutableBytes { bytes in
                    if let base = bytes.baseAddress { try dataset.read(into: base, at: [0], shape: shape) }
                }
            }
            return values.map { Int($0) }
        } ?? nil
    }

    /// Judges every coordinate that can be read. `counts` are those of the model's layers and heads.
    func judge(layerCount: Int?, headCount: Int?, kvHeadCount: Int?) {
        for dimension in Dimension.allCases {
            // Labelled with the first step.
            if dimension == .position, outline.isCausal, outline.committed == 0 { continue }
            guard let labels = outline.vector(Int32.self, dimension.rawValue)?.map({ Int($0) }) else { continue }
            if let expected = expected(dimension, count: labels.count, headCount, kvHeadCount) {
                guard let place = labels.indices.first(where: { $0 >= expected.count || labels[$0] != expected[$0] })
                else { continue }
                let wanted = place < expected.count ? "\(expected[place])" : "nothing"
                log.add(
                    .labelValue, dimension.rawValue, "label \(place) is \(labels[place]) where \(wanted) was recorded")
            } else if dimension == .layer || dimension == .head {
                let count = dimension == .layer ? layerCount : headCount
                let ascends = zip(labels, labels.dropFirst()).allSatisfy { $0 < $1 }
                if !ascends || labels.first.map({ $0 < 0 }) ?? false
                    || count.map({ labels.last ?? 0 >= $0 }) ?? false
                {
                    log.add(
                        .labelValue, dimension.rawValue,
                        "the labels are not ascending indices below \(count.map(String.init) ?? "the model's count")")
                }
            }
        }
    }

    private func expected(_ dimension: Dimension, count: Int, _ headCount: Int?, _ kvHeadCount: Int?) -> [Int]? {
        let plan = outline.plan
        switch dimension {
        case .layer, .head: return nil
        case .kvHead:
            guard let headCount, let kvHeadCount, kvHeadCount > 0, headCount % kvHeadCount == 0 else { return nil }
            return Set(plan.heads.map { $0 / (headCount / kvHeadCount) }).sorted()
        case .query: return outline.queries
        case .generated: return (0..<count).map { plan.promptLength + $0 }
        // Their last rows may be of what was not committed.
        case .vocab, .leaf: return outline.isHashed || outline.isComplete ? Array(0..<count) : nil
        case .rowStep, .mapStep:
            // Of an unfinished causal trace only the commit record knows the last step.
            if outline.isCausal, !outline.isComplete { return nil }
            return outline.mapSteps
        default: return Array(0..<count)
        }
    }
}
