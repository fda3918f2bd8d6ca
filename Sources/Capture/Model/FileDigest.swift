import TraceFormat

/// Digests of files, for provenance.
public enum FileDigest {
    /// SHA-256 of a file, in lower-case hex, as of `tokenizer.json`. Errors: ``ModelError`` when it cannot be read.
    public static func sha256(ofFile path: String) throws(ModelError) -> String {
        let mapping = try MappedFile(path: path)
        let hash = SHA256Hash()
        hash.update(mapping.bytes)
        return SHA256Hash.hexadecimal(hash.finish())
    }
}
