import TraceFormat

/// Why a capture cannot be run as asked.
public enum CaptureError: Error, Equatable, Sendable {
    /// The sampler is for another kind of model.
    case wrongSampler(sampler: String, needs: Causality)
    /// The sampler takes a position's score from another row than the one that the model scores it with.
    case wrongOffset(sampler: String, offset: Int)
    /// The model has no mask token, which a diffusion sampler needs.
    case noMaskToken(sampler: String)
    /// A text was given, but the model's directory has no tokenizer.
    case noTokenizer(directory: String)
    /// A conversation has no message, or one of an unknown role.
    case badConversation(reason: String)
    /// No chat template has that name.
    case unknownChatTemplate(name: String)
    /// The model's chat template is none of those that are known by their hash.
    case chatTemplateNotKnown(file: String, sha256: String)
    /// A conversation was given, but neither the model's files nor its architecture say how to write one.
    case noChatTemplate(directory: String)
    /// A conversation was given, and the model's tokenizer lacks a token that its family's template marks messages with.
    case noChatTokens(directory: String, template: String, token: String)
    /// A marked part of the prompt is not one.
    case badRegion(name: String, reason: String)
    /// The markers of a text with regions do not fit each other.
    case badMarkers(reason: String)
    /// Prompt and generation are longer than the model takes.
    case tooLong(promptLength: Int, generatedLength: Int, maximum: Int, option: String)
    /// A token id of the prompt is outside the vocabulary.
    case unknownToken(id: Int32, index: Int, vocabularySize: Int)
    /// What is to be recorded is not there; `what` is `layer`, `head`, `query position` or `map step`.
    case badSelection(what: String, index: Int, count: Int)
    /// A selection is empty, or names one twice; `what` as in ``badSelection(what:index:count:)``.
    case ambiguousSelection(what: String, index: Int?)
    /// Steps of maps were chosen of a causal run, which keeps each row once.
    case mapStepsOfCausalRun
    /// A signal that only diffusion has was asked of a causal run.
    case diffusionOnly(signal: Signal)
    /// A change of attention cannot be made as described; the text says why.
    case badSuppression(String)
    /// A file is no list of keys to suppress.
    case badSuppressionList(path: String, place: String, reason: String)
    /// A text to score has no token.
    case nothingToScore
    /// The run needs more memory than it may take.
    case memoryTooSmall(needed: Int, limit: Int)
    /// The disk seems too small for the trace.
    case diskTooSmall(path: String, needed: Int, free: Int)
}

extension CaptureError: CustomStringConvertible {
    private func megabytes(_ bytes: Int) -> String { "\(bytes / 1_000_000 + (bytes % 1_000_000 > 0 ? 1 : 0)) MB" }

    private func owner(of what: String) -> String { ["layer", "head"].contains(what) ? "model" : "run" }

    /// The message for the user.
    public var description: String {
        switch self {
        case .wrongSampler(let sampler, let needs):
            "the sampler \(sampler) is for \(needs.rawValue) models, which this one is not"
        case .wrongOffset(let sampler, let offset):
            """
            the sampler \(sampler) is for models that score a position by \(offset == 0 ? "its own row" : "the row before it"), \
            which this one does not
            """
        case .noMaskToken(let sampler):
            "the model's config.json names no mask token, which the sampler \(sampler) needs"
        case .noTokenizer(let directory):
            "\(directory) has no tokenizer.json, nor vocab.json and merges.txt, to read the prompt with; give token ids instead"
        case .badConversation(let reason): "the conversation \(reason)"
        case .unknownChatTemplate(let name):
            "there is no chat template \"\(name)\"; known are \(ChatTemplate.all.map(\.name).joined(separator: ", "))"
        case .chatTemplateNotKnown(let file, let sha256):
            """
            \(file): the chat template (sha256 \(sha256)) is not one that is known here; choose the one that it agrees \
            with by name (\(ChatTemplate.all.map(\.name).joined(separator: ", "))), or give the rendered text as a prompt
            """
        case .noChatTemplate(let directory):
            "\(directory) has no chat template; choose one by name, or give the rendered text as a prompt"
        case .noChatTokens(let directory, let template, let token):
            """
            \(directory) has no chat template, and its tokenizer has no token \(token), which that of its family, \
            \(template), is written with: it is no model for conversations. Choosing the template by name writes it \
            nevertheless, in pieces
            """
        case .badRegion(let name, let reason): "the region \"\(name)\" \(reason)"
        case .badMarkers(let reason): "the prompt's markers: \(reason)"
        case .tooLong(let promptLength, _, let maximum, _) where promptLength >= maximum:
            """
            the prompt has \(promptLength) tokens, but the model takes \(maximum), at least one of them generated: \
            shorten the prompt to \(max(0, maximum - 1))
            """
        case .tooLong(let promptLength, let generatedLength, let maximum, let option):
            """
            \(promptLength) prompt tokens and \(generatedLength) generated ones make \
            \(promptLength + generatedLength), but the model takes \(maximum): shorten the prompt, or lower \
            \(option) to \(maximum - promptLength) or less
            """
        case .unknownToken(let id, let index, let vocabularySize):
            "token \(index) of the prompt has the id \(id), outside the vocabulary 0 ..< \(vocabularySize)"
        case .badSelection(let what, let index, let count):
            "there is no \(what) \(index) to record: the \(owner(of: what))'s \(what)s are 0 ..< \(count)"
        case .ambiguousSelection(let what, let index):
            if let index { "\(what) \(index) is selected twice" } else { "no \(what) is selected to record" }
        case .mapStepsOfCausalRun:
            "steps of maps can be chosen of a diffusion run only: a causal one keeps each row once; choose queries instead"
        case .diffusionOnly(let signal):
            "the signal \(signal.rawValue) compares steps of a diffusion run; in a causal one keys and values never change"
        case .badSuppression(let text): text
        case .badSuppressionList(let path, let place, let reason):
            "\(path): \(place)\(place.isEmpty ? "" : " ")\(reason)"
        case .nothingToScore: "the text to score has no token"
        case .memoryTooSmall(let needed, let limit):
            """
            the run needs \(megabytes(needed)) of memory, weights included, and may take \(limit / 1_000_000) MB: allow it \
            more, or shorten it, or record less
            """
        case .diskTooSmall(let path, let needed, let free):
            """
            \(path): the trace may take \(megabytes(needed)) before compression, and \(megabytes(free)) are free; record \
            less, or leave out this check
            """
        }
    }
}
