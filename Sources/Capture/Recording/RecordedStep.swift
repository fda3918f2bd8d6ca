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
    /// Whether a key was fed in masked, 0 or 1: of both passes what the conditional one was fed, as the classes are.
    let isMasked: [UInt8]
    /// The step's place along the axes of steps that keep maps and per-query signals; nil where it keeps none.
    let mapPlace: Int?
    /// Rows fed in, counted from the first, that maps and per-query signals are kept of.
    let keptRows: [Int]
    /// The place of the first of them along the axis of queries.
    let firstKept: Int
    /// The place among the kept rows of each row fed in; -1 where it is not kept.
    let keptPlaces: [Int32]

    /// Prepares a step of a plan.
    init(_ input: StepInput, plan: TracePlan) {
        self.input = input
        classes = input.queries.map { position in
            let kind: QueryClass =
                position < plan.promptLength ? .prompt : input.isMasked[position] ? .masked : .unmasked
            return UInt8(kind.rawValue)
        }
        isMasked = input.isMasked.map { $0 ? 1 : 0 }
        mapPlace = plan.mapPlace(ofStep: input.index)
        let first = input.queries.lowerBound
        if let queries = plan.queries {
            keptRows = queries.filter(input.queries.contains).map { $0 - first }
            firstKept = queries.count { $0 < first }
        } else {
            keptRows = Array(0..<input.queries.count)
            firstKept = first
        }
        var places = Array(repeating: Int32(-1), count: input.queries.count)
        for (place, row) in keptRows.enumerated() { places[row] = Int32(place) }
        keptPlaces = places
    }

    /// Whether the step keeps a row of maps or per-query signals.
    var keepsRows: Bool { mapPlace != nil && !keptRows.isEmpty }
}
