import Analysis
import ArgumentParser
import Dispatch
import Foundation
import Serving
import Synchronization

/// `attntrace serve`: the page of `report`, reading from the file what is looked at.
struct ServeCommand: ReadsTraces {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract:
            "Show traces in a browser, read from the file as they are looked at; for traces too large for a report.",
        discussion: """
            Listens on 127.0.0.1 alone, and answers only who has the URL that it prints. Ctrl-C ends it. docs/serve.md \
            says how to look at traces of another machine, and at a capture that still runs.

            Examples:
              attntrace serve a.h5
              attntrace serve a.h5 b.h5 --port 8080 --open
            """)

    @OptionGroup var page: PageOptions
    @Option(help: "The port to listen on; 0: any that is free.")
    var port = 0
    @Flag(help: "Open the page in the browser (xdg-open).")
    var open = false
    @Flag(help: "Print the URL, address and port as JSON, on one line.")
    var json = false
    @Argument(help: "The traces; one that is still being written can be watched.")
    var traces: [String]

    static var memoryLimit: Int { readingBudget }

    func validate() throws {
        guard !traces.isEmpty else { throw ValidationError("name a trace") }
        guard (0...65535).contains(port) else { throw ValidationError("--port must be 0 to 65535") }
    }

    // MARK: The server

    func supervise() throws -> Int32 {
        // A reader that ends while it is asked is an answer.
        signal(SIGPIPE, SIG_IGN)
        let source = ProcessSource(of: traces, limit: Self.memoryLimit)
        defer { source.end() }
        _ = try page.options()
        // What is wrong with a trace is said before anybody is told where to look at it.
        let (outcome, bytes) = try source.answer(to: .page)
        guard outcome == .read else {
            Terminal.warn(String(decoding: bytes, as: UTF8.self))
            return outcome.exitCode
        }
        let server = PageServer(source: source, document: try ServedTraces.document())
        return try run(server) { source.end() }
    }

    /// Serves until a signal says to end.
    private func run(_ server: PageServer, beforeEnd: @escaping @Sendable () -> Void) throws -> Int32 {
        let ended = DispatchSemaphore(value: 0)
        let failure = Mutex<(any Error)?>(nil)
        let opening = BrowserOpening()
        let serving = Task.detached { [self] in
            do {
                try await server.run(port: port) { address in
                    do {
                        try announce(address)
                        if open { try opening.open(address.url) }
                    } catch {
                        Terminal.warn(Failure.line(for: error))
                    }
                }
            } catch {
                failure.withLock { $0 = error }
            }
            ended.signal()
        }
        let signals = Self.endings().map { number in
            let caught = DispatchSource.makeSignalSource(signal: number, queue: .global())
            caught.setEventHandler {
                beforeEnd()
                serving.cancel()
                // A client that does not take its answer is not waited for.
                DispatchQueue.global().asyncAfter(deadline: .now() + 2) { ended.signal() }
            }
            caught.resume()
            return caught
        }
        ended.wait()
        for caught in signals { caught.cancel() }
        if let error = failure.withLock({ $0 }) { throw error }
        return 0
    }

    /// The signals that end it, ignored from here on otherwise: Ctrl-C, `kill`, and a closed terminal unless `nohup` says not to mind
    /// that.
    private static func endings() -> [Int32] {
        let former = signal(SIGHUP, SIG_IGN)
        for number in [SIGINT, SIGTERM] { signal(number, SIG_IGN) }
        // Handlers are pointers to functions, which Swift does not compare; their bits are read and nothing is called.
        let isMinded = unsafeBitCast(former, to: Int.self) != unsafeBitCast(SIG_IGN, to: Int.self)
        return isMinded ? [SIGINT, SIGTERM, SIGHUP] : [SIGINT, SIGTERM]
    }

    private func announce(_ address: PageServer.Address) throws {
        let line =
            json
            ? JSONValue.object([
                ("url", .text(address.url)), ("address", .text(PageServer.host)), ("port", .integer(address.port)),
            ]).line() : address.url
        try Terminal.output(line + "\n")
        Terminal.warn("Ctrl-C to stop")
    }

    // MARK: A reader

    func run() throws {
        let served = ServedTraces(paths: traces, options: try page.options())
        while let line = readLine() {
            let (outcome, bytes) = answer(to: line, served)
            guard ReaderProtocol.write(outcome, bytes, to: STDOUT_FILENO) else { return }
        }
    }

    private func answer(to line: String, _ served: ServedTraces) -> (ReaderProtocol.Outcome, [UInt8]) {
        guard let item = PageItem(line) else { return (.absent, []) }
        do {
            guard let bytes = try served.bytes(of: item) else { return (.absent, []) }
            return (.read, bytes)
        } catch {
            let code = Failure.code(of: error) ?? Failure.system
            return (ReaderProtocol.Outcome(exitCode: code), Array(Failure.line(for: error).utf8))
        }
    }
}
