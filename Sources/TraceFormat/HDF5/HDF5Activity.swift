import Foundation
import Synchronization

/// Whether a call of libhdf5 is going on, for whoever watches from another thread or, after a fork, another process.
package enum HDF5Activity {
    // Sound: made once, never freed, and atomic. Shared memory, so that what a forked child notes is seen by its parent.
    nonisolated(unsafe) private static let counter: UnsafeMutablePointer<Atomic<Int>> = {
        let size = MemoryLayout<Atomic<Int>>.stride
        let shared = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        let place: UnsafeMutablePointer<Atomic<Int>>
        if let shared, shared != MAP_FAILED {
            place = shared.bindMemory(to: Atomic<Int>.self, capacity: 1)
        } else {
            // Then only this process sees it.
            place = .allocate(capacity: 1)
        }
        place.initialize(to: Atomic(0))
        return place
    }()

    /// Beginnings and ends of calls so far: odd while one is going on.
    package static var boundaries: Int { counter.pointee.load(ordering: .acquiring) }

    /// Notes that the outermost call begins or ends.
    static func noteBoundary() { counter.pointee.add(1, ordering: .acquiringAndReleasing) }
}
