import Analysis
import Capture

/// What came of a batch so far.
struct BatchSummary {
    /// Prompts to run.
    let count: Int
    private(set) var done = 0
    /// Of those done, the ones that went on with an earlier run.
    private(set) var resumed = 0
    private(set) var skipped = 0
    /// Ids of prompts that failed, with their lines.
    private(set) var failures: [(id: String, line: Int)] = []
    /// Bytes of the traces written.
    private(set) var bytes = 0
    private let start = ContinuousClock.now

    init(count: Int) {
        self.count = count
    }

    /// Counts a prompt.
    mutating func add(_ outcome: Result<CaptureResult, any Error>, of entry: PromptEntry) {
        switch outcome {
        case .success(let result) where result.status == .done:
            done += 1
            resumed += result.resumedFrom == nil ? 0 : 1
            bytes += result.bytes
        case .success: skipped += 1
        case .failure: failures.append((entry.id, entry.line))
        }
    }

    private var seconds: Double { (ContinuousClock.now - start) / .seconds(1) }

    /// `3 done (1 resumed), 12 skipped, 1 failed (q7) of 16 prompts; 14.2 MB, 12 s`.
    var text: String {
        let resumed = resumed > 0 ? " (\(resumed) resumed)" : ""
        let names = failures.prefix(10).map(\.id) + (failures.count > 10 ? ["..."] : [])
        let failed = failures.isEmpty ? "" : " (\(names.joined(separator: ", ")))"
        return
            "\(done) done\(resumed), \(skipped) skipped, \(failures.count) failed\(failed) of \(count) \(count == 1 ? "prompt" : "prompts"); "
            + "\(ByteCount.text(bytes)), \(ProgressLine.duration(seconds))"
    }

    /// The same as JSON, under `summary`.
    var json: JSONValue {
        .object([
            (
                "summary",
                .object([
                    ("prompts", .integer(count)), ("done", .integer(done)), ("resumed", .integer(resumed)),
                    ("skipped", .integer(skipped)), ("failed", .integer(failures.count)), ("bytes", .integer(bytes)),
                    ("seconds", .number(seconds)),
                ])
            )
        ])
    }
}
