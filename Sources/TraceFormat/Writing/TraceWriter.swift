import Foundation
import Synchronization

/// Writes one trace, a step at a time.
///
/// A narrow contract: create, `write` blocks of the current step in any order, `commitStep`, and so on, then `finish`.
/// The work goes into `PATH.partial`, where concurrent readers may look at it and from which a kill at any moment loses
/// nothing committed; `finish` renames it. Call it from one thread at a time; compressing and writing overlap the
/// caller's computing within `memoryBudget`.
public final class TraceWriter: Sendable {
    /// Where the finished trace will be.
    public let path: String
    /// Where it is until then.
    public let partialPath: String
    /// The shape of the trace.
    public let plan: TracePlan

    private let layout: TraceLayout
    private let file: HDF5File
    private let datasets: [String: (HDF5Dataset, TraceLayout.Dataset)]
    private let pipeline: ChunkPipeline
    private let partial: PartialFile

    private struct Progress {
        /// Steps committed.
        var committed = 0
        /// Steps that the axes have been grown for.
        var extended = 0
        var isClosed = false
    }
    private let progress = Mutex(Progress())

    /// Creates `PATH.partial` with every dataset and attribute of the plan, ready for the first step.
    ///
    /// - Throws: what ``checkName(_:overwrite:)`` throws; ``TraceError/inUse(path:)`` while another writer has
    ///   `PATH.partial`; ``TraceError/misuse(_:)`` where the plan cannot be a trace's; ``HDF5Error`` when libhdf5 fails.
    public init(
        creating path: String, plan: TracePlan, provenance: Provenance, overwrite: Bool = false,
        compressionThreads: Int = 2, memoryBudget: Int = 256 << 20
    ) throws {
        try Self.check(plan)
        self.path = path
        self.plan = plan
        partialPath = path + ".partial"
        layout = TraceLayout(plan)
        pipeline = ChunkPipeline(threads: compressionThreads, budget: memoryBudget)
        try PartialFile.prepare(for: path, replacing: overwrite)
        file = try HDF5File.create(partialPath)
        let partial = try PartialFile(for: path, replacing: overwrite)
        self.partial = partial
        var isReady = false
        defer {
            // Nothing was committed: leave no husk behind a failed start.
            if !isReady { partial.remove() }
        }
        datasets = try TraceBuilder(file: file, layout: layout).build(provenance)
        try file.startSWMR()
        isReady = true
    }

    /// Whether a trace may be written to a name, to know before a model is loaded.
    ///
    /// - Throws: ``TraceError/notAFile(path:)``; without `overwrite` also ``TraceError/alreadyExists(path:)``, and
    ///   ``TraceError/unfinished(path:)`` when `PATH.partial` is there.
    public static func checkName(_ path: String, overwrite: Bool) throws {
        try PartialFile.check(path, replacing: overwrite)
    }

    private static func check(_ plan: TracePlan) throws {
        guard plan.promptLength >= 0, plan.generatedLength >= 1, plan.stepCount >= 1, !plan.layers.isEmpty,
            !plan.heads.isEmpty, plan.queryCount >= 1, plan.textWidth >= 1
        else {
            throw TraceError.misuse(
                "a trace needs at least one generated position, step, layer, head and query, and a text width")
        }
    }

    private func dataset<E>(_ key: DatasetKey<E>) throws -> (HDF5Dataset, TraceLayout.Dataset) {
        guard let found = datasets[key.path] else {
            throw TraceError.misuse("/\(key.path) is not in the plan of \(path)")
        }
        guard found.1.schema.type == E.elementType else {
            throw TraceError.misuse("/\(key.path) holds \(found.1.schema.type.rawValue), not \(E.elementType.rawValue)")
        }
        return found
    }

    /// Whether the plan holds a dataset.
    public func contains<E>(_ key: DatasetKey<E>) -> Bool { datasets[key.path] != nil }

