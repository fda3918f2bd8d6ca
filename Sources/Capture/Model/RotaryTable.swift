import Foundation

/// Cosines and sines of the rotary position embedding, for as many positions as were asked for so far.
///
/// As transformers computes them: frequencies and angles in float32; the cosine of that angle is then taken in double
/// and rounded.
struct RotaryTable: ~Copyable {
    /// [position][pair]
    private(set) var cosine = FloatBuffer()
    private(set) var sine = FloatBuffer()
    private var positions = 0
    private let frequencies: [Float]

    /// Pairs of channels.
    var half: Int { frequencies.count }

    init(base: Double, headWidth: Int, scaling: RotaryScaling?) {
        frequencies = (0..<headWidth / 2).map { pair in
            let frequency = Float(1 / pow(base, Double(2 * pair) / Double(headWidth)))
            return scaling?.scaled(frequency) ?? frequency
        }
    }

    /// Makes sure that positions below `count` are there.
    mutating func extend(to count: Int) {
        guard count > positions else { return }
        cosine.grow(to: count * half)
        sine.grow(to: count * half)
        for position in positions..<count {
            for (pair, frequency) in frequencies.enumerated() {
                let angle = Double(Float(position) * frequency)
                cosine.start[position * half + pair] = Float(cos(angle))
                sine.start[position * half + pair] = Float(sin(angle))
            }
        }
        positions = count
    }
}
