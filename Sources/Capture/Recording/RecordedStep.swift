import TraceFormat

/// The running step as the parts of the recorder need it.
struct RecordedStep {
    /// What was fed in.
    let input: StepInput
    /// The class of each row that was fed in, as ``QueryClass`` numbers them.
    ///
    /// A position of the prompt is of the class `prompt` even where the prompt itself holds the mask token, and in the
    /// unconditional pass, which hides the prompt: the classes of both passes are those of the same positions.
    let classes: [UInt8]

    /// Classifies the rows of a step.
    init(_ input: StepInput, promptLength: Int) {
        self.input = input
        classes = input.queries.map { position in
            let kind: QueryClass =
                position < promptLength ? .prompt : input.isMasked[position] ? .masked : .unmasked
            return UInt8(kind.rawValue)
        }
    }
}

/// One layer's attention on its way into the trace.
struct RecordedLayer {
    /// The attention.
    let attention: LayerAttention
    /// The layer's index along the axis of recorded layers.
    let index: Int
    /// The pass that it comes from.
    let pass: Pass

    /// The dataset's key, in the group of this pass.
    func key<E>(_ key: DatasetKey<E>) -> DatasetKey<E> { pass == .conditional ? key : key.unconditional }
}
