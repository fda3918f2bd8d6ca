/// The row of attention that scored one emitted token, at one layer. Rows of a layer come in the order of emission.
public struct AnswerRow: Sendable {
    /// Place in the order of emission, from 0, among all the trace's answer rows.
    public let index: Int
    /// Position of the token that was emitted.
    public let position: Int
    /// Position of the query whose row it is: the token's own, or one less where the model predicts the next.
    public let query: Int
    /// The step that it comes from.
    public let step: Int
    /// Place of the layer among those looked at.
    public let layerIndex: Int
    /// Keys that the row may see, from position 0.
    public let keyCount: Int
    /// The weights as recorded (float16, not normalised), (head, key).
    public let weights: [Float]
}
