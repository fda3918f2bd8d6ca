import Capture
import Foundation

/// Times forward passes for Benchmarks/forward/run.py, which runs PyTorch in turn with it.
///
///     forward-bench MODEL_DIRECTORY THREADS LENGTH [INSTRUCTION_SET]
///
/// Prints a line of JSON about itself; then, for each line `go N` on standard input, runs N passes with the attention of
/// every layer handed out and prints their seconds as a JSON list; `step N` does the same for N tokens, one at a time,
/// through a key-value cache; a third word, `plain`, leaves the attention inside. `logits FILE ID,ID,...` writes one
/// pass's logits to FILE, float32, a row a token, and prints `[]`. With FORWARD_BENCH_CLOCK=cpu the seconds are those of the process's processor time: on one
/// thread, what a busy machine would otherwise hide.
@main
struct ForwardBench {
    /// Looks at one number of each layer, so that nothing can be left out.
    final class Glance: AttentionTap {
        let lasts: UnsafeMutablePointer<Float>
        let heads: Int
        var sum: Float = 0

        init(heads: Int) {
            self.heads = heads
            lasts = .allocate(capacity: heads)
        }

        func parts(ofLayer layer: Int) -> LayerParts { .weights }
        // Several heads at a time, each with a place of its own.
        func absorb(_ head: HeadAttention) { lasts[head.head] = head.weights[head.weights.count - 1] }
        func absorb(_ attention: LayerAttention) { for head in 0..<heads { sum += lasts[head] } }
    }

    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 4, let threads = Int(arguments[2]), let length = Int(arguments[3]) else {
            FileHandle.standardError.write(Data("usage: forward-bench MODEL_DIRECTORY THREADS LENGTH [SET]\n".utf8))
            exit(2)
        }
        var kernels = KernelSet.best
        if arguments.count > 4 {
            guard let set = KernelSet.InstructionSet(rawValue: arguments[4]), let chosen = KernelSet(set) else {
                FileHandle.standardError.write(Data("forward-bench: no \(arguments[4]) here\n".utf8))
                exit(2)
            }
            kernels = chosen
        }
        let clock =
            ProcessInfo.processInfo.environment["FORWARD_BENCH_CLOCK"] == "cpu"
            ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC
        let configuration = try ModelConfiguration(directory: arguments[1])
        let begin = seconds(CLOCK_MONOTONIC)
        let model = try Transformer(
            configuration: configuration, checkpoint: Checkpoint(directory: arguments[1]), threads: threads,
            kernels: kernels)
        let load = seconds(CLOCK_MONOTONIC) - begin
        let ids = (0..<length).map { Int32(($0 * 7919 + 13) % configuration.vocabularySize) }
        say("{\"kernel\": \"\(kernels.name)\", \"load_seconds\": \(load)}")
        let glance = Glance(heads: configuration.headCount)
        while let line = readLine() {
            let words = line.split(separator: " ")
            if words.count == 3, words[0] == "logits" {
                let ids = words[2].split(separator: ",").compactMap { Int32($0) }
                let logits = try model.forward(ids, logitsFor: .all)
                try logits.values.withUnsafeBytes { Data($0) }.write(to: URL(filePath: String(words[1])))
                say("[]")
                continue
            }
            guard words.count >= 2, let passes = Int(words[1]) else { break }
            let tap = words.last == "plain" ? nil : glance
            var times: [Double] = []
            let cache = try words[0] == "step" ? model.makeCache(capacity: passes) : nil
            for pass in 0..<passes {
                let begin = seconds(clock)
                let logits =
                    try cache == nil
                    ? model.forward(ids, logitsFor: .all, tap: tap)
                    : model.forward([ids[pass % length]], cache: cache, logitsFor: .last, tap: tap)
                times.append(seconds(clock) - begin)
                glance.sum += logits.values[0]
            }
            say("\(times)")
        }
        if glance.sum.isNaN { exit(1) }
    }

    /// Writes a line at once: the other side waits for it.
    private static func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

    private static func seconds(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
