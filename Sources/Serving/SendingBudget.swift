import Synchronization

/// Bytes of answers that are on their way, so that clients that ask and do not read cannot fill the memory.
final class SendingBudget: Sendable {
    private let limit: Int
    private let taken = Mutex(0)

    /// Lets `limit` bytes be on their way at once; one answer always may be.
    init(limit: Int) { self.limit = limit }

    /// Room for an answer, held until the share is let go; nil where there is none.
    func share(_ bytes: Int) -> Share? {
        let fits = taken.withLock { taken in
            guard taken == 0 || taken + bytes <= limit else { return false }
            taken += bytes
            return true
        }
        return fits ? Share(of: self, bytes: bytes) : nil
    }

    /// Room that one answer takes.
    final class Share: Sendable {
        private let budget: SendingBudget
        private let bytes: Int

        fileprivate init(of budget: SendingBudget, bytes: Int) {
            self.budget = budget
            self.bytes = bytes
        }

        deinit { budget.taken.withLock { $0 -= bytes } }
    }
}
