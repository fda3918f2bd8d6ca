import TraceFormat

/// The layers and heads that a pass reads, and the sites that they are averaged into.
public struct SiteGrid: Sendable, Equatable {
    /// What heads and layers are averaged into.
    public let scope: Scope
    /// Recorded layers that take part, ascending.
    public let layers: [Int]
    /// Recorded heads that take part, ascending.
    public let heads: [Int]
    /// The sites, by layer, then head.
    public let sites: [Site]
    /// Heads averaged into one site.
    public let headsPerSite: Int

    /// Lays out the sites of some layers and heads.
    public init(layers: [Int], heads: [Int], scope: Scope) {
        self.scope = scope
        self.layers = layers
        self.heads = heads
        switch scope {
        case .head:
            sites = layers.flatMap { layer in heads.map { Site(layer: layer, head: $0) } }
            headsPerSite = 1
        case .layer:
            sites = layers.map { Site(layer: $0) }
            headsPerSite = heads.count
        case .overall:
            sites = [Site()]
            headsPerSite = layers.count * heads.count
        }
    }

    /// The site to which a layer and head belong, by their places among the selected ones.
    func site(layer: Int, head: Int) -> Int {
        switch scope {
        case .head: layer * heads.count + head
        case .layer: layer
        case .overall: 0
        }
    }

    /// Heads that a complete step has.
    var headCount: Int { layers.count * heads.count }
}

/// Where the selected layers and heads lie along a trace's axes.
struct SiteSelection: Sendable {
    let grid: SiteGrid
    /// Place among the selected layers by index along the axis; -1 where not selected.
    let layerPlace: [Int]
    /// Place among the selected heads by index along the axis; -1 where not selected.
    let headPlace: [Int]
    /// The smallest box that holds the selection.
    let box: Selection

    /// One layer of the trace, at a place along its axis, with the heads at some places.
    init(grid: SiteGrid, layerPlace layer: Int, headPlaces: [Int]) {
        self.grid = grid
        layerPlace = Array(repeating: -1, count: layer) + [0]
        var places = Array(repeating: -1, count: (headPlaces.last ?? -1) + 1)
        for (index, place) in headPlaces.enumerated() { places[place] = index }
        headPlace = places
        box = Selection([
            .layer: layer..<layer + 1, .head: (headPlaces.first ?? 0)..<(headPlaces.last.map { $0 + 1 } ?? 0),
        ])
    }

    init(of trace: Trace, per scope: Scope, layers: Set<Int>?, heads: Set<Int>?) throws {
        let recordedLayers = try trace.coordinate(.layer)
        let recordedHeads = try trace.coordinate(.head)
        if let missing = layers?.subtracting(recordedLayers).min() {
            throw AnalysisError.noSuchLayer(missing, recorded: recordedLayers)
        }
        if let missing = heads?.subtracting(recordedHeads).min() {
            throw AnalysisError.noSuchHead(missing, recorded: recordedHeads)
        }
        let chosenLayers = recordedLayers.filter { layers?.contains($0) ?? true }
        let chosenHeads = recordedHeads.filter { heads?.contains($0) ?? true }
        layerPlace = Self.places(of: chosenLayers, in: recordedLayers)
        headPlace = Self.places(of: chosenHeads, in: recordedHeads)
        grid = SiteGrid(layers: chosenLayers, heads: chosenHeads, scope: scope)
        var ranges: [Dimension: Range<Int>] = [:]
        if let first = layerPlace.firstIndex(where: { $0 >= 0 }), let last = layerPlace.lastIndex(where: { $0 >= 0 }) {
            ranges[.layer] = first..<last + 1
        }
        if let first = headPlace.firstIndex(where: { $0 >= 0 }), let last = headPlace.lastIndex(where: { $0 >= 0 }) {
            ranges[.head] = first..<last + 1
        }
        box = Selection(ranges)
    }

    private static func places(of chosen: [Int], in recorded: [Int]) -> [Int] {
        var next = 0
        return recorded.map { label in
            guard next < chosen.count, chosen[next] == label else { return -1 }
            next += 1
            return next - 1
        }
    }
}
