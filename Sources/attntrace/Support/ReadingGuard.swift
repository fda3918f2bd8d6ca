import CProcess
import Foundation
import TraceFormat

/// Turns what a damaged or hostile file can do to libhdf5 (a crash, an endless loop, all of the memory) into an answer.
///
/// The program starts itself once more, mostly with the same arguments, and waits. What the child ends with is passed on,
/// the signals that people send included; only when the child was ended by what it read does the parent speak for it, and
/// removes what the child left unfinished. What the command inherits (terminal, standard input and mostly output, process
/// group) is the child's as well; its messages wait until it has ended.
///
/// A fork alone would be four times as cheap, but Swift's runtime does not survive one: its locks remember the number of
/// the thread that forked, and threads of the child now and then wait for ever.
enum ReadingGuard {
    /// What a child ends with that waited too long for libhdf5; no command ends with it by itself.
    private static let hung: Int32 = 124
    /// Signals of a process that went wrong. All others are someone's wish.
    private static let crashes = [SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGSYS]
    /// Swift's own traps; C has none.
    private static let traps = [SIGILL, SIGTRAP]
    /// Tells a child whose it is: the parent's process number.
    private static let marker = "ATTNTRACE_GUARDED_BY"
    /// What the program itself takes of its memory, mostly its libraries.
    private static let ownMemory = 64_000_000
    private static let timeoutVariable = "ATTNTRACE_READ_TIMEOUT"

    /// How a child ended.
    enum End {
        case exited(Int32)
        case failed(ReadingFailure)
        /// Someone wished it to end.
        case signalled(Int32)
    }

    /// Returns in a child only, within its limits.
    static func begin(for command: any ReadsTraces) throws {
        let timeout = try timeout()
        try command.checkOutputs(against: command.traces)
        guard let parent = getenv(marker).map({ String(cString: $0) }) else { exit(try command.supervise()) }
        unsetenv(marker)
        enterChild(of: parent, timeout: timeout, limit: limit(of: command))
    }

    private static func limit(of command: some ReadsTraces) -> Int {
        min(type(of: command).memoryLimit, inheritedLimit())
    }

    /// Seconds that one call of libhdf5 may take; none for 0.
    private static func timeout() throws -> Double {
        guard let text = ProcessInfo.processInfo.environment[timeoutVariable], !text.isEmpty else { return 8 }
        guard let seconds = Double(text), seconds >= 0, seconds.isFinite else {
            throw UsageError("\(timeoutVariable) is \(text): it takes seconds, or 0 for no limit")
        }
        return seconds
    }

    /// What whoever started the program lets it have (`ulimit -d`).
    private static func inheritedLimit() -> Int {
        var limits = rlimit()
        let resource = __rlimit_resource_t(bitPattern: RLIMIT_DATA.rawValue)
        return getrlimit(resource, &limits) == 0 ? Int(clamping: limits.rlim_cur) : .max
    }

    // MARK: The child

    private static func enterChild(of parent: String, timeout: Double, limit: Int) {
        // Whoever kills the parent means this.
        _ = cprocess_die_with_parent()
        if String(getppid()) != parent { _exit(hung) }
        // A crash is an answer here, and leaves no core.
        lower(RLIMIT_CORE, to: 0)
        lower(RLIMIT_DATA, to: limit - ownMemory)
        if timeout > 0 { watch(timeout) }
    }

    private static func lower(_ name: __rlimit_resource, to value: Int) {
        let resource = __rlimit_resource_t(bitPattern: name.rawValue)
        var limits = rlimit()
        guard getrlimit(resource, &limits) == 0 else { return }
        limits.rlim_cur = min(limits.rlim_cur, rlim_t(clamping: max(0, value)))
        setrlimit(resource, &limits)
    }

    /// Ends the process when one call of libhdf5 goes on for `timeout` seconds. Counts its own wake-ups and reads no
    /// clock, so that time in which the process was stopped is not held against the call.
    private static func watch(_ timeout: Double) {
        let interval = min(0.2, timeout / 4)
        Thread.detachNewThread {
            var seen = HDF5Activity.boundaries
            var waited = 0.0
            while true {
                usleep(UInt32(interval * 1e6))
                let now = HDF5Activity.boundaries
                let isInCall = !now.isMultiple(of: 2)
                waited = now == seen && isInCall ? waited + interval : 0
                seen = now
                if waited >= timeout { _exit(hung) }
            }
        }
    }

    // MARK: The parent

    /// Runs this program as a child under guard, and waits for it.
    ///
    /// - Parameters:
    ///   - command: whose limits hold, and whose unfinished copy is removed when the child does not end by itself.
    ///   - arguments: the child's, without the program's name.
    ///   - output: takes what the child writes to stdout; nil: that goes where this process's goes.
    static func run(
        _ command: some ReadsTraces, arguments: [String], output: ((String) -> Void)? = nil
    ) throws -> End {
        try run(
            traces: command.traces, copy: command.copy, limit: limit(of: command), arguments: arguments,
            output: output)
    }

