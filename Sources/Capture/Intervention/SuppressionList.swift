import Foundation
import TraceFormat

/// Keys to suppress, step by step: a table with the columns `step` and `position` and, where they are not all meant,
/// `layer` and `head`, as `attntrace sinks` writes it in CSV or JSON. Further columns are of no meaning.
public struct SuppressionList: Sendable, Equatable {
    /// A key to suppress.
    public struct Entry: Sendable, Equatable {
        /// The layer; nil: all.
        public var layer: Int?
        /// The head; nil: all of the layer.
        public var head: Int?
        /// The key's position.
        public var position: Int

        /// Names a key.
        public init(layer: Int? = nil, head: Int? = nil, position: Int) {
            self.layer = layer
            self.head = head
            self.position = position
        }
    }

    /// Steps by which each entry is put off: 1 suppresses at step t what was a sink at step t - 1.
    public var delay: Int
    /// The file's SHA-256; empty where there was none.
    public let sha256: String
    private let steps: [Int: [Entry]]

    /// A list of entries by step.
    public init(_ entries: [Int: [Entry]], delay: Int = 0) {
        steps = entries
        self.delay = delay
        sha256 = ""
    }

    /// Reads a file. Errors: `TraceError.system` where it cannot be read,
    /// ``CaptureError/badSuppressionList(path:place:reason:)`` where it is no such table.
    public init(contentsOf path: String, delay: Int = 0) throws {
        guard let contents = FileManager.default.contents(atPath: path) else {
            let reason = access(path, R_OK) == 0 ? "not a file" : String(cString: strerror(errno))
            throw TraceError.system(path: path, operation: "read", reason: reason)
        }
        let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let data = contents.starts(with: byteOrderMark) ? contents.dropFirst(3) : contents
        guard let text = String(validating: data, as: UTF8.self) else {
            throw CaptureError.badSuppressionList(path: path, place: "", reason: "is not UTF-8")
        }
        let isJSON = text.unicodeScalars.first { !$0.properties.isWhitespace } == "{"
        let table = isJSON ? try Self.json(data, path) : Self.commaSeparated(text)
        steps = try Self.entries(of: table, path)
        self.delay = delay
        sha256 = try FileDigest.sha256(ofFile: path)
    }

    /// How many entries there are.
    public var entryCount: Int { steps.values.reduce(0) { $0 + $1.count } }

    /// What a step suppresses in a layer.
    func entries(step: Int, layer: Int) -> [Entry] {
        (steps[step - delay] ?? []).filter { $0.layer.map { $0 == layer } ?? true }
    }

    /// Checks every entry against a model and a run's length. Errors: ``CaptureError/badSuppression(_:)``.
    func validate(_ configuration: ModelConfiguration, positionCount: Int) throws(CaptureError) {
        guard delay >= 0 else { throw .badSuppression("entries can be put off by 0 steps or more, not \(delay)") }
        for (step, entries) in steps.sorted(by: { $0.key < $1.key }) {
            for entry in entries {
                for (what, index, count) in [
                    ("layer", entry.layer ?? 0, configuration.layerCount),
                    ("head", entry.head ?? 0, configuration.headCount), ("position", entry.position, positionCount),
                ] where index < 0 || index >= count {
                    throw .badSuppression(
                        "the list names \(what) \(index) at step \(step), where there are 0 ..< \(count)")
                }
            }
        }
    }

    // MARK: Reading

    /// Columns by name and rows of fields, as text; the rows begin at a line.
    private struct Grid {
        var columns: [String]
        var rows: [[String]]
    }

    private static func entries(of table: Grid, _ path: String) throws -> [Int: [Entry]] {
        func fail(_ place: String, _ reason: String) -> CaptureError {
            .badSuppressionList(path: path, place: place, reason: reason)
        }
        func column(_ name: String) -> Int? { table.columns.firstIndex(of: name) }
        guard let stepColumn = column("step"), let positionColumn = column("position") else {
            throw fail("", "has no columns step and position")
        }
        var entries: [Int: [Entry]] = [:]
        for (index, row) in table.rows.enumerated() {
            func number(_ column: Int?, required: Bool) throws -> Int? {
                guard let column, column < row.count, !row[column].isEmpty || required else {
                    guard !required else { throw fail("row \(index + 1)", "has too few fields") }
                    return nil
                }
                // Other programs write whole numbers as 1.0, too.
                let text = row[column]
                guard let value = Int(text) ?? Double(text).flatMap(Int.init(exactly:)), value >= 0 else {
                    throw fail("row \(index + 1)", "\(table.columns[column]) is \"\(text)\", no whole number")
                }
                return value
            }
            guard let step = try number(stepColumn, required: true),
                let position = try number(positionColumn, required: true)
            else { continue }
            entries[step, default: []].append(
                Entry(
                    layer: try number(column("layer"), required: false),
                    head: try number(column("head"), required: false), position: position))
        }
        return entries
    }

    /// The table `sinks` of a result, or an object that is itself a table.
    private static func json(_ data: Data, _ path: String) throws -> Grid {
        let fail = CaptureError.badSuppressionList(
            path: path, place: "", reason: "is not JSON with a table of sinks: columns with names, and rows")
        guard let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else { throw fail }
        let table = object["sinks"] as? [String: Any] ?? object
        guard let columns = table["columns"] as? [[String: Any]], let rows = table["rows"] as? [[Any]]
        else { throw fail }
        return Grid(
            columns: columns.map { $0["name"] as? String ?? "" },
            rows: rows.map { row in row.map { $0 is NSNull ? "" : "\($0)" } })
    }

    /// RFC 4180: fields with commas, quotes or line ends stand in quotes, quotes in them twice.
    private static func commaSeparated(_ text: String) -> Grid {
        var rows: [[String]] = []
        var row: [String] = []
        var field = ""
        var isQuoted = false
        var wasQuote = false
        for scalar in text.unicodeScalars {
            if isQuoted, scalar != "\"" || wasQuote {
                if wasQuote, scalar != "\"" {
                    (isQuoted, wasQuote) = (false, false)
                } else {
                    field.unicodeScalars.append(scalar)
                    wasQuote = false
                    continue
                }
            }
            switch scalar {
            case "\"": if isQuoted { wasQuote = true } else { isQuoted = true }
            case ",":
                row.append(field)
                field = ""
            case "\r": break
            case "\n":
                rows.append(row + [field])
                (row, field) = ([], "")
            default: field.unicodeScalars.append(scalar)
            }
        }
        if !row.isEmpty || !field.isEmpty { rows.append(row + [field]) }
        // An empty line is no row.
        rows = rows.filter { $0 != [""] }
        return Grid(columns: rows.first ?? [], rows: Array(rows.dropFirst()))
    }
}
