import Foundation
import Synchronization

/// A trace, opened for reading.
///
/// Opening reads the provenance and the lengths of the axes, and no attention. Reading is lazy and bounded: a box, a
/// map, or a cursor of blocks within a byte budget. Only committed steps exist here, also in a file that is still being
/// written or whose writer was killed. Safe to use from several threads.
public final class Trace: Sendable {
    /// The file.
    public let path: String
    /// Version of the format that the file was written in.
    public let formatVersion: String
    /// The shape of the trace as recorded: `stepCount` and `generatedLength` are what was committed.
    public let plan: TracePlan
    /// The shape of the trace as it was planned, at full length.
    public let planned: TracePlan
    /// What made it.
    public let provenance: Provenance
    /// Steps that can be read.
    public let committedSteps: Int
    /// False for a run that was cut short, or is still going on.
    public let isComplete: Bool

    let file: HDF5File

    /// Chunks that were read from the file so far: what a selection spares can be told by it.
    package var chunksRead: Int { file.chunkReads.load(ordering: .relaxed) }

    /// Opens a trace.
    ///
    /// - Throws: ``TraceError`` when there is no such file, when it is not a trace, is of an unknown version, or breaks a
    ///   rule of the format; ``HDF5Error`` when libhdf5 cannot read it.
    public init(path: String) throws {
        self.path = path
        file = try Self.open(path)
        guard let format = try file.textAttribute("format"), format == Schema.format else {
            throw TraceError.notATrace(
                path: path, reason: "its root group has no attribute format = \"\(Schema.format)\"")
        }
        let minimum = try file.textAttribute("min_reader") ?? "?"
        guard FormatVersion(minimum)?.isReadable == true else {
            throw TraceError.unsupportedVersion(
                path: path, version: try file.textAttribute("format_version") ?? "without a version")
        }
        formatVersion = try file.textAttribute("format_version") ?? ""
        provenance = try Provenance(from: file)
        var plan = try Self.plan(of: file)
        if plan.kvHeads.isEmpty {
            // A trace without a dataset along kv_head does not list them.
            plan.kvHeads = provenance.kvHeads(of: plan.heads)
        }
        planned = plan
        let committed = try Self.scalar(TraceScalar.committedSteps, in: file)
        guard committed >= 0, committed <= plan.stepCount else {
            throw TraceError.damaged(path: path, object: TraceScalar.committedSteps, reason: "is \(committed)")
        }
        committedSteps = Int(committed)
        isComplete = try Self.scalar(TraceScalar.isComplete, in: file) == 1
        plan.stepCount = committedSteps
        if plan.causality == .causal {
            guard plan.promptLength >= 1 else {
                throw TraceError.damaged(path: path, object: "@prompt_length", reason: "is 0 in a causal trace")
            }
            plan.generatedLength = min(plan.generatedLength, committedSteps)
        }
        self.plan = plan
        guard try coordinate(.step) == Array(0..<committedSteps) else {
            throw TraceError.damaged(path: path, object: "step", reason: "does not count the committed steps from 0")
        }
    }

