// A question in words: which sinks of the deeper layers stay, and where.
//   swift run --package-path examples query a.h5
import Analysis
import Foundation
import TraceFormat

guard CommandLine.arguments.count == 2 else {
    print("usage: query TRACE")
    exit(2)
}
let analysis = try SinkAnalysis(of: Trace(path: CommandLine.arguments[1]), rule: .excess(epsilon: 3, unit: .sum))
// As on the command line: attntrace trajectories a.h5 --table presences --where '...' --sort ... --columns ...
let table = try analysis.presencesTable
    .filtered(where: "layer >= 2 and dwell > 3 and not position in (0, 1)")
    .sorted(by: "-dwell, layer, head, position, first_step")
    .selecting("layer, head, position, first_step, last_step, dwell")
print(table.csv(), terminator: "")
