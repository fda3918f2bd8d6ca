/// What an analysis could not do, with which trace or argument, and why.
public enum AnalysisError: Error, Equatable, Sendable {
    /// The trace holds no received sums: it was captured without the signal `received`.
    case receivedNotRecorded(path: String)
    /// The trace holds no answer rows.
    case answerRowsNotRecorded(path: String)
    /// The trace has no committed step.
    case noSteps(path: String)
    /// The unit `window` needs the last rows one by one, which a bidirectional trace's received sums do not give.
    case windowNeedsCausalTrace(path: String)
    /// The trace did not record the layer.
    case noSuchLayer(Int, recorded: [Int])
    /// The trace did not record the head.
    case noSuchHead(Int, recorded: [Int])
    /// The trace has no such step.
    case noSuchStep(Int, count: Int)
    /// The trace has no such position.
    case noSuchPosition(Int, count: Int)
    /// The trace lacks what a metric reads.
    case inputsNotRecorded(path: String, metric: String, inputs: [String])
    /// The trace has no region of that name.
    case noSuchRegion(String, path: String, regions: [String])
    /// The file is none that an analysis wrote.
    case notAResult(path: String, reason: String)
    /// Results that were told otherwise, or defined otherwise, cannot be taken together.
    case settingsDiffer(path: String, difference: String)
    /// Two results of one trace cannot both be right.
    case contradiction(files: [String], reason: String)
    /// A metric read a dataset that it had not asked for, or one that has no values.
    case notDeclared(object: String)
    /// No sink rule has that name.
    case unknownRule(String)
    /// No score unit has that name.
    case unknownUnit(String)
    /// No scope has that name.
    case unknownScope(String)
    /// A parameter is out of its range, or does not belong to the rule.
    case badParameter(name: String, value: String, reason: String)
    /// A reduction was given a step that does not come after the last one.
    case stepsOutOfOrder(last: Int, next: Int)
    /// A block, step or merge does not have the shape that the trace promised.
    case shapeMismatch(what: String)
}

extension AnalysisError: CustomStringConvertible {
    /// The failure as a sentence, with what to do about it where something can be done.
    public var description: String {
        switch self {
        case .receivedNotRecorded(let path):
            "\(path): no received sums were recorded; capture with the signal 'received'"
        case .answerRowsNotRecorded(let path):
            "\(path): no answer rows were recorded"
        case .noSteps(let path):
            "\(path): no step was committed"
        case .windowNeedsCausalTrace(let path):
            "\(path): the unit 'window' needs a causal trace; a bidirectional trace takes sum, mean, percent or ratio"
        case .noSuchLayer(let layer, let recorded):
            "layer \(layer) was not recorded; recorded: \(list(recorded))"
        case .noSuchHead(let head, let recorded):
            "head \(head) was not recorded; recorded: \(list(recorded))"
        case .noSuchStep(let step, let count):
            "step \(step) is not among the \(count) committed steps"
        case .noSuchPosition(let position, let count):
            "position \(position) is not among the \(count) that were fed in"
        case .inputsNotRecorded(let path, let metric, let inputs):
            "\(path): \(metric) needs \(inputs.joined(separator: ", ")), which the trace does not hold"
        case .noSuchRegion(let name, let path, let regions):
            "\(path): no region '\(name)'; "
                + (regions.isEmpty ? "the trace has none" : "regions: \(regions.joined(separator: ", "))")
        case .notAResult(let path, let reason):
            "\(path): not a result of an analysis: \(reason)"
        case .settingsDiffer(let path, let difference):
            "\(path): results of another analysis: \(difference)"
        case .contradiction(let files, let reason):
            "\(files.joined(separator: " and ")) contradict each other: \(reason)"
        case .notDeclared(let object):
            "/\(object) is not among the inputs that the metric declared"
        case .unknownRule(let name):
            "no sink rule '\(name)'; rules: excess, deviation, share, top"
        case .unknownUnit(let name):
            "no unit '\(name)'; units: sum, mean, percent, ratio, window"
        case .unknownScope(let name):
            "no scope '\(name)'; scopes: head, layer, overall"
        case .badParameter(let name, let value, let reason):
            "\(name) = \(value): \(reason)"
        case .stepsOutOfOrder(let last, let next):
            "step \(next) was given after step \(last)"
        case .shapeMismatch(let what):
            what
        }
    }

    private func list(_ labels: [Int]) -> String {
        labels.map(String.init).joined(separator: ", ")
    }
}
