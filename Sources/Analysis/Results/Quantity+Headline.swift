extension Axis {
    /// Axes that mean something within one trace only: steps and places in its text are not those of another.
    static let ofOneTrace: Set<String> = [
        "step", "row_step", "map_step", "from_step", "to_step", "position", "key", "query", "generated", "answer",
        "token", "window", "trajectory", "presence",
    ]
}

extension Quantity {
    /// Whether it can be set against the same quantity of another trace, label by label: no axis is of one trace only.
    public var isHeadline: Bool { !axes.contains { Axis.ofOneTrace.contains($0.name) } }

    /// The label of an axis at a place, as a cell.
    static func label(_ axis: Axis, at place: Int) -> Cell {
        switch axis.labels {
        case .integers(let values): .integer(values[place])
        case .numbers(let values): .number(values[place])
        case .texts(let values): .text(values[place])
        }
    }

    /// The labels of a value, an axis a cell.
    func labels(at index: Int) -> [Cell] { Self.labels(of: axes, at: index) }

    /// The labels of a place along axes, the last fastest.
    static func labels(of axes: [Axis], at index: Int) -> [Cell] {
        var rest = index
        var cells: [Cell] = []
        for axis in axes.reversed() {
            cells.append(label(axis, at: rest % axis.count))
            rest /= axis.count
        }
        return cells.reversed()
    }
}

extension Axis {
    /// The column of a table that holds its labels.
    var column: Column {
        switch labels {
        case .integers: Column(name, .integer)
        case .numbers: Column(name, .number)
        case .texts: Column(name, .text)
        }
    }
}
