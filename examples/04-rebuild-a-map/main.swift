// A map from the query and key vectors that were recorded in its place.
//   swift run --package-path examples rebuild-a-map qk.h5
import Foundation
import TraceFormat

guard CommandLine.arguments.count == 2 else {
    print("usage: rebuild-a-map TRACE, captured with --record qk")
    exit(2)
}
let trace = try Trace(path: CommandLine.arguments[1])
let step = trace.committedSteps - 1
print("signals:", trace.plan.signals.map(\.rawValue).sorted().joined(separator: " "))

for (layer, label) in trace.plan.layers.enumerated() {
    // The same call whether maps or vectors were recorded.
    let map = try trace.map(step: step, layer: layer, head: 0)
    let row = map.values.suffix(map.shape[1])
    let best = row.enumerated().max { $0.element < $1.element }?.offset ?? 0
    print("layer \(label): the last query gives most to key \(best),", String(format: "%.3f", Double(row.max() ?? 0)))
}
let errors = try trace.read(.rebuildError).values
print(String(format: "no weight is off by more than %.1e", Double(errors.max() ?? 0)))
