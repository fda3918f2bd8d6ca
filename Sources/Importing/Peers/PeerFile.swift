import Foundation

/// A file in the layout of Dai et al. (arXiv 2601.07894): `.npz`, unpacked into a spool.
///
/// Known members: `layer_N_full_attention` (T, T), averaged over heads; `layer_N_full_attention_heads` (heads, T, T);
/// `step_attention_data`, a list of dictionaries with `step`, `layer_N_attention_avg` (T, T) and `sequence`;
/// `input_length`, `answer_tokens`, `full_sequence_ids`, `question`, `gold_answer`. The others are named as left out.
struct PeerFile {
    /// Maps of one layer: (T, T), or (heads, T, T).
    struct Maps {
        let layer: Int
        let array: NumPyArray
        let member: String
    }
    /// Maps of one moment.
    struct Moment {
        let maps: [Maps]
        /// Ids fed in; nil where unknown.
        let ids: [Int]?
    }

    let path: String
    /// One moment each: the finished sequence, averaged; the same by head; the steps of the generation.
    private(set) var averaged: [Maps] = []
    private(set) var byHead: [Maps] = []
    private(set) var steps: [Moment] = []
    private(set) var promptLength: Int?
    private(set) var answerIDs: [Int]?
    private(set) var sequenceIDs: [Int]?
    private(set) var question = ""
    private(set) var goldAnswers: [String] = []
    /// Members that no dataset of a trace has a place for.
    private(set) var leftOut: [String] = []

    /// Ids of one sequence.
    private static let sequenceLimit = 1 << 20
    /// The layer of the greatest number that is read.
    private static let layerLimit = 100_000

    init(path: String, spool: Spool) throws(ImportError) {
        self.path = path
        let archive = try ZipArchive(path: path)
        for (index, member) in archive.members.enumerated() {
            let name = member.name.hasSuffix(".npy") ? String(member.name.dropLast(4)) : member.name
            let isKnown = Self.isKnown(name)
            guard isKnown else {
                leftOut.append(name)
                continue
            }
            let stream = try archive.open(index)
            let header = try NumPyHeader(stream)
            let value = try Self.content(of: stream, header, spool: spool)
            try take(value, named: name)
        }
        averaged.sort { $0.layer < $1.layer }
        byHead.sort { $0.layer < $1.layer }
    }

    /// What a member holds: numbers or text in the spool, or a pickle.
    private enum Content {
        case array(NumPyArray)
        case pickle(PickleReader, PickleValue)
    }

    private static func content(
        of stream: MemberStream, _ header: NumPyHeader, spool: Spool
    ) throws(ImportError) -> Content {
        if header.type == .object {
            var reader = PickleReader(stream, spool: spool)
            let value = try reader.read()
            try stream.end()
            return .pickle(reader, value)
        }
        guard let bytes = NumPyArray.byteCount(header.shape, header.type), bytes == stream.remaining else {
            throw stream.failure(
                "has \(stream.remaining) bytes where an array of shape \(header.shape) was announced")
        }
        let offset = try stream.move(bytes, to: spool)
        try stream.end()
        return .array(
            NumPyArray(
                type: header.type, shape: header.shape, isFortran: header.isFortran, offset: offset, spool: spool))
    }

    private static func layer(_ name: String, suffix: String) -> Int? {
        guard name.hasPrefix("layer_"), name.hasSuffix(suffix) else { return nil }
        let digits = name.dropFirst(6).dropLast(suffix.count)
        guard let layer = Int(digits), (0...layerLimit).contains(layer), String(layer) == digits else { return nil }
        return layer
    }

    private static func isKnown(_ name: String) -> Bool {
        [
            "step_attention_data", "input_length", "answer_tokens", "full_sequence_ids", "question", "gold_answer",
        ].contains(name) || layer(name, suffix: "_full_attention") != nil
            || layer(name, suffix: "_full_attention_heads") != nil
    }

    private mutating func take(_ content: Content, named name: String) throws(ImportError) {
        if let layer = Self.layer(name, suffix: "_full_attention") {
            averaged.append(try maps(content, layer: layer, axes: 2, named: name))
        } else if let layer = Self.layer(name, suffix: "_full_attention_heads") {
            byHead.append(try maps(content, layer: layer, axes: 3, named: name))
        } else {
            switch name {
            case "step_attention_data": steps = try moments(content)
            case "input_length":
                guard let values = try integers(content), values.count == 1, values[0] >= 0 else {
                    throw fault(name, "is no length")
                }
                promptLength = values[0]
            case "answer_tokens": answerIDs = try tokenIDs(content, named: name)
            case "full_sequence_ids": sequenceIDs = try tokenIDs(content, named: name)
            case "question": question = try texts(content).first ?? ""
            default: goldAnswers = try texts(content).filter { !$0.isEmpty }
            }
        }
    }

