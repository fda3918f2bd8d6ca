/// Which attention of a peer's file becomes a trace.
public enum PeerContent: String, CaseIterable, Sendable {
    /// `step_attention_data`: every step of a generation, averaged over heads.
    case steps
    /// `layer_N_full_attention_heads`: one forward pass over the finished sequence, head by head.
    case heads
    /// `layer_N_full_attention`: the same, averaged over heads.
    case average
}

/// What one trace is made of: the moments, the layers that all of them have, and their maps.
struct PeerAttention {
    let file: PeerFile
    let content: PeerContent
    let moments: [PeerFile.Moment]
    let layers: [Int]
    /// Heads; 1 where they are averaged.
    let heads: Int
    /// T.
    let length: Int

    /// Chooses what was asked for, else the first of steps, heads and average that the file has.
    init(_ file: PeerFile, content: PeerContent?) throws(ImportError) {
        let offered: [(PeerContent, [PeerFile.Moment])] = [
            (.steps, file.steps),
            (.heads, file.byHead.isEmpty ? [] : [PeerFile.Moment(maps: file.byHead, ids: nil)]),
            (.average, file.averaged.isEmpty ? [] : [PeerFile.Moment(maps: file.averaged, ids: nil)]),
        ].filter { !$0.1.isEmpty }
        guard let found = offered.first(where: { content == nil || $0.0 == content }) else {
            let there = offered.map(\.0.rawValue).joined(separator: ", ")
            throw ImportError(
                .lacking, path: file.path,
                content.map { "holds no \($0.rawValue); it holds \(there.isEmpty ? "no attention" : there)" }
                    ?? "holds no attention: no layer_N_full_attention, no layer_N_full_attention_heads, no step_attention_data"
            )
        }
        self.file = file
        (self.content, moments) = found
        guard let first = moments.first?.maps.first else {
            throw ImportError(.lacking, path: file.path, "holds no attention at its first step")
        }
        layers = moments[0].maps.map(\.layer)
        length = first.array.shape[first.array.shape.count - 1]
        heads = first.array.shape.count == 3 ? first.array.shape[0] : 1
        for moment in moments {
            guard moment.maps.map(\.layer) == layers else {
                throw ImportError(.lacking, path: file.path, "has other layers at one step than at the first")
            }
            for maps in moment.maps {
                guard maps.array.shape == first.array.shape else {
                    throw ImportError(
                        .malformed, path: file.path, member: maps.member,
                        "is of shape \(maps.array.shape) where \(first.member) is of \(first.array.shape)")
                }
                // Only whole arrays can be turned round, which memory must hold.
                if maps.array.isFortran, maps.array.count > 16 << 20 {
                    throw ImportError(
                        .lacking, path: file.path, member: maps.member,
                        "is in Fortran order and of more than 16 million numbers; save it with numpy.ascontiguousarray")
                }
            }
            if let ids = moment.ids, ids.count != length {
                throw ImportError(
                    .malformed, path: file.path, "has a sequence of \(ids.count) ids where maps are of \(length)")
            }
        }
    }

    /// Rows of one head's map, one after another.
    func rows(_ rows: Range<Int>, moment: Int, layer: Int, head: Int) throws(ImportError) -> [Double] {
        let array = moments[moment].maps[layer].array
        guard array.isFortran else {
            let start = (head * length + rows.lowerBound) * length
            return try array.numbers(start..<start + rows.count * length)
        }
        // The first axis is the fastest: element (h, i, j) at h + heads (i + T j).
        let all = try array.numbers(0..<array.count)
        return rows.flatMap { row in (0..<length).map { all[head + heads * (row + length * $0)] } }
    }
}
