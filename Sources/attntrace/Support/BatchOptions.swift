import ArgumentParser

/// The options that run many prompts.
struct BatchOptions: ParsableArguments {
    @Option(
        help:
            "A file of prompts, a JSON object a line (docs/batches.md): one trace a prompt in the folder that --output names. What is there already is kept, what was cut short is taken up."
    )
    var prompts: String?
    @Option(help: "Of the prompts, only every n-th, beginning with the i-th: 1/8 ... 8/8 divide them among eight jobs.")
    var shard: Shard?

    func validate() throws {
        if shard != nil, prompts == nil { throw ValidationError("--shard divides prompts: it takes --prompts") }
    }
}
