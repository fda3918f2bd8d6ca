import Foundation

/// Room on the disk.
enum FreeSpace {
    /// Makes sure that the file system of a file to come has room for it. Says nothing where the system does not tell.
    static func check(for bytes: Int, at path: String) throws(CaptureError) {
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        let attributes = try? FileManager.default.attributesOfFileSystem(forPath: folder)
        guard let free = (attributes?[.systemFreeSize] as? NSNumber)?.intValue, free < bytes else { return }
        throw .diskTooSmall(path: folder, needed: bytes, free: free)
    }
}
