// Watches a capture from another process while it runs: each committed step, as it comes.
//   swift run --package-path examples follow-a-capture out.h5
import Foundation
import TraceFormat

guard CommandLine.arguments.count == 2 else {
    print("usage: follow-a-capture TRACE, as its capture will name it")
    exit(2)
}
let path = CommandLine.arguments[1]
var seen = 0
while true {
    let isDone = FileManager.default.fileExists(atPath: path)
    let name = isDone ? path : path + ".partial"
    if FileManager.default.fileExists(atPath: name) {
        do {
            // Opening is cheap: it reads no attention.
            let trace = try Trace(path: name)
            for step in seen..<trace.committedSteps {
                let masks = try trace.read(.maskCount, [.step: step..<step + 1]).values[0]
                let received = try trace.read(.received, [.step: step..<step + 1]).values
                print("step \(step): \(masks) masked,", String(format: "%.1f received", received.reduce(0, +)))
            }
            seen = trace.committedSteps
            if isDone { break }
        } catch TraceError.notFound {
            // It got its final name just now.
        }
    }
    Thread.sleep(forTimeInterval: 0.05)
}
print("done: \(seen) steps")
