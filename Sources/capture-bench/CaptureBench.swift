import Capture
import Foundation
import TraceFormat

/// Times whole generations for Benchmarks/bench.py: without recording, with the timeline
/// and the answer rows that are always recorded, with received sums, with every signal, with maps.
///
///     capture-bench MODEL_DIRECTORY PROMPT_LENGTH GENERATED_LENGTH ROUNDS [STEPS]
///
/// Each round runs them one after the other, so that whatever else the machine does hits all. Prints one line of
/// JSON: the seconds of each, by the clock and of processor time, the bytes of the traces, the kernels, and the process's
/// peak memory, mapped pages counted. CAPTURE_BENCH_KINDS=none,received names those to run; all by default.
/// CAPTURE_BENCH_THREADS=4 says on how many threads; one for each processor by default.
@main
struct CaptureBench {
    static func main() throws {
        let arguments = CommandLine.arguments
        let numbers = arguments.dropFirst(2).compactMap { Int($0) }
        guard numbers.count >= 3, numbers.count == arguments.count - 2 else {
            FileHandle.standardError.write(
                Data("usage: capture-bench MODEL_DIRECTORY PROMPT_LENGTH GENERATED_LENGTH ROUNDS [STEPS]\n".utf8))
            exit(2)
        }
        let environment = ProcessInfo.processInfo.environment
        let threads = environment["CAPTURE_BENCH_THREADS"].flatMap { Int($0) }
        let capture = try Capture(model: arguments[1], threads: threads)
        let vocabulary = capture.configuration.vocabularySize
        let prompt = Prompt.tokens((0..<numbers[0]).map { Int32(3 + ($0 * 7919) % (vocabulary - 3)) })
        let sampler: Sampler =
            capture.configuration.visibility == .causal
            ? .autoregressive(maxNewTokens: numbers[1], eosTokenIDs: [])
            : .llada(steps: numbers.count > 3 ? numbers[3] : numbers[1], genLength: numbers[1], blockLength: numbers[1])
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("capture-bench-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("trace.h5").path

        // Every signal but the full attention, and the full attention with what `--record maps` keeps beside it.
        let every: Set<Signal> = [.received, .rows, .distance, .norms, .residual, .top]
        let kinds: [(String, Set<Signal>)] = [
            ("timeline", []), ("received", [.received]),
            ("signals", capture.configuration.visibility == .causal ? every : every.union([.cosine])),
            ("maps", [.received, .rows, .maps]),
        ]
        var seconds: [String: [Double]] = [:]
        var processor: [String: [Double]] = [:]
        var bytes: [String: Int] = [:]
        func time(_ name: String, _ body: () throws -> Void) rethrows {
            let (start, busy) = (ContinuousClock.now, clock())
            try body()
            seconds[name, default: []].append((ContinuousClock.now - start) / .seconds(1))
            processor[name, default: []].append(Double(clock() - busy) / Double(CLOCKS_PER_SEC))
        }
        let wanted = Set(
            (environment["CAPTURE_BENCH_KINDS"] ?? "none,timeline,received,signals,maps").split(separator: ",").map(
                String.init))
        // The weights' digest is made once a process; it is not what is measured.
        _ = try capture.run(
            prompt: prompt, sampler: sampler, recording: RecordingOptions(signals: [.received]), to: path,
            overwrite: true)
        for _ in 0..<numbers[2] {
            if wanted.contains("none") {
                try time("none") { _ = try capture.generate(prompt: prompt, sampler: sampler) }
            }
            for (name, signals) in kinds where wanted.contains(name) {
                try time(name) {
                    _ = try capture.run(
                        prompt: prompt, sampler: sampler, recording: RecordingOptions(signals: signals), to: path,
                        overwrite: true)
                }
                let attributes = try FileManager.default.attributesOfItem(atPath: path)
                bytes[name] = (attributes[.size] as? Int) ?? 0
            }
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        struct Report: Encodable {
            let seconds: [String: [Double]]
            /// Of all threads together: waiting threads that look for work count too.
            let processor: [String: [Double]]
            let bytes: [String: Int]
            let kernel: String
            let peak_bytes: Int
        }
        print(
            String(
                decoding: try encoder.encode(
                    Report(
                        seconds: seconds, processor: processor, bytes: bytes, kernel: capture.transformer.kernels.name,
                        peak_bytes: try peakBytes())), as: UTF8.self))
    }

    /// The most memory that the process had, in bytes, mapped pages counted.
    private static func peakBytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") } ?? ""
        return line.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }.first.map { $0 * 1024 } ?? 0
    }
}