    /// The same for whoever names the traces, the copy and the limit of memory.
    static func run(
        traces: [String], copy: String? = nil, limit: Int, arguments: [String], output: ((String) -> Void)? = nil
    ) throws -> End {
        let copy = copy.map(UnfinishedTrace.init(path:))
        let said = output == nil ? nil : MemoryFile()
        // The C library says on stderr that a heap is damaged, and this program says it again.
        let complaints = MemoryFile()
        let child = try start(
            arguments, for: traces, streams: Streams(output: said?.descriptor, errors: complaints.descriptor))
        let end = wait(for: child, limit: min(limit, inheritedLimit()))
        if let output, let said { output(said.text()) }
        if case .failed = end {} else { _ = Terminal.write(complaints.text(), to: STDERR_FILENO) }
        if case .exited = end { return end }
        copy?.remove()
        return end
    }

    /// What a child writes, kept until it has ended: a pipe would have to be emptied while it runs.
    final class MemoryFile: Sendable {
        let descriptor = cprocess_memory_file()

        deinit { close(descriptor) }

        func text() -> String {
            lseek(descriptor, 0, SEEK_SET)
            let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: false)
            return String(decoding: handle.readDataToEndOfFile(), as: UTF8.self)
        }
    }

    /// What a child has in the place of standard input, output and error; nil: what this process has.
    struct Streams {
        var input: Int32?
        var output: Int32?
        var errors: Int32?
    }

    /// Starts this program as a child under guard, which lives no longer than the thread that starts it.
    ///
    /// - Throws: `TraceError.system` when the system refuses.
    static func start(_ arguments: [String], for traces: [String], streams: Streams) throws -> pid_t {
        var environment = ProcessInfo.processInfo.environment
        environment[marker] = String(getpid())
        // Unless someone asks for them, nobody wants the backtraces of a crash that is an answer.
        if environment["SWIFT_BACKTRACE"] == nil { environment["SWIFT_BACKTRACE"] = "enable=no" }
        var variables = environment.map { strdup("\($0)=\($1)") } + [nil]
        var words = (CommandLine.arguments.prefix(1) + arguments).map { strdup($0) } + [nil]
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            for text in variables + words { free(text) }
        }
        if let input = streams.input { posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO) }
        if let output = streams.output { posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO) }
        if let errors = streams.errors { posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO) }
        // Of what else this process has open, connections for one, a child must keep nothing open.
        cprocess_close_others(&actions)
        var child = pid_t()
        let error = posix_spawn(&child, "/proc/self/exe", &actions, nil, &words, &variables)
        guard error == 0 else {
            throw TraceError.system(
                path: traces.joined(separator: ", "), operation: "start a process to read it",
                reason: String(cString: strerror(error)))
        }
        return child
    }

    /// Waits for the child and says how it ended, and what the file did to it.
    static func wait(for child: pid_t, limit: Int) -> End {
        var status: Int32 = 0
        var usage = rusage()
        while wait4(child, &status, 0, &usage) < 0, errno == EINTR {}
        let number = status & 0x7f
        let code = (status >> 8) & 0xff
        if number == 0, code != hung { return .exited(code) }
        let isFull = usage.ru_maxrss > limit / 1024 / 4 * 3
        let isOurs = traps.contains(number)
        switch number {
        case 0:
            let seconds = ((try? timeout()) ?? 0).formatted()
            return failed(.hang, "a call of libhdf5 took more than \(seconds) s (\(timeoutVariable) allows more)")
        case _ where isFull && (number == SIGKILL || isOurs || crashes.contains(number)):
            return failed(.memory, "reading it took more than \(ByteCount.text(limit)) of memory")
        case SIGKILL:
            // Mostly by a system short of memory: a person would have meant the parent.
            return failed(.memory, "reading it was killed (signal 9), perhaps because the system was short of memory")
        case _ where isOurs:
            return failed(.crash, "reading it crashed attntrace (signal \(number)); please report it")
        case _ where crashes.contains(number):
            return failed(.crash, "libhdf5 crashed on it (signal \(number))")
        default:
            return .signalled(number)
        }
    }

    private static func failed(_ code: ReadingFailure.Code, _ message: String) -> End {
        .failed(ReadingFailure(code: code, message: message))
    }

    /// Ends by a signal that ended the child, so that a shell sees what it would have seen.
    static func end(by number: Int32) -> Never {
        lower(RLIMIT_CORE, to: 0)
        signal(number, SIG_DFL)
        raise(number)
        exit(128 + number)
    }
}
