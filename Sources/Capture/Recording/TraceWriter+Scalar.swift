import TraceFormat

extension TraceWriter {
    /// Writes one number of a dataset with a single axis.
    func write<E: TraceElement>(_ key: DatasetKey<E>, at index: Int, value: E) throws {
        try write(key, at: [index], shape: [1], values: [value])
    }
}
