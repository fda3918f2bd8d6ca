import Analysis
import ArgumentParser

/// The options that say how many traces are brought together.
struct CohortOptions: ParsableArguments {
    @Option(
        help:
            "Fields by which traces are grouped, separated by commas: model, sampler, sampler.NAME (a parameter), causality, prompt_id, seed, intervention, folder, gold_document (place of the document with the evidence) ..."
    )
    var groupBy: String?
    @Option(help: "Share of the bootstrap's means that lies within the interval.")
    var confidence = 0.95
    @Option(help: "Draws of the bootstrap.")
    var draws = 1000
    @Option(help: "Seed of the bootstrap.")
    var seed: UInt64 = 0

    /// What the options say. Errors: `AnalysisError` for what gives no interval.
    func cohort() throws -> Cohort.Options {
        var options = Cohort.Options()
        options.bootstrap = Bootstrap(confidence: confidence, draws: draws, seed: seed)
        try options.bootstrap.validate()
        options.groupBy = groupBy?.split(separator: ",").map(String.init) ?? []
        for field in options.groupBy { try TraceSource.check(groupField: field) }
        return options
    }
}
