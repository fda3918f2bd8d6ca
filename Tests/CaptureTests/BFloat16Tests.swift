import Capture
import Foundation
import Testing

/// Models run in bfloat16, on weights where they are mapped.
@Suite struct BFloat16Tests {
    static let models = ["llada-bf16", "llama-grouped-f16"]
    /// A sum in another order may round an activation the other way, which is 2^-9 of it: of the largest logit, and as
    /// root mean square over that of the logits.
    static let tolerance: Float = 1e-2
    static let meanTolerance = 2.5e-3

    @Test(arguments: models, KernelSet.InstructionSet.allCases.filter { KernelSet($0) != nil })
    func parity(name: String, set: KernelSet.InstructionSet) throws {
        let fixture = try ModelFixture(tiny: name)
        let model = try fixture.model(threads: 1, numericType: .bfloat16, kernels: KernelSet(set))
        #expect(model.numericType == .bfloat16 && model.kernels.instructionSet == set)
        let logits = try model.forward(try fixture.integers("ids"))
        let aside = TemporaryFolder()
        try FileManager.default.copyItem(
            atPath: "\(fixture.directory)/bfloat16.safetensors", toPath: "\(aside.path)/model.safetensors")
        let wanted = try #require(try Checkpoint(directory: aside.path)["logits"]).floats()
        let ofLogits = difference(logits.values, wanted, relative: true)
        #expect(ofLogits < Self.tolerance)
        let mean = Self.meanDifference(logits.values, wanted)
        #expect(mean < Self.meanTolerance)
        // It is another arithmetic than float32, and not a far one.
        let exact = Self.meanDifference(logits.values, try fixture.floats("logits"))
        #expect(exact > 1.5 * Self.meanTolerance && exact < 2e-2)
        print("bfloat16 \(name) \(set.rawValue): logits \(ofLogits), mean \(mean), from float32 \(exact)")
    }