    /// The shape of one chunk of a dataset: the unit of writing. Throws ``TraceError/misuse(_:)`` where it is not planned.
    public func chunkShape<E>(of key: DatasetKey<E>) throws -> [Int] { try dataset(key).1.chunk }

    // MARK: Writing

    /// Writes a block of the current step: `values` row-major, of `shape`, the first at `origin` (places along the axes,
    /// not labels).
    ///
    /// Returns once the values are copied. The block must begin on chunk boundaries and, on each axis, cover whole
    /// chunks or reach the axis's full length; datasets along steps or positions alone take any block.
    ///
    /// - Throws: ``TraceError/misuse(_:)`` where the block or the dataset is not the plan's; ``HDF5Error`` for this block,
    ///   or for an earlier one whose writing failed in the background. After that the trace can only be abandoned.
    public func write<E: TraceElement>(
        _ key: DatasetKey<E>, at origin: [Int], shape: [Int], values: UnsafeBufferPointer<E>
    ) throws {
        let (dataset, placed) = try dataset(key)
        guard origin.count == placed.chunk.count, shape.count == origin.count, values.count == shape.reduce(1, *),
            zip(origin, shape).allSatisfy({ $0 >= 0 && $1 >= 1 })
        else {
            throw TraceError.misuse("/\(key.path): a block of shape \(shape) at \(origin) with \(values.count) values")
        }
        let bytes = UnsafeRawBufferPointer(values)
        try leavingOpenOnFailure {
            try extendForCurrentStep()
            if placed.isDirect {
                try writeChunks(of: dataset, placed, at: origin, shape: shape, bytes: bytes)
            } else {
                try writeBox(of: dataset, placed, at: origin, shape: shape, bytes: bytes)
            }
        }
    }

    /// Writes a block from an array. Throws what the other form throws.
    public func write<E: TraceElement>(_ key: DatasetKey<E>, at origin: [Int], shape: [Int], values: [E]) throws {
        try values.withUnsafeBufferPointer { try write(key, at: origin, shape: shape, values: $0) }
    }

