/// The few lines of a cohort that a person looks at first.
extension Cohort {
    /// A line a quantity, by metric: the mean over traces with its interval, of all or, where there are groups, of each, side by
    /// side. What a trace has by layer and head is averaged over these first, each trace by itself.
    ///
    /// - Parameter width: columns after which titles and notes are broken.
    public func digest(width: Int = 100) -> String {
        let lines = DigestLine.align(traces.map(\.result))
        let groups =
            groupNames.isEmpty
            ? [Array(traces.indices)]
            : groupNames.indices.map { group in
                traces.indices.filter { groupOfTrace[$0] == group }
            }
        // What several groups have, side by side; then what one of them has alone, each group by itself.
        var shared: [DigestLine] = []
        var single = groups.map { _ in [DigestLine]() }
        var undefined: [String] = []
        for line in lines {
            let defined = groups.indices.filter { group in groups[group].contains { !line.values[$0].isNaN } }
            switch defined.count {
            case 0: undefined.append(line.name)
            case 1: single[defined[0]].append(line)
            default: shared.append(line)
            }
        }
        let all = groupNames.isEmpty ? ["mean"] : groupNames
        var blocks = [block("", all, shared, over: groups, width: width)]
        for group in groups.indices {
            let title = groupNames.isEmpty ? "" : "in this group only"
            blocks.append(block(title, [all[group]], single[group], over: [groups[group]], width: width))
        }
        blocks = blocks.filter { !$0.sections.isEmpty }
        if blocks.isEmpty { blocks = [block("", all, [], over: groups, width: width)] }
        blocks[blocks.count - 1].notes = notes(undefined.uniqued)
        return blocks.map(\.text).joined(separator: "\n\n")
    }

    private func block(
        _ title: String, _ columns: [String], _ lines: [DigestLine], over groups: [[Int]], width: Int
    ) -> SectionedText {
        var text = SectionedText(columns: [title] + columns + ["unit"], numbers: [], width: width)
        for title in lines.map(\.title).uniqued {
            let rows = lines.filter { $0.title == title }.map { line in
                [line.name] + groups.map { cell(of: line, over: $0) } + [line.unit]
            }
            text.sections.append((title, rows))
        }
        return text
    }

    private func cell(of line: DigestLine, over group: [Int]) -> String {
        let statistics = CohortQuantity.Statistics(
            of: group.map { [line.values[$0]] }, options.bootstrap, name: line.seeding)
        guard let count = statistics.count.first, count > 0 else { return "" }
        func brief(_ values: [Double]) -> String { NumberText.brief(values.first ?? .nan, digits: 3) }
        let interval = count > 1 ? " [\(brief(statistics.low)), \(brief(statistics.high))]" : ""
        let beside = line.against.map { against in
            " \(against.name) \(brief([Statistics.mean(of: group.map { against.values[$0] })]))"
        }
        return brief(statistics.mean) + interval + (beside ?? "") + (count < group.count ? " n=\(count)" : "")
    }

    private func notes(_ undefined: [String]) -> [String] {
        let share = NumberText.brief(options.bootstrap.confidence * 100)
        let groups = groupNames.indices.map { group in
            "\(groupNames[group]) \(groupOfTrace.count { $0 == group })"
        }
        var lines = [
            "\(traces.count) traces, \(failures.count) failed, \(duplicates.count) given twice; definitions \(made.definitions)",
            "mean [\(share) % bootstrap interval of it]; n: traces in which it is defined, where not in all",
        ]
        if !groups.isEmpty {
            lines.append("groups by \(options.groupBy.joined(separator: ", ")): \(groups.joined(separator: "; "))")
        }
        if !undefined.isEmpty { lines.append("undefined in all: " + undefined.joined(separator: ", ")) }
        lines.append("by layer and head, with standard deviations: cohort.csv, groups.csv, results.h5; --full")
        return lines
    }
}

/// A line of a cohort's digest: a number a trace.
private struct DigestLine {
    let title: String
    let name: String
    let unit: String
    /// What its bootstrap is seeded by: as the quantity itself, where it is a single number.
    let seeding: String
    /// NaN where a trace does not have it.
    var values: [Double]
    /// What to hold it against, and what that is.
    var against: (values: [Double], name: String)?

    /// The lines of results, in order of appearance; what is told otherwise is another line.
    static func align(_ results: [TraceResult]) -> [DigestLine] {
        struct Key: Hashable {
            let title: String
            let name: String
            let unit: String
        }
        var places: [Key: Int] = [:]
        var lines: [DigestLine] = []
        for (trace, result) in results.enumerated() {
            for section in Digest(of: result).sections {
                let title = section.metric.heading(section.metric.told)
                for row in section.rows where row.along == nil {
                    let key = Key(title: title, name: row.name, unit: row.unit)
                    let place = places[key] ?? lines.count
                    if place == lines.count {
                        places[key] = place
                        lines.append(
                            DigestLine(
                                title: title, name: row.name, unit: row.unit,
                                seeding: "\(section.metric.metric).\(row.scalar ?? row.name)",
                                values: Array(repeating: .nan, count: results.count)))
                    }
                    lines[place].values[trace] = row.mean
                    guard let against = row.against else { continue }
                    var beside = lines[place].against?.values ?? Array(repeating: .nan, count: results.count)
                    beside[trace] = against.value
                    lines[place].against = (beside, against.name)
                }
            }
        }
        return lines
    }
}
