import CDeflate
import Foundation
import Synchronization
import TraceFormat

/// Times the file itself for Benchmarks/file/run.py: writing maps, summing them, reading one, rebuilding them.
///
/// Prints one line of JSON. Numbers come as raw float16 from a file that the Python side made, so that both write the
/// same.
@main
struct FileBench {
    static func main() throws {
        let arguments = CommandLine.arguments
        let numbers = arguments.dropFirst(2).map { Int($0) }
        func number(_ index: Int) -> Int {
            guard index < numbers.count, let value = numbers[index] else { usage() }
            return value
        }
        func path(_ index: Int) -> String {
            guard index + 2 < arguments.count else { usage() }
            return arguments[index + 2]
        }
        switch arguments.dropFirst().first {
        case "write":
            let shape = Shape(steps: number(2), layers: number(3), heads: number(4), length: number(5))
            try write(raw: path(0), to: path(1), shape, threads: number(6))
        case "reduce": try reduce(path(0), threads: number(1), rounds: number(2), output: path(3))
        case "decode": try decode(path(0), threads: number(1), rounds: number(2))
        case "inflate": try inflate(path(0), chunk: number(1), rounds: number(2))
        case "maps": try maps(path(0), count: number(1), cold: number(2) == 1)
        case "rebuild": try rebuild(length: number(0), channels: number(1), threads: number(2), rounds: number(3))
        case "copy": copy(megabytes: number(0))
        default: usage()
        }
    }

    static func usage() -> Never {
        let text = """
            usage: file-bench write RAW TRACE STEPS LAYERS HEADS LENGTH THREADS
                   file-bench reduce TRACE THREADS ROUNDS OUTPUT
                   file-bench decode TRACE THREADS ROUNDS
                   file-bench inflate CHUNKS BYTES ROUNDS
                   file-bench maps TRACE COUNT COLD
                   file-bench rebuild LENGTH CHANNELS THREADS ROUNDS
                   file-bench copy MEGABYTES

            """
        FileHandle.standardError.write(Data(text.utf8))
        exit(2)
    }

    struct Shape {
        let steps: Int
        let layers: Int
        let heads: Int
        let length: Int
        var step: Int { layers * heads * length * length }
        var promptLength: Int { length / 4 }

        /// Which positions are fed in masked: fewer from step to step.
        func isMasked(atStep step: Int) -> [UInt8] {
            let unmasked = promptLength + (length - promptLength) * step / steps
            return (0..<length).map { $0 < unmasked ? 0 : 1 }
        }
    }

    static func seconds(_ body: () throws -> Void) rethrows -> Double {
        let start = ContinuousClock.now
        try body()
        return (ContinuousClock.now - start) / .seconds(1)
    }

    static func report(_ values: [String: [Double]]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        print(String(decoding: try encoder.encode(values), as: UTF8.self))
    }

    /// The most memory that the process ever had, in bytes.
    static func peakMemory() -> Double {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") } ?? ""
        let kilobytes = line.split(separator: " ").compactMap { Double($0) }.first ?? 0
        return kilobytes * 1024
    }

    // MARK: Jobs

