// A cohort: one number a trace, and over all traces its mean with a 95 % interval.
//   swift run --package-path examples cohort a.h5 b.h5 c.h5
import Analysis
import Foundation
import TraceFormat

let paths = CommandLine.arguments.dropFirst()
guard paths.count >= 2 else {
    print("usage: cohort TRACE TRACE ...")
    exit(2)
}
var masses: [Double] = []
for path in paths {
    // Mass of the first four tokens by layer and head, mean over the steps.
    let mass = try TracePass(over: Trace(path: path)).run(FirstTokens(count: 4))
    masses.append(mass.reduce(0, +) / Double(mass.count))
    print(String(format: "trace %d: %.6f", masses.count, masses[masses.count - 1]))
}

let count = Double(masses.count)
let mean = masses.reduce(0, +) / count
let deviation = (masses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)).squareRoot()
let reach = 1.96 * deviation / count.squareRoot()
print(String(format: "mean %.6f, 95 %% interval %.6f ... %.6f", mean, mean - reach, mean + reach))
