import Foundation
import Synchronization
import TraceFormat

/// Opens a page in the browser, without its URL in the arguments of a program, which everybody on the machine can see: by
/// a file that only its owner can read.
final class BrowserOpening: Sendable {
    private let folder = Mutex<URL?>(nil)

    deinit {
        guard let folder = folder.withLock({ $0 }) else { return }
        do {
            try FileManager.default.removeItem(at: folder)
        } catch {
            Terminal.warn("\(folder.path): cannot be removed: \(error.localizedDescription)")
        }
    }

    /// Has the desktop's own browser open an address.
    ///
    /// - Throws: `TraceError.system` where there is none.
    func open(_ url: String) throws {
        var template = Array((NSTemporaryDirectory() + "attntrace-XXXXXX").utf8CString)
        guard let name = mkdtemp(&template) else { throw Self.failure(String(cString: strerror(errno))) }
        let place = URL(fileURLWithPath: String(cString: name), isDirectory: true)
        folder.withLock { $0 = place }
        let file = place.appendingPathComponent("open.html")
        let opener = Process()
        opener.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        opener.arguments = ["xdg-open", file.path]
        do {
            try Data("<!doctype html><meta http-equiv=\"refresh\" content=\"0;url=\(url)\">".utf8).write(to: file)
            try opener.run()
        } catch {
            throw Self.failure(error.localizedDescription)
        }
    }

    private static func failure(_ reason: String) -> TraceError {
        .system(path: "the page", operation: "open in a browser", reason: reason)
    }
}