    /// After a failed write nothing may be closed any more, or what was committed would be lost with the rest.
    private func leavingOpenOnFailure<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as TraceError {
            throw error
        } catch {
            for (dataset, _) in datasets.values { dataset.leaveOpen() }
            file.leaveOpen()
            throw error
        }
    }

    private func writeChunks(
        of dataset: HDF5Dataset, _ placed: TraceLayout.Dataset, at origin: [Int], shape: [Int],
        bytes: UnsafeRawBufferPointer
    ) throws {
        let size = placed.schema.type.size
        for axis in origin.indices {
            let end = origin[axis] + shape[axis]
            // The step axis has no full length: a step more may always follow.
            let isStep = [.step, .mapStep, .rowStep].contains(placed.dimensions[axis]) && plan.causality != .causal
            guard origin[axis] % placed.chunk[axis] == 0,
                end % placed.chunk[axis] == 0 || end == placed.fullShape[axis],
                isStep || placed.dimensions[axis] == .step || end <= placed.fullShape[axis]
            else {
                throw TraceError.misuse(
                    "/\(placed.path): a block of \(shape) at \(origin) does not cover whole chunks of \(placed.chunk)")
            }
        }
        let grid = Box(
            origin: zip(origin, placed.chunk).map { $0 / $1 },
            shape: zip(shape, placed.chunk).map { ($0 + $1 - 1) / $1 })
        let codec = ChunkCodec(elementSize: size, byteCount: placed.chunk.reduce(size, *))
        let source = Box(origin: origin, shape: shape)
        try grid.forEachIndex { cell in
            let start = zip(cell, placed.chunk).map { $0 * $1 }
            let chunk = Box(origin: start, shape: placed.chunk)
            let values = ChunkBytes(count: codec.byteCount, limit: placed.isCompressed ? codec.storedLimit : 0)
            if source.intersection(chunk) != chunk { values.bytes.initializeMemory(as: UInt8.self, repeating: 0) }
            Box.copy(elementSize: size, from: bytes, source, to: values.bytes, chunk)
            try pipeline.submit(bytes: 2 * codec.byteCount) {
                guard placed.isCompressed else { return }
                try ChunkWorkspace.withOne {
                    values.replace(with: try codec.encode(UnsafeRawBufferPointer(values.bytes), with: $0))
                }
            } write: {
                try dataset.writeChunk(UnsafeRawBufferPointer(values.bytes), at: start)
            }
        }
    }

    private func writeBox(
        of dataset: HDF5Dataset, _ placed: TraceLayout.Dataset, at origin: [Int], shape: [Int],
        bytes: UnsafeRawBufferPointer
    ) throws {
        guard let base = bytes.baseAddress else { return }
        let steps = progress.withLock { $0.extended }
        let extent = placed.dimensions.map { layout.length($0, afterSteps: steps) }
        guard zip(zip(origin, shape), extent).allSatisfy({ $0.0 + $0.1 <= $1 }) else {
            throw TraceError.misuse("/\(placed.path): a block of \(shape) at \(origin) is outside \(extent)")
        }
        try dataset.write(base, at: origin, shape: shape)
    }

    /// Grows every axis that a step lengthens, and labels it, before the first value of the step is written.
    private func extendForCurrentStep() throws {
        let steps: Int? = try progress.withLock { progress in
            guard !progress.isClosed else { throw TraceError.misuse("\(path): written to after its end") }
            guard progress.extended == progress.committed else { return nil }
            progress.extended += 1
            return progress.extended
        }
        guard let steps else { return }
        for (dataset, placed) in datasets.values {
            let before = placed.dimensions.map { layout.length($0, afterSteps: steps - 1) }
            let after = placed.dimensions.map { layout.length($0, afterSteps: steps) }
            if placed.dimensions == [.vocab] { continue }
            if before != after || steps == 1 { try dataset.extend(to: after) }
            if placed.isCoordinate { try label(dataset, placed, from: steps == 1 ? 0 : before[0], to: after[0]) }
        }
    }

    private func label(
        _ dataset: HDF5Dataset, _ placed: TraceLayout.Dataset, from start: Int, to end: Int
    ) throws {
        let labels: [Int32]
        switch placed.dimensions[0] {
        case .layer, .head, .queryClass, .vocab: return
        case .rowStep where plan.causality == .causal, .mapStep where plan.causality == .causal:
            // The one step of rows that never change is the last; it is named when that is committed.
            return
        case .rowStep, .mapStep, .step, .position, .query, .key: labels = (start..<end).map { Int32(clamping: $0) }
        case .generated: labels = (start..<end).map { Int32(clamping: plan.promptLength + $0) }
        }
        // Axes that begin at full length were labelled at creation.
        guard !labels.isEmpty else { return }
        try labels.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { try dataset.write(base, at: [start], shape: [labels.count]) }
        }
    }

    // MARK: Committing

    /// Makes everything written since the last commit durable as one step more, and returns how many there are.
    ///
    /// Waits for the background work. After it returns, a kill of the process loses nothing of these steps. Throws
    /// ``HDF5Error`` where something of the step could not be written: the step is then not committed.
    @discardableResult
    public func commitStep() throws -> Int {
        try leavingOpenOnFailure {
            try extendForCurrentStep()
            try pipeline.drain()
            // First the values, then the record that they are there: two flushes, so that no kill parts them wrongly.
            try file.flush()
            let committed = progress.withLock { $0.committed } + 1
            try record(committed, in: TraceBuilder.committedSteps)
            if plan.causality == .causal {
                for axis in [Dimension.rowStep, .mapStep] {
                    try writeBoxNow(axis.rawValue, [Int32(clamping: committed - 1)])
                }
            }
            try file.flush()
            progress.withLock { $0.committed = committed }
            return committed
        }
    }

    private func record(_ value: Int, in path: String) throws {
        let dataset = try file.dataset(path)
        let number = Int32(clamping: value)
        try withUnsafeBytes(of: number) { bytes in
            if let base = bytes.baseAddress { try dataset.write(base, at: [], shape: []) }
        }
    }

    /// Ends the trace: writes what is known only now, closes, and gives the file its final name.
    ///
    /// - Throws: ``TraceError/alreadyExists(path:)`` when that name was taken meanwhile and overwriting was not asked for:
    ///   the whole trace is then in `PATH.partial`.
    public func finish(_ outcome: TraceOutcome) throws {
        let (steps, isBetweenSteps) = progress.withLock { ($0.committed, $0.extended == $0.committed && !$0.isClosed) }
        guard steps > 0, isBetweenSteps else {
            throw TraceError.misuse("\(path): finished without a committed step, in mid-step, or twice")
        }
        try leavingOpenOnFailure {
            try pipeline.drain()
            try write(outcome, steps: steps)
            try file.flush()
            try record(1, in: TraceBuilder.isComplete)
            try file.flush()
            progress.withLock { $0.isClosed = true }
            for (dataset, _) in datasets.values { try dataset.close() }
            try file.close()
        }
        try partial.publish()
    }

    private func write(_ outcome: TraceOutcome, steps: Int) throws {
        let positions = layout.length(.position, afterSteps: steps)
        for (name, values) in [
            ("final_id", outcome.finalIDs), ("unmask_step", outcome.unmaskStep), ("unmask_order", outcome.unmaskOrder),
        ] {
            guard values.count >= positions else {
                throw TraceError.misuse("/\(name) has \(values.count) values for \(positions) positions")
            }
            try writeBoxNow(name, Array(values.prefix(positions)))
        }
        try writeText("token_text", Array(outcome.tokenText.prefix(positions)))
        let vocabulary = outcome.vocabulary.sorted { $0.key < $1.key }
        for name in ["vocab", "vocab_id", "vocab_text"] {
            try datasets[name]?.0.extend(to: [vocabulary.count])
        }
        try writeBoxNow("vocab", vocabulary.indices.map { Int32(clamping: $0) })
        try writeBoxNow("vocab_id", vocabulary.map(\.key))
        try writeText("vocab_text", vocabulary.map(\.value))
    }

    /// Ends without a final name. What was committed stays readable in `PATH.partial`; with nothing committed, that goes.
    public func abandon() {
        // Whoever abandons a run knows of a failure already. One of the background work that nobody asked for yet still
        // means that nothing may be closed.
        do { try leavingOpenOnFailure { try pipeline.drain() } } catch {}
        let (committed, wasClosed) = progress.withLock { progress in
            defer { progress.isClosed = true }
            return (progress.committed, progress.isClosed)
        }
        if committed == 0, !wasClosed { partial.remove() }
    }

    private func writeBoxNow(_ name: String, _ values: [Int32]) throws {
        guard let dataset = datasets[name]?.0, !values.isEmpty else { return }
        try values.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { try dataset.write(base, at: [0], shape: [values.count]) }
        }
    }

    private func writeText(_ name: String, _ texts: [String]) throws {
        guard let dataset = datasets[name]?.0, !texts.isEmpty else { return }
        let width = plan.textWidth
        var bytes = [UInt8](repeating: 0, count: width * texts.count)
        for (index, text) in texts.enumerated() {
            let utf8 = Array(text.utf8)
            guard utf8.count <= width else {
                throw TraceError.misuse("/\(name): a text of \(utf8.count) bytes where the plan has \(width)")
            }
            bytes.replaceSubrange(index * width..<index * width + utf8.count, with: utf8)
        }
        try bytes.withUnsafeBytes { raw in
            if let base = raw.baseAddress { try dataset.write(base, at: [0], shape: [texts.count]) }
        }
    }
}
