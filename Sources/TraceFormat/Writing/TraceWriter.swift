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

    let layout: TraceLayout
    let file: HDF5File
    let datasets: [String: (HDF5Dataset, TraceLayout.Dataset)]
    let pipeline: ChunkPipeline
    let partial: PartialFile

    struct Progress {
        /// Steps committed.
        var committed = 0
        /// Steps that the axes have been grown for.
        var extended = 0
        /// Where the tokens stand.
        var state: TokenState?
        /// The region of each position.
        var regions: [Int32]?
        /// Text of every id that occurred so far.
        var vocabulary: [Int32: String] = [:]
        var isClosed = false
    }
    let progress = Mutex(Progress())

    /// Creates `PATH.partial` with every dataset and attribute of the plan, ready for the first step.
    ///
    /// - Parameters:
    ///   - overwrite: whether what is at `path`, or was left at `PATH.partial`, is replaced.
    ///   - discardsPartial: whether what was left at `PATH.partial` is.
    ///   - processors: those that the threads that compress may run on; empty: those that this one may.
    /// - Throws: what ``checkName(_:overwrite:resumes:)`` throws; ``TraceError/inUse(path:)`` while another writer has
    ///   `PATH.partial`; ``TraceError/misuse(_:)`` where the plan cannot be a trace's; ``HDF5Error`` when libhdf5 fails.
    public convenience init(
        creating path: String, plan: TracePlan, provenance: Provenance, overwrite: Bool = false,
        discardsPartial: Bool = false, compressionThreads: Int = 2, memoryBudget: Int = 256 << 20,
        processors: [Int] = []
    ) throws {
        try Self.check(plan)
        try PartialFile.prepare(
            for: path, replacing: overwrite, replacingPartial: overwrite || discardsPartial)
        try self.init(
            TraceTarget(path: path, replaces: overwrite), layout: TraceLayout(plan), planned: plan,
            provenance: provenance, compressionThreads: compressionThreads, memoryBudget: memoryBudget,
            processors: processors)
        try beginStepsOrRemove {
            try file.startSWMR()
            try file.flush()
            try partial.takePlace()
        }
    }

    /// Creates a file with every dataset and attribute, laid out by `layout`; not yet open to readers.
    init(
        _ target: TraceTarget, layout: TraceLayout, planned: TracePlan, provenance: Provenance,
        compressionThreads: Int, memoryBudget: Int, processors: [Int] = []
    ) throws {
        path = target.path
        partialPath = target.path + ".partial"
        plan = planned
        self.layout = layout
        pipeline = ChunkPipeline(threads: compressionThreads, budget: memoryBudget, processors: processors)
        do {
            file = try HDF5File.create(target.creationName, as: partialPath, pageSize: target.pageSize)
        } catch {
            // The name may be there already, with nothing behind it; what another writer has stays.
            if (error as? HDF5Error)?.errno != EEXIST { try? PartialFile.discardHusk(target) }
            throw error
        }
        let partial = try PartialFile(target)
        self.partial = partial
        var isReady = false
        defer {
            // Nothing was committed: leave no husk behind a failed start.
            if !isReady { partial.remove() }
        }
        datasets = try TraceBuilder(file: file, layout: layout, planned: planned, history: target.history)
            .build(provenance)
        isReady = true
    }

    /// Does what comes before the first step; where it fails, nothing was committed and the file goes.
    func beginStepsOrRemove(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch {
            progress.withLock { $0.isClosed = true }
            partial.remove()
            throw error
        }
    }

    /// Whether a trace may be written to a name, to know before a model is loaded.
    ///
    /// - Throws: ``TraceError/notAFile(path:)``; without `overwrite` also ``TraceError/alreadyExists(path:)``, and
    ///   ``TraceError/unfinished(path:)`` when `PATH.partial` is there, unless the run `resumes` that.
    public static func checkName(_ path: String, overwrite: Bool, resumes: Bool = false) throws {
        try PartialFile.check(path, replacing: overwrite, replacingPartial: overwrite || resumes)
    }

    static func check(_ plan: TracePlan) throws {
        guard plan.promptLength >= 0, plan.generatedLength >= 1, plan.stepCount >= 1, !plan.layers.isEmpty,
            !plan.heads.isEmpty, plan.keyCount >= 1, plan.queryCount >= 1, plan.textWidth >= 1
        else {
            throw TraceError.misuse(
                "a trace needs at least one generated position, step, layer, head and query, and a text width")
        }
        func demand(_ signals: Set<Signal>, _ isMet: Bool, _ what: String) throws {
            let asked = plan.signals.intersection(signals).map(\.rawValue).sorted()
            if !asked.isEmpty, !isMet { throw TraceError.misuse("\(asked.joined(separator: ", ")): \(what)") }
        }
        try demand([.qk, .norms, .cosine], !plan.kvHeads.isEmpty, "the plan names no key-value heads")
        try demand([.qk], plan.headWidth > 0, "the plan does not say how wide a head is")
        try demand([.residual], plan.layerCount > 0, "the plan does not say how many layers the model has")
        try demand([.top], plan.rankCount > 0, "the plan has no ranks")
        try demand([.regions], plan.regionCount > 0, "the plan has no regions")
        try demand([.cosine], plan.causality == .bidirectional, "a causal model's keys and values never change")
        if plan.mapSteps != nil, plan.causality == .causal {
            throw TraceError.misuse("a causal trace keeps each row once: no steps of maps can be chosen")
        }
        for (what, selection, count) in [
            ("query", plan.queries, plan.keyCount), ("step of maps", plan.mapSteps, plan.stepCount),
        ] {
            guard let selection else { continue }
            let ascends = zip(selection, selection.dropFirst()).allSatisfy { $0 < $1 }
            guard ascends, let first = selection.first, first >= 0, let last = selection.last, last < count else {
                throw TraceError.misuse("each \(what) selected must be one of 0 ..< \(count), ascending: \(selection)")
            }
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
    func leavingOpenOnFailure<Result>(_ body: () throws -> Result) throws -> Result {
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

    func writeChunks(
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
                    let plain = UnsafeRawBufferPointer(values.bytes)
                    values.replace(
                        with: placed.level == TraceLayout.captureLevel
                            ? try codec.encode(plain, with: $0)
                            : try codec.smallest(plain, level: placed.level, with: $0)
                    )
                }
            } write: {
                try dataset.writeChunk(UnsafeRawBufferPointer(values.bytes), at: start)
            }
        }
    }

    func writeBox(
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
    func extendForCurrentStep() throws {
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
            // These grow by themselves.
            if placed.dimensions == [.vocab] || placed.dimensions == [.leaf] { continue }
            if before != after || steps == 1 { try dataset.extend(to: after) }
            if placed.isCoordinate { try label(dataset, placed, from: steps == 1 ? 0 : before[0], to: after[0]) }
        }
    }

    func label(
        _ dataset: HDF5Dataset, _ placed: TraceLayout.Dataset, from start: Int, to end: Int
    ) throws {
        let range = start..<end
        let labels: [Int]
        switch placed.dimensions[0] {
        case .step, .position, .key: labels = Array(range)
        // The one step of rows that never change is the last; it is named when that is committed.
        case .rowStep, .mapStep:
            labels = plan.causality == .causal ? [] : plan.mapSteps.map { Array($0[range]) } ?? Array(range)
        case .query: labels = plan.queries.map { Array($0[range]) } ?? Array(range)
        case .generated: labels = range.map { plan.promptLength + $0 }
        case .layer, .head, .kvHead, .queryClass, .depth, .channel, .rank, .regionIndex, .vocab, .leaf: labels = []
        }
        // Axes that begin at full length were labelled at creation.
        guard !labels.isEmpty else { return }
        try labels.map { Int32(clamping: $0) }.withUnsafeBytes { bytes in
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
            try record(committed, in: TraceScalar.committedSteps)
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

    func record(_ value: Int, in path: String) throws {
        let dataset = try file.dataset(path)
        let number = Int32(clamping: value)
        try withUnsafeBytes(of: number) { bytes in
            if let base = bytes.baseAddress { try dataset.write(base, at: [], shape: []) }
        }
        // libhdf5 keeps the number until the dataset is closed; only an explicit close tells that it could not be written.
        try dataset.close()
    }

    /// Ends the trace: hashes what was written, closes, and gives the file its final name.
    ///
    /// Reads the whole trace once more for its content hashes, within some 32 MB of memory.
    ///
    /// - Throws: ``TraceError/alreadyExists(path:)`` when that name was taken meanwhile and overwriting was not asked for:
    ///   the whole trace is then in `PATH.partial`.
    public func finish() throws { try finish(isComplete: true) }

    /// Ends the trace as one whose run went its full way, or as what there is of one that did not; not where its content
    /// is to have a hash and has another.
    func finish(isComplete: Bool, expecting hash: String? = nil) throws {
        let (steps, isBetweenSteps, state) = progress.withLock {
            ($0.committed, $0.extended == $0.committed && !$0.isClosed, $0.state)
        }
        guard steps > 0, isBetweenSteps, let state else {
            throw TraceError.misuse("\(path): finished without a committed step, in mid-step, or twice")
        }
        try leavingOpenOnFailure {
            try pipeline.drain()
            let texts = progress.withLock { progress in state.ids.map { progress.vocabulary[$0] ?? "" } }
            try writeText("token_text", texts)
            try file.flush()
            try writeContentTable(steps: steps, expecting: hash)
            try file.flush()
            if isComplete { try record(1, in: TraceScalar.isComplete) }
            try file.flush()
            progress.withLock { $0.isClosed = true }
            for (dataset, _) in datasets.values { try dataset.close() }
            try file.close()
        }
        try partial.publish()
    }

    /// Hashes every dataset as it is in the file, and writes the table.
    private func writeContentTable(steps: Int, expecting hash: String?) throws {
        let table = try ContentTable.compute(plan, file: file) { name in
            guard let (dataset, placed) = datasets[name] else { return nil }
            let shape = try zip(placed.dimensions, dataset.shape()).map { dimension, stored in
                plan.length(of: dimension, afterSteps: steps) ?? stored
            }
            let isText = placed.schema.type == .utf8
            return try DatasetReader(
                dataset, schema: placed.schema, shape: shape,
                elementSize: isText ? placed.schema.textWidth ?? plan.textWidth : placed.schema.type.size)
        }
        if let hash, hash != table.sha256 {
            throw TraceError.damaged(
                path: path, object: TraceScalar.contentSHA256, reason: "would be \(table.sha256), not \(hash)")
        }
        let leaves = table.leaves
        for name in ["leaf", "content/leaf_path", "content/leaf_index", "content/leaf_sha256"] {
            try datasets[name]?.0.extend(to: [leaves.count])
        }
        try writeBoxNow("leaf", leaves.indices.map { Int32(clamping: $0) })
        try writeText("content/leaf_path", leaves.map(\.path))
        try writeBoxNow("content/leaf_index", leaves.map { Int32(clamping: $0.index) })
        try writeText("content/leaf_sha256", leaves.map(\.sha256))
        // Where the hash is, the table is whole.
        try file.flush()
        try Array(table.sha256.utf8).withUnsafeBytes { bytes in
            if let base = bytes.baseAddress {
                try file.dataset(TraceScalar.contentSHA256).write(base, at: [], shape: [])
            }
        }
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

    func writeBoxNow(_ name: String, _ values: [Int32], at start: Int = 0) throws {
        guard let dataset = datasets[name]?.0, !values.isEmpty else { return }
        try values.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { try dataset.write(base, at: [start], shape: [values.count]) }
        }
    }

    func writeText(_ name: String, _ texts: [String], at start: Int = 0) throws {
        guard let (dataset, placed) = datasets[name], !texts.isEmpty else { return }
        let width = placed.schema.textWidth ?? plan.textWidth
        var bytes = [UInt8](repeating: 0, count: width * texts.count)
        for (index, text) in texts.enumerated() {
            let utf8 = Array(text.utf8)
            guard utf8.count <= width else {
                throw TraceError.misuse("/\(name): a text of \(utf8.count) bytes where there is room for \(width)")
            }
            bytes.replaceSubrange(index * width..<index * width + utf8.count, with: utf8)
        }
        try bytes.withUnsafeBytes { raw in
            if let base = raw.baseAddress { try dataset.write(base, at: [start], shape: [texts.count]) }
        }
    }
}
