extension Subject {
    /// The place of a step among those looked at, which it is one of.
    func place(ofStep step: Int) -> Int {
        var (low, high) = (0, steps.count - 1)
        // Steps ascend without repeats: one that is not selected apart stands at its own place.
        if step <= high, steps[step] == step { return step }
        while low < high {
            let middle = (low + high) / 2
            if steps[middle] < step { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Keys that results report on, ascending.
    var reportedKeys: [Int] { reportsKey.indices.filter { reportsKey[$0] } }

    /// Begins the names of numbers that running sums made.
    var cumulativePrefix: String { causality == .causal ? "cumulative_" : "" }
}
