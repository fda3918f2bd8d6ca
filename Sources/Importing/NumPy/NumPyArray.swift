/// An array whose elements lie in the spool.
struct NumPyArray {
    let type: NumPyType
    let shape: [Int]
    /// Whether the first axis is the fastest.
    let isFortran: Bool
    /// Place of the first byte in the spool.
    let offset: Int
    let spool: Spool

    /// Elements.
    var count: Int { shape.reduce(1, *) }

    /// Whether its elements are numbers: truth values are 0 and 1.
    var isNumeric: Bool {
        switch type {
        case .bool, .integer, .float: true
        case .text, .object: false
        }
    }

    /// Elements of a shape and their bytes; nil where they do not fit 64 bits.
    static func byteCount(_ shape: [Int], _ type: NumPyType) -> Int? {
        var bytes = type.size
        for length in shape {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: length)
            guard !overflow, length >= 0 else { return nil }
            bytes = product
        }
        return bytes
    }

    /// Some elements in the order in which they are stored.
    func numbers(_ range: Range<Int>) throws(ImportError) -> [Double] {
        let bytes = try raw(range)
        return bytes.withUnsafeBytes { raw in
            range.indices.map { type.number(raw, at: ($0 - range.lowerBound) * type.size) ?? .nan }
        }
    }

    /// The same array with the last axis the fastest, (..., i, j), as float64 in the spool.
    ///
    /// Takes the memory of the whole array: nil above 16 million numbers.
    func inRowOrder() throws(ImportError) -> NumPyArray? {
        guard isFortran else { return self }
        guard count <= 16 << 20, let columns = shape.last, shape.count >= 2 else { return nil }
        let rows = shape[shape.count - 2]
        let matrices = shape.dropLast(2).reduce(1, *)
        guard shape.count <= 3 else { return nil }
        let all = try numbers(0..<count)
        let place = spool.count
        for matrix in 0..<matrices {
            for row in 0..<rows {
                // Element (h, i, j) lies at h + heads (i + rows j).
                let values = (0..<columns).map { all[matrix + matrices * (row + rows * $0)] }
                var fault: ImportError?
                values.withUnsafeBytes { bytes in
                    do throws(ImportError) { try spool.append(bytes) } catch { fault = error }
                }
                if let fault { throw fault }
            }
        }
        return NumPyArray(type: .float(bytes: 8), shape: shape, isFortran: false, offset: place, spool: spool)
    }

    /// All elements as whole numbers; nil where they are none. For short lists.
    func integers(limit: Int) throws(ImportError) -> [Int]? {
        guard count <= limit else { return nil }
        let bytes = try raw(0..<count)
        return bytes.withUnsafeBytes { raw -> [Int]? in
            var values: [Int] = []
            for index in 0..<count {
                guard let value = type.integer(raw, at: index * type.size) else { return nil }
                values.append(value)
            }
            return values
        }
    }

    /// The first element as text; nil where it is none.
    func text() throws(ImportError) -> String? {
        guard case .text(let scalars) = type, count == 1 else { return nil }
        let bytes = try raw(0..<1)
        return bytes.withUnsafeBytes { raw in
            var view = String.UnicodeScalarView()
            for index in 0..<scalars {
                let value = UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
                guard value != 0 else { break }
                view.append(Unicode.Scalar(value) ?? "\u{FFFD}")
            }
            return String(view)
        }
    }

    private func raw(_ range: Range<Int>) throws(ImportError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count * type.size)
        var fault: ImportError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(ImportError) { try spool.read(at: offset + range.lowerBound * type.size, into: buffer) } catch {
                fault = error
            }
        }
        if let fault { throw fault }
        return bytes
    }
}
