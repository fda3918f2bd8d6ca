/// The regions that a trace divides prompt and answer into.
extension Trace {
    /// The regions, and the region of each position along them, -1 for none; both empty where none are recorded.
    ///
    /// - Throws: ``TraceError``, ``HDF5Error``.
    public func regions() throws -> (regions: [Region], ofPosition: [Int32]) {
        guard plan.signals.contains(.regions) else { return ([], []) }
        let (names, kinds) = (try text("region_name"), try text("region_kind"))
        let gold = try read(.regionGold).values
        let regions = zip(zip(names, kinds), gold).map { Region(name: $0.0, kind: $0.1, isGold: $1 == 1) }
        return (regions, try read(.region).values)
    }
}
