/// The arithmetic of a model's products with its weights. Sums, the residual stream, norms, rotations and attention are
/// float32 in either.
public enum NumericType: String, Sendable, CaseIterable {
    /// Weights widened to float32, which is exact, and multiplied with float32 activations.
    case float32
    /// Weights and activations rounded to bfloat16, the nearest one, the even one of two, where they enter a product.
    case bfloat16

    /// Parameters from which a model stored in bfloat16 is run in bfloat16 unless told otherwise.
    public static let bfloat16Parameters = 1_000_000_000

    /// What a model is run in unless told otherwise: bfloat16 where it is stored in that and has
    /// ``bfloat16Parameters`` or more, since only there time counts more than digits; else float32.
    public static func automatic(for configuration: ModelConfiguration, storedAsBFloat16: Bool) -> NumericType {
        storedAsBFloat16 && configuration.parameterCount >= bfloat16Parameters ? .bfloat16 : .float32
    }
}
