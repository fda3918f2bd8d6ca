import Synchronization

/// Whether a call of libhdf5 is going on, for whoever watches from another thread.
package enum HDF5Activity {
    private static let counter = Atomic(0)

    /// Beginnings and ends of calls so far: odd while one is going on.
    package static var boundaries: Int { counter.load(ordering: .acquiring) }

    /// Notes that the outermost call begins or ends.
    static func noteBoundary() { counter.add(1, ordering: .acquiringAndReleasing) }
}
