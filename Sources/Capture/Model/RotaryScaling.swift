import Foundation

/// How Llama 3.1 stretches rotary positions: slow rotations are slowed down by a factor, fast ones stay, and those between
/// go over from one to the other (transformers, `rope_type` "llama3").
public struct RotaryScaling: Sendable, Equatable {
    /// By how much slow rotations are slowed down.
    public var factor: Double
    /// Rotations of a wavelength above `originalLength / lowFrequencyFactor` are slow.
    public var lowFrequencyFactor: Double
    /// Those of a wavelength below `originalLength / highFrequencyFactor` are fast.
    public var highFrequencyFactor: Double
    /// Positions of the first training.
    public var originalLength: Int

    /// Sets all four.
    public init(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalLength: Int) {
        self.factor = factor
        self.lowFrequencyFactor = lowFrequencyFactor
        self.highFrequencyFactor = highFrequencyFactor
        self.originalLength = originalLength
    }

    /// The frequency that takes the place of another.
    func scaled(_ frequency: Float) -> Float {
        let wavelength = 2 * Double.pi / Double(frequency)
        let turns = Double(originalLength) / wavelength
        if turns > highFrequencyFactor { return frequency }
        if turns < lowFrequencyFactor { return frequency / Float(factor) }
        let smooth = Float((turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor))
        return (1 - smooth) * frequency / Float(factor) + smooth * frequency
    }
}
