import Foundation
import Synchronization

@testable import Serving

/// A source that says what it was asked, and waits where it is told to.
final class SyntheticSource: PageSource {
    private struct State {
        var asked: [PageItem] = []
        var stamp = "1"
        var isHeld = false
    }

    private let state = Mutex(State())
    private let size: Int

    init(size: Int = 10) { self.size = size }

    var asked: [PageItem] { state.withLock { $0.asked } }
    var isHeld: Bool {
        get { state.withLock { $0.isHeld } }
        set { state.withLock { $0.isHeld = newValue } }
    }

    func replaceFile() { state.withLock { $0.stamp += "1" } }

    func bytes(of item: PageItem) throws(SourceError) -> [UInt8] {
        state.withLock { $0.asked.append(item) }
        while isHeld { usleep(1000) }
        switch item {
        case .document: throw .absent
        case .page: return Array(#"{"traces": []}"#.utf8)
        case .analysis(trace: 0), .block(trace: 0, _): return [UInt8](repeating: 7, count: size)
        case .analysis(trace: 1): throw .unreadable("a.h5: /received: \"bad\" <chunk>")
        case .analysis, .block, .comparison: throw .absent
        }
    }

    func stamp() -> String { state.withLock { $0.stamp } }
}
