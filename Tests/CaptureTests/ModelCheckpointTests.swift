import Capture
import Foundation
import Testing

@Suite struct ModelCheckpointTests {
    /// A safetensors file of a header and so many bytes.
    static func file(_ header: String, data: Int) -> [UInt8] {
        let text = Array(header.utf8)
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
            + (0..<data).map { UInt8(truncatingIfNeeded: $0) }
    }

    static func message(_ bytes: [UInt8]) throws -> String {
        let folder = TemporaryFolder()
        try folder.write("model.safetensors", bytes)
        do {
            let checkpoint = try Checkpoint(directory: folder.path)
            for name in checkpoint.tensorNames { _ = try? checkpoint[name]?.floats() }
            return "accepted"
        } catch { return error.description.replacingOccurrences(of: folder.path + "/", with: "") }
    }

    @Test func reads() throws {
        let folder = TemporaryFolder()
        let header =
            #"{"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,2],"data_offsets":[8,16]},"#
            + #""a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]},"#
            + #""s":{"dtype":"F32","shape":[],"data_offsets":[16,20]},"i":{"dtype":"I8","shape":[3],"data_offsets":[20,23]}}"#
        var bytes = Self.file(header, data: 23)
        let start = bytes.count - 23
        // 1, -2, infinity, a subnormal in bfloat16; 1, -2, the least subnormal, the largest in half; pi.
        let words: [UInt16] = [0x3F80, 0xC000, 0x7F80, 0x0001, 0x3C00, 0xC000, 0x0001, 0x7BFF]
        for (i, word) in words.enumerated() {
            bytes[start + 2 * i] = UInt8(word & 255)
            bytes[start + 2 * i + 1] = UInt8(word >> 8)
        }
        withUnsafeBytes(of: Float.pi.bitPattern.littleEndian) {
            bytes.replaceSubrange(start + 16..<start + 20, with: $0)
        }
        try folder.write("model.safetensors", bytes)
        let checkpoint = try Checkpoint(directory: folder.path)
        #expect(checkpoint.tensorNames == ["a", "b", "i", "s"])
        #expect(try checkpoint.tensor("a", shape: [4]).floats() == [1, -2, .infinity, Float(bitPattern: 0x10000)])
        #expect(try checkpoint.tensor("b", shape: [2, 2]).floats() == [1, -2, 0x1p-24, 65504])
        #expect(try checkpoint.tensor("s", shape: []).floats() == [.pi])
        #expect(throws: ModelError.self) { try checkpoint.tensor("i", shape: [3]).floats() }
        #expect(throws: ModelError.self) { try checkpoint.tensor("a", shape: [2, 2]) }
        #expect(throws: ModelError.self) { try checkpoint.tensor("z", shape: [2, 2]) }
    }

    /// Every half there is, against Swift's own conversion.
    @Test func halves() throws {
        let folder = TemporaryFolder()
        let header = #"{"h":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}}"#
        var bytes = Self.file(header, data: 0)
        for word in 0..<65536 { bytes += [UInt8(word & 255), UInt8(word >> 8)] }
        try folder.write("model.safetensors", bytes)
        let floats = try Checkpoint(directory: folder.path).tensor("h", shape: [65536]).floats()
        for word in 0..<65536 {
            let sign: Float = word & 0x8000 == 0 ? 1 : -1
            let exponent = word >> 10 & 31
            let fraction = Float(word & 1023) / 1024
            let got = floats[word]
            switch exponent {
            case 0: #expect(got == sign * fraction * 0x1p-14)
            case 31: #expect(fraction == 0 ? got == sign * .infinity : got.isNaN)
            default: #expect(got == sign * (1 + fraction) * Float(sign: .plus, exponent: exponent - 15, significand: 1))
            }
        }
    }

