import AMXEmulation
import CKernels
import Capture
import Foundation
import Testing

/// Products with weights in place, on every instruction set that this machine has, and on AMX tiles in plain C.
@Suite struct ProductKernelTests {
    /// One product: c = a times weights^T, a [rows, k], weights [outputs, k].
    struct Shape: CustomTestStringConvertible {
        let rows: Int
        let outputs: Int
        let k: Int
        var testDescription: String { "\(rows) x \(outputs) x \(k)" }
    }

    static let shapes = [
        Shape(rows: 1, outputs: 7, k: 5), Shape(rows: 17, outputs: 96, k: 64), Shape(rows: 18, outputs: 33, k: 1060),
        Shape(rows: 66, outputs: 20, k: 70),
    ]
    static let sets: [ck_isa] = [CK_PORTABLE, CK_AVX2, CK_AVX512, CK_AVX512_BF16, CK_AMX]

    /// Every way to multiply in bfloat16 that runs here.
    static var brainProducts: [(name: String, products: ck_products)] {
        var all = sets.compactMap { isa in
            ck_kernels_for(isa).map { (String(cString: $0.pointee.name), $0.pointee.products_bfloat16.pointee) }
        }
        all.append(("amx in plain C", emulated_amx_products().pointee))
        return all
    }

    @Test(arguments: shapes)
    func bfloat16(shape: Shape) throws {
        for type in [CK_BFLOAT16, CK_FLOAT32, CK_FLOAT16] {
            let data = Numbers(shape, type: type)
            let wanted = data.reference(rounded: true)
            for (name, products) in Self.brainProducts {
                let got = try data.multiply(products)
                // Products of bfloat16 are exact in float32: what is left is the rounding of k sums of size sqrt(k).
                let allowed = 2e-6 * Double(shape.k)
                // NaN is within no bound; the largest of several numbers would pass over it.
                #expect(
                    zip(got, wanted).allSatisfy { abs(Double($0) - $1) < allowed }, "\(name), type \(type.rawValue)")
            }
        }
    }

    @Test(arguments: shapes)
    func float32HasTheBitsOfPackedWeights(shape: Shape) throws {
        for type in [CK_BFLOAT16, CK_FLOAT32, CK_FLOAT16] {
            let data = Numbers(shape, type: type)
            let wanted = data.reference(rounded: false)
            for isa in Self.sets {
                guard let kernels = ck_kernels_for(isa)?.pointee else { continue }
                let got = try data.multiply(kernels.products_float32.pointee)
                #expect(try got == data.multiplyPacked(kernels))
                #expect(try data.multiply(kernels.products_float32.pointee, adds: got) == got.map { $0 + $0 })
                #expect(zip(got, wanted).allSatisfy { abs(Double($0) - $1) < 2e-6 * Double(shape.k) })
            }
        }
    }

    /// Every way to multiply that runs here.
    static var allProducts: [(name: String, products: ck_products)] {
        brainProducts
            + sets.compactMap { isa in
                ck_kernels_for(isa).map { ("float32, \(isa.rawValue)", $0.pointee.products_float32.pointee) }
            }
    }

    /// A few rows alone have the bits that they have among others: what a key-value cache relies on.
    @Test(arguments: [CK_BFLOAT16, CK_FLOAT32, CK_FLOAT16])
    func fewRowsHaveTheBitsOfMany(type: ck_type) throws {
        let shape = Shape(rows: 37, outputs: 34, k: 530)
        let data = Numbers(shape, type: type)
        for (name, products) in Self.allProducts {
            let all = try data.multiply(products)
            let gated = try data.multiply(products, gates: true)
            for rows in [0..<1, 15..<16, 36..<37, 3..<5, 14..<17, 32..<36, 30..<35] {
                let elements = rows.lowerBound * shape.outputs..<rows.upperBound * shape.outputs
                let few = try data.multiply(products, rows: rows)
                #expect(few == Array(all[elements]), "\(name), \(rows)")
                #expect(
                    try data.multiply(products, rows: rows, adds: few) == few.map { $0 + $0 }, "\(name), \(rows), added"
                )
                #expect(
                    try data.multiply(products, rows: rows, gates: true) == Array(gated[elements]),
                    "\(name), \(rows), gated")
            }
        }
    }

    /// silu(gate) * up, of one matrix in both roles.
    @Test func gated() throws {
        let data = Numbers(Shape(rows: 19, outputs: 48, k: 70), type: CK_BFLOAT16)
        for (name, products) in Self.brainProducts {
            let wanted = data.reference(rounded: true).map { $0 / (1 + exp(-$0)) * $0 }
            let got = try data.multiply(products, gates: true)
            #expect(zip(got, wanted).allSatisfy { abs(Double($0) - $1) < 1e-5 * (1 + abs($1)) }, "\(name)")
        }
    }

    /// Rounding to bfloat16: ties to even, infinities and NaN kept.
    @Test func rounding() throws {
        let bits: [UInt32] = [
            0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x3f80_7fff, 0x7f7f_ffff, 0x7f80_0000, 0x7f80_0001, 0xff80_0000,
        ]
        let wanted: [UInt16] = [0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x7f80, 0x7f80, 0x7fc0, 0xff80]
        let values = bits.map(Float.init(bitPattern:))
        for (name, products) in Self.brainProducts {
            var column = [UInt8](repeating: 0, count: ck_column_bytes(bits.count, products.number_bytes))
            column.withUnsafeMutableBytes { products.arrange(values, values.count, 1, values.count, $0.baseAddress) }
            for (index, number) in wanted.enumerated() {
                // Pairs lie side by side, float32 a column apart.
                let place = products.number_bytes == 2 ? index / 2 * 64 + index % 2 * 2 : index * 64 + 2
                let got = column.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: place, as: UInt16.self) }
                #expect(got == number, "\(name), \(bits[index])")
            }
        }
    }
}

