import Analysis
import ArgumentParser
import Capture
import Report

/// The options that say what a page shows, written to a file or served.
struct PageOptions: ParsableArguments {
    @OptionGroup var rule: RuleOptions
    @OptionGroup var linking: LinkingArguments
    @Option(help: "none, structure (what verify does) or deep (verify --deep, which reads every value).")
    var verify = Verification.structure

    /// What the views of the page are told. Errors: `AnalysisError` for what cannot be.
    func options() throws -> ReportOptions {
        var options = ReportOptions()
        options.producer = "attntrace \(attntraceVersion)"
        options.analysis.options.rule = try rule.sinkRule()
        options.analysis.options.scope = try rule.scope()
        options.analysis.options.linking = linking.options
        try options.analysis.options.validate()
        options.analysis.extent = Extent(layers: rule.layerSet, heads: rule.headSet)
        options.verification = verify
        return options
    }
}
