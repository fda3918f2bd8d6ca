import TraceFormat

/// A prompt as the model reads it.
public struct RenderedPrompt: Sendable, Equatable {
    /// The token ids.
    public var ids: [Int32]
    /// The text that they stand for, chat template and all; empty where ids were given.
    public var text: String
    /// The regions of the prompt, and last that of the answer; none where the prompt marks nothing.
    public var regions: [Region]
    /// The region of each token of the prompt, along ``regions``; empty where there are none.
    public var regionOfToken: [Int32]
    /// The template that wrote the text, for the provenance: a JSON object; empty where none did.
    public var chatTemplate: String

    /// Puts a prompt together from its parts; by default token ids and nothing else.
    public init(
        ids: [Int32], text: String = "", regions: [Region] = [], regionOfToken: [Int32] = [], chatTemplate: String = ""
    ) {
        self.ids = ids
        self.text = text
        self.regions = regions
        self.regionOfToken = regionOfToken
        self.chatTemplate = chatTemplate
    }

    /// The region of each position of a run that generates so many.
    public func regionOfPosition(generating count: Int) -> [Int32] {
        regionOfToken + Array(repeating: Int32(clamping: regions.count - 1), count: count)
    }
}
