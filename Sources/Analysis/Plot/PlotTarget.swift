/// What a plot shows: one head, the mean of a layer's heads, or the mean of the whole model.
public enum PlotTarget: Sendable, Hashable {
    /// One head of one layer, by recorded indices.
    case head(layer: Int, head: Int)
    /// A layer, its heads averaged.
    case layer(Int)
    /// Layers and heads averaged.
    case overall

    /// The scope in which the target is one site.
    var scope: Scope {
        switch self {
        case .head: .head
        case .layer: .layer
        case .overall: .overall
        }
    }

    /// The layers to read; nil for all.
    var layers: Set<Int>? {
        switch self {
        case .head(let layer, _), .layer(let layer): [layer]
        case .overall: nil
        }
    }

    /// The heads to read; nil for all.
    var heads: Set<Int>? {
        guard case .head(_, let head) = self else { return nil }
        return [head]
    }
}
