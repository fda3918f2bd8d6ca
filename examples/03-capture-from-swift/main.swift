// Captures from a program: a model's directory, a prompt, the trace to write.
//   swift run --package-path examples capture-from-swift models/tiny-mdm "In the beginning" a.h5
import Capture
import Foundation

let arguments = CommandLine.arguments
guard arguments.count == 4 else {
    print("usage: capture-from-swift MODEL PROMPT TRACE")
    exit(2)
}
let capture = try Capture(model: arguments[1])
let generation = try capture.run(
    prompt: .text(arguments[2]),
    sampler: .llada(steps: 8, genLength: 16, blockLength: 8),
    recording: RecordingOptions(layers: [0, 1], signals: [.received, .maps]),
    to: arguments[3])
print("steps:", generation.stepCount)
print("ids:", generation.finalIDs.map(String.init).joined(separator: " "))
print("unmasked at:", generation.unmaskStep.map(String.init).joined(separator: " "))
