import TraceFormat

/// Everything that a trace tells about one key of one head at one step: what it is, whether it is a sink and by how much,
/// who attends to it, what its vectors are like, and how long it stays.
///
///     let sink = try SinkExplanation(of: trace, step: 7, layer: 3, head: 1, position: 12)
///     print(sink.text())
///
/// Reads what belongs to the step, and of other steps the received sums of the one head. What the trace lacks is nil, and
/// the page says how to record it. Definitions: docs/asking.md.
public struct SinkExplanation: Sendable {
    /// The trace's file.
    public let input: String
    /// The model that was traced.
    public let modelName: String
    /// Which queries see which keys.
    public let causality: Causality
    /// The forward pass that was read.
    public let pass: Pass
    /// The rule, its unit settled.
    public let rule: SinkRule
    /// The step.
    public let step: Int
    /// The layer, as recorded.
    public let layer: Int
    /// The head, as recorded.
    public let head: Int
    /// The key's position.
    public let position: Int

    /// The token that stands there.
    public let token: Token
    /// What the rule says.
    public let judgement: Judgement
    /// Attention that it received, by the class of the query; in a causal trace summed over the steps so far.
    public let received: [ReceivedShare]
    /// Who attends to it.
    public let attenders: Known<Attenders>
    /// Norms of its vectors.
    public let norms: Known<Norms>
    /// How its vectors turned since the step before.
    public let cosines: Known<Cosines>
    /// How the queries point to it.
    public let alignment: Known<Alignment>
    /// The residual stream there, as it enters the layer.
    public let residual: Known<Residual>
    /// Since when, until when, and what came before and after.
    public let course: Course
    /// The same position in every layer and head at that step.
    public let elsewhere: [LayerCount]

    /// Explains a key.
    ///
    /// - Parameters:
    ///   - trace: the trace; its signal `received` is needed.
    ///   - step, layer, head, position: the key, by recorded labels.
    ///   - rule: when a key is a sink; a unit left open is settled by the trace.
    ///   - linking: how presences and trajectories are made.
    ///   - pass: the forward pass to read, where the trace has two.
    ///   - count: how many of the queries that attend most to it are listed.
    ///
    /// Throws ``AnalysisError`` for what the trace does not hold, and what reading throws.
    public init(
        of trace: Trace, step: Int, layer: Int, head: Int, position: Int, rule: SinkRule = .excess(),
        linking: LinkingOptions = LinkingOptions(), pass: Pass = .conditional, topQueries count: Int = 8
    ) throws {
        var linking = linking
        // Nothing here is set against chance.
        linking.nullPermutations = 0
        guard trace.committedSteps > 0 else { throw AnalysisError.noSteps(path: trace.path) }
        guard (0..<trace.committedSteps).contains(step) else {
            throw AnalysisError.noSuchStep(step, count: trace.committedSteps)
        }
        let keys = trace.plan.keyCount(afterSteps: step + 1)
        guard (0..<keys).contains(position) else { throw AnalysisError.noSuchPosition(position, count: keys) }
        let analysis = try SinkAnalysis(
            of: trace, rule: rule, per: .head, layers: [layer], heads: [head], pass: pass, linking: linking)
        let survey = try TracePass(over: trace, Extent(steps: [step]), pass: pass)
            .run(PositionSurvey(rule: analysis.rule, layer: layer, head: head, position: position))
        guard let scored = survey.scored, let site = analysis.sites.first else {
            throw AnalysisError.noSuchStep(step, count: trace.committedSteps)
        }
        let subject = try Subject(trace, Extent(layers: [layer], heads: [head]), pass: pass)
        let place = KeyPlace(subject: subject, step: step, position: position, keyCount: keys)

        input = trace.path
        modelName = trace.provenance.modelName
        causality = trace.plan.causality
        self.pass = pass
        self.rule = analysis.rule
        self.step = step
        self.layer = layer
        self.head = head
        self.position = position
        token = Token(at: place)
        judgement = Judgement(scored, rule: analysis.rule, position: position)
        received = try place.receivedByClass()
        attenders = try place.attenders(count: count)
        norms = try place.norms()
        cosines = try place.cosines()
        alignment = try place.alignment()
        residual = try place.residual()
        course = Course(of: site, step: step, position: position, labels: analysis.steps, tokens: subject.tokens)
        elsewhere = survey.layers
    }
}

/// A part of an explanation, or why the trace does not give it.
public enum Known<Value: Sendable>: Sendable {
    /// What the trace tells.
    case known(Value)
    /// Why it tells nothing, and how to record it.
    case missing(String)

    /// The value; nil where it is missing.
    public var value: Value? {
        guard case .known(let value) = self else { return nil }
        return value
    }
}