    @Test(arguments: [
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8, "accepted"),
        (#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#, 0, "accepted"),
        (#"{}"#, 0, "accepted"),
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 7,
            #"tensor "a" ends at byte 8 of the data, and the file has 7: it is truncated"#
        ),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 9, "has 1 bytes after its last tensor"),
        (
            #"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8,
            #"tensor "a" of shape [3] and dtype F32 needs 12 bytes, and its offsets hold 8"#
        ),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, #"tensor "a" must have data_offsets"#),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}"#, 8, #"tensor "a" must have data_offsets"#),
        (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8, #"tensor "a" must have a shape"#),
        (#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,8]}}"#, 8, #"tensor "a" must have a shape"#),
        (#"{"a":{"dtype":"F77","shape":[2],"data_offsets":[0,8]}}"#, 8, #"tensor "a" has the unknown dtype "F77""#),
        (#"{"a":{"shape":[2],"data_offsets":[0,8]}}"#, 8, #"tensor "a" has no dtype"#),
        (#"{"a":7}"#, 0, #"tensor "a" must be described by an object"#),
        (
            #"{"a":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807],"data_offsets":[0,8]}}"#, 8,
            #"tensor "a" has a shape whose size overflows"#
        ),
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,9223372036854775807]}}"#, 8,
            #"tensor "a" ends at byte 9223372036854775807"#
        ),
        (
            #"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[4,12]}}"#,
            12, #"tensor "b" overlaps the tensor before it"#
        ),
        (
            #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}}"#,
            5, #"tensor "b" leaves a gap before it"#
        ),
        (#"{"__metadata__":{"a":1}}"#, 0, "__metadata__.a must be a string"),
        (#"[]"#, 0, "holds an array, not an object"),
        (#"{"a""#, 0, "is not JSON"),
    ])
    func headers(header: String, data: Int, message: String) throws {
        let got = try Self.message(Self.file(header, data: data))
        #expect(got.hasPrefix(message == "accepted" ? message : "model.safetensors: \(message)"), "\(got)")
    }

    @Test func lengthsThatLie() throws {
        let header = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
        for length: UInt64 in [0, 1, 53, 55, 1 << 20, 100_000_001, 1 << 62, .max] {
            var bytes = Self.file(header, data: 8)
            withUnsafeBytes(of: length.littleEndian) { bytes.replaceSubrange(0..<8, with: $0) }
            #expect(try Self.message(bytes) != "accepted")
        }
    }

    @Test func truncation() throws {
        let whole = Array(
            try Data(contentsOf: URL(filePath: "\(ModelFixture.folder)/llada-grouped-tied-f32/model.safetensors")))
        var length = 0
        while length < whole.count {
            #expect(try Self.message(Array(whole.prefix(length))) != "accepted")
            length += length < 64 ? 1 : length / 9
        }
        #expect(try Self.message(whole) == "accepted")
        #expect(try Self.message(Array(whole.dropLast())) != "accepted")
    }

    /// Bytes of the header changed at random: a checkpoint or an error, never a trap.
    @Test func mutations() throws {
        let header =
            #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"#
            + #""b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}"#
        let base = Self.file(header, data: 32)
        var random = SplitMix(state: 3)
        for _ in 0..<1500 {
            var bytes = base
            for _ in 0...Int(random.next() % 3) {
                let place = Int(random.next() % UInt64(8 + header.utf8.count))
                switch random.next() % 3 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes[place] = Array("0123456789-.e\"{}[],:".utf8)[Int(random.next() % 20)]
                default: bytes[place] ^= 1 << UInt8(random.next() % 8)
                }
            }
            _ = try Self.message(bytes)
        }
    }

    @Test func missingFiles() throws {
        let folder = TemporaryFolder()
        #expect(throws: ModelError.self) { try Checkpoint(directory: folder.path) }
        #expect(throws: ModelError.self) { try ModelConfiguration(directory: folder.path) }
        #expect(throws: ModelError.self) { try Checkpoint(directory: folder.path + "/nowhere") }
        try folder.write("model.safetensors", [])
        #expect(throws: ModelError.self) { try Checkpoint(directory: folder.path) }
    }

    @Test(arguments: [
        (#"{"weight_map":{}}"#, "weight_map names no file"), (#"{}"#, "weight_map must be an object"),
        (#"{"weight_map":{"a":3}}"#, "weight_map.a must name a file"),
        (#"{"weight_map":{"a":"../x"}}"#, "weight_map.a must name a file beside the index"),
        (#"{"weight_map":{"a":"x.safetensors"}}"#, "x.safetensors: cannot be opened"),
        (#"{"weight_map":{"b":"y.safetensors"}}"#, "y.safetensors: tensor \"b\" is missing"),
    ])
    func indices(index: String, message: String) throws {
        let folder = TemporaryFolder()
        try folder.write("model.safetensors.index.json", index)
        try folder.write("y.safetensors", Self.file("{}", data: 0))
        let error = try #require(throws: ModelError.self) { try Checkpoint(directory: folder.path) }
        #expect(error.description.contains(message), "\(error)")
    }

    @Test func wrongModels() throws {
        let source = "\(ModelFixture.folder)/llada-bf16"
        let checkpoint = try Checkpoint(directory: source)
        var configuration = try ModelConfiguration(directory: source)
        configuration.layerCount = 5
        var error = try #require(throws: ModelError.self) {
            try Transformer(configuration: configuration, checkpoint: checkpoint, threads: 1)
        }
        #expect(
            error.description == "\(source)/model.safetensors: tensor "
                + "\"model.transformer.blocks.2.attn_norm.weight\" is missing")
        configuration.layerCount = 2
        configuration.mlpWidth = 100
        error = try #require(throws: ModelError.self) {
            try Transformer(configuration: configuration, checkpoint: checkpoint, threads: 1)
        }
        #expect(error.description.contains("has shape [128, 64]; config.json asks for [100, 64]"))
    }

    /// Numbers that are not finite are named, not recorded.
    @Test func brokenWeights() throws {
        let folder = TemporaryFolder()
        let source = "\(ModelFixture.folder)/llada-bf16"
        var bytes = Array(try Data(contentsOf: URL(filePath: "\(source)/model.safetensors")))
        for i in bytes.count - 60000..<bytes.count { bytes[i] = 0xFF }
        try folder.write("model.safetensors", bytes)
        let model = try Transformer(
            configuration: ModelConfiguration(directory: source), checkpoint: Checkpoint(directory: folder.path),
            threads: 1)
        let error = try #require(throws: ModelError.self) { try model.forward([1, 2, 3]) }
        #expect(error.code == .notFinite)
    }

    @Test func digests() throws {
        let folder = TemporaryFolder()
        try folder.write("tokenizer.json", "abc")
        #expect(
            try FileDigest.sha256(ofFile: "\(folder.path)/tokenizer.json")
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        try folder.write("model.safetensors", Self.file("{}", data: 0))
        let single = try Checkpoint(directory: folder.path)
        #expect(try single.weightsSHA256() == FileDigest.sha256(ofFile: single.files[0]))
        let sharded = try Checkpoint(directory: "\(ModelFixture.folder)/llama-tied-sharded-f32")
        #expect(sharded.files.count == 2)
        var digests: [UInt8] = []
        for file in sharded.files {
            let hex = Array(try FileDigest.sha256(ofFile: file))
            digests += stride(from: 0, to: 64, by: 2).map { UInt8(String(hex[$0...$0 + 1]), radix: 16) ?? 0 }
        }
        try folder.write("digests", digests)
        #expect(try sharded.weightsSHA256() == FileDigest.sha256(ofFile: "\(folder.path)/digests"))
    }
}
