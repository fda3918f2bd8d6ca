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
    private var received: [Pass: KeyChooser.Received] = [:]

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
            received[pass] = KeyChooser.Received(
                layerCount: layerCount, headCount: headCount, keyCount: keyCount, rowCount: keyCount)
        }
        return ScoringTap(taps: self, pass: pass)
    }

    fileprivate var parts: LayerParts { sums ? .weights : [] }

    fileprivate func absorb(_ attention: LayerAttention, _ pass: Pass) { received[pass]?.absorb(attention) }

    fileprivate func flags(_ pass: Pass, layer: Int) -> [UInt8]? {
        chooser?.flags(
            layer: layer, step: step, draw: pass == .conditional ? 0 : 1, keyCount: keyCount,
            former: plain?.received[pass])
    }
}

private struct ScoringTap: AttentionTap {
    let taps: ScoringTaps
    let pass: Pass

    func parts(ofLayer layer: Int) -> LayerParts { taps.parts }
    func absorb(_ attention: LayerAttention) { taps.absorb(attention, pass) }
    func suppressedKeys(inLayer layer: Int, headCount: Int, keyCount: Int) -> [UInt8]? {
        taps.flags(pass, layer: layer)
    }
}
