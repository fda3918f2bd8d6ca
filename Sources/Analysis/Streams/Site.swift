/// Where a score belongs: a head of a layer, a layer with its heads averaged, or the whole model.
public struct Site: Sendable, Hashable {
    /// The recorded layer; nil when layers are averaged.
    public let layer: Int?
    /// The recorded head; nil when heads are averaged.
    public let head: Int?

    /// Names a site.
    public init(layer: Int? = nil, head: Int? = nil) {
        self.layer = layer
        self.head = head
    }
}

extension Site: CustomStringConvertible {
    /// `layer 3 head 1`, `layer 3, heads averaged` or `layers and heads averaged`.
    public var description: String {
        switch (layer, head) {
        case (let layer?, let head?): "layer \(layer) head \(head)"
        case (let layer?, nil): "layer \(layer), heads averaged"
        case (nil, _): "layers and heads averaged"
        }
    }
}