    private func fault(_ member: String, _ reason: String) -> ImportError {
        ImportError(.malformed, path: path, member: member, reason)
    }

    // MARK: Attention

    private func maps(_ content: Content, layer: Int, axes: Int, named name: String) throws(ImportError) -> Maps {
        var array: NumPyArray?
        switch content {
        case .array(let found): array = found
        // One of their scripts stores what is no array as an object.
        case .pickle(let reader, let value): array = try reader.array(reader.unwrapped(value))
        }
        guard let array else { throw fault(name, "is no array of numbers") }
        return try checked(array, layer: layer, axes: axes, named: name)
    }

    private func checked(
        _ array: NumPyArray, layer: Int, axes: Int, named name: String
    ) throws(ImportError) -> Maps {
        let shape = array.shape
        guard array.isNumeric else { throw fault(name, "is no array of numbers") }
        guard shape.count == axes, shape.allSatisfy({ $0 >= 1 }), shape[axes - 1] == shape[axes - 2]
        else {
            throw fault(
                name, "is of shape \(shape), where \(axes == 2 ? "(T, T)" : "(heads, T, T)") is expected")
        }
        guard let array = try array.inRowOrder() else {
            throw fault(
                name, "is in Fortran order and of more than 16 million numbers; save it with numpy.ascontiguousarray")
        }
        return Maps(layer: layer, array: array, member: name)
    }

    private func moments(_ content: Content) throws(ImportError) -> [Moment] {
        let name = "step_attention_data"
        guard case .pickle(let reader, let value) = content,
            let items = reader.objects.items(of: reader.unwrapped(value))
        else { throw fault(name, "is no list of steps") }
        var moments: [(step: Int, moment: Moment)] = []
        for item in items {
            guard case .dictionary(let place) = item,
                case .integer(let step)? = reader.objects.member("step", of: item)
            else { throw fault(name, "has an entry that is no dictionary with a step") }
            var maps: [Int: Maps] = [:]
            for (key, value) in reader.objects.dictionaries[place] {
                guard case .text(let key) = key, let layer = Self.layer(key, suffix: "_attention_avg") else { continue }
                guard let array = try reader.array(value) else { throw fault(name, "has a \(key) that is no array") }
                maps[layer] = try checked(array, layer: layer, axes: 2, named: "\(name) of step \(step), \(key)")
            }
            var ids: [Int]?
            if let sequence = reader.objects.member("sequence", of: item) {
                ids = try tokenIDs(.pickle(reader, sequence), named: "\(name) of step \(step), sequence")
            }
            moments.append((step, Moment(maps: maps.values.sorted { $0.layer < $1.layer }, ids: ids)))
        }
        let ordered = moments.sorted { $0.step < $1.step }
        guard zip(ordered, ordered.dropFirst()).allSatisfy({ $0.step < $1.step }) else {
            throw fault(name, "has two entries of one step")
        }
        return ordered.map(\.moment)
    }

    // MARK: Small members

    private func integers(_ content: Content) throws(ImportError) -> [Int]? {
        switch content {
        case .array(let array): return try array.integers(limit: Self.sequenceLimit)
        case .pickle(let reader, let value):
            let value = reader.unwrapped(value)
            if let array = try reader.array(value) { return try array.integers(limit: Self.sequenceLimit) }
            if case .integer(let number) = value { return [number] }
            guard let items = reader.objects.items(of: value) else { return nil }
            var numbers: [Int] = []
            for item in items {
                guard case .integer(let number) = item else { return nil }
                numbers.append(number)
            }
            return numbers
        }
    }

    private func tokenIDs(_ content: Content, named name: String) throws(ImportError) -> [Int] {
        guard let ids = try integers(content), ids.allSatisfy({ (0...Int(Int32.max)).contains($0) }) else {
            throw fault(name, "is no list of token ids")
        }
        return ids
    }

    private func texts(_ content: Content) throws(ImportError) -> [String] {
        switch content {
        case .array(let array): return try array.text().map { [$0] } ?? []
        case .pickle(let reader, let value):
            let value = reader.unwrapped(value)
            if case .text(let text) = value { return [text] }
            return (reader.objects.items(of: value) ?? []).compactMap {
                if case .text(let text) = $0 { text } else { nil }
            }
        }
    }
}

extension PickleReader {
    /// The one value of an array of objects without axes, as NumPy keeps a dictionary or a text; else the value itself.
    func unwrapped(_ value: PickleValue) -> PickleValue {
        guard case .array(let place) = value, let array = objects.arrays[place], array.type == .object,
            array.shape.isEmpty, let only = array.values.first
        else { return value }
        return only
    }
}
