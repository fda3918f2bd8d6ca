import TraceFormat

/// The taps of one input's passes: they note what keys receive, or suppress by what was noted.
final class ScoringTaps {
    private let layerCount: Int
    private let headCount: Int
    private let keyCount: Int
    private let sums: Bool
    private let chooser: KeyChooser?
    private let step: Int
    private let plain: ScoringTaps?
    private var received: [Pass: ReceivedSums] = [:]

    /// Taps that leave attention as it is, and note what keys receive where `sums` says so.
    init(sums: Bool, keyCount: Int, _ configuration: ModelConfiguration) {
        self.sums = sums
        self.keyCount = keyCount
        layerCount = configuration.layerCount
        headCount = configuration.headCount
        (chooser, step, plain) = (nil, 0, nil)
    }

    /// Taps that suppress what a chooser takes by what others noted; `step` tells inputs apart.
    init(chooser: KeyChooser, step: Int, from plain: ScoringTaps) {
        self.chooser = chooser
        self.step = step
        self.plain = plain
        (layerCount, headCount, keyCount, sums) = (plain.layerCount, plain.headCount, plain.keyCount, false)
    }

    /// The tap of a pass.
    func tap(for pass: Pass) -> any AttentionTap {
        if sums {
            received[pass] = ReceivedSums(
                layerCount: layerCount, headCount: headCount, keyCount: keyCount, rowCount: keyCount)
        }
        return ScoringTap(taps: self, pass: pass, received: received[pass])
    }

    fileprivate func flags(_ pass: Pass, layer: Int) -> [UInt8]? {
        chooser?.flags(
            layer: layer, step: step, draw: pass == .conditional ? 0 : 1, keyCount: keyCount,
            former: plain?.received[pass])
    }
}

private struct ScoringTap: AttentionTap {
    let taps: ScoringTaps
    let pass: Pass
    let received: ReceivedSums?

    func parts(ofLayer layer: Int) -> LayerParts { received == nil ? [] : .weights }
    func absorb(_ head: HeadAttention) { received?.absorb(head) }
    func absorb(_ attention: LayerAttention) {}
    func suppressedKeys(inLayer layer: Int, headCount: Int, keyCount: Int) -> [UInt8]? {
        taps.flags(pass, layer: layer)
    }
}
