import Analysis
import ArgumentParser

/// The options that say how presences and trajectories are made, shared by the commands of analysis.
struct LinkingArguments: ParsableArguments {
    @Option(help: "Steps that a presence may be interrupted for.")
    var gap = LinkingOptions().gap
    @Option(help: "Steps within which a presence may follow another.")
    var reach = LinkingOptions().reach
    @Option(help: "Cost, in positions, of leaving a presence unlinked.")
    var unmatchedCost = LinkingOptions().unmatchedCost
    @Option(help: "Permutations of positions that trajectories are set against; 0 leaves their null out.")
    var nullPermutations = LinkingOptions().nullPermutations

    var options: LinkingOptions {
        LinkingOptions(gap: gap, reach: reach, unmatchedCost: unmatchedCost, nullPermutations: nullPermutations)
    }
}
