/// A dataset that is opened once and read many times, box by box, on the calling thread alone.
///
/// For those who have threads of their own: ``Trace/read(_:_:)`` decodes one box on several.
public struct DatasetView<Element: TraceElement>: Sendable {
    private let reader: DatasetReader

    init(_ reader: DatasetReader) { self.reader = reader }

    /// Its axes, in order.
    public var dimensions: [Dimension] { reader.schema.dimensions }
    /// Lengths of the axes, the committed part only.
    public var shape: [Int] { reader.shape }
    /// The unit in which it is stored, and best read.
    public var chunkShape: [Int] { reader.chunkShape }

    /// Reads a box, row-major, into the first elements of a buffer.
    ///
    /// - Returns: how many elements the box has.
    /// - Throws: ``TraceError/outOfRange(path:object:reason:)`` also for a buffer that is too small,
    ///   ``TraceError/damaged(path:object:reason:)``, ``HDF5Error``.
    @discardableResult
    public func read(_ selection: Selection, into buffer: UnsafeMutableBufferPointer<Element>) throws -> Int {
        let box = try reader.box(selection)
        guard buffer.count >= box.count else {
            throw TraceError.misuse("room for \(buffer.count) elements where a box has \(box.count)")
        }
        let room = UnsafeMutableBufferPointer(rebasing: buffer[..<box.count])
        try reader.fill(UnsafeMutableRawBufferPointer(room), box, threads: 1)
        return box.count
    }

    /// Reads a box.
    ///
    /// - Throws: as ``read(_:into:)``.
    public func read(_ selection: Selection) throws -> [Element] {
        let count = try reader.box(selection).count
        var failure: (any Error)?
        let values = [Element](unsafeUninitializedCapacity: count) { buffer, filled in
            do {
                filled = try read(selection, into: buffer)
            } catch {
                failure = error
                filled = 0
            }
        }
        if let failure { throw failure }
        return values
    }
}

extension Trace {
    /// Opens a dataset for many reads.
    ///
    /// - Throws: ``TraceError/notRecorded(path:object:)``, ``TraceError/damaged(path:object:reason:)``, ``HDF5Error``.
    public func view<E: TraceElement>(of key: DatasetKey<E>) throws -> DatasetView<E> {
        guard let reader = try reader(of: key.path, afterSteps: committedSteps) else {
            throw TraceError.notRecorded(path: path, object: key.path)
        }
        guard reader.schema.type == E.elementType else {
            throw TraceError.outOfRange(
                path: path, object: key.path,
                reason: "holds \(reader.schema.type.rawValue), not \(E.elementType.rawValue)")
        }
        return DatasetView(reader)
    }
}
