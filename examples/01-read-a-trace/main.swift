// What a trace holds, and two numbers of it. Nothing is read but what is asked for.
//   swift run --package-path examples read-a-trace a.h5
import Foundation
import TraceFormat

guard CommandLine.arguments.count == 2 else {
    print("usage: read-a-trace TRACE")
    exit(2)
}
let trace = try Trace(path: CommandLine.arguments[1])
print(trace.provenance.modelName, trace.plan.causality.rawValue)

// (step, layer, head, query_class, key): one layer's sums over queries, of every step.
let received = try trace.read(.received, [.layer: 0..<1])
print("received by layer \(try trace.coordinate(.layer)[0]):", received.shape)
print(String(format: "all of it: %.3f", received.values.reduce(0) { $0 + Double($1) }))

// One map, (query, key): what the last query gave each key.
let map = try trace.map(step: trace.committedSteps - 1, layer: 0, head: 0)
let row = map.values.suffix(map.shape[1])
print(String(format: "the last query gives its best key %.3f", Double(row.max() ?? 0)))
