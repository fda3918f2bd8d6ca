/// A trace that counts in a cohort.
public struct CohortTrace: Sendable {
    /// A name that no other has.
    public let name: String
    /// The file in which its result was found.
    public let file: String
    /// Its headline numbers.
    public let result: TraceResult
}

/// Many traces, analysed alike: what is the same for each, and mean, spread and interval of every headline quantity.
///
/// Depends on the entries alone, not on their order: they are put in the order of content hash, then path. So shards that
/// were computed anywhere give what one run gives, bit for bit.
public struct Cohort: Sendable {
    /// What a cohort is told beside the analysis.
    public struct Options: Sendable {
        /// The interval of the mean.
        public var bootstrap = Bootstrap()
        /// Fields by which traces are grouped, see ``TraceSource/groupFields``; empty for no groups.
        public var groupBy: [String] = []

        /// No groups; 95 % from 1000 draws.
        public init() {}

        var json: JSONValue {
            .object([
                ("confidence", .number(bootstrap.confidence)), ("draws", .integer(bootstrap.draws)),
                ("seed", .text(String(bootstrap.seed))), ("group_by", .array(groupBy.map(JSONValue.text))),
            ])
        }
    }

    /// What names the format in a file.
    static let format = "attntrace cohort"

    /// What it was told.
    public let options: Options
    /// The traces that count, in canonical order, each with a name that no other has.
    public let traces: [CohortTrace]
    /// The traces that gave no result, by path.
    public let failures: [TraceFailure]
    /// What the cohort was made of: one entry a path.
    public let entries: [CohortEntry]
    /// Traces that failed in one file and gave a result in another: they are failures.
    public let overruled: [(path: String, failed: String, counted: String)]
    /// Traces that hold what another one does, and do not count again.
    public let duplicates: [(path: String, of: String)]
    /// The groups, in order of name.
    public let groupNames: [String]
    /// The group of each trace, by place in ``groupNames``; empty where there are no groups.
    public let groupOfTrace: [Int]
    /// The quantities, in the order of the first trace that has them.
    public let quantities: [CohortQuantity]
    /// Version of the definitions, and what the analysis was told, alike for every trace.
    let made: (definitions: Int, settings: JSONValue)

    /// Brings entries together.
    ///
    /// Throws ``AnalysisError/settingsDiffer(path:difference:)`` where they were not made alike,
    /// ``AnalysisError/contradiction(files:reason:)`` where two say different things of one trace,
    /// ``AnalysisError/badParameter(name:value:reason:)`` for a field by which nothing can be grouped, and what reading
    /// files throws.
    public init(of entries: [CohortEntry], _ options: Options, threads: Int = 1) throws {
        try options.bootstrap.validate()
        for field in options.groupBy { try TraceSource.check(groupField: field) }
        guard let first = entries.first else {
            throw AnalysisError.badParameter(
                name: "traces", value: "none", reason: "there is nothing to bring together")
        }
        for entry in entries {
            if let difference = first.difference(from: entry) {
                throw AnalysisError.settingsDiffer(path: entry.file, difference: difference)
            }
        }
        let settled = try CohortEntry.settled(entries)
        var results: [CohortTrace] = []
        var failures: [TraceFailure] = []
        for entry in settled.entries {
            switch entry.outcome {
            case .result(let result): results.append(CohortTrace(name: entry.name, file: entry.file, result: result))
            case .failure(let failure): failures.append(failure)
            }
        }
        results.sort {
            // A trace without a hash comes last.
            ($0.result.source.contentHash ?? "~", $0.result.source.path, $0.name)
                < ($1.result.source.contentHash ?? "~", $1.result.source.path, $1.name)
        }
        var traces: [CohortTrace] = []
        var duplicates: [(path: String, of: String)] = []
        var names: Set<String> = []
        for found in results {
            let result = found.result
            if let last = traces.last?.result.source, result.source.isSame(as: last) {
                if result.source.path != last.path { duplicates.append((result.source.path, last.path)) }
                continue
            }
            var unique = found.name
            var number = 2
            while !names.insert(unique).inserted {
                unique = "\(found.name)-\(number)"
                number += 1
            }
            traces.append(CohortTrace(name: unique, file: found.file, result: result))
        }
        if options.groupBy.contains(TraceSource.goldDocument), !traces.isEmpty,
            !traces.contains(where: { $0.result.goldDocument != nil })
        {
            throw AnalysisError.badParameter(
                name: "group-by", value: TraceSource.goldDocument,
                reason: "the metric \(AnswerAccuracy.name), which tells it, was not computed")
        }
        var groups: [String] = []
        for trace in traces where !options.groupBy.isEmpty {
            let parts = options.groupBy.map { trace.result.group(by: $0) }
            groups.append(parts.joined(separator: ", "))
        }
        let groupNames = Set(groups).sorted()
        self.options = options
        self.traces = traces
        self.failures = failures.sorted { $0.path < $1.path }
        self.entries = settled.entries
        overruled = settled.overruled
        self.duplicates = duplicates
        self.groupNames = groupNames
        groupOfTrace = groups.map { groupNames.firstIndex(of: $0) ?? 0 }
        made = first.made
        quantities = Self.quantities(
            traces.map(\.result), groups: groupNames.map { name in groups.indices.filter { groups[$0] == name } },
            options.bootstrap, threads: threads)
    }

    /// Metrics that some traces cannot give: of how many, and why not of the first of them.
    public var leftOut: [(metric: String, traces: Int, reason: String)] {
        let all = traces.flatMap(\.result.leftOut)
        return all.map(\.metric).uniqued.map { metric in
            let found = all.filter { $0.metric == metric }
            return (metric, found.count, found.first?.reason ?? "")
        }
    }

    /// Paths of the traces that the file of a cohort tells of: counted, given twice, or failed.
    ///
    /// Throws ``AnalysisError/notAResult(path:reason:)``, and what the system throws.
    package static func paths(listedIn file: String) throws -> Set<String> {
        let json = try CohortEntry.json(at: file)
        let lists = ["traces", "duplicates", "failures"].compactMap { json[$0]?.items }
        let paths = lists.joined().compactMap { $0["path"]?.string }
        guard json["format"]?.string == Self.format, lists.count == 3, paths.count == lists.joined().count else {
            throw AnalysisError.notAResult(path: file, reason: "it does not list its traces")
        }
        return Set(paths)
    }

    private static func quantities(
        _ results: [TraceResult], groups: [[Int]], _ bootstrap: Bootstrap, threads: Int
    ) -> [CohortQuantity] {
        CohortQuantity.align(results).concurrentMap(threads: threads) {
            CohortQuantity($0, groups: groups, bootstrap)
        }
    }
}

extension TraceResult {
    /// What a field of ``TraceSource/groupFields`` says of the trace, as text.
    func group(by field: String) -> String {
        guard field == TraceSource.goldDocument else { return source.group(by: field) }
        guard let place = goldDocument, !place.isNaN else { return "none" }
        return NumberText.exact(place)
    }

    /// Place of the document that holds the evidence; NaN where none does, nil where nobody looked.
    fileprivate var goldDocument: Double? {
        metrics.first { $0.metric == AnswerAccuracy.name }?.quantities
            .first { $0.name == TraceSource.goldDocument }?.values.first
    }
}

extension TraceSource {
    /// Whether both are the same trace: of the same content, or, without a hash, the same file.
    fileprivate func isSame(as other: TraceSource) -> Bool {
        guard let contentHash else { return other.contentHash == nil && path == other.path }
        return contentHash == other.contentHash
    }
}
