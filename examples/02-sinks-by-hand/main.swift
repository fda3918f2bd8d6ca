// The excess rule, step by step: a key is a sink where its received sum is above the mean of the others + 3.
//   swift run --package-path examples sinks-by-hand a.h5
import Analysis
import Foundation
import TraceFormat

guard CommandLine.arguments.count == 2 else {
    print("usage: sinks-by-hand TRACE")
    exit(2)
}
let trace = try Trace(path: CommandLine.arguments[1])
let rule = SinkRule.excess(epsilon: 3, unit: .sum)
var stream = try ReceivedStream(of: trace, per: .head)
var seen: [Int: Int] = [:]

while let frame = try stream.next() {
    var count = 0
    var strongest = 0.0
    for site in stream.grid.sites.indices {
        guard let sums = frame.scores(of: site, in: .sum),
            case .sinks(let positions) = rule.verdict(on: sums, rows: frame.rows)
        else { continue }
        count += positions.count
        for position in positions {
            seen[position, default: 0] += 1
            strongest = max(strongest, sums[position])
        }
    }
    print(String(format: "step %d: %d sinks, the strongest receives %.3f", frame.step, count, strongest))
}
for (position, times) in seen.sorted(by: { $0.key < $1.key }) { print("position \(position): \(times) times") }
