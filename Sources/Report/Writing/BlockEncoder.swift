import CDeflate
import Foundation

/// Blocks as they stand in a page: zlib, in base64.
struct BlockEncoder: ~Copyable {
    private let compressor: OpaquePointer

    init(level: Int32 = 6) {
        // Fails only when memory is out, which Swift's own allocations do not survive either.
        guard let compressor = libdeflate_alloc_compressor(level) else {
            preconditionFailure("no memory for a compressor")
        }
        self.compressor = compressor
    }

    deinit { libdeflate_free_compressor(compressor) }

    /// The block's bytes, compressed.
    func compressed(_ block: Block) -> Data {
        let bytes = block.bytes()
        var out = Data(count: libdeflate_zlib_compress_bound(compressor, bytes.count))
        let count = out.withUnsafeMutableBytes { out in
            libdeflate_zlib_compress(compressor, bytes, bytes.count, out.baseAddress, out.count)
        }
        return out.prefix(count)
    }

    /// Bytes that a block takes in the page.
    func size(of block: Block) -> Int { (compressed(block).count + 2) / 3 * 4 }

    /// The block as text.
    func text(of block: Block) -> String { compressed(block).base64EncodedString() }
}
