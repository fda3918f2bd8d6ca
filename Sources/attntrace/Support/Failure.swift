import Analysis
import ArgumentParser
import Capture
import Foundation
import Importing
import Report
import Serving
import Tokenizer
import TraceFormat

/// How a failure leaves the program: one line on stderr, and an exit code that says whose turn it is.
enum Failure {
    /// The data is bad, or the answer is no.
    static let badData: Int32 = 1
    /// The command line cannot be right.
    static let usage: Int32 = 2
    /// The operating system refused.
    static let system: Int32 = 3

    /// Ends the program with the line and the code of an error.
    static func exit(with error: any Error, from root: ParsableCommand.Type) -> Never {
        if let code = code(of: error) {
            Terminal.warn(line(for: error))
            Foundation.exit(code)
        }
        let code = root.exitCode(for: error)
        guard code != .success else {
            // --help and --version come this way.
            Foundation.exit(Terminal.write(root.fullMessage(for: error) + "\n", to: STDOUT_FILENO) ? 0 : system)
        }
        if error is ExitCode { Foundation.exit(code.rawValue) }
        let message = root.message(for: error).split(whereSeparator: \.isNewline).joined(separator: " ")
        Terminal.error("attntrace: \(message) (see --help)")
        Foundation.exit(code == .validationFailure ? usage : system)
    }

    /// What an error says, in one line, and the option that lifts it.
    static func line(for error: any Error) -> String { "\(error)\(option(against: error))" }

    /// The option that lifts what an error refuses, which the libraries know nothing of.
    private static func option(against error: any Error) -> String {
        switch error {
        case TraceError.alreadyExists: " with --force"
        case TraceError.unfinished: " with --force (capture --resume goes on with it, recover keeps what there is)"
        case CaptureError.diskTooSmall: " (--no-space-check)"
        default: ""
        }
    }

    /// The exit code of an error of ours; nil for those of the argument parser.
    static func code(of error: any Error) -> Int32? {
        switch error {
        case let error as TraceError: traceCode(error)
        case let error as HDF5Error: error.errno == 0 ? badData : system
        case let error as CaptureError: if case .diskTooSmall = error { system } else { usage }
        case is RecordingError: badData
        case let error as SamplingError: samplingCode(error)
        case let error as ModelError: modelCode(error)
        case let error as TokenizerError: error.code == .unreadable ? system : badData
        case let error as AnalysisError: analysisCode(error)
        case is PromptFileError: badData
        case is QueryError: usage
        case let error as ImportError: importCode(error)
        case let error as ReportError: reportCode(error)
        case is UsageError: usage
        case is ServingError: system
        case is CocoaError: system
        default: nil
        }
    }

    private static func traceCode(_ error: TraceError) -> Int32 {
        switch error {
        case .notATrace, .nothingCommitted, .notEnded, .isCurrent, .unsupportedVersion, .damaged, .notRecorded: badData
        case .outOfRange, .cannotResume, .sameFile, .alreadyExists, .unfinished, .notAFile, .inUse, .misuse: usage
        case .notFound, .system: system
        }
    }

    private static func samplingCode(_ error: SamplingError) -> Int32 {
        switch error {
        case .badOption, .unevenBlocks, .unevenSteps, .noMaskToken, .emptyPrompt: usage
        case .notFinite, .wrongShape: badData
        }
    }

    private static func modelCode(_ error: ModelError) -> Int32 {
        switch error.code {
        case .unreadable, .resources: system
        case .misuse: usage
        case .malformed, .missing, .invalid, .unsupported, .notFinite: badData
        }
    }

    private static func importCode(_ error: ImportError) -> Int32 {
        switch error.code {
        case .malformed, .lacking: badData
        case .misuse: usage
        case .system: system
        }
    }

    private static func reportCode(_ error: ReportError) -> Int32 {
        switch error {
        case .noCharts: system
        case .badCharts: badData
        case .noSuchBlock, .tooLarge: usage
        }
    }

    private static func analysisCode(_ error: AnalysisError) -> Int32 {
        switch error {
        case .receivedNotRecorded, .answerRowsNotRecorded, .noSteps, .stepsOutOfOrder, .shapeMismatch,
            .inputsNotRecorded, .notDeclared, .notAResult, .contradiction:
            badData
        case .windowNeedsCausalTrace, .noSuchLayer, .noSuchHead, .noSuchStep, .noSuchPosition, .unknownRule,
            .unknownUnit, .unknownScope, .badParameter, .noSuchRegion, .settingsDiffer:
            usage
        }
    }
}

/// What is wrong with the command line, beyond what the argument parser sees.
struct UsageError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
