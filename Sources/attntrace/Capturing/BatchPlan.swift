import Analysis
import Capture
import TraceFormat

/// What a batch would take.
struct BatchPlan {
    private var rows: [(id: String, run: PlannedRun)] = []
    /// Prompts that cannot be run.
    private(set) var failures = 0
    /// Memory of the run that takes most.
    private var memory = 0

    /// Sizes every prompt; those that cannot be run are named on stderr. Errors: ``UsageError``.
    init(of entries: [PromptEntry], in path: String, by planner: RunPlanner) throws {
        for entry in entries {
            do {
                let run = try planner.plan(entry.prompt)
                memory = max(memory, try planner.memory(of: run.plan).total)
                rows.append((entry.id, run))
            } catch let error as UsageError {
                throw error
            } catch {
                failures += 1
                Terminal.warn("\(path):\(entry.line): \(entry.id): \(Failure.line(for: error))")
            }
        }
    }

    private func sum(_ bytes: (StoragePlan) -> Int) -> Int {
        rows.reduce(0) { total, row in
            let (sum, overflows) = total.addingReportingOverflow(bytes(row.run.plan.storage))
            return overflows ? Int.max : sum
        }
    }

    /// A line a prompt, and the sums.
    var text: String {
        let table = Table(
            name: "prompts",
            columns: [
                Column("prompt", .text), Column("tokens", .integer), Column("generated", .integer),
                Column("steps", .integer), Column("record", .text), Column("before compression", .text),
                Column("in the file, about", .text),
            ],
            rows: rows.map { row in
                let (plan, storage) = (row.run.plan.trace, row.run.plan.storage)
                return [
                    .text(row.id), .integer(plan.promptLength), .integer(plan.generatedLength),
                    .integer(plan.stepCount), .text(row.run.encoding.rawValue),
                    .text(ByteCount.text(storage.largestBytes)), .text(ByteCount.text(storage.estimatedBytes)),
                ]
            })
        return """
            \(table.text())

            \(rows.count) traces: up to \(ByteCount.text(sum(\.largestBytes))) before compression, about \
            \(ByteCount.text(sum(\.estimatedBytes))) in their files; up to \(ByteCount.text(memory)) of memory
            """
    }

    /// The same as JSON.
    var json: JSONValue {
        .object([
            (
                "prompts",
                .array(
                    rows.map { row in
                        let (plan, storage) = (row.run.plan.trace, row.run.plan.storage)
                        return .object([
                            ("id", .text(row.id)), ("prompt_length", .integer(plan.promptLength)),
                            ("generated_length", .integer(plan.generatedLength)), ("steps", .integer(plan.stepCount)),
                            ("record", .text(row.run.encoding.rawValue)),
                            ("largest_bytes", .integer(storage.largestBytes)),
                            ("estimated_bytes", .integer(storage.estimatedBytes)),
                        ])
                    })
            ),
            ("largest_bytes", .integer(sum(\.largestBytes))), ("estimated_bytes", .integer(sum(\.estimatedBytes))),
            ("memory", .integer(memory)), ("failed", .integer(failures)),
        ])
    }
}
