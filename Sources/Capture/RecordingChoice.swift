import TraceFormat

/// Which encoding of the full attention `auto` takes for a run, and why.
public struct RecordingChoice: Sendable, Equatable {
    /// What it takes.
    public let encoding: AttentionEncoding
    /// The run by it.
    public let chosenPlan: CapturePlan
    /// Why, as half a sentence.
    public let reason: String
    /// The run by each encoding.
    public let plans: [AttentionEncoding: CapturePlan]
    /// The rebuild error of the first step, where it was probed.
    public let probed: RebuildError?

    /// Bytes before compression that a trace may take for `auto` to keep the full attention, unless another is given.
    public static let sizeLimit = 1_000_000_000

    /// Chooses between the encodings: the smaller one, while it stays under `limit` bytes before compression; query and
    /// key vectors only where what is rebuilt from them misses the maps by no more than ``RebuildError/limit``.
    ///
    /// - Parameters:
    ///   - plan: sizes the run with some signals.
    ///   - signals: what is recorded beside.
    ///   - probe: measures the first step's rebuild error; nil: not now, and the choice is made as if it were small.
    /// - Throws: what `plan` and `probe` throw.
    public init(
        limit: Int = Self.sizeLimit, signals: Set<Signal> = [], plan: (Set<Signal>) throws -> CapturePlan,
        probe: ((CapturePlan) throws -> RebuildError)?
    ) throws {
        let maps = try plan(AttentionEncoding.maps.signals.union(signals))
        let qk = try plan(AttentionEncoding.qk.signals.union(signals))
        let received = try plan(AttentionEncoding.received.signals.union(signals))
        plans = [.maps: maps, .qk: qk, .received: received]
        let isSmaller = qk.storage.largestBytes(of: .qk) < maps.storage.largestBytes(of: .maps)
        guard (isSmaller ? qk : maps).traceBytes < limit else {
            encoding = .received
            chosenPlan = received
            reason = "the full attention takes more than allowed in its smaller encoding"
            probed = nil
            return
        }
        guard isSmaller else {
            encoding = .maps
            chosenPlan = maps
            reason = "maps are no larger than query and key vectors"
            probed = nil
            return
        }
        guard let probe else {
            encoding = .qk
            chosenPlan = qk
            reason = "smaller than maps, if the rebuild error, which was not probed, is at most \(RebuildError.limit)"
            probed = nil
            return
        }
        let error = try probe(qk)
        probed = error
        if error.value <= RebuildError.limit {
            encoding = .qk
            chosenPlan = qk
            reason = "smaller than maps, which it rebuilds within \(error.value) at the first step"
        } else {
            let fits = maps.traceBytes < limit
            encoding = fits ? .maps : .received
            chosenPlan = fits ? maps : received
            reason =
                "query and key vectors rebuild maps only within \(error.value) (layer \(error.layer)), beyond "
                + "\(RebuildError.limit)" + (fits ? "" : ", and maps take more than allowed")
        }
    }
}
