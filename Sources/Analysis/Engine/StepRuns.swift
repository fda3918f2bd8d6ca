/// What was gathered over steps that follow each other, where the order of steps matters.
public protocol StepRun: Sendable {
    /// Takes in what was gathered over the steps that follow at once, the seam between them included.
    mutating func append(_ later: Self) throws
}

/// Runs of steps, joined where they meet: so that what depends on the order of steps can be merged in any order.
///
/// Places count the steps that are looked at: the run of places 3 ..< 7 and that of 7 ..< 9 become one of 3 ..< 9.
public struct StepRuns<Run: StepRun>: Sendable {
    /// The runs, ascending, each with the places that it covers.
    public private(set) var runs: [(places: Range<Int>, run: Run)] = []

    /// No runs.
    public init() {}

    /// Adds a run, and joins it with those that it meets.
    ///
    /// Throws ``AnalysisError/shapeMismatch(what:)`` where it overlaps another, and what joining throws.
    public mutating func insert(_ run: Run, at places: Range<Int>) throws {
        guard !places.isEmpty else { return }
        var index = runs.firstIndex { $0.places.lowerBound >= places.lowerBound } ?? runs.count
        if index < runs.count, runs[index].places.lowerBound < places.upperBound {
            throw AnalysisError.shapeMismatch(what: "steps \(places) were gathered twice")
        }
        if index > 0, runs[index - 1].places.upperBound > places.lowerBound {
            throw AnalysisError.shapeMismatch(what: "steps \(places) were gathered twice")
        }
        if index > 0, runs[index - 1].places.upperBound == places.lowerBound {
            index -= 1
            try runs[index].run.append(run)
            runs[index].places = runs[index].places.lowerBound..<places.upperBound
        } else {
            runs.insert((places, run), at: index)
        }
        if index + 1 < runs.count, runs[index].places.upperBound == runs[index + 1].places.lowerBound {
            try runs[index].run.append(runs[index + 1].run)
            runs[index].places = runs[index].places.lowerBound..<runs[index + 1].places.upperBound
            runs.remove(at: index + 1)
        }
    }

    /// Adds the runs of another.
    ///
    /// Throws as ``insert(_:at:)``.
    public mutating func merge(_ other: StepRuns) throws {
        for run in other.runs { try insert(run.run, at: run.places) }
    }

    /// Changes each run.
    public mutating func forEachRun(_ body: (inout Run) -> Void) {
        for index in runs.indices { body(&runs[index].run) }
    }
}
