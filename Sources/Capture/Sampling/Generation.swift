import TraceFormat

/// The end of a run: what was written, and when. Arrays have one element for each position, prompt first.
public struct Generation: Sendable, Equatable {
    /// Tokens of the prompt.
    public var promptLength: Int
    /// The tokens after the last step.
    public var finalIDs: [Int32]
    /// The step that wrote a position: -1 for the prompt, -2 for what stayed masked.
    ///
    /// A prompt token that equals the mask id is masked, as published; it has the step that wrote it, or -2.
    public var unmaskStep: [Int32]
    /// The place of a position in the order of writing, over the whole run from 0: by step, then falling score, then
    /// position. -1 and -2 as in `unmaskStep`.
    public var unmaskOrder: [Int32]
    /// Steps that were run.
    public var stepCount: Int

    /// The tokens that were generated.
    public var generatedIDs: [Int32] { Array(finalIDs[promptLength...]) }

    /// Starts the account of a run from what it is fed first; `isMasked` tells which positions are still to be written.
    init(promptLength: Int, tokens: [Int32], isMasked: [Bool]) {
        self.promptLength = promptLength
        finalIDs = tokens
        unmaskStep = isMasked.map { $0 ? -2 : -1 }
        unmaskOrder = unmaskStep
        stepCount = 0
    }

    /// Goes on from where another run was.
    mutating func takeUp(_ state: TokenState, afterSteps steps: Int) {
        finalIDs = state.ids
        unmaskStep = state.unmaskStep
        unmaskOrder = state.unmaskOrder
        stepCount = steps
    }

    /// Notes what a step wrote, in order.
    mutating func apply(_ transfers: [StepResult.Transfer], step: Int) {
        var order = unmaskOrder.reduce(0) { $1 >= 0 ? $0 + 1 : $0 }
        for transfer in transfers {
            finalIDs[transfer.position] = transfer.token
            unmaskStep[transfer.position] = Int32(step)
            unmaskOrder[transfer.position] = Int32(order)
            order += 1
        }
        stepCount = step + 1
    }

    /// Notes the token that a step of an autoregressive run added.
    mutating func append(_ token: Int32, step: Int) {
        finalIDs.append(token)
        unmaskStep.append(Int32(step))
        unmaskOrder.append(Int32(step))
        stepCount = step + 1
    }
}
