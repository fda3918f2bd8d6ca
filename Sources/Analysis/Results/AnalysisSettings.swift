import TraceFormat

/// What an analysis of a trace was told: together with the trace and the version of the definitions it gives the numbers.
public struct AnalysisSettings: Sendable {
    /// The version of the metrics' definitions: raised whenever a number changes its meaning, so that results of different
    /// meaning are never averaged.
    public static let definitions = 2

    /// The metrics by name; nil: all that the trace has the signals for.
    public var metrics: Set<String>?
    /// What the metrics are told.
    public var options = MetricOptions()
    /// The part of the trace to look at.
    public var extent = Extent.all
    /// Regions on whose keys results are reported, beside those of the extent; empty: no choice by region.
    public var regions: [String] = []
    /// The forward pass.
    public var pass = Pass.conditional

    /// All metrics of all of a trace, told nothing.
    public init() {}

    /// The settings as JSON. Every option of the metrics is listed, also those left as they are.
    public var json: JSONValue {
        func labels(_ set: Set<Int>?) -> JSONValue { set.map { .text(IndexText.text($0.sorted())) } ?? .null }
        return .object([
            ("metrics", metrics.map { .array($0.sorted().map(JSONValue.text)) } ?? .null),
            ("options", Self.described(options)),
            ("steps", labels(extent.steps)), ("layers", labels(extent.layers)), ("heads", labels(extent.heads)),
            ("queries", labels(extent.queries)), ("keys", labels(extent.keys)),
            ("regions", .array(regions.map(JSONValue.text))), ("pass", .text(pass.rawValue)),
        ])
    }

    /// The part of a trace that is looked at, with regions made keys.
    ///
    /// Throws ``AnalysisError/noSuchRegion(_:path:regions:)``, and what reading throws.
    func extent(in trace: Trace) throws -> Extent {
        guard !regions.isEmpty else { return extent }
        let (known, ofPosition) = try trace.regions()
        var keys = extent.keys ?? []
        for name in regions {
            let places = known.indices.filter { known[$0].name == name }
            guard !places.isEmpty else {
                throw AnalysisError.noSuchRegion(name, path: trace.path, regions: known.map(\.name))
            }
            keys.formUnion(
                ofPosition.indices.filter { $0 < trace.plan.keyCount && places.contains(Int(ofPosition[$0])) })
        }
        var extent = extent
        extent.keys = keys
        return extent
    }

    /// In what a file of results was made otherwise; nil where it was made alike.
    public func difference(from file: JSONValue) -> String? {
        let definitions = file["definitions"]?.whole ?? 0
        guard definitions == Self.definitions else {
            return "definitions are \(Self.definitions), and \(definitions) there"
        }
        return Self.difference(json, file["settings"] ?? .null)
    }

    /// The first setting in which two differ, with both values; nil where none does. Both are ``json``.
    static func difference(_ first: JSONValue, _ second: JSONValue, name: String = "settings") -> String? {
        guard let one = first.members, let other = second.members else {
            return first == second ? nil : "\(name) is \(first.line()), and \(second.line()) there"
        }
        let names = one.map(\.0) + other.map(\.0).filter { name in !one.contains { $0.0 == name } }
        for member in names {
            if let found = difference(first[member] ?? .null, second[member] ?? .null, name: "\(name).\(member)") {
                return found
            }
        }
        return nil
    }

    /// A value's members by name: what is added to the options of metrics is told without a line of its own.
    private static func described(_ value: Any) -> JSONValue {
        switch value {
        case let value as Int: return .integer(value)
        case let value as Double: return .exact(value)
        case let value as Bool: return .flag(value)
        case let value as String: return .text(value)
        case let value as any CustomStringConvertible where value is SinkRule || value is UInt64:
            return .text(value.description)
        default: break
        }
        let mirror = Mirror(reflecting: value)
        switch mirror.displayStyle {
        case .struct: return .object(mirror.children.map { ($0.label ?? "", described($0.value)) })
        case .optional: return mirror.children.first.map { described($0.value) } ?? .null
        case .collection, .tuple: return .array(mirror.children.map { described($0.value) })
        case .set: return .array(mirror.children.map { described($0.value) }.sorted { $0.line() < $1.line() })
        default: return .text("\(value)")
        }
    }
}
