import Analysis
import ArgumentParser

/// The options that narrow and order a table.
struct QueryOptions: ParsableArguments {
    @Option(
        help:
            "Keep the rows for which it holds: 'layer >= 2 and (hop_distance > 8 or token = \".\")'; also in (...), contains, like, is missing, not, or (docs/asking.md)."
    )
    var `where`: String?
    @Option(
        parsing: .unconditional,
        help: "Order the rows by these columns, a,-b: -b has the largest first.")
    var sort: String?
    @Option(help: "Keep these columns, a,b, in that order.")
    var columns: String?

    /// Whether anything is asked of the table.
    var isGiven: Bool { `where` != nil || sort != nil || columns != nil }

    /// The table as asked for. Errors: ``QueryError``.
    func applied(to table: Table) throws(QueryError) -> Table {
        var table = table
        if let condition = `where` { table = try table.filtered(where: condition) }
        if let sort { table = try table.sorted(by: sort) }
        if let columns { table = try table.selecting(columns) }
        return table
    }
}
