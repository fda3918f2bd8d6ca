import TraceFormat

/// What positions are pooled into: the regions that the trace records, `other` for positions in none of them; where it
/// records none, prompt and generated positions, the latter of a diffusion trace by whether they are masked at the step.
struct RegionPartition: Sendable {
    /// The names, in order.
    let names: [String]
    /// Whether it is the trace's own.
    let isRecorded: Bool
    private let fixed: [Int32]
    private let subject: Subject

    init(of subject: Subject) {
        self.subject = subject
        isRecorded = !subject.regions.isEmpty
        if isRecorded {
            let places = subject.regionOfPosition.prefix(subject.keyCount)
            let other = subject.regions.count
            fixed = places.map { Int32($0 < 0 ? other : $0) }
            names = subject.regions.map(\.name) + (places.contains { $0 < 0 } ? ["other"] : [])
        } else if subject.causality == .causal {
            fixed = (0..<subject.keyCount).map { $0 < subject.promptLength ? 0 : 1 }
            names = ["prompt", "generated"]
        } else {
            fixed = []
            names = QueryClass.allCases.map { "\($0)" }
        }
    }

    /// The region of each position at a step.
    func places(step: Int) -> [Int32] {
        guard fixed.isEmpty else { return fixed }
        return (0..<subject.keyCount).map { Int32(subject.queryClass(step: step, position: $0).rawValue) }
    }
}
