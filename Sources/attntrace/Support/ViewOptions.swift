import ArgumentParser

/// How much of a result is printed for people.
struct ViewOptions: ParsableArguments {
    @Flag(help: "Print every quantity by layer and head; the same as --rows 0. CSV and JSON are always whole.")
    var full = false

    /// Whether everything is printed instead of a line a quantity.
    func isFull(_ result: TableOutput) -> Bool { full || result.rows == 0 }
}
