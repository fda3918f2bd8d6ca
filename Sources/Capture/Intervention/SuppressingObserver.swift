import TraceFormat

/// Changes a run's attention as a ``Suppression`` says, and hands everything on to another observer.
///
/// Keeps what each key received in the running step and the one before, in float32: 4 * layers * heads * keys bytes for
/// each of them and each pass.
final class SuppressingObserver: GenerationObserver {
    private let next: (any GenerationObserver)?
    private let chooser: KeyChooser
    private let isCausal: Bool
    private let point: ResumePoint?
    /// The running step; -1 before the first.
    private var step = -1
    /// Keys that its passes have.
    private var keyCount = 0
    private var running: [Pass: ReceivedSums] = [:]
    private var former: [Pass: ReceivedSums] = [:]

    /// Goes on from `point` where a run is taken up: what its last committed step suppressed is read there.
    init(
        _ suppression: Suppression, configuration: ModelConfiguration, promptLength: Int, seed: UInt64,
        next: (any GenerationObserver)?, resuming point: ResumePoint?
    ) {
        self.next = next
        self.point = point
        isCausal = configuration.visibility == .causal
        chooser = KeyChooser(
            suppression: suppression, layerCount: configuration.layerCount, headCount: configuration.headCount,
            promptLength: promptLength, seed: seed)
    }

    var topCount: Int { next?.topCount ?? 0 }

    func stepWillBegin(_ input: StepInput) throws {
        begin(input.index, keyCount: input.queries.upperBound)
        try next?.stepWillBegin(input)
    }

    func stepWillRepeat(_ index: Int) -> (any AttentionTap)? {
        // Repeated are steps of a causal run, each a key longer than the one before.
        begin(index, keyCount: chooser.promptLength + index)
        return tap(for: .conditional, next: next?.stepWillRepeat(index))
    }

    func tap(for pass: Pass) -> (any AttentionTap)? {
        tap(for: pass, next: next?.tap(for: pass))
    }

    private func tap(for pass: Pass, next: (any AttentionTap)?) -> any AttentionTap {
        if chooser.suppression.dependsOnRun {
            running[pass] = ReceivedSums(
                layerCount: chooser.layerCount, headCount: chooser.headCount, keyCount: keyCount,
                rowCount: isCausal ? 1 : keyCount)
        }
        return SuppressingTap(observer: self, pass: pass, received: running[pass], next: next)
    }

    func stepDidEnd(_ result: StepResult) throws { try next?.stepDidEnd(result) }

    private func begin(_ index: Int, keyCount: Int) {
        step = index
        self.keyCount = keyCount
        former = running
        running = [:]
    }

    fileprivate func flags(_ pass: Pass, layer: Int, keyCount: Int) -> [UInt8]? {
        // The step that a run is taken up with was chosen by one that is not run again.
        let dependsOnRun = chooser.suppression.dependsOnRun
        if dependsOnRun, !isCausal, let point, step == point.steps - 1 {
            let size = chooser.headCount * keyCount
            return point.suppressed[pass].map { Array($0[layer * size..<(layer + 1) * size]) }
        }
        var received = former[pass]
        if !dependsOnRun, step > 0 {
            // By lot: among the keys that the step before had.
            received = ReceivedSums(
                layerCount: 0, headCount: 0, keyCount: isCausal ? keyCount - 1 : keyCount, rowCount: 1)
        }
        return chooser.flags(
            layer: layer, step: step, draw: pass == .conditional ? 0 : 1, keyCount: keyCount, former: received)
    }
}

/// Takes keys out of a pass's attention, and hands its layers on.
private struct SuppressingTap: AttentionTap {
    let observer: SuppressingObserver
    let pass: Pass
    /// What the pass's keys receive, where the next step is chosen by it.
    let received: ReceivedSums?
    let next: (any AttentionTap)?

    func suppressedKeys(inLayer layer: Int, headCount: Int, keyCount: Int) -> [UInt8]? {
        observer.flags(pass, layer: layer, keyCount: keyCount)
    }

    func parts(ofLayer layer: Int) -> LayerParts {
        (next?.parts(ofLayer: layer) ?? []).union(received == nil ? [] : .weights)
    }

    func absorb(_ head: HeadAttention) {
        received?.absorb(head)
        if let next, next.parts(ofLayer: head.layer).contains(.weights) { next.absorb(head) }
    }

    func absorb(_ attention: LayerAttention) throws {
        if let next, !next.parts(ofLayer: attention.layer).isEmpty { try next.absorb(attention) }
    }

    func wantsResidual(atDepth depth: Int) -> Bool { next?.wantsResidual(atDepth: depth) ?? false }
    func absorb(_ residual: ResidualStream) throws { try next?.absorb(residual) }
}
