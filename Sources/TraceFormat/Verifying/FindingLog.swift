import Synchronization

/// Collects findings from several threads: of each code the first ones, and how many there were.
final class FindingLog: Sendable {
    private struct State {
        var findings: [Finding] = []
        var counts: [FindingCode: Int] = [:]
        var system: (any Error)?
    }

    /// Findings kept of one code.
    static let limit = 20
    private let state = Mutex(State())

    /// Adds a finding; the same one twice counts once. The message is only made where it is kept.
    func add(_ code: FindingCode, _ object: String, _ message: @autoclosure () -> String) {
        let isFull = state.withLock { state in
            let count = state.counts[code, default: 0]
            if count >= Self.limit { state.counts[code] = count + 1 }
            return count >= Self.limit
        }
        guard !isFull else { return }
        let finding = Finding(code: code, object: object, message: message())
        state.withLock { state in
            guard !state.findings.contains(finding) else { return }
            let count = state.counts[code, default: 0] + 1
            state.counts[code] = count
            if count <= Self.limit { state.findings.append(finding) }
        }
    }

    /// What was found, in an order that does not depend on the threads, and how many more there were of a code.
    var result: (findings: [Finding], omitted: [FindingCode: Int]) {
        state.withLock { state in
            let rank = Dictionary(uniqueKeysWithValues: FindingCode.allCases.enumerated().map { ($1, $0) })
            let sorted = state.findings.sorted {
                (rank[$0.code] ?? 0, $0.object, $0.message) < (rank[$1.code] ?? 0, $1.object, $1.message)
            }
            return (sorted, state.counts.compactMapValues { $0 > Self.limit ? $0 - Self.limit : nil })
        }
    }

    /// Runs a judgement; what cannot be read becomes a finding, what the system refuses is kept for ``throwSystemFailure()``.
    @discardableResult
    func judging<Result>(
        _ object: String, as code: FindingCode = .fileRead, _ body: () throws -> Result
    ) -> Result? {
        do {
            return try body()
        } catch {
            note(error, of: object, as: code)
            return nil
        }
    }

    /// Makes a finding of an error, unless the system is to blame.
    func note(_ error: any Error, of object: String, as code: FindingCode) {
        switch error {
        case let error as HDF5Error:
            if error.errno != 0 {
                state.withLock { $0.system = $0.system ?? error }
            } else {
                add(code, error.object == "/" ? object : error.object, "cannot \(error.operation): \(reason(error))")
            }
        case TraceError.damaged(_, let place, let reason), TraceError.outOfRange(_, let place, let reason):
            add(code, place, reason)
        default: state.withLock { $0.system = $0.system ?? error }
        }
    }

    private func reason(_ error: HDF5Error) -> String {
        error.frames.last?.text ?? "no reason given by libhdf5"
    }

    /// Throws the first failure that was not the file's.
    func throwSystemFailure() throws {
        if let error = state.withLock({ $0.system }) { throw error }
    }
}
