import Foundation

/// Room on the disk.
public enum FreeSpace {
    /// The folder of a file to come, and the bytes that are free there; nil where the system does not tell.
    public static func available(at path: String) -> (folder: String, bytes: Int)? {
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        let attributes = try? FileManager.default.attributesOfFileSystem(forPath: folder)
        return (attributes?[.systemFreeSize] as? NSNumber).map { (folder, $0.intValue) }
    }

    /// Makes sure that the file system of a file to come has room for it. Says nothing where the system does not tell.
    static func check(for bytes: Int, at path: String) throws(CaptureError) {
        guard let (folder, free) = available(at: path), free < bytes else { return }
        throw .diskTooSmall(path: folder, needed: bytes, free: free)
    }
}
