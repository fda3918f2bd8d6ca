import Dispatch
import Synchronization

extension Array where Element: Sendable {
    /// What `body` makes of each element, in order, several at a time.
    package func concurrentMap<Result: Sendable>(
        threads: Int, _ body: @Sendable (Element) -> Result
    ) -> [Result] {
        let found = Mutex<[Int: Result]>([:])
        let next = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: Swift.max(1, Swift.min(threads, count))) { _ in
            while true {
                let place = next.add(1, ordering: .relaxed).oldValue
                guard place < count else { return }
                let result = body(self[place])
                found.withLock { $0[place] = result }
            }
        }
        let all = found.withLock { $0 }
        return indices.compactMap { all[$0] }
    }
}