    static func open(_ path: String) throws -> HDF5File {
        do {
            try RegularFile.check(path)
        } catch TraceError.notFound(_, let hint) {
            let partial = path + ".partial"
            throw TraceError.notFound(
                path: path,
                hint: FileManager.default.fileExists(atPath: partial)
                    ? "an unfinished capture is at \(partial) and can be opened by that name" : hint)
        }
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw TraceError.system(path: path, operation: "open", reason: String(cString: strerror(errno)))
        }
        defer { handle.closeFile() }
        let signature = handle.readData(ofLength: 8)
        guard signature == Data([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]) else {
            throw TraceError.notATrace(path: path, reason: "it is not an HDF5 file")
        }
        do {
            return try HDF5File.open(path)
        } catch let error as HDF5Error where error.errno == 0 {
            throw TraceError.damaged(
                path: path, object: "", reason: error.frames.last?.text ?? "libhdf5 cannot open it")
        }
    }

    private static func plan(of file: HDF5File) throws -> TracePlan {
        func number(_ name: String) throws -> Int {
            guard let value = try file.numberAttribute(name, as: Int32.self), value >= 0 else {
                throw TraceError.damaged(path: file.path, object: "@\(name)", reason: "is missing or negative")
            }
            return Int(value)
        }
        guard let name = try file.textAttribute("causality"), let causality = Causality(rawValue: name) else {
            throw TraceError.damaged(
                path: file.path, object: "@causality", reason: "is neither bidirectional nor causal")
        }
        // A later version may have more: what is not known is not read.
        let signals = try (file.textAttribute("signals") ?? "").split(separator: ",").compactMap {
            Signal(rawValue: String($0))
        }
        func labels(_ dimension: Dimension) throws -> [Int] {
            guard file.contains(dimension.rawValue) else { return [] }
            let dataset = try file.dataset(dimension.rawValue)
            let shape = try dataset.shape()
            guard shape.count == 1, shape[0] >= 1, shape[0] <= 1 << 20,
                try dataset.elementType()?.type == .int32
            else {
                throw TraceError.damaged(path: file.path, object: dimension.rawValue, reason: "is not a list of labels")
            }
            var values = [Int32](repeating: 0, count: shape[0])
            try values.withUnsafeMutableBytes { bytes in
                if let base = bytes.baseAddress { try dataset.read(into: base, at: [0], shape: shape) }
            }
            return values.map { Int($0) }
        }
        func selection(_ name: String) throws -> [Int]? {
            let text = try file.textAttribute(name) ?? ""
            if text == "all" { return nil }
            guard let indices = IndexText.indices(text), zip(indices, indices.dropFirst()).allSatisfy({ $0 < $1 })
            else {
                throw TraceError.damaged(path: file.path, object: "@\(name)", reason: "is no ascending list of indices")
            }
            return indices
        }
        let plan = TracePlan(
            causality: causality, promptLength: try number("prompt_length"),
            generatedLength: try number("planned_generated_length"), stepCount: try number("planned_steps"),
            layers: try labels(.layer), heads: try labels(.head), kvHeads: try labels(.kvHead),
            queries: try selection("planned_queries"), mapSteps: try selection("planned_map_steps"),
            headWidth: try number("head_dim"), layerCount: try number("layer_count"),
            rankCount: try labels(.rank).count, regionCount: try labels(.regionIndex).count, signals: Set(signals),
            isGuided: try number("is_guided") == 1, textWidth: try number("text_width"))
        guard !plan.layers.isEmpty, !plan.heads.isEmpty else {
            throw TraceError.damaged(path: file.path, object: "layer", reason: "or head is missing")
        }
        return plan
    }

    private static func scalar(_ name: String, in file: HDF5File) throws -> Int32 {
        guard file.contains(name) else { throw TraceError.damaged(path: file.path, object: name, reason: "is missing") }
        let dataset = try file.dataset(name)
        guard try dataset.shape() == [], try dataset.elementType()?.type == .int32 else {
            throw TraceError.damaged(path: file.path, object: name, reason: "is not one int32")
        }
        var value: Int32 = 0
        try withUnsafeMutableBytes(of: &value) { bytes in
            if let base = bytes.baseAddress { try dataset.read(into: base, at: [], shape: []) }
        }
        return value
    }

    // MARK: Datasets

    /// Whether a dataset was recorded.
    public func contains<E>(_ key: DatasetKey<E>) -> Bool { file.contains(key.path) }

    /// Axes of a dataset, in order.
    public func dimensions<E>(of key: DatasetKey<E>) throws -> [Dimension] { try schema(key.path).dimensions }

    /// Lengths of the axes, the committed part only.
    public func shape<E>(of key: DatasetKey<E>) throws -> [Int] { try reader(key).shape }

    /// The unit in which a dataset is stored, and best read.
    public func chunkShape<E>(of key: DatasetKey<E>) throws -> [Int] { try reader(key).chunkShape }

    /// Labels (recorded indices) along an axis.
    public func coordinate(_ dimension: Dimension) throws -> [Int] {
        if plan.causality == .causal, dimension == .rowStep || dimension == .mapStep {
            // Rows never change; the file names the last step, which only the commit record knows for certain.
            return committedSteps == 0 ? [] : [committedSteps - 1]
        }
        let reader = try reader(path: dimension.rawValue, type: .int32)
        return try reader.read(Int32.self, reader.box(.all)).values.map { Int($0) }
    }

    /// Reads a box of a dataset.
    ///
    /// - Throws: ``TraceError/notRecorded(path:object:)``, ``TraceError/outOfRange(path:object:reason:)``,
    ///   ``TraceError/damaged(path:object:reason:)``, ``HDF5Error``.
    public func read<E: TraceElement>(_ key: DatasetKey<E>, _ selection: Selection = .all) throws -> TraceArray<E> {
        let reader = try reader(key)
        return try reader.read(E.self, reader.box(selection))
    }

    /// Walks a dataset in chunk-aligned blocks of at most `byteBudget` bytes each, one chunk at least.
    public func blocks<E: TraceElement>(
        of key: DatasetKey<E>, _ selection: Selection = .all, byteBudget: Int = 64 << 20
    ) throws -> BlockCursor<E> {
        let reader = try reader(key)
        return BlockCursor(reader: reader, selection: try reader.box(selection), byteBudget: byteBudget)
    }

    /// Where the tokens stand after the last committed step.
    public func tokenState() throws -> TokenState { try tokenState(afterSteps: committedSteps) }

    /// Where the tokens stood after a number of steps.
    func tokenState(afterSteps steps: Int) throws -> TokenState {
        let positions = planned.length(of: .position, afterSteps: steps) ?? 0
        var state = TokenState(
            ids: Array(try read(.finalID).values.prefix(positions)),
            unmaskStep: Array(try read(.unmaskStep).values.prefix(positions)),
            unmaskOrder: Array(try read(.unmaskOrder).values.prefix(positions)))
        // What later steps wrote, committed or not, does not count; a kill may have come between the three.
        for position in state.ids.indices
        where state.unmaskStep[position] >= steps || state.unmaskStep[position] == -2 {
            state.ids[position] = Int32(clamping: provenance.maskTokenID)
            state.unmaskStep[position] = -2
            state.unmaskOrder[position] = -2
        }
        return state
    }

    /// Text of each position's final token.
    public func tokenText() throws -> [String] {
        if isComplete { return try text("token_text") }
        // Written at the end only; the table of texts grows with the run.
        let texts = try vocabulary()
        return try tokenState().ids.map { texts[$0] ?? "" }
    }

    /// Text of every id that occurs.
    public func vocabulary() throws -> [Int32: String] {
        let ids = try read(DatasetKey<Int32>.vocabID).values
        return Dictionary(zip(ids, try text("vocab_text"))) { first, _ in first }
    }

    /// What was done to the file since its capture, a line each; nil where nothing was.
    public func history() throws -> String? { try file.textAttribute("history") }

    /// The content hash that the trace carries; nil where the run has not ended.
    public func recordedContentHash() throws -> String? {
        guard file.contains(TraceScalar.contentSHA256) else { return nil }
        let dataset = try file.dataset(TraceScalar.contentSHA256)
        guard try dataset.shape() == [], let type = try dataset.elementType(), type.type == .utf8, type.width <= 64
        else {
            throw TraceError.damaged(path: path, object: TraceScalar.contentSHA256, reason: "is not a hash")
        }
        var bytes = [UInt8](repeating: 0, count: type.width)
        try bytes.withUnsafeMutableBytes { raw in
            if let base = raw.baseAddress { try dataset.read(into: base, at: [], shape: []) }
        }
        let text = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        return text.isEmpty ? nil : text
    }

    /// The table of content hashes that the trace carries; empty where the run has not ended.
    public func recordedContentTable() throws -> ContentTable {
        // Without the hash, the run was killed while it wrote the table.
        guard file.contains("content/leaf_path"), try recordedContentHash() != nil else { return ContentTable([]) }
        let indices = try read(DatasetKey<Int32>("content/leaf_index")).values
        let (paths, hashes) = (try text("content/leaf_path"), try text("content/leaf_sha256"))
        guard paths.count == indices.count, hashes.count == indices.count else {
            throw TraceError.damaged(
                path: path, object: "content/leaf_path", reason: "is not as long as its neighbours")
        }
        return ContentTable(
            paths.indices.map { ContentLeaf(path: paths[$0], index: Int(indices[$0]), sha256: hashes[$0]) })
    }

    /// Hashes every value again, reading the whole trace within some `byteBudget` bytes of memory.
    public func contentTable(byteBudget: Int = 32 << 20) throws -> ContentTable {
        try ContentTable.compute(planned, file: file, byteBudget: byteBudget) { name in
            try reader(of: name, afterSteps: committedSteps)
        }
    }

    func text(_ name: String) throws -> [String] {
        let reader = try reader(path: name, type: .utf8)
        let count = reader.shape[0]
        let width = reader.elementSize
        try reader.checkFits(Box(origin: [0], shape: [count]), elementSize: width)
        var bytes = [UInt8](repeating: 0, count: count * width)
        try bytes.withUnsafeMutableBytes { try reader.fill($0, Box(origin: [0], shape: [count])) }
        return (0..<count).map { index in
            String(decoding: bytes[index * width..<(index + 1) * width].prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    // MARK: Opening a dataset

    private func schema(_ object: String) throws -> Schema.Dataset {
        guard let schema = Schema.dataset(at: object) else {
            throw TraceError.outOfRange(path: path, object: object, reason: "is not a dataset of the format")
        }
        return schema
    }

    private func reader<E>(_ key: DatasetKey<E>) throws -> DatasetReader {
        try reader(path: key.path, type: E.elementType)
    }

    private func reader(path object: String, type: ElementType) throws -> DatasetReader {
        try reader(path: object, type: type, afterSteps: committedSteps)
    }

    private func reader(path object: String, type: ElementType, afterSteps steps: Int) throws -> DatasetReader {
        let schema = try schema(object)
        guard file.contains(object) else { throw TraceError.notRecorded(path: path, object: object) }
        let dataset = try file.dataset(object)
        guard schema.type == type else {
            throw TraceError.outOfRange(
                path: path, object: object, reason: "holds \(schema.type.rawValue), not \(type.rawValue)")
        }
        guard let found = try dataset.elementType(), found.type == type, found.width >= 1, found.width <= 1 << 16 else {
            throw TraceError.damaged(path: path, object: object, reason: "is not \(type.rawValue), little-endian")
        }
        let stored = try dataset.shape()
        guard stored.count == schema.dimensions.count else {
            throw TraceError.damaged(
                path: path, object: object,
                reason: "has \(stored.count) axes where the format has \(schema.dimensions.count)")
        }
        let shape = try zip(schema.dimensions, stored).map { dimension, length in
            guard let expected = planned.length(of: dimension, afterSteps: steps) else { return length }
            guard length >= expected else {
                throw TraceError.damaged(
                    path: path, object: object,
                    reason: "is \(length) long on \(dimension.rawValue) where the trace has \(expected)")
            }
            return expected
        }
        return try DatasetReader(dataset, schema: schema, shape: shape, elementSize: found.width)
    }

    /// How a dataset is read, and the bytes it takes in the file; nil when it was not recorded.
    func storage(of object: String) throws -> (DatasetReader, Int)? {
        guard let reader = try reader(of: object, afterSteps: committedSteps) else { return nil }
        return (reader, reader.dataset.storedBytes())
    }

    /// How a dataset is read as it was after a number of committed steps; nil when it was not recorded.
    func reader(of object: String, afterSteps steps: Int) throws -> DatasetReader? {
        guard file.contains(object) else { return nil }
        return try reader(path: object, type: try schema(object).type, afterSteps: steps)
    }
}
