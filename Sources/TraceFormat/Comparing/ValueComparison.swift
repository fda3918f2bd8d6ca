/// Compares what two traces hold of one dataset, in pieces.
struct ValueComparison {
    let path: String
    let first: DatasetReader
    let second: DatasetReader
    let tolerance: Double
    let byteBudget: Int

    /// How they differ; nil where they do not. `labels` gives the labels along an axis.
    func run(_ labels: (Dimension) throws -> [Int]) throws -> TraceDiff.Values? {
        let common = zip(first.shape, second.shape).map { min($0, $1) }
        let whole = Box(origin: common.map { _ in 0 }, shape: common)
        var differing = 0
        var largest = 0.0
        var start: (index: [Int], values: [String])?
        for piece in whole.rowMajorPieces(elements: max(1, byteBudget / max(1, first.elementSize)))
        where piece.count > 0 {
            let (a, b) = (try first.bytes(of: piece), try second.bytes(of: piece))
            if a == b, first.elementSize == second.elementSize { continue }
            for place in 0..<piece.count {
                guard let difference = difference(a, b, place) else { continue }
                differing += 1
                // A NaN, once met, stays.
                largest = difference.isNaN || largest.isNaN ? .nan : max(largest, difference)
                if start == nil { start = (piece.index(at: place), [text(a, place, first), text(b, place, second)]) }
            }
        }
        guard let start else { return nil }
        let names = try zip(first.schema.dimensions, start.index).map { dimension, place in
            let all = try labels(dimension)
            return all.indices.contains(place) ? all[place] : place
        }
        return TraceDiff.Values(
            path: path, compared: whole.count, differing: differing,
            first: TraceDiff.Place(dimensions: first.schema.dimensions, labels: names), firstValues: start.values,
            largest: largest)
    }

    /// The absolute difference of two values where it counts; NaN for text, and where one is NaN.
    private func difference(_ a: [UInt8], _ b: [UInt8], _ place: Int) -> Double? {
        guard first.schema.type != .utf8 else {
            let same = slice(a, place, first).elementsEqual(slice(b, place, second))
            return same ? nil : .nan
        }
        let (x, y) = (number(a, place), number(b, place))
        if x == y || x.isNaN && y.isNaN { return nil }
        let difference = abs(x - y)
        return difference <= tolerance ? nil : difference
    }

    private func slice(_ bytes: [UInt8], _ place: Int, _ reader: DatasetReader) -> ArraySlice<UInt8> {
        let text = bytes[place * reader.elementSize..<(place + 1) * reader.elementSize]
        return text.prefix { $0 != 0 }
    }

    private func number(_ bytes: [UInt8], _ place: Int) -> Double {
        bytes.withUnsafeBytes { raw in
            switch first.schema.type {
            case .float16: Double(raw.loadUnaligned(fromByteOffset: 2 * place, as: Float16.self))
            case .float32: Double(raw.loadUnaligned(fromByteOffset: 4 * place, as: Float.self))
            case .int32: Double(raw.loadUnaligned(fromByteOffset: 4 * place, as: Int32.self))
            case .uint8: Double(raw[place])
            case .utf8: .nan
            }
        }
    }

    private func text(_ bytes: [UInt8], _ place: Int, _ reader: DatasetReader) -> String {
        switch reader.schema.type {
        case .utf8: String(decoding: slice(bytes, place, reader), as: UTF8.self)
        case .int32, .uint8: String(Int(number(bytes, place)))
        case .float16, .float32: String(Float(number(bytes, place)))
        }
    }
}

extension Box {
    /// The index of an element by its place in row-major order.
    func index(at place: Int) -> [Int] {
        var rest = place
        var index = origin
        for axis in shape.indices.reversed() {
            index[axis] += rest % shape[axis]
            rest /= shape[axis]
        }
        return index
    }
}
