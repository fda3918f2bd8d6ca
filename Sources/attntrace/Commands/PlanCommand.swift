import Analysis
import ArgumentParser
import Capture
import Foundation
import Tokenizer
import TraceFormat

/// `attntrace plan`: what a capture would take, without running it.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Say what a capture would take on disk and in memory, without running it.",
        discussion: """
            Takes the options of `attntrace capture`, and reads no more than the model's config.json and tokenizer.json.

            Examples:
              attntrace plan --prompt "In the beginning" --gen-length 64
              attntrace plan --prompts questions.jsonl
              attntrace plan --model ./LLaDA-8B-Instruct --prompt-file q.txt --record qk --signals all --output /data/a.h5

            Sizes before compression are exact, for a run of full length; those in the file are estimated from traces of \
            the embedded models. `--record auto` runs the model once to see how well query and key vectors rebuild its \
            maps, which is not done here: all that it may take is listed.
            """)

    @OptionGroup var options: RunOptions
    @Flag(help: "Print as JSON.")
    var json = false

    func run() throws {
        if let path = options.batch.prompts { try planMany(path) } else { try planOne() }
    }

    private func planOne() throws {
        let prompt = try options.prompt.givenPrompt()
        let output = options.output ?? RunOptions.defaultOutput
        guard !output.isEmpty else { throw UsageError("--output is empty: it names the trace to write") }
        try TraceWriter.checkName(output, overwrite: options.force)
        let planner = try RunPlanner(options)
        let chosen = try planner.plan(prompt)
        let memory = try planner.memory(of: chosen.plan)
        try Terminal.output(
            (json ? description(chosen, memory, output).text() : text(chosen, memory, output)) + "\n")
        if !options.noSpaceCheck { try chosen.plan.checkSpace(at: output) }
    }

    private func planMany(_ path: String) throws {
        let file = try options.prompt.promptFile(at: path)
        let entries = options.batch.shard?.of(file.entries) ?? file.entries
        let plan = try BatchPlan(of: entries, in: path, by: RunPlanner(options))
        try Terminal.output((json ? plan.json.text() : plan.text) + "\n")
        if plan.failures > 0 { throw ExitCode(Failure.badData) }
    }

    private func axes(_ dataset: PlannedDataset) -> String {
        zip(dataset.dimensions, dataset.shape).map { "\($0.rawValue) \($1.map(String.init) ?? "?")" }
            .joined(separator: ", ")
    }

    private func text(_ chosen: PlannedRun, _ memory: MemoryPlan, _ output: String) -> String {
        let storage = chosen.plan.storage
        let table = Table(
            name: "datasets",
            columns: [
                Column("dataset", .text), Column("axes", .text), Column("type", .text), Column("plain", .text),
                Column("in the file, about", .text),
            ],
            rows: storage.datasets.map { dataset in
                [
                    .text(dataset.path), .text(axes(dataset)), .text(dataset.type.rawValue),
                    .text(dataset.plainBytes.map(ByteCount.text) ?? "?"), .text(ByteCount.text(dataset.estimatedBytes)),
                ]
            })
        var facts = [
            ("record", "\(chosen.encoding.rawValue): \(chosen.reason)")
        ]
        for encoding in AttentionEncoding.allCases {
            guard let plan = chosen.alternatives[encoding] else { continue }
            facts.append(("", "--record \(encoding.rawValue): \(size(plan.storage))"))
        }
        facts += [
            ("structure", "about \(ByteCount.text(storage.structureBytes))"), ("trace", size(storage)),
            (
                "memory",
                "\(ByteCount.text(memory.total)): weights \(ByteCount.text(memory.weights)), forward pass "
                    + "\(ByteCount.text(memory.pass)), recording \(ByteCount.text(memory.recording)), waiting to be written "
                    + "up to \(ByteCount.text(memory.writing))"
            ),
        ]
        if let (folder, free) = FreeSpace.available(at: output) {
            facts.append(("disk", "\(ByteCount.text(free)) free in \(folder)"))
        }
        let lines = facts.map { $0.padding(toLength: 11, withPad: " ", startingAt: 0) + $1 }
        return ([table.text(), ""] + lines).joined(separator: "\n")
    }

    private func size(_ storage: StoragePlan) -> String {
        "up to \(ByteCount.text(storage.largestBytes)) before compression, about "
            + "\(ByteCount.text(storage.estimatedBytes)) in the file"
    }

    private func description(_ chosen: PlannedRun, _ memory: MemoryPlan, _ output: String) -> JSONValue {
        let plan = chosen.plan.trace
        let storage = chosen.plan.storage
        let disk = FreeSpace.available(at: output)
        return .object([
            ("output", .text(output)), ("causality", .text(plan.causality.rawValue)),
            ("is_guided", .flag(plan.isGuided)), ("prompt_length", .integer(plan.promptLength)),
            ("generated_length", .integer(plan.generatedLength)), ("steps", .integer(plan.stepCount)),
            ("layers", .array(plan.layers.map(JSONValue.integer))),
            ("heads", .array(plan.heads.map(JSONValue.integer))),
            ("signals", .array(plan.signals.map(\.rawValue).sorted().map(JSONValue.text))),
            (
                "record",
                .object([
                    ("asked", .text(options.record.record.rawValue)), ("kept", .text(chosen.encoding.rawValue)),
                    ("reason", .text(chosen.reason)), ("is_probed", .flag(false)),
                    (
                        "alternatives",
                        .array(
                            AttentionEncoding.allCases.compactMap { encoding in
                                chosen.alternatives[encoding].map { alternative in
                                    .object([
                                        ("record", .text(encoding.rawValue)),
                                        ("largest_bytes", .integer(alternative.storage.largestBytes)),
                                        ("estimated_bytes", .integer(alternative.storage.estimatedBytes)),
                                    ])
                                }
                            })
                    ),
                ])
            ),
            (
                "datasets",
                .array(
                    storage.datasets.map { dataset in
                        .object([
                            ("path", .text(dataset.path)),
                            ("dimensions", .array(dataset.dimensions.map { .text($0.rawValue) })),
                            ("shape", .array(dataset.shape.map { $0.map(JSONValue.integer) ?? .null })),
                            ("type", .text(dataset.type.rawValue)),
                            ("plain_bytes", dataset.plainBytes.map(JSONValue.integer) ?? .null),
                            ("largest_bytes", .integer(dataset.largestBytes)),
                            ("estimated_bytes", .integer(dataset.estimatedBytes)),
                        ])
                    })
            ),
            (
                "trace",
                .object([
                    ("largest_bytes", .integer(storage.largestBytes)),
                    ("estimated_bytes", .integer(storage.estimatedBytes)),
                    ("structure_bytes", .integer(storage.structureBytes)),
                ])
            ),
            (
                "memory",
                .object([
                    ("weights", .integer(memory.weights)), ("pass", .integer(memory.pass)),
                    ("recording", .integer(memory.recording)), ("writing", .integer(memory.writing)),
                    ("total", .integer(memory.total)),
                ])
            ),
            (
                "disk",
                disk.map { .object([("folder", .text($0.folder)), ("free_bytes", .integer($0.bytes))]) } ?? .null
            ),
        ])
    }
}
