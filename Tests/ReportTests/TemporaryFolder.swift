import Foundation

/// A folder that is gone when the test is.
final class TemporaryFolder {
    let path = NSTemporaryDirectory() + "report-" + UUID().uuidString

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            print("cannot remove \(path): \(error)")
        }
    }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }
}
