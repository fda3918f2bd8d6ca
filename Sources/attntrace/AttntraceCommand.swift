import ArgumentParser
import Capture

/// The command: parses, calls the libraries, prints.
@main
struct AttntraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attntrace",
        abstract: "Capture a language model's attention once, completely; compute where its sinks float, offline.",
        discussion: """
            Examples:
              attntrace capture --prompt "In the beginning" --output a.h5
              attntrace info a.h5
              attntrace verify --deep a.h5
              attntrace trajectories a.h5 --plot

            Exit codes: 0 done; 1 the data is bad, or the answer is no; 2 wrong usage; 3 the system refused.
            """,
        version: attntraceVersion,
        subcommands: [
            CaptureCommand.self, PlanCommand.self, TokenizeCommand.self, InfoCommand.self, VerifyCommand.self,
            DiffCommand.self, RecoverCommand.self, RepackCommand.self, MigrateCommand.self, SinksCommand.self,
            TrajectoriesCommand.self,
            CompareCommand.self, AnalyzeCommand.self, MergeCommand.self, ScoreCommand.self, ImportCommand.self,
            ReportCommand.self, ServeCommand.self,
        ])

    static func main() {
        do {
            var command = try parseAsRoot()
            if let reading = command as? any ReadsTraces { try ReadingGuard.begin(for: reading) }
            try command.run()
        } catch {
            Failure.exit(with: error, from: self)
        }
    }
}