    /// Writes the raw maps as a trace, from memory. A file of more steps than there are raw ones repeats them.
    static func write(raw: String, to path: String, _ shape: Shape, threads: Int) throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: raw))
        let available = data.count / (2 * shape.step)
        let plan = TracePlan(
            causality: .bidirectional, promptLength: shape.promptLength,
            generatedLength: shape.length - shape.promptLength, stepCount: shape.steps,
            layers: Array(0..<shape.layers), heads: Array(0..<shape.heads), signals: [.maps])
        let provenance = Provenance(
            modelName: "bench", architecture: "LLaDAModelLM", modelConfiguration: "{}", weightsSHA256: "",
            tokenizerSHA256: "", headCount: shape.heads, kvHeadCount: shape.heads, layerCount: shape.layers,
            predictionOffset: 0, maskTokenID: 1, sampler: "llada", samplerParameters: "{}", seed: 0,
            numericType: "float32", kernel: "", threads: threads, producer: "file-bench", commandLine: "",
            createdAt: "", prompt: "")
        let values = data.withUnsafeBytes { Array($0.bindMemory(to: Float16.self)) }
        // Taking away an older file is not what is measured.
        if FileManager.default.fileExists(atPath: path) { try FileManager.default.removeItem(atPath: path) }
        let time = try seconds {
            let writer = try TraceWriter(
                creating: path, plan: plan, provenance: provenance, overwrite: true, compressionThreads: threads)
            try values.withUnsafeBufferPointer { all in
                for step in 0..<shape.steps {
                    let first = step % available * shape.step
                    for layer in 0..<shape.layers {
                        let count = shape.heads * shape.length * shape.length
                        let from = first + layer * count
                        try writer.write(
                            .attention, at: [step, layer, 0, 0, 0],
                            shape: [1, 1, shape.heads, shape.length, shape.length],
                            values: UnsafeBufferPointer(rebasing: all[from..<from + count]))
                    }
                    let isMasked = shape.isMasked(atStep: step)
                    try writer.write(.isMasked, at: [step, 0], shape: [1, shape.length], values: isMasked)
                    let ids = [Int32](repeating: 0, count: shape.length)
                    try writer.write(TokenState(ids: ids, unmaskStep: ids, unmaskOrder: ids))
                    try writer.commitStep()
                }
            }
            try writer.finish()
        }
        try report(["seconds": [time]])
    }

    /// Sums every map over its queries, some times over, and leaves the sums of the last pass as raw float32.
    static func reduce(_ path: String, threads: Int, rounds: Int, output: String) throws {
        var times: [Double] = []
        for round in 0..<rounds {
            guard FileManager.default.createFile(atPath: output, contents: nil),
                let handle = FileHandle(forWritingAtPath: output)
            else { throw CocoaError(.fileWriteUnknown) }
            defer { handle.closeFile() }
            times.append(
                try seconds {
                    let trace = try Trace(path: path)
                    try trace.forEachMapSums(threads: threads) { map in
                        guard round == rounds - 1 else { return }
                        map.sums.withUnsafeBytes { handle.write(Data($0)) }
                    }
                })
        }
        try report(["seconds": times, "peak": [peakMemory()]])
    }

    /// Reads every map into single precision, some times over.
    static func decode(_ path: String, threads: Int, rounds: Int) throws {
        let trace = try Trace(path: path)
        let times = try (0..<rounds).map { _ in
            try seconds {
                try trace.chunkPass(over: .attention, unitAxes: 3, threads: threads).run { _ in
                    Float(0)
                } absorb: { sum, chunk in
                    sum += try chunk.withFloats { $0[0] }
                } finish: { _, _ in
                }
            }
        }
        try report(["seconds": times])
    }

    /// Inflates zlib streams from memory on all processors: the limit of whoever stores maps so.
    static func inflate(_ path: String, chunk: Int, rounds: Int) throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        let times = data.withUnsafeBytes { bytes -> [Double] in
            let count = Int(bytes.loadUnaligned(as: UInt32.self))
            var starts = [4 * (count + 1)]
            for index in 1...count {
                starts.append(starts[index - 1] + Int(bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)))
            }
            // Sound: nobody writes to these bytes.
            nonisolated(unsafe) let bytes = bytes
            let ranges = starts
            return (0..<rounds).map { _ in
                let next = Atomic(0)
                return seconds {
                    DispatchQueue.concurrentPerform(iterations: ProcessInfo.processInfo.activeProcessorCount) { _ in
                        let decompressor = libdeflate_alloc_decompressor()
                        defer { libdeflate_free_decompressor(decompressor) }
                        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 64)
                        defer { target.deallocate() }
                        while true {
                            let index = next.add(1, ordering: .relaxed).oldValue
                            guard index < count else { return }
                            let stream = UnsafeRawBufferPointer(rebasing: bytes[ranges[index]..<ranges[index + 1]])
                            let outcome = libdeflate_zlib_decompress(
                                decompressor, stream.baseAddress, stream.count, target.baseAddress, chunk, nil)
                            precondition(outcome == LIBDEFLATE_SUCCESS, "not a zlib stream of \(chunk) bytes")
                        }
                    }
                }
            }
        }
        try report(["seconds": times])
    }

    /// Reads single maps here and there; cold ones after the system has been asked to forget the file.
    static func maps(_ path: String, count: Int, cold: Bool) throws {
        let trace = try Trace(path: path)
        let shape = try trace.shape(of: .attention)
        var state: UInt64 = 7
        func place(_ length: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % length
        }
        let descriptor = open(path, O_RDONLY)
        var times: [Double] = []
        var sum: Float = 0
        for _ in 0..<count {
            let (step, layer, head) = (place(shape[0]), place(shape[1]), place(shape[2]))
            if cold { posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) }
            times.append(try seconds { sum += try trace.map(step: step, layer: layer, head: head).values[0] })
        }
        try report(["seconds": times, "check": [Double(sum)]])
    }

    /// Rebuilds one map some times over from random queries and keys: whole, and only its sums.
    static func rebuild(length: Int, channels: Int, threads: Int, rounds: Int) throws {
        var state: UInt64 = 1
        let vectors = (0..<2 * length * channels).map { _ -> Float16 in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float16(Float(Int(state >> 40)) / Float(1 << 22) - 2)
        }
        var weights = [Float](repeating: 0, count: length * length)
        var whole: [Double] = []
        var sums: [Double] = []
        try vectors.withUnsafeBufferPointer { vectors in
            let queries = UnsafeBufferPointer(rebasing: vectors[..<(length * channels)])
            let keys = UnsafeBufferPointer(rebasing: vectors[(length * channels)...])
            for _ in 0..<rounds {
                whole.append(
                    try seconds {
                        let rebuilder = try MapRebuilder(keys: keys, channelCount: channels)
                        try weights.withUnsafeMutableBufferPointer {
                            try rebuilder.rebuild(queries: queries, threads: threads, into: $0)
                        }
                    })
                sums.append(
                    try seconds {
                        let rebuilder = try MapRebuilder(keys: keys, channelCount: channels)
                        _ = try rebuilder.columnSums(queries: queries, threads: threads)
                    })
            }
        }
        try report(["whole": whole, "sums": sums])
    }

    /// The limit of anything that touches each byte: a copy in memory, on all processors.
    static func copy(megabytes: Int) {
        let count = megabytes << 20
        let source = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
        source.initializeMemory(as: UInt8.self, repeating: 1)
        target.initializeMemory(as: UInt8.self, repeating: 0)
        let threads = ProcessInfo.processInfo.activeProcessorCount
        let part = count / threads
        // Sound: each thread copies a part of its own.
        nonisolated(unsafe) let (from, to) = (source, target)
        let times = (0..<5).map { round in
            from[round] = UInt8(round)
            return seconds {
                DispatchQueue.concurrentPerform(iterations: threads) { thread in
                    let range = thread * part..<(thread + 1) * part
                    UnsafeMutableRawBufferPointer(rebasing: to[range])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: from[range]))
                }
            }
        }
        try? report(["seconds": times, "check": [Double(to[4])]])
    }
}
