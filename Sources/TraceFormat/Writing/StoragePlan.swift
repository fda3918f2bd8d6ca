/// What a trace takes, dataset by dataset.
public struct StoragePlan: Sendable, Equatable {
    /// The datasets as ``Trace/summaries()`` lists them: without the coordinates.
    public let datasets: [PlannedDataset]
    /// Bytes of coordinates, attributes, the schema's text, and the places of chunks; estimated.
    public let structureBytes: Int

    /// Bytes before compression, at most, of every number that may be other than 0.
    public var largestBytes: Int { datasets.reduce(0) { $0.saturatingSum($1.largestBytes) } }
    /// The same of one part of the trace alone.
    public func largestBytes(of signal: Signal) -> Int {
        datasets.reduce(0) { Schema.dataset(at: $1.path)?.signal == signal ? $0.saturatingSum($1.largestBytes) : $0 }
    }
    /// Bytes of the file, estimated: on the embedded models within a factor of 1.25.
    public var estimatedBytes: Int { datasets.reduce(structureBytes) { $0.saturatingSum($1.estimatedBytes) } }
}

extension TracePlan {
    /// What a trace of the plan takes. Numbers beyond what 64 bits count are given as the largest of them.
    public var storage: StoragePlan {
        let layout = TraceLayout(self)
        let placed = layout.datasets.map { StorageEstimate(layout: layout, dataset: $0).planned() }
        let isCoordinate = layout.datasets.map(\.isCoordinate)
        var structure = 0
        for (dataset, isCoordinate) in zip(placed, isCoordinate) {
            if isCoordinate { structure = structure.saturatingSum(dataset.estimatedBytes) }
            structure = structure.saturatingSum(
                StorageEstimate.bytesPerDataset.saturatingSum(
                    dataset.chunkCount.saturatingProduct(StorageEstimate.bytesPerChunk)))
        }
        return StoragePlan(
            datasets: zip(placed, isCoordinate).filter { !$1 }.map(\.0),
            structureBytes: structure.saturatingSum(StorageEstimate.bytesPerFile))
    }
}
