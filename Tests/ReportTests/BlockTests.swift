import Foundation
import Testing

@testable import Report

@Suite("Blocks")
struct BlockTests {
    @Test("The bytes of a block are as the contract lays them out")
    func bytes() throws {
        let block = Block([
            Block.Array("queries", shape: [3], .int32([7, -1, 2])),
            Block.Array("weights", shape: [1, 3], .codes([0, 254, 255], peak: 0.5)),
        ])
        let bytes = block.bytes()
        let headLength = bytes[..<4].enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
        #expect((4 + headLength) % 8 == 0)
        let head = try JSONSerialization.jsonObject(with: Data(bytes[4..<4 + headLength])) as? [String: Any]
        let arrays = try #require(head?["arrays"] as? [[String: Any]])
        #expect(arrays.map { $0["name"] as? String } == ["queries", "weights"])
        #expect(arrays.map { $0["type"] as? String } == ["i32", "u8"])
        #expect(arrays[1]["shape"] as? [Int] == [1, 3])
        #expect(arrays[0]["peak"] == nil)
        #expect(arrays[1]["peak"] as? Double == 0.5)
        // 12 bytes and 4 of zeros, then 3 bytes and 5 of zeros.
        #expect(
            Array(bytes[(4 + headLength)...]) == [7, 0, 0, 0, 255, 255, 255, 255, 2, 0, 0, 0, 0, 0, 0, 0] + [
                0, 254, 255, 0, 0, 0, 0, 0,
            ])
    }

    @Test("Codes come back within half a step, and tell undefined from nothing")
    func codes() throws {
        let values: [Float] = [0, 1e-5, 0.001, 0.25, 0.8, .nan]
        guard case .codes(let codes, let peak) = Block.Storage.codes(of: values) else {
            Issue.record("not codes")
            return
        }
        #expect(peak == 0.8)
        #expect(codes[0] == 0 && codes[4] == 254 && codes[5] == 255)
        for (value, code) in zip(values.dropLast(), codes) {
            let root = Float(code) / 254
            #expect(abs(root - (value / peak).squareRoot()) <= 0.5 / 254 + 1e-6)
        }
        #expect(Block.Storage.codes(of: [0, .nan]) == .codes([0, 255], peak: 0))
        #expect(Block.Storage.codes(of: [2, 0.25], peak: 1) == .codes([254, 127], peak: 1))
    }

    @Test(
        "Paths are read back as they are written",
        arguments: ["timeline", "received/3", "received/3/0", "map/12/0/mean", "map/12/0/5"])
    func paths(_ text: String) {
        #expect(BlockPath(text)?.description == text)
    }

    @Test(
        "What is no path is none",
        arguments: [
            "", "/", "timeline/", "received", "received/", "received/-1", "received/01", "received/1/mean", "map/1/2",
            "map/1/2/x", "map/1/2/3/4", "map/99999999999999999999/0/0", "../page", "map/1/2/+3", "received/ 1",
        ])
    func badPaths(_ text: String) {
        #expect(BlockPath(text) == nil)
    }
}
