extension TraceResult {
    /// What a person looks at first: a line a quantity, by metric, with the mean over layers and heads, the lowest and the
    /// highest layer and the highest head. ``overview`` has every headline quantity.
    ///
    /// - Parameter width: columns after which titles and notes are broken.
    public func digest(width: Int = 100) -> String {
        let digest = Digest(of: self)
        var text = SectionedText(
            columns: ["", "mean", "unit", "against", "lowest", "highest", "top head"], numbers: [1],
            width: width)
        var undefined: [String] = []
        let all = digest.sections.flatMap(\.rows)
        let room = 116 - [all.map(\.name.count), all.map(\.unit.count)].reduce(13) { $0 + ($1.max() ?? 0) }
        for section in digest.sections {
            undefined += section.rows.filter(\.isUndefined).map(\.name)
            let rows = section.rows.filter { !$0.isUndefined }
            guard !rows.isEmpty else { continue }
            text.sections.append((section.metric.title, rows.map { $0.cells(room: max(30, room)) }))
        }
        text.notes = notes(with: undefined)
        return text.text
    }

    private func notes(with undefined: [String]) -> [String] {
        var lines = sourceNotes
        if !undefined.isEmpty { lines.append("undefined here: " + undefined.joined(separator: ", ")) }
        let finer = metrics.reduce(0) { $0 + $1.quantities.count { !$0.isHeadline } }
        let tables = metrics.reduce(0) { $0 + $1.tables.count }
        lines.append("mean over layers and heads; lowest and highest layer; the head that has the most")
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
        let parts = [told, counts.isEmpty ? "" : "undefined: \(counts.joined(separator: ", "))"]
        return heading(parts.filter { !$0.isEmpty }.joined(separator: "; "))
    }

    /// Its name, and what is said of it.
    func heading(_ said: String) -> String { said.isEmpty ? metric : "\(metric): \(said)" }
}

extension Digest.Row {
    /// The cells of its line; what lies along other axes takes up so many characters.
    fileprivate func cells(room: Int) -> [String] {
        let head = [name, mean.isNaN ? "" : NumberText.brief(mean), unit]
        if let along { return head + [along.inWords(room: room)] }
        func text(_ place: Digest.Place?) -> String {
            place.map { "\(NumberText.brief($0.value, digits: 3)) \($0.label)" } ?? ""
        }
        return head + [
            against.map { "\($0.name) \(NumberText.brief($0.value, digits: 3))" } ?? "", text(lowestLayer),
            text(highestLayer),
            text(highestHead),
        ]
    }
}
