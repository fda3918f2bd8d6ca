import Foundation
import TraceFormat

/// Makes a trace of a file in the layout of Dai et al. (arXiv 2601.07894), marked as imported.
///
/// Maps become `maps/attention`, `received` is computed from them, token ids and masks are taken where the file has them.
/// What it lacks is undefined in the trace, and the attribute `origin` says where everything comes from. docs/import.md
/// has the whole of it.
public struct PeerImport: Sendable {
    /// What the file does not say of itself.
    public struct Options: Sendable {
        /// Which attention to take; nil: the first of steps, heads and average that there is.
        public var content: PeerContent?
        /// Tokens of the prompt, where the file lacks `input_length`.
        public var promptLength: Int?
        /// Id of the mask: needed to tell masked positions of `step_attention_data`.
        public var maskTokenID: Int?
        /// The model's name.
        public var modelName = "unknown"
        /// Which queries see which keys; nil: causal where no query attends to a later key.
        public var causality: Causality?
        /// Whether an existing trace is replaced.
        public var overwrite = false
        /// Program and version, for the trace's provenance.
        public var producer: String
        /// The command line, for the same.
        public var commandLine = ""

        /// The defaults.
        public init(producer: String) { self.producer = producer }
    }

    /// What was made.
    public struct Report: Sendable {
        /// Which attention was taken.
        public let content: PeerContent
        /// Which queries see which keys.
        public let causality: Causality
        /// Steps, layers, heads, keys.
        public let shape: [Int]
        /// Largest difference of a weight from its float16.
        public let largestRounding: Double
        /// Largest difference of a row's sum from 1.
        public let largestRowError: Double
        /// Members of the file that have no place in a trace.
        public let leftOut: [String]
    }

    /// Imports a file.
    ///
    /// - Throws: ``ImportError``; ``TraceError`` and ``HDF5Error`` for the trace.
    public static func run(_ path: String, to output: String, _ options: Options) throws -> Report {
        try TraceWriter.checkName(output, overwrite: options.overwrite)
        let folder = (output as NSString).deletingLastPathComponent
        let spool = try Spool(in: folder.isEmpty ? "." : folder)
        let file = try PeerFile(path: path, spool: spool)
        let attention = try PeerAttention(file, content: options.content)
        let survey = try PeerSurvey(attention)
        let shape = try PeerShape(attention, survey, options)
        let leftOut = (file.leftOut + shape.leftOut).sorted()
        let origin = try Origin(
            file: (path as NSString).lastPathComponent, sha256: try Self.digest(of: path),
            content: attention.content.rawValue, heads: attention.content == .heads ? "recorded" : "averaged",
            largestRounding: survey.largestRounding, largestRowError: survey.largestRowError,
            question: file.question,
            leftOut: leftOut + (shape.isCausal ? ["the last token's row and column"] : []),
            importer: options.producer
        ).json()
        let writer = try TraceWriter(
            creating: output, plan: shape.plan, provenance: shape.provenance(origin: origin, options),
            overwrite: options.overwrite)
        do {
            try PeerWriting(attention: attention, shape: shape, writer: writer).run()
            try writer.finish()
        } catch {
            writer.abandon()
            // Half an import is made anew, never taken up.
            if FileManager.default.fileExists(atPath: writer.partialPath) {
                try FileManager.default.removeItem(atPath: writer.partialPath)
            }
            throw error
        }
        return Report(
            content: attention.content, causality: shape.plan.causality,
            shape: [shape.plan.stepCount, shape.plan.layers.count, shape.plan.heads.count, shape.plan.keyCount],
            largestRounding: survey.largestRounding, largestRowError: survey.largestRowError,
            leftOut: leftOut)
    }

    /// The attribute `origin`.
    private struct Origin: Encodable {
        let file: String
        let sha256: String
        var layout = "npz of arXiv 2601.07894"
        let content: String
        let heads: String
        let largestRounding: Double
        let largestRowError: Double
        let question: String
        let leftOut: [String]
        let importer: String

        private enum CodingKeys: String, CodingKey {
            case file, sha256, layout, content, heads, question, importer
            case largestRounding = "largest_rounding"
            case largestRowError = "largest_row_error"
            case leftOut = "left_out"
        }

        func json() throws -> String {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }

    private static func digest(of path: String) throws -> String {
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw ImportError(.system, path: path, "cannot open: \(String(cString: strerror(errno)))")
        }
        defer { handle.closeFile() }
        let hash = SHA256Hash()
        while true {
            let block = handle.readData(ofLength: 1 << 20)
            if block.isEmpty { break }
            block.withUnsafeBytes { hash.update($0) }
        }
        return SHA256Hash.hexadecimal(hash.finish())
    }
}
