extension Table {
    /// The rows that meet an expression over the columns, as ``Condition`` reads it: `layer >= 20 and hop_distance > 16`.
    ///
    /// Throws ``QueryError``.
    public func filtered(where expression: String) throws(QueryError) -> Table {
        let condition = try Condition(parsing: expression, columns: columns)
        let kept = rows.filter { condition.holds(for: $0) }
        return Table(
            name: name,
            notes: notes + ["where \(VisibleText.escaped(expression)): \(kept.count) of \(rows.count) rows"],
            columns: columns, rows: kept)
    }

    /// The rows in the order of some columns, separated by commas; of one with a `-` before it the largest first. Text
    /// is ordered by its bytes, no before yes; nothing comes last either way, and rows that are alike stay as they were.
    ///
    /// Throws ``QueryError`` for a column that the table does not have.
    public func sorted(by list: String) throws(QueryError) -> Table {
        var order: [(column: Int, descends: Bool)] = []
        for word in Self.names(in: list) {
            let descends = word.text.hasPrefix("-")
            let name = descends ? String(word.text.dropFirst()) : word.text
            order.append((try column(named: name, in: list, at: word.offset), descends))
        }
        let places = rows.indices.sorted { first, second in
            for (column, descends) in order {
                let (one, other) = (rows[first][column], rows[second][column])
                if one.isNothing || other.isNothing {
                    if one.isNothing != other.isNothing { return other.isNothing }
                    continue
                }
                if Condition.Comparison.less.holds(one, other) { return !descends }
                if Condition.Comparison.less.holds(other, one) { return descends }
            }
            return first < second
        }
        return Table(name: name, notes: notes + ["sorted by \(list)"], columns: columns, rows: places.map { rows[$0] })
    }

    /// Some columns, separated by commas, in that order.
    ///
    /// Throws ``QueryError`` for a column that the table does not have.
    public func selecting(_ list: String) throws(QueryError) -> Table {
        var places: [Int] = []
        for word in Self.names(in: list) { places.append(try column(named: word.text, in: list, at: word.offset)) }
        return Table(
            name: name, notes: notes, columns: places.map { columns[$0] },
            rows: rows.map { row in places.map { row[$0] } })
    }

    private func column(named name: String, in list: String, at offset: Int) throws(QueryError) -> Int {
        guard let place = columns.firstIndex(where: { $0.name == name }) else {
            throw QueryError(
                "no column '\(VisibleText.escaped(String(name.prefix(40))))'; columns: "
                    + columns.map(\.name).joined(separator: ", "), in: list, at: offset)
        }
        return place
    }

    private static func names(in list: String) -> [(text: String, offset: Int)] {
        var names: [(text: String, offset: Int)] = []
        var offset = 0
        for part in list.unicodeScalars.split(separator: ",", omittingEmptySubsequences: false) {
            let leading = part.prefix { $0 == " " }.count
            let name = part.dropFirst(leading)
            let trailing = name.reversed().prefix { $0 == " " }.count
            names.append((String(name.dropLast(trailing)), offset + leading))
            offset += part.count + 1
        }
        return names
    }
}
