import Foundation

/// What several files say of one trace: the same in any order of the files, or it is refused.
extension CohortEntry {
    /// One entry a path, in order of path. A failure is no trace that counts elsewhere: it wins, and the files are told.
    ///
    /// Throws ``AnalysisError/contradiction(files:reason:)`` for one path with several contents and for one content with
    /// several numbers, and what reading throws.
    static func settled(
        _ entries: [CohortEntry]
    ) throws -> (entries: [CohortEntry], overruled: [(path: String, failed: String, counted: String)]) {
        var settled: [CohortEntry] = []
        var overruled: [(path: String, failed: String, counted: String)] = []
        for (path, group) in Dictionary(grouping: entries, by: \.path).sorted(by: { $0.key < $1.key }) {
            let group = group.sorted { $0.file < $1.file }
            let results = group.filter { $0.result != nil }
            let failures = group.filter { $0.result == nil }.map { (entry: $0, text: $0.failureText) }
            if let failure = failures.min(by: { $0.text < $1.text })?.entry {
                settled.append(failure)
                overruled += results.map { (path, failure.file, $0.file) }
            } else {
                settled.append(try chosen(of: results, path: path))
            }
        }
        let finished = settled.filter { $0.result?.source.contentHash != nil }
        for group in Dictionary(grouping: finished, by: { $0.result?.source.contentHash }).values {
            for other in group.dropFirst() { try group[0].checkAgreement(with: other) }
        }
        return (settled, overruled)
    }

    private var result: TraceResult? { if case .result(let result) = outcome { result } else { nil } }
    private var failureText: String { if case .failure(let failure) = outcome { failure.summary.line() } else { "" } }

    /// Of results of one file the one that was judged most; where the judgement is the same, by its bytes.
    private static func chosen(of results: [CohortEntry], path: String) throws -> CohortEntry {
        guard results.count > 1 else { return results[0] }
        for other in results.dropFirst() {
            guard other.result?.source.contentHash == results[0].result?.source.contentHash else {
                throw AnalysisError.contradiction(
                    files: [results[0].file, other.file], reason: "\(path) is of other content in each")
            }
            try results[0].checkAgreement(with: other)
        }
        let ranked = try results.map { (entry: $0, bytes: try Data(contentsOf: URL(fileURLWithPath: $0.file))) }
        let best = ranked.min {
            let (one, other) = ($0.entry.result?.verified ?? .none, $1.entry.result?.verified ?? .none)
            return one == other ? $0.bytes.lexicographicallyPrecedes($1.bytes) : one > other
        }
        return best?.entry ?? results[0]
    }

    /// Refuses two results of the same content that say different things. Errors as of ``settled(_:)``.
    private func checkAgreement(with other: CohortEntry) throws {
        func whole(_ file: String) throws -> TraceResult { try TraceResult(Self.json(at: file), path: file) }
        if let place = try whole(file).contradiction(to: whole(other.file)) {
            throw AnalysisError.contradiction(files: [file, other.file], reason: place)
        }
    }
}

extension TraceResult {
    /// The first place where another result of the same content says something else; nil where none does. Sums may have
    /// been taken in another order, where the file was stored otherwise.
    fileprivate func contradiction(to other: TraceResult) -> String? {
        guard metrics.map(\.metric) == other.metrics.map(\.metric) else { return "other metrics" }
        for (one, two) in zip(metrics, other.metrics) {
            guard one.quantities.map(\.name) == two.quantities.map(\.name),
                one.tables.map(\.name) == two.tables.map(\.name)
            else { return "\(one.metric): other quantities" }
            for (first, second) in zip(one.quantities, two.quantities)
            where first.axes != second.axes || !zip(first.values, second.values).allSatisfy(Self.areClose) {
                return "\(one.metric).\(first.name)"
            }
            for (first, second) in zip(one.tables, two.tables)
            where first.rows.count != second.rows.count
                || !zip(first.rows.joined(), second.rows.joined()).allSatisfy(Self.areClose)
            {
                return "\(one.metric).\(first.name)"
            }
        }
        return nil
    }

    private static func areClose(_ one: Double, _ other: Double) -> Bool {
        one == other || (one.isNaN && other.isNaN) || abs(one - other) <= 1e-6 * max(1, abs(one), abs(other))
    }

    private static func areClose(_ one: Cell, _ other: Cell) -> Bool {
        if case .number(let first) = one, case .number(let second) = other { return areClose(first, second) }
        return one == other
    }
}