/// Activations and weights of a product.
private struct Numbers {
    let shape: ProductKernelTests.Shape
    let type: ck_type
    let activations: [Float]
    /// Exactly what `stored` holds.
    let weights: [Float]
    /// The weights in their type, a byte off any alignment.
    let stored: [UInt8]

    init(_ shape: ProductKernelTests.Shape, type: ck_type) {
        self.shape = shape
        self.type = type
        var state: UInt64 = 42
        func next() -> Float {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(Int(state >> 40) - (1 << 23)) / Float(1 << 23)
        }
        activations = (0..<shape.rows * shape.k).map { _ in next() }
        var bytes: [UInt8] = [0]
        var kept: [Float] = []
        for _ in 0..<shape.outputs * shape.k {
            let number = next()
            switch type {
            case CK_BFLOAT16:
                let half = UInt16(number.bitPattern >> 16)
                kept.append(Float(bitPattern: UInt32(half) << 16))
                withUnsafeBytes(of: half) { bytes += $0 }
            case CK_FLOAT16:
                let half = Float16(number)
                kept.append(Float(half))
                withUnsafeBytes(of: half) { bytes += $0 }
            default:
                kept.append(number)
                withUnsafeBytes(of: number) { bytes += $0 }
            }
        }
        weights = kept
        stored = bytes
    }

    func multiply(
        _ products: ck_products, rows: Range<Int>? = nil, gates: Bool = false, adds: [Float]? = nil
    ) throws -> [Float] {
        let rows = rows ?? 0..<shape.rows
        let columnBytes = ck_column_bytes(shape.k, products.number_bytes)
        let count = (rows.count + 15) / 16
        let columns = UnsafeMutableRawPointer.allocate(byteCount: count * columnBytes, alignment: 64)
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: ck_product_scratch(rows.count), alignment: 64)
        defer {
            columns.deallocate()
            scratch.deallocate()
        }
        try activations.withUnsafeBufferPointer { activations in
            let start = try #require(activations.baseAddress)
            for column in 0..<count {
                let row = rows.lowerBound + column * 16
                products.arrange(
                    start + row * shape.k, shape.k, min(16, rows.upperBound - row), shape.k,
                    columns + column * columnBytes)
            }
        }
        var out = adds ?? [Float](repeating: .nan, count: rows.count * shape.outputs)
        try stored.withUnsafeBytes { bytes in
            try out.withUnsafeMutableBufferPointer { out in
                let weights = try #require(bytes.baseAddress) + 1
                var job = ck_product_job(
                    weights: weights, up: gates ? weights : nil, type: type, outputs: shape.outputs, k: shape.k,
                    columns: columns, rows: rows.count, scratch: scratch, c: out.baseAddress, c_stride: shape.outputs,
                    add: adds == nil ? 0 : 1)
                products.multiply(&job)
            }
        }
        return out
    }

    /// The same on packed panels.
    func multiplyPacked(_ kernels: ck_kernels) throws -> [Float] {
        let packed = type == CK_BFLOAT16 ? CK_BFLOAT16 : CK_FLOAT32
        let panel = UnsafeMutableRawPointer.allocate(byteCount: ck_panel_bytes(shape.k, packed), alignment: 64)
        defer { panel.deallocate() }
        var out = [Float](repeating: .nan, count: shape.rows * shape.outputs)
        for first in stride(from: 0, to: shape.outputs, by: Int(CK_PANEL)) {
            let some = min(Int(CK_PANEL), shape.outputs - first)
            try stored.withUnsafeBytes {
                let size = type == CK_FLOAT32 ? 4 : 2
                ck_pack_panel(
                    try #require($0.baseAddress) + 1 + first * shape.k * size, type, shape.k, some, panel, packed)
            }
            try out.withUnsafeMutableBufferPointer {
                let start = try #require($0.baseAddress)
                kernels.multiply(
                    activations, shape.k, panel, packed, shape.k, start + first, shape.outputs, shape.rows,
                    some, 0)
            }
        }
        return out
    }

    /// In double; `rounded`: of numbers rounded to bfloat16.
    func reference(rounded: Bool) -> [Double] {
        func number(_ x: Float) -> Double {
            guard rounded else { return Double(x) }
            let bits = x.bitPattern
            return Double(Float(bitPattern: (bits &+ 0x7fff &+ ((bits >> 16) & 1)) & 0xffff_0000))
        }
        let (a, w) = (activations.map(number), weights.map(number))
        return (0..<shape.rows).flatMap { row in
            (0..<shape.outputs).map { output in
                var sum = 0.0
                for i in 0..<shape.k { sum += a[row * shape.k + i] * w[output * shape.k + i] }
                return sum
            }
        }
    }
}
