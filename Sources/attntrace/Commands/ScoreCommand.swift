import Analysis
import ArgumentParser
import Capture
import Foundation
import TraceFormat

/// `attntrace score`: nats per token of a given text, plain and with keys suppressed.
struct ScoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "score",
        abstract: "Say how surprised a model is by a text, in nats per token, with and without its attention sinks.",
        discussion: """
            An autoregressive model's likelihood is exact; of a masked diffusion model it is LLaDA's Monte Carlo bound, with \
            its standard error. Every variant is scored on the same masks: the column `difference` is paired.

            Sinks to suppress are those of an unsuppressed pass over the same input; autoregressive: of the row before, as the \
            text is fed in token by token.

            Examples:
              attntrace score --text-file chapter.txt
              attntrace score --model tiny-ar --prompt "In the beginning" --text " God created the heaven" --suppress-sinks 1,5
              attntrace score --text-file chapter.txt --mc-num 512 --json
            """)

    @Option(help: "Directory of a Hugging Face model, or the name of an embedded one: tiny-mdm, tiny-ar.")
    var model: String?
    @Option(help: "The text to score; it is tokenized without special tokens.")
    var text: String?
    @Option(help: "A file with the text, UTF-8.")
    var textFile: String?
    @Option(help: "The text as token ids, 1,2,3.")
    var textIds: String?
    @OptionGroup(title: "Prompt options (by default only the tokenizer's special tokens)") var prompt: PromptOptions
    @Option(help: "Samples of the Monte Carlo bound (diffusion).")
    var mcNum = Likelihood().mcNum
    @Option(help: "Samples over which the number of masked tokens is stratified (diffusion).")
    var batchSize = Likelihood().batchSize
    @Option(help: "Scale of classifier-free guidance (diffusion).")
    var cfgScale = 0.0
    @Option(help: "Seed of every random number.")
    var seed: UInt64 = 0
    @Option(
        help:
            "How many sinks to suppress in every layer and head, one variant each: 0,1,5,10; 0 is the plain model. By default these, but for those that would leave no key."
    )
    var suppressSinks: IndexList?
    @Flag(help: "Leave out the controls: as many keys drawn at random.")
    var noRandom = false
    @OptionGroup(title: "Suppression options") var rules: SuppressionRules
    @OptionGroup(title: "Machine options") var machine: MachineOptions
    @OptionGroup var result: TableOutput

    func run() throws {
        let asked = (suppressSinks?.values ?? [1, 5, 10]).filter { $0 > 0 }
        try rules.check(sinks: !asked.isEmpty, random: false, any: !asked.isEmpty)
        let given = try givenText()
        let before = try prompt.promptOrNone()
        let capture = try Capture(model: try EmbeddedModels.directory(for: model), on: machine)
        let text = try capture.render(given).ids
        let promptIDs = !prompt.isGiven && capture.tokenizer == nil ? [] : try capture.render(before).ids
        let counts = suppressSinks == nil ? asked.filter { $0 < promptIDs.count + text.count } : asked
        let sinks = counts.map { rules.suppression(sinks: $0, of: capture.configuration) }
        let controls = noRandom ? [] : counts.map { rules.suppression(.random(count: $0)) }
        var line = ProgressLine()
        defer { line.clear() }
        let score = try capture.score(
            text: text, after: promptIDs,
            by: Likelihood(mcNum: mcNum, batchSize: batchSize, cfgScale: cfgScale, seed: seed),
            suppressing: sinks + controls, memoryLimit: machine.memory?.bytes
        ) { line.show($0) }
        line.clear()
        if counts.count < asked.count {
            Terminal.warn(
                "of \(promptIDs.count + text.count) positions fewer can be suppressed: left out \(IndexList(values: asked.filter { !counts.contains($0) }))"
            )
        }
        try result.write(table(score, capture), isShort: true) { try json(score, capture) }
    }

    private func givenText() throws -> Prompt {
        let given = [text, textFile, textIds].compactMap { $0 }
        guard given.count == 1 else { throw UsageError("give the text once: with --text, --text-file or --text-ids") }
        if let textIds { return .tokens(try PromptOptions.ids(textIds, option: "--text-ids")) }
        return .text(try textFile.map(PromptOptions.text(of:)) ?? text ?? "", addSpecialTokens: false)
    }

    private func table(_ score: Score, _ capture: Capture) -> Table {
        var notes = [
            "\(capture.directory.split(separator: "/").last ?? ""): \(score.tokenCount) tokens scored after "
                + "\(score.promptLength) of the prompt"
        ]
        if let likelihood = score.likelihood {
            notes.append(
                "an upper bound on nats per token, by Monte Carlo: mc_num \(likelihood.mcNum), batch_size "
                    + "\(likelihood.batchSize), cfg_scale \(likelihood.cfgScale), seed \(likelihood.seed)")
            notes.append("sinks: of an unsuppressed pass over the same input; differences are paired by masks")
        } else {
            notes.append("exact; sinks: of the row before, as it was with its own suppressed")
        }
        return Table(
            name: "score", notes: notes,
            columns: [
                Column("suppressed", .text), Column("keys", .integer, unit: "count"),
                Column("nats_per_token", .number, unit: "nat"), Column("standard_error", .number, unit: "nat"),
                Column("difference", .number, unit: "nat"), Column("difference_error", .number, unit: "nat"),
            ],
            rows: score.variants.map { variant in
                let (nats, difference) = (score.natsPerToken(variant), score.difference(variant))
                let (name, count) = Self.name(variant)
                return [
                    .text(name), .integer(count), .number(nats.mean), Self.cell(nats.standardError),
                    .number(difference.mean), Self.cell(difference.standardError),
                ]
            })
    }

    /// NaN, from a single estimate, is not a number that anyone measured.
    private static func cell(_ value: Double) -> Cell { value.isNaN ? .missing : .number(value) }

    private static func name(_ variant: Score.Variant) -> (String, Int) {
        switch variant.suppression?.choice {
        case .sinks(let count, _): ("sinks", count)
        case .random(let count): ("random", count)
        case .listed, nil: ("none", 0)
        }
    }

    private func json(_ score: Score, _ capture: Capture) throws -> JSONValue {
        .object([
            ("model", .text(capture.directory.split(separator: "/").last.map(String.init) ?? "")),
            ("prompt_length", .integer(score.promptLength)), ("tokens", .integer(score.tokenCount)),
            ("is_exact", .flag(score.likelihood == nil)),
            (
                "likelihood",
                score.likelihood.map {
                    .object([
                        ("mc_num", .integer($0.mcNum)), ("batch_size", .integer($0.batchSize)),
                        ("cfg_scale", .number($0.cfgScale)), ("seed", .text(String($0.seed))),
                    ])
                } ?? .null
            ),
            ("masked", .array(score.masked.map { .array($0.map(JSONValue.integer)) })),
            (
                "variants",
                .array(
                    try score.variants.map { variant in
                        let (nats, difference) = (score.natsPerToken(variant), score.difference(variant))
                        let (name, count) = Self.name(variant)
                        return .object([
                            ("suppressed", .text(name)), ("keys", .integer(count)),
                            ("intervention", .text(try variant.suppression?.parameters() ?? "")),
                            ("nats_per_token", .number(nats.mean)), ("standard_error", .number(nats.standardError)),
                            ("difference", .number(difference.mean)),
                            ("difference_error", .number(difference.standardError)),
                            ("parts", .array(variant.parts.map(JSONValue.number))),
                        ])
                    })
            ),
        ])
    }
}
