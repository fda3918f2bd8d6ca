import Foundation
import Testing
import TraceFormat

@testable import Capture

/// A model directory of made-up weights: two layers, two heads, sixteen channels.
struct TinyModel {
    let folder: ScratchFolder
    var directory: String { folder.url.path }

    init(causal: Bool, tokenizer: Bool = true) throws {
        folder = try ScratchFolder()
        let configuration =
            causal
            ? #"""
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
             "vocab_size": 300, "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
             "eos_token_id": 299, "tie_word_embeddings": false, "hidden_act": "silu"}
            """#
            : #"""
            {"architectures": ["LLaDAModelLM"], "model_type": "llada", "d_model": 16, "n_heads": 2, "n_layers": 2,
             "n_kv_heads": 2, "mlp_hidden_size": 24, "block_type": "llama", "layer_norm_type": "rms",
             "layer_norm_with_affine": true, "activation_type": "silu", "rope": true, "weight_tying": false,
             "vocab_size": 300, "embedding_size": 300, "max_sequence_length": 32, "mask_token_id": 299}
            """#
        try Data(configuration.utf8).write(to: folder.url.appendingPathComponent("config.json"))
        try weights(causal: causal).write(to: folder.url.appendingPathComponent("model.safetensors"))
        if tokenizer {
            try Data(Self.tokenizer.utf8).write(to: folder.url.appendingPathComponent("tokenizer.json"))
        }
    }

    /// Bytes as tokens: no merges.
    private static let tokenizer: String = {
        // The byte-level alphabet: printable bytes stand for themselves, the rest follow from U+0100.
        let printable = Array(33...126) + Array(161...172) + Array(174...255)
        var next = 256
        let vocabulary = (0..<256).map { byte in
            var scalar = byte
            if !printable.contains(byte) {
                scalar = next
                next += 1
            }
            let text = String(Character(Unicode.Scalar(UInt32(scalar)) ?? "?"))
            return "\"\(["\"", "\\"].contains(text) ? "\\" + text : text)\": \(byte)"
        }
        let pieces = #"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}"#
        return """
            {"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
             "pre_tokenizer": \(pieces), "post_processor": null, "decoder": \(pieces),
             "model": {"type": "BPE", "vocab": {\(vocabulary.joined(separator: ", "))}, "merges": []}}
            """
    }()

    private func weights(causal: Bool) -> Data {
        let names = TensorNames(causal ? .llama : .llada)
        let (width, mlp, vocabulary, keys) = (16, 24, 300, causal ? 8 : 16)
        let table = [vocabulary, width]
        var shapes = [(names.embedding, table), (names.finalNorm, [width]), (names.head, table)]
        for index in 0..<2 {
            let layer = names.layer(index)
            shapes += [
                (layer.attentionNorm, [width]), (layer.query, [width, width]), (layer.key, [keys, width]),
                (layer.value, [keys, width]), (layer.attentionOutput, [width, width]), (layer.mlpNorm, [width]),
                (layer.gate, [mlp, width]), (layer.up, [mlp, width]), (layer.down, [width, mlp]),
            ]
        }
        var header: [String] = []
        var values: [Float] = []
        let random = CounterRandom(seed: 1)
        for (name, shape) in shapes {
            let start = values.count
            for _ in 0..<shape.reduce(1, *) {
                let u = random.uniform(step: values.count, position: 0, token: 0, stream: .gumbel)
                values.append(shape.count == 1 ? 1 : Float(u * 2 - 1))
            }
            header.append(
                #""\#(name)":{"dtype":"F32","shape":\#(shape),"data_offsets":[\#(start * 4),\#(values.count * 4)]}"#)
        }
        var text = "{" + header.joined(separator: ",") + "}"
        text += String(repeating: " ", count: (8 - text.utf8.count % 8) % 8)
        var data = withUnsafeBytes(of: UInt64(text.utf8.count).littleEndian) { Data($0) }
        data.append(Data(text.utf8))
        values.withUnsafeBytes { data.append(contentsOf: $0) }
        return data
    }
}

@Suite struct CaptureRunTests {
    @Test func aDiffusionModelIsCaptured() throws {
        let model = try TinyModel(causal: false)
        let out = try ScratchFolder()
        let capture = try Capture(model: model.directory, threads: 2)
        var steps: [Int] = []
        let generation = try capture.run(
            prompt: "Hi!", sampler: .llada(steps: 4, genLength: 8, blockLength: 4, cfgScale: 0.5),
            recording: RecordingOptions(heads: [1], signals: [.received, .rows, .maps]), to: out.path("a.h5"),
            commandLine: "attntrace capture"
        ) { progress in
            steps.append(progress.step)
            #expect(progress.steps == 4 && progress.seconds > 0)
        }
        #expect(steps == [1, 2, 3, 4])
        #expect(out.contents == ["a.h5"])
        #expect(Array(generation.finalIDs.prefix(3)) == [72, 105, 33])

        let trace = try Trace(path: out.path("a.h5"))
        #expect(trace.isComplete)
        #expect(trace.plan.heads == [1])
        #expect(trace.plan.layers == [0, 1])
        #expect(try Array(trace.tokenText().prefix(3)) == ["H", "i", "!"])
        let provenance = trace.provenance
        #expect(provenance.prompt == "Hi!")
        #expect(provenance.modelName == model.folder.url.lastPathComponent)
        #expect(provenance.maskTokenID == 299)
        #expect(provenance.weightsSHA256.count == 64 && provenance.tokenizerSHA256.count == 64)
        #expect(provenance.producer == "attntrace \(attntraceVersion)")
        #expect(provenance.commandLine == "attntrace capture")
        #expect(provenance.samplerParameters.contains(#""cfg_scale":0.5"#))
        #expect(provenance.createdAt.hasSuffix("Z"))

        // Rows of attention sum to 1, and so do the columns' sums over keys.
        let received = try trace.read(.received)
        let perStep = received.values.count / 4 / 2
        for start in stride(from: 0, to: received.values.count, by: perStep) {
            let sum = received.values[start..<start + perStep].reduce(0, +)
            #expect(abs(sum - 11) < 1e-4)
        }
        // Without recording the run is the same.
        let plain = try capture.generate(
            prompt: "Hi!", sampler: .llada(steps: 4, genLength: 8, blockLength: 4, cfgScale: 0.5))
        #expect(plain == generation)
    }

    @Test func aCausalModelIsCaptured() throws {
        let model = try TinyModel(causal: true)
        let out = try ScratchFolder()
        let capture = try Capture(model: model.directory, threads: 2)
        let sampler = Sampler.autoregressive(maxNewTokens: 6, temperature: 1, seed: 3)
        let generation = try capture.run(
            prompt: .tokens([72, 105]), sampler: sampler,
            recording: RecordingOptions(signals: [.received, .rows, .maps]), to: out.path("a.h5"))
        let trace = try Trace(path: out.path("a.h5"))
        #expect(trace.provenance.samplerParameters.contains(#""eos_token_ids":[299]"#))
        #expect(trace.provenance.prompt == "")
        // The rows were computed with a cache, some at a time; fed in at once they are the same.
        let layers = try Attention.of(capture.transformer, Array(generation.finalIDs.dropLast()))
        for layer in 0..<2 {
            for head in 0..<2 {
                let map = try trace.map(step: generation.stepCount - 1, layer: layer, head: head)
                #expect(map.values == layers[layer][head].map { Float(Float16($0)) })
            }
        }
    }

    @Test func theSameSeedGivesTheSameRun() throws {
        let model = try TinyModel(causal: false)
        let capture = try Capture(model: model.directory, threads: 2)
        func tokens(_ seed: UInt64) throws -> [Int32] {
            try capture.generate(
                prompt: .tokens([1, 2]),
                sampler: .llada(steps: 4, genLength: 16, blockLength: 16, temperature: 1, seed: seed)
            ).finalIDs
        }
        #expect(try tokens(7) == tokens(7))
        #expect(try tokens(7) != tokens(8))
    }

    @Test func nothingIsLeftUnderTheFinalNameAfterAnError() throws {
        struct Stop: Error {}
        let model = try TinyModel(causal: false)
        let out = try ScratchFolder()
        let capture = try Capture(model: model.directory, threads: 1)
        let sampler = Sampler.llada(steps: 4, genLength: 4, blockLength: 4)
        #expect(throws: Stop.self) {
            try capture.run(prompt: "Hi", sampler: sampler, to: out.path("a.h5")) { progress in
                if progress.step == 2 { throw Stop() }
            }
        }
        #expect(out.contents == ["a.h5.partial"])
        let partial = try Trace(path: out.path("a.h5.partial"))
        #expect(partial.committedSteps == 2 && !partial.isComplete)
    }

    @Test func aTraceIsReplacedOnlyWhenAsked() throws {
        let model = try TinyModel(causal: false)
        let out = try ScratchFolder()
        let capture = try Capture(model: model.directory, threads: 1)
        let sampler = Sampler.llada(steps: 1, genLength: 1, blockLength: 1)
        try capture.run(prompt: "Hi", sampler: sampler, to: out.path("a.h5"))
        #expect(throws: TraceError.self) { try capture.run(prompt: "Ho", sampler: sampler, to: out.path("a.h5")) }
        #expect(try Trace(path: out.path("a.h5")).provenance.prompt == "Hi")
        try capture.run(prompt: "Ho", sampler: sampler, to: out.path("a.h5"), overwrite: true)
        #expect(try Trace(path: out.path("a.h5")).provenance.prompt == "Ho")
    }

    @Test func aModelWithoutATokenizerTakesIDs() throws {
        let model = try TinyModel(causal: true, tokenizer: false)
        let out = try ScratchFolder()
        let capture = try Capture(model: model.directory, threads: 1)
        let sampler = Sampler.autoregressive(maxNewTokens: 2)
        #expect(throws: CaptureError.noTokenizer(directory: model.directory)) {
            try capture.run(prompt: "Hi", sampler: sampler, to: out.path("a.h5"))
        }
        try capture.run(prompt: .tokens([1]), sampler: sampler, to: out.path("a.h5"))
        let trace = try Trace(path: out.path("a.h5"))
        #expect(try trace.tokenText() == ["", "", ""])
        #expect(trace.provenance.tokenizerSHA256 == "")
    }

    @Test func errorsNameTheNumbers() throws {
        let models = (causal: try TinyModel(causal: true), diffusion: try TinyModel(causal: false))
        let causal = try ModelConfiguration(directory: models.causal.directory)
        let diffusion = try ModelConfiguration(directory: models.diffusion.directory)
        func message(
            _ configuration: ModelConfiguration, _ ids: [Int32], _ sampler: Sampler,
            _ recording: RecordingOptions = RecordingOptions()
        ) -> String {
            do {
                _ = try CapturePlan(
                    configuration: configuration, prompt: RenderedPrompt(ids: ids), sampler: sampler,
                    recording: recording)
                return ""
            } catch { return "\(error)" }
        }
        let few = Sampler.autoregressive(maxNewTokens: 4)
        #expect(message(causal, [1], few) == "")
        #expect(
            message(causal, [1, 2, 3], .autoregressive(maxNewTokens: 30))
                == "3 prompt tokens and 30 generated ones make 33, but the model takes 32: shorten the prompt, or lower "
                + "max_new_tokens to 29 or less")
        #expect(
            message(causal, [1, 300], few) == "token 1 of the prompt has the id 300, outside the vocabulary 0 ..< 300")
        #expect(message(causal, [], few).contains("prompt is empty"))
        #expect(message(causal, [1], .llada()).contains("llada is for bidirectional models"))
        #expect(message(diffusion, [1], few).contains("autoregressive is for causal models"))
        #expect(
            message(causal, [1], few, RecordingOptions(layers: [0, 2]))
                == "there is no layer 2 to record: the model's layers are 0 ..< 2")
        #expect(message(causal, [1], few, RecordingOptions(heads: [])) == "no head is selected to record")
        #expect(message(causal, [1], few, RecordingOptions(heads: [1, 0, 1])) == "head 1 is selected twice")
        let eight = Sampler.llada(steps: 4, genLength: 8, blockLength: 8)
        #expect(
            message(diffusion, [1], eight, RecordingOptions(queries: [9]))
                == "there is no query position 9 to record: the run's query positions are 0 ..< 9")
        #expect(message(diffusion, [1], eight, RecordingOptions(queries: [8])) == "")
        // The last token of a causal run is never fed in.
        #expect(message(causal, [1], few, RecordingOptions(queries: [4])).contains("query positions are 0 ..< 4"))
        #expect(message(causal, [1], few, RecordingOptions(queries: [])) == "no query position is selected to record")
        #expect(message(diffusion, [1], eight, RecordingOptions(mapSteps: [4])).contains("map steps are 0 ..< 4"))
        #expect(message(diffusion, [1], eight, RecordingOptions(mapSteps: [3, 3])) == "map step 3 is selected twice")
        #expect(message(causal, [1], few, RecordingOptions(mapSteps: [0])).contains("a causal one keeps each row once"))
        #expect(message(causal, [1], few, RecordingOptions(signals: [.cosine])).hasPrefix("the signal cosine"))
        #expect(message(diffusion, [1], .llada(steps: 3, genLength: 8, blockLength: 4)).hasPrefix("steps (3)"))
    }

    @Test func aTraceThatDoesNotFitIsRefused() throws {
        let out = try ScratchFolder()
        #expect(throws: Never.self) { try FreeSpace.check(for: 1, at: out.path("a.h5")) }
        #expect(throws: CaptureError.self) { try FreeSpace.check(for: .max, at: out.path("a.h5")) }
    }
}

/// Attention of a whole sequence at once, [layer][head].
private final class Attention: AttentionTap {
    private var layers: [[[Float]]] = []
    private let heads = HeadCollector()

    static func of(_ transformer: Transformer, _ ids: [Int32]) throws -> [[[Float]]] {
        let tap = Attention()
        _ = try transformer.forward(ids, logitsFor: .none, tap: tap)
        return tap.layers
    }

    func parts(ofLayer layer: Int) -> LayerParts { .weights }
    func absorb(_ head: HeadAttention) { heads.absorb(head) }
    func absorb(_ attention: LayerAttention) {
        let size = attention.queryCount * attention.keyCount
        let weights = heads.take().weights
        layers.append((0..<attention.headCount).map { Array(weights[$0 * size..<($0 + 1) * size]) })
    }
}
