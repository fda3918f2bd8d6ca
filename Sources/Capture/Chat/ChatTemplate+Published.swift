/// The published templates.
extension ChatTemplate {
    /// LLaDA-8B-Instruct and LLaDA-1.5.
    public static let llada = ChatTemplate(
        name: "llada", start: "<|startoftext|>", header: ("<|start_header_id|>", "<|end_header_id|>\n\n"),
        end: "<|eot_id|>", trims: true)

    /// MMaDA-8B, which sets it in code: one line break after a header where LLaDA has two.
    public static let mmada = ChatTemplate(
        name: "mmada", start: "<|startoftext|>", header: ("<|start_header_id|>", "<|end_header_id|>\n"),
        end: "<|eot_id|>", trims: true)

    /// Dream-v0-Instruct-7B.
    public static let dream = ChatTemplate(
        name: "dream", header: ("<|im_start|>", "\n"), end: "<|im_end|>\n", trims: false,
        defaultSystem: "You are a helpful assistant.")

    /// Qwen2.5-Instruct.
    public static let qwen2_5 = ChatTemplate(
        name: "qwen2.5", header: ("<|im_start|>", "\n"), end: "<|im_end|>\n", trims: false,
        defaultSystem: "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.")

    /// Llama-3.1-Instruct, which always has a system message with two dates; the template sets today's to that one.
    public static let llama3_1 = ChatTemplate(
        name: "llama-3.1", start: "<|begin_of_text|>", header: ("<|start_header_id|>", "<|end_header_id|>\n\n"),
        end: "<|eot_id|>", trims: true, defaultSystem: "",
        systemPrefix: "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n")

    /// Every template, by name.
    public static let all = [llada, mmada, dream, qwen2_5, llama3_1]

    /// The template of each text that is known, by the text's SHA-256.
    static let published: [String: ChatTemplate] = [:]

    /// The template that a family's published code uses, for a directory without one; nil where it uses none.
    static func standard(of architecture: ModelConfiguration.Architecture) -> ChatTemplate? {
        switch architecture {
        case .llada: llada
        case .llama: nil
        }
    }

    /// The template of that name. Errors: ``CaptureError/unknownChatTemplate(name:)``.
    public static func named(_ name: String) throws(CaptureError) -> ChatTemplate {
        guard let template = all.first(where: { $0.name == name }) else { throw .unknownChatTemplate(name: name) }
        return template
    }
}
