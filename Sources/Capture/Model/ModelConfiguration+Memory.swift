import CKernels
import Foundation

/// Memory that a model takes, from its configuration alone. Computed in floating point, which no size overflows; beyond
/// what 64 bits count it is given as the largest number.
extension ModelConfiguration {
    /// Whether a model is run on its weights where the files are mapped: in bfloat16 always; in float32 from 2^28
    /// parameters on. Smaller ones are copied and packed, which is faster where one row of activations reads weights
    /// that the caches hold.
    public func usesWeightsInPlace(_ numericType: NumericType) -> Bool {
        numericType == .bfloat16 || parameterCount > 1 << 28
    }

    /// Whether config.json says that the weights are stored in bfloat16.
    public var saysBFloat16: Bool { storedType == "bfloat16" }

    private var storedType: String? {
        // The source was parsed when the configuration was read; a memberwise one may have none.
        guard let members = try? JSONSerialization.jsonObject(with: Data(source.utf8)) as? [String: Any] else {
            return nil
        }
        return (members["torch_dtype"] ?? members["dtype"]) as? String
    }

    /// Bytes of the weights in memory, mapped pages counted: as they are stored where they are used in place; packed,
    /// where bfloat16 stays so and everything else becomes float32. By the type that config.json names; where it names
    /// none, as float32.
    ///
    /// - Parameter numericType: the run's; nil: what it is run in unless told otherwise.
    public func weightBytes(_ numericType: NumericType? = nil) -> Int {
        let type = numericType ?? .automatic(for: self, storedAsBFloat16: saysBFloat16)
        let size = saysBFloat16 ? 2.0 : 4.0
        if usesWeightsInPlace(type) {
            let stored = storedType == "float16" ? 2 : size
            return Int(clamping: Double(parameterCount) * stored + 4 * Double(width) * Double(2 * layerCount + 1))
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

    /// Bytes that a forward pass works in: activations of `rows`, the attention of one head a thread over `keys`, stored
    /// keys and values, logits, and the table of rotations, which doubles as it grows. `numericType` as of
    /// ``weightBytes(_:)``.
    public func passBytes(
        rows: Int, keys: Int, cachedLayers: Int, logitRows: Int, threads: Int, numericType: NumericType? = nil
    ) -> Int {
        let type = numericType ?? .automatic(for: self, storedAsBFloat16: saysBFloat16)
        var inPlace = 0.0
        if usesWeightsInPlace(type) {
            // Columns of the widest product's inputs, and each thread's scratch.
            let inputs = Double(max(width, mlpWidth, headCount * headWidth))
            inPlace =
                Double(max(rows, logitRows)) * inputs
                + Double(threads * ck_product_scratch(min(max(rows, logitRows), Transformer.productRows)) / 4)
        }
        let (rows, keys, heads) = (Double(rows), Double(keys), Double(headCount))
        let (channels, kvHeads) = (Double(headWidth), Double(kvHeadCount))
        let panels = (keys / Double(panelWidth)).rounded(.up) * Double(panelWidth)
        let activations = 2 * Double(width) + 2 * heads * channels + 2 * kvHeads * channels + Double(mlpWidth)
        let stored = Double(cachedLayers) * kvHeads * (panels + keys) * (channels / 16).rounded(.up) * 16
        let scores = Double(threads) * (panels * Double(CK_ATTENTION_ROWS) + rows * keys)
        return Int(
            clamping: 4
                * (rows * activations + heads * rows + stored + 2 * keys * channels + scores
                    + Double(logitRows) * Double(vocabularySize) + inPlace))
    }
}

extension Int {
    /// The nearest whole number to one that is 0 or more; the largest where it is beyond that.
    init(clamping value: Double) {
        self = Int(exactly: value.rounded()) ?? .max
    }
}
