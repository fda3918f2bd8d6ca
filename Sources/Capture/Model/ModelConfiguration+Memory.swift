import CKernels
import Foundation

/// Memory that a model takes, from its configuration alone. Computed in floating point, which no size overflows; beyond
/// what 64 bits count it is given as the largest number.
extension ModelConfiguration {
    /// Bytes of the weights as the transformer packs them: bfloat16 stays so, everything else becomes float32. By the
    /// type that config.json names; where it names none, as float32.
    public var weightBytes: Int {
        var size = 4.0
        if let members = try? JSONSerialization.jsonObject(with: Data(source.utf8)) as? [String: Any],
            let name = (members["torch_dtype"] ?? members["dtype"]) as? String
        {
            size = name == "bfloat16" ? 2 : 4
        }
        func packed(_ outputs: Double, _ inputs: Double) -> Double {
            (outputs / Double(panelWidth)).rounded(.up) * Double(panelWidth) * inputs
        }
        let (width, mlp) = (Double(width), Double(mlpWidth))
        let (layers, vocabulary) = (Double(layerCount), Double(vocabularySize))
        let queries = Double(headCount) * Double(headWidth)
        let keys = Double(kvHeadCount) * Double(headWidth)
        let layer =
            packed(queries, width) + 2 * packed(keys, width) + packed(width, queries) + 2 * packed(mlp, width)
            + packed(width, mlp)
        return Int(
            clamping: size * (vocabulary * width + layers * layer + packed(vocabulary, width))
                + 4 * width * (2 * layers + 1))
    }

    /// Bytes that a forward pass works in: activations of `rows`, the attention of one head a thread over `keys`, stored keys and
    /// values, logits.
    public func passBytes(rows: Int, keys: Int, cachedLayers: Int, logitRows: Int, threads: Int) -> Int {
        let (rows, keys, heads) = (Double(rows), Double(keys), Double(headCount))
        let (channels, kvHeads) = (Double(headWidth), Double(kvHeadCount))
        let panels = (keys / Double(panelWidth)).rounded(.up) * Double(panelWidth)
        let activations = 2 * Double(width) + 2 * heads * channels + 2 * kvHeads * channels + Double(mlpWidth)
        let stored = Double(cachedLayers) * kvHeads * (panels + keys) * (channels / 16).rounded(.up) * 16
        let scores = Double(threads) * (panels * Double(CK_ATTENTION_ROWS) + rows * keys)
        return Int(
            clamping: 4
                * (rows * activations + heads * rows + stored + keys * channels + scores
                    + Double(logitRows) * Double(vocabularySize)))
    }
}

extension Int {
    /// The nearest whole number to one that is 0 or more; the largest where it is beyond that.
    init(clamping value: Double) {
        self = Int(exactly: value.rounded()) ?? .max
    }
}
