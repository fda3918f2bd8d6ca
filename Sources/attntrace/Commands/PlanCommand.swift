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
              attntrace plan --model ./LLaDA-8B-Instruct --prompt-file q.txt --record qk --signals all --output /data/a.h5

            Sizes before compression are exact, for a run of full length; those in the file are estimated from traces of \
            the embedded models. `--record auto` runs the model once to see how well query and key vectors rebuild its \
            maps, which is not done here: all that it may take is listed.
            """)

    @OptionGroup var options: RunOptions
    @Flag(help: "Print as JSON.")
    var json = false

    /// One run in one encoding, and why it is that.
    private struct Chosen {
        let plan: CapturePlan
        let encoding: AttentionEncoding
        let reason: String
        /// Every encoding that was looked at; empty where one was asked for.
        let alternatives: [AttentionEncoding: CapturePlan]
    }

    func run() throws {
        let prompt = try options.prompt.givenPrompt()
        guard !options.output.isEmpty else { throw UsageError("--output is empty: it names the trace to write") }
        try TraceWriter.checkName(options.output, overwrite: options.force)
        let threads = try options.machine.threadCount()
        let directory = try EmbeddedModels.directory(for: options.model)
        let configuration = try ModelConfiguration(directory: directory)
        let tokenizer = try Capture.loadTokenizer(of: directory)
        let promptIDs = try prompt.tokenIDs(with: tokenizer, directory: directory)
        let sampler = try options.sampler.sampler(for: configuration, promptLength: promptIDs.count)
        let recording = try options.recording(for: configuration)
        let chosen = try choose(recording) { signals in
            var recording = recording
            recording.signals = signals
            return try CapturePlan(
                configuration: configuration, promptIDs: promptIDs, sampler: sampler, recording: recording,
                textWidth: tokenizer?.longestTokenText ?? 1)
        }
        let numericType = options.machine.numericType
        let memory = chosen.plan.memory(
            threads: threads,
            writerBudget: try chosen.plan.writerBudget(recording, threads: threads, numericType: numericType),
            numericType: numericType)
        try Terminal.output((json ? description(chosen, memory).text() : text(chosen, memory)) + "\n")
        if !options.noSpaceCheck { try chosen.plan.checkSpace(at: options.output) }
    }

    private func choose(
        _ recording: RecordingOptions, plan: (Set<Signal>) throws -> CapturePlan
    ) throws -> Chosen {
        if let encoding = options.record.encoding {
            return Chosen(
                plan: try plan(recording.signals.union(encoding.signals)), encoding: encoding, reason: "asked for",
                alternatives: [:])
        }
        let choice = try RecordingChoice(
            limit: options.record.sizeLimit.bytes, signals: recording.signals, plan: plan, probe: nil)
        return Chosen(
            plan: choice.chosenPlan, encoding: choice.encoding, reason: choice.reason, alternatives: choice.plans)
    }

    private func axes(_ dataset: PlannedDataset) -> String {
        zip(dataset.dimensions, dataset.shape).map { "\($0.rawValue) \($1.map(String.init) ?? "?")" }
            .joined(separator: ", ")
    }

    private func text(_ chosen: Chosen, _ memory: MemoryPlan) -> String {
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
        if let (folder, free) = FreeSpace.available(at: options.output) {
            facts.append(("disk", "\(ByteCount.text(free)) free in \(folder)"))
        }
        let lines = facts.map { $0.padding(toLength: 11, withPad: " ", startingAt: 0) + $1 }
        return ([table.text(), ""] + lines).joined(separator: "\n")
    }

    private func size(_ storage: StoragePlan) -> String {
        "up to \(ByteCount.text(storage.largestBytes)) before compression, about "
            + "\(ByteCount.text(storage.estimatedBytes)) in the file"
    }

    private func description(_ chosen: Chosen, _ memory: MemoryPlan) -> JSONValue {
        let plan = chosen.plan.trace
        let storage = chosen.plan.storage
        let disk = FreeSpace.available(at: options.output)
        return .object([
            ("output", .text(options.output)), ("causality", .text(plan.causality.rawValue)),
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
