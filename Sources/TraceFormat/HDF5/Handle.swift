import CHDF5

/// Owns one reference to an object of libhdf5 and gives it back when it goes out of scope.
struct Handle: ~Copyable {
    let id: hid_t

    /// Takes over a reference that a call has just returned.
    init(_ id: hid_t) {
        self.id = id
    }

    /// Gives up ownership: the caller closes, and learns whether that worked.
    consuming func surrender() -> hid_t {
        let id = id
        discard self
        return id
    }

    deinit {
        HDF5Library.locked {
            // libhdf5 reuses ids: give back only what is still alive.
            if H5Iis_valid(id) > 0 { _ = H5Idec_ref(id) }
        }
    }
}