    /// Root mean square of the difference over that of the numbers.
    private static func meanDifference(_ got: [Float], _ wanted: [Float]) -> Double {
        let squares = zip(got, wanted).reduce(0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
        return (squares / wanted.reduce(0) { $0 + pow(Double($1), 2) }).squareRoot()
    }

    @Test(arguments: models)
    func threadsAndTapsChangeNothing(name: String) throws {
        let fixture = try ModelFixture(tiny: name)
        let ids = try fixture.integers("ids")
        let wanted = try fixture.model(threads: 1, numericType: .bfloat16).forward(ids)
        for threads in [2, 7] {
            let model = try fixture.model(threads: threads, numericType: .bfloat16)
            #expect(try model.forward(ids, tap: KeepingTap()) == wanted)
            _ = try model.forward(Array(ids.prefix(3)))
            #expect(try model.forward(ids) == wanted)
        }
    }

    @Test func cachedDecodingEqualsTheWholePass() throws {
        let fixture = try ModelFixture(tiny: "llama-grouped-f16")
        let ids = try fixture.integers("ids")
        let model = try fixture.model(numericType: .bfloat16)
        let wanted = try model.forward(ids)
        let cache = try model.makeCache(capacity: ids.count)
        var values = try model.forward(Array(ids.prefix(7)), cache: cache).values
        for id in ids.dropFirst(7) { values += try model.forward([id], cache: cache).values }
        #expect(values == wanted.values)
    }

    @Test func whatIsChosenUnlessTold() throws {
        var configuration = try ModelConfiguration(directory: "\(ModelFixture.folder)/llada-bf16")
        #expect(NumericType.automatic(for: configuration, storedAsBFloat16: true) == .float32)
        #expect(!configuration.usesWeightsInPlace(.float32) && configuration.usesWeightsInPlace(.bfloat16))
        #expect(try ModelFixture(tiny: "llada-bf16").model().numericType == .float32)
        (configuration.width, configuration.mlpWidth, configuration.layerCount) = (4096, 12288, 32)
        (configuration.headCount, configuration.kvHeadCount, configuration.headWidth) = (32, 32, 128)
        configuration.vocabularySize = 126464
        #expect(configuration.parameterCount == 8_015_581_184)
        #expect(NumericType.automatic(for: configuration, storedAsBFloat16: true) == .bfloat16)
        #expect(NumericType.automatic(for: configuration, storedAsBFloat16: false) == .float32)
        configuration.source = "{\"torch_dtype\": \"bfloat16\"}"
        // The file's bytes and the norms' weights in float32: no second copy.
        #expect(configuration.weightBytes() == 16_031_162_368 + 4 * 4096 * 65)
        let pass = configuration.passBytes(rows: 256, keys: 256, cachedLayers: 1, logitRows: 128, threads: 2)
        #expect(Double(configuration.weightBytes() + pass) < 1.05 * 16_031_162_368)
    }

    /// A file that is written to, or grows, or shrinks, ends a run that reads its weights from it.
    @Test func aFileThatChangesUnderAMapping() throws {
        let source = "\(ModelFixture.folder)/llada-bf16"
        let folder = TemporaryFolder()
        let path = "\(folder.path)/model.safetensors"
        let bytes = try Data(contentsOf: URL(filePath: "\(source)/model.safetensors"))
        try folder.write("model.safetensors", bytes)
        let configuration = try ModelConfiguration(directory: source)
        let checkpoint = try Checkpoint(directory: folder.path)
        let mapped = try Transformer(
            configuration: configuration, checkpoint: checkpoint, threads: 1, numericType: .bfloat16)
        let packed = try Transformer(configuration: configuration, checkpoint: checkpoint, threads: 1)
        let wanted = try (mapped.forward([1, 2]), packed.forward([1, 2]))

        // Another file under the same name does no harm.
        try folder.write("other", bytes)
        #expect(rename("\(folder.path)/other", path) == 0)
        #expect(try mapped.forward([1, 2]) == wanted.0)
        _ = try checkpoint.weightsSHA256()

        let again = try Checkpoint(directory: folder.path)
        let model = try Transformer(configuration: configuration, checkpoint: again, threads: 1, numericType: .bfloat16)
        #expect(try model.forward([1, 2]) == wanted.0)
        let file = try FileHandle(forWritingTo: URL(filePath: path))
        try file.truncate(atOffset: UInt64(bytes.count - 4096))
        try file.close()
        let error = try #require(throws: ModelError.self) { try model.forward([1, 2]) }
        #expect(error.description == "\(path): was changed while it was in use; start again")
        #expect(throws: ModelError.self) { try again.weightsSHA256() }
        #expect(try packed.forward([1, 2]) == wanted.1)
    }

    @Test func threadsBoundToProcessors() throws {
        // A thread of its own: binding holds for the thread that asks for it as well.
        let done = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            defer { done.signal() }
            #expect(throws: ModelError.self) { try WorkerPool(threads: 2, affinity: [1 << 20]) }
            #expect(throws: ModelError.self) { try WorkerPool(threads: 2, affinity: [-1]) }
            // The first of those that this process may use: a container need not have processor 0.
            let allowed = Self.processorsOfThisThread()
            guard let processor = Int(allowed.prefix { $0.isNumber }) else {
                Issue.record("no processor in \"\(allowed)\"")
                return
            }
            let pool: WorkerPool
            do { pool = try WorkerPool(threads: 3, affinity: [processor]) } catch {
                Issue.record(error)
                return
            }
            var lists = [String](repeating: "", count: 50)
            lists.withUnsafeMutableBufferPointer { lists in
                // Sound: each call writes to an element of its own.
                nonisolated(unsafe) let out = lists
                pool.forEach(50) { out[$0] = Self.processorsOfThisThread() }
            }
            #expect(lists.allSatisfy { $0 == "\(processor)" })
        }
        done.wait()
    }

    private static func processorsOfThisThread() -> String {
        let status = (try? String(contentsOfFile: "/proc/thread-self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") } ?? ""
        return line.split(separator: "\t").last.map(String.init) ?? "unknown"
    }

    @Test func memoryIsBounded() throws {
        let configuration = try ModelConfiguration(directory: "\(ModelFixture.folder)/llada-bf16")
        let plan = try CapturePlan(
            configuration: configuration, prompt: RenderedPrompt(ids: [1, 2]),
            sampler: .llada(steps: 3, genLength: 6, blockLength: 6),
            recording: RecordingOptions())
        var recording = RecordingOptions(memoryBudget: 100 << 20)
        #expect(try plan.writerBudget(recording, threads: 1) == 100 << 20)
        let rest = plan.memory(threads: 1, writerBudget: 0).total
        recording.memoryLimit = rest + (200 << 20)
        #expect(try plan.writerBudget(recording, threads: 1) == 100 << 20)
        recording.memoryLimit = rest + (20 << 20)
        #expect(try plan.writerBudget(recording, threads: 1) == 20 << 20)
        recording.memoryLimit = rest + (15 << 20)
        #expect(throws: CaptureError.memoryTooSmall(needed: rest + (16 << 20), limit: rest + (15 << 20))) {
            try plan.writerBudget(recording, threads: 1)
        }
    }
}
