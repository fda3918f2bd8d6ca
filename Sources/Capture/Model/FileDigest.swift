import Synchronization
import TraceFormat

/// Digests of files, for provenance.
public enum FileDigest {
    /// SHA-256 of a file, in lower-case hex, as of `tokenizer.json`. Errors: ``ModelError`` when it cannot be read.
    public static func sha256(ofFile path: String) throws(ModelError) -> String {
        try sha256(ofFiles: [path])
    }

    /// SHA-256 of several files, in lower-case hex: of one, its own; of more, that of their 32-byte digests one after
    /// another; of none, empty. Errors: ``ModelError`` when one cannot be read.
    public static func sha256(ofFiles paths: [String]) throws(ModelError) -> String {
        var mappings: [MappedFile] = []
        for path in paths { mappings.append(try MappedFile(path: path)) }
        return sha256(of: mappings)
    }

    /// The same of files that are mapped already, shared among the threads of `pool` where there is one.
    static func sha256(of files: [MappedFile], pool: WorkerPool? = nil) -> String {
        let digests = digests(of: files, pool)
        if digests.count < 2 { return digests.first.map(SHA256Hash.hexadecimal) ?? "" }
        let hash = SHA256Hash()
        for digest in digests { digest.withUnsafeBytes { hash.update($0) } }
        return SHA256Hash.hexadecimal(hash.finish())
    }

    private static func digests(of files: [MappedFile], _ pool: WorkerPool?) -> [[UInt8]] {
        func digest(_ file: MappedFile) -> [UInt8] {
            let hash = SHA256Hash()
            hash.update(file.bytes)
            return hash.finish()
        }
        guard let pool else { return files.map(digest) }
        let digests = Mutex([[UInt8]](repeating: [], count: files.count))
        pool.forEach(files.count) { index in
            let made = digest(files[index])
            digests.withLock { $0[index] = made }
        }
        return digests.withLock { $0 }
    }
}
