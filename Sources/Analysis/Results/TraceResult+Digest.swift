extension TraceResult {
    /// What a person looks at first: a line a quantity, by metric, with the mean over layers and heads, the lowest and the
    /// highest layer and the highest head. ``overview`` has every headline quantity.
    ///
    /// - Parameter width: columns after which titles and notes are broken.
    public func digest(width: Int = 100) -> String {
        let digest = Digest(of: self)
        var text = SectionedText(
            columns: ["", "mean", "unit", "against", "lowest layer", "highest layer", "highest head"], numbers: [1],
            width: width)
        var undefined: [String] = []
        for section in digest.sections {
            undefined += section.rows.filter(\.isUndefined).map(\.name)
            let rows = section.rows.filter { !$0.isUndefined }
            guard !rows.isEmpty else { continue }
            text.sections.append((section.metric.title, rows.map(\.cells)))
        }
        text.notes = notes(with: undefined)
        return text.text
    }

    private func notes(with undefined: [String]) -> [String] {
        var lines = sourceNotes
        if !undefined.isEmpty { lines.append("undefined here: " + undefined.joined(separator: ", ")) }
        let finer = metrics.reduce(0) { $0 + $1.quantities.count { !$0.isHeadline } }
        let tables = metrics.reduce(0) { $0 + $1.tables.count }
        lines.append(
            "every quantity by layer and head: --full; \(finer) more along steps or positions and \(tables) tables: --json, --output"
        )
        return lines
    }
}

extension MetricResult {
    /// Its name, what it was told and how much of it is undefined.
    var title: String {
        let counts = undefined.filter { $0.count > 0 }.map { "\($0.count) \($0.reason)" }
        return "\(metric)  \(told)" + (counts.isEmpty ? "" : "; undefined: \(counts.joined(separator: ", "))")
    }
}

extension Digest.Row {
    fileprivate var cells: [String] {
        let head = [name, mean.isNaN ? "" : NumberText.brief(mean), unit]
        guard along.isEmpty else { return head + [along] }
        func text(_ place: Digest.Place?) -> String { place.map { "\(NumberText.brief($0.value)) \($0.label)" } ?? "" }
        return head + [
            against.map { "\($0.name) \(NumberText.brief($0.value))" } ?? "", text(lowestLayer), text(highestLayer),
            text(highestHead),
        ]
    }
}
