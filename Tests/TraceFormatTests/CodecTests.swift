import Testing
import TraceFormat

@Suite struct CodecTests {
    @Test func halvesWidenExactly() {
        let halves = (0...UInt16.max).map { Float16(bitPattern: $0) }
        let floats = Float16Conversion.decode(halves)
        for (half, float) in zip(halves, floats) {
            #expect(half.isNaN ? float.isNaN : Float(half) == float, "\(half.bitPattern)")
        }
    }

    @Test func floatsNarrowToTheNearestEven() {
        // Every half, the middles between neighbours, and a little on either side of each.
        var floats: [Float] = [.infinity, -.infinity, 65519.9, 65520, 1e-9, -1e-9, 2.9802322e-8, 2.98023259e-8]
        for bits in UInt16(0)..<0x7c00 {
            let value = Float(Float16(bitPattern: bits))
            let next = Float(Float16(bitPattern: bits + 1))
            let middle = next.isFinite ? (value + next) / 2 : 65520
            floats += [value, -value, middle, middle.nextUp, middle.nextDown, -middle]
        }
        let halves = [Float16](unsafeUninitializedCapacity: floats.count) { buffer, count in
            floats.withUnsafeBufferPointer {
                Float16Conversion.encode(from: $0, to: UnsafeMutableBufferPointer(rebasing: buffer[..<floats.count]))
            }
            count = floats.count
        }
        for (float, half) in zip(floats, halves) {
            #expect(Float16(float).bitPattern == half.bitPattern, "\(float)")
        }
    }
}
