import Foundation

/// How far numbers derived from a map may be from those measured beside it.
///
/// A weight w of float16 is off by at most r w, r = 2^-11, or, where it is subnormal, by a = 2^-25. One that was rounded
/// again, to m bits of mantissa at last and perhaps by way of others, is off by at most the sum of all these roundings:
/// r = 2^-m - 2^-11, a = 2^-(m + 14) - 2^-25. Sums over T keys or rows inherit r of the sum and a T.
struct AttentionTolerance: Sendable {
    /// How far the sum of a row of imported weights may be from 1: they were rounded to bfloat16, and averaged.
    static let importedRowSum: Float = 0x1p-7

    /// Whether bits were dropped.
    let isRounded: Bool
    /// What the source's own rounding leaves between a row's sum and 1.
    let rowSumSlack: Float
    /// r.
    let relative: Float
    /// a.
    let absolute: Float

    /// For the mantissa that repacking may have kept; 10 bits where a map is as it was recorded.
    init(mantissaBits: Int = 10, isImported: Bool = false) {
        rowSumSlack = isImported ? Self.importedRowSum : 1e-5
        let bits = min(10, max(0, mantissaBits))
        isRounded = bits < 10
        relative = exp2(-Float(bits)) - 0x1p-11
        absolute = exp2(-Float(bits + 14)) - 0x1p-25
    }

    /// For the maps of a pass.
    init(of path: String, in outline: TraceOutline) {
        // Where it cannot be read, the strictest tolerance holds.
        let bits = (try? outline.file.attribute("kept_mantissa_bits", of: path))?.integer
        self.init(mantissaBits: bits.map { Int(clamping: $0) } ?? 10, isImported: outline.isImported)
    }

    /// Of a row's sum from 1.
    func rowSum(keys: Int) -> Float { relative + absolute * Float(keys) + rowSumSlack }
    /// Of a sum of weights.
    func sum(_ sum: Float, terms: Int) -> Float { (relative + 1e-6) * sum + 3e-8 / 0x1p-25 * absolute * Float(terms) }
    /// Of a largest weight.
    func weight(_ weight: Float) -> Float { relative * weight + absolute + 1e-6 }
    /// Of a row's entropy: r of the sum of w |ln w + 1|, and what tiny weights lose, at most 64 a each.
    func entropy(_ entropy: Float, keys: Int) -> Float { relative * (entropy + 1) + 64 * absolute * Float(keys) }
    /// Of a row's mean distance.
    func distance(_ distance: Float, keys: Int) -> Float {
        relative * distance + absolute * Float(keys) * Float(keys) + 1e-5 * (1 + distance)
    }
}

/// Sums and extremes of rows of single-precision numbers, sixteen at a time.
enum RowArithmetic {
    typealias Lanes = SIMD16<Float>

    @inline(__always)
    private static func lanes(_ row: UnsafePointer<Float>, _ place: Int) -> Lanes {
        UnsafeRawPointer(row + place).loadUnaligned(as: Lanes.self)
    }

    /// Sum and largest of a row.
    static func sumAndMax(_ row: UnsafePointer<Float>, _ count: Int) -> (sum: Float, max: Float) {
        var sums = Lanes.zero
        var peaks = Lanes.zero
        var place = 0
        while place + 16 <= count {
            let values = lanes(row, place)
            sums += values
            peaks = pointwiseMax(peaks, values)
            place += 16
        }
        var (sum, peak) = (sums.sum(), peaks.max())
        while place < count {
            sum += row[place]
            peak = max(peak, row[place])
            place += 1
        }
        return (sum, peak)
    }

    /// Adds a row to another.
    static func add(_ row: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, _ count: Int) {
        var place = 0
        while place + 16 <= count {
            let sum = lanes(row, place) + lanes(UnsafePointer(target), place)
            UnsafeMutableRawPointer(target + place).storeBytes(of: sum, as: Lanes.self)
            place += 16
        }
        while place < count {
            target[place] += row[place]
            place += 1
        }
    }

    /// -w ln w for each float16 from 0 to 1, by its bits.
    static let entropyTerms: [Float] = (0...0x3c00).map { bits in
        let weight = Double(Float16(bitPattern: UInt16(bits)))
        return weight > 0 ? Float(-weight * log(weight)) : 0
    }
}
