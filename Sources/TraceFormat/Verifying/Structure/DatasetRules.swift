/// Judges one dataset by its description: type, axes, lengths, words, storage, scales.
struct DatasetRules {
    let file: HDF5File
    let log: FindingLog
    /// The shape of the trace, where it could be made out.
    let outline: TraceOutline?
    /// Bytes of a text in `token_text` and `vocab_text`.
    let textWidth: Int?
    /// Whether the words are those of the schema that this program knows.
    let knowsWords: Bool

    /// Judges a dataset, and opens it for reading where it is sound.
    func judge(_ schema: Schema.Dataset, at path: String) -> DatasetReader? {
        guard file.contains(path) else {
            log.add(.datasetMissing, path, "is missing" + (schema.signal.map { " of the signal \($0.rawValue)" } ?? ""))
            return nil
        }
        return log.judging(path) { try judgePresent(schema, at: path) } ?? nil
    }

    private func judgePresent(_ schema: Schema.Dataset, at path: String) throws -> DatasetReader? {
        let dataset = try file.dataset(path)
        guard try dataset.isInFile() else {
            log.add(.datasetOutside, path, "its values are in another file or dataset")
            return nil
        }
        var isSound = true
        let found = try dataset.elementType()
        if let found, found.type == schema.type {
            if schema.type == .utf8 {
                let width = schema.textWidth ?? textWidth
                if try !dataset.isPaddedUTF8() || width != nil && found.width != width {
                    log.add(.datasetType, path, "is not UTF-8 of \(width ?? found.width) bytes, padded with zeros")
                    isSound = false
                }
            }
        } else {
            log.add(.datasetType, path, "is not \(schema.type.rawValue), little-endian")
            isSound = false
        }
        try judgeWords(schema, at: path)
        let stored = try dataset.shape()
        guard stored.count == schema.dimensions.count else {
            log.add(.datasetAxes, path, "has \(stored.count) axes where the format has \(schema.dimensions.count)")
            return nil
        }
        try judgeStorage(dataset)
        let shape = judgeLengths(schema, at: path, stored)
        try judgeScales(dataset, schema, stored)
        guard isSound, let shape, let found, found.width >= 1, found.width <= 1 << 16 else { return nil }
        return try DatasetReader(dataset, schema: schema, shape: shape, elementSize: found.width)
    }

    // MARK: Lengths

    /// The committed shape; nil where an axis is shorter than that.
    private func judgeLengths(_ schema: Schema.Dataset, at path: String, _ stored: [Int]) -> [Int]? {
        guard let outline else { return nil }
        var shape = stored
        for (axis, dimension) in schema.dimensions.enumerated() {
            guard let expected = outline.plan.length(of: dimension, afterSteps: outline.committed) else { continue }
            if stored[axis] < expected {
                log.add(
                    .datasetLength, path,
                    "is \(stored[axis]) long on \(dimension.rawValue) where the trace has \(expected)")
                return nil
            }
            if stored[axis] > expected, outline.isComplete {
                log.add(
                    .datasetLonger, path,
                    "is \(stored[axis]) long on \(dimension.rawValue), of which only \(expected) count")
            }
            shape[axis] = expected
        }
        return shape
    }

    // MARK: Words

    private func judgeWords(_ schema: Schema.Dataset, at path: String) throws {
        func word(_ name: String, _ expected: String) throws {
            guard let value = try file.attribute(name, of: path) else {
                log.add(.datasetWords, path, "has no \(name)")
                return
            }
            if knowsWords, value.text != expected { log.add(.datasetWords, path, "\(name) is not \"\(expected)\"") }
        }
        try word("long_name", schema.meaning)
        let isCoordinate = Schema.coordinates.contains { $0.path == path }
        if schema.type != .utf8, !isCoordinate { try word("units", schema.unit) }
        let flags: [String: (String, [Int64])] = [
            "is_masked": ("not_masked masked", [0, 1]), "region_gold": ("other gold", [0, 1]),
            "suppressed": ("kept suppressed suppressed_for_other_queries", [0, 1, 2]),
            "query_class": ("prompt unmasked masked", [0, 1, 2]),
        ]
        let plain = path.hasPrefix(Schema.unconditional) ? String(path.dropFirst(Schema.unconditional.count)) : path
        if let (meanings, values) = flags[plain], plain == path {
            try word("flag_meanings", meanings)
            if case .integers(values, _, _, _)? = try file.attribute("flag_values", of: path) {
            } else {
                log.add(.datasetWords, path, "flag_values is not \(values)")
            }
        }
        let fill = try file.attribute("_FillValue", of: path)
        if schema.type == .float32 {
            if case .floats(let values, 4)? = fill, values.count == 1, values[0].isNaN { return }
            log.add(.datasetFill, path, "_FillValue is not NaN")
        } else if fill != nil {
            log.add(.datasetFill, path, "has a _FillValue, which only float32 has")
        }
    }

    // MARK: Storage

    private func judgeStorage(_ dataset: HDF5Dataset) throws {
        guard let chunking = try dataset.chunking(), !chunking.filters.isEmpty else { return }
        // By number: 1 deflate, 2 shuffle, 3 fletcher32.
        let unknown = chunking.filters.filter { ![1, 2, 3].contains($0) }
        if !unknown.isEmpty {
            log.add(
                .datasetFilters, dataset.object,
                "passes through filters that not every HDF5 has: \(unknown.map(String.init).joined(separator: ", "))")
        }
        if !chunking.filters.contains(3) {
            log.add(.datasetChecksum, dataset.object, "is filtered, but carries no checksum")
        }
    }

    // MARK: Scales

    private func judgeScales(_ dataset: HDF5Dataset, _ schema: Schema.Dataset, _ stored: [Int]) throws {
        if Schema.coordinates.contains(where: { $0.path == dataset.object }) {
            if !dataset.isScale() { log.add(.scaleMissing, dataset.object, "is not a dimension scale") }
            return
        }
        for (axis, dimension) in schema.dimensions.enumerated() {
            let name = dimension.rawValue
            guard try dataset.scaleCount(onAxis: axis) > 0 else {
                log.add(.scaleMissing, dataset.object, "axis \(axis), \(name), has no scale")
                continue
            }
            // A coordinate that is missing is a finding of its own.
            guard file.contains(name), let scale = try? file.dataset(name) else { continue }
            guard try dataset.hasScale(scale, onAxis: axis) else {
                log.add(.scaleName, dataset.object, "axis \(axis) has another scale than /\(name)")
                continue
            }
            // Lengths are in step with each other once the run has ended. Where the axis itself is wrong, that is said.
            guard let outline, outline.isComplete,
                stored[axis] == outline.plan.length(of: dimension, afterSteps: outline.committed) ?? stored[axis],
                let length = try scale.shape().first, length != stored[axis]
            else { continue }
            log.add(
                .scaleLength, dataset.object,
                "axis \(axis) is \(stored[axis]) long, its scale /\(name) is \(length)")
        }
    }
}
