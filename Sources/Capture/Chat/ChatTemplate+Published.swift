/// The published templates.
extension ChatTemplate {
    /// LLaDA-8B-Instruct and LLaDA-1.5.
    public static let llada = ChatTemplate(
        name: "llada", bos: "<|startoftext|>", header: ("<|start_header_id|>", "<|end_header_id|>\n\n"),
        end: "<|eot_id|>", trims: true)

    /// MMaDA-8B, which sets it in code: one line break after a header where LLaDA has two.
    public static let mmada = ChatTemplate(
        name: "mmada", bos: "<|startoftext|>", header: ("<|start_header_id|>", "<|end_header_id|>\n"),
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
        name: "llama-3.1", bos: "<|begin_of_text|>", header: ("<|start_header_id|>", "<|end_header_id|>\n\n"),
        end: "<|eot_id|>", trims: true, defaultSystem: "",
        systemPrefix: "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n")

    /// Llama-3-Instruct.
    public static let llama3 = ChatTemplate(
        name: "llama-3", bos: "<|begin_of_text|>", header: ("<|start_header_id|>", "<|end_header_id|>\n\n"),
        end: "<|eot_id|>", trims: true)

    /// Every template, by name.
    public static let all = [llada, mmada, dream, qwen2_5, llama3, llama3_1]

    /// The template of each text that is known, by the text's SHA-256. Several texts may render alike, as far as messages of
    /// system, user and assistant go.
    static let published: [String: ChatTemplate] = [
        // LLaDA; also copies of Llama-3-Instruct, whose files name another token to start with.
        "b48c47f6443892716176eb200bf4ef108f64e06ca26ed0fa8ebc0a4b3992fcb2": llada,
        "183fc5f1d5d2093f34aeb7025e4eafa66cfda5b2f1e6c48b6034cf55c840719f": mmada,
        // Qwen2.5 without -Instruct, on which Dream was trained.
        "44d5f08f3f72b837eaad09f13a54c1f9f4eb58d75240334548b7fd52a5437fa5": dream,
        // Qwen2-Instruct.
        "793202280c0910ab26bc6eb57c8212c2417324c6d8c4efd0d10d59092ab3e3eb": dream,
        "cd8e9439f0570856fd70470bf8889ebd8b5d1107207f67a5efb46e342330527f": qwen2_5,
        // Qwen2.5-Coder-Instruct: other brackets in what tools are told.
        "d5495a1e5db0611132a97e46a65dbb64a642a499421228b9c8b93229097fa9a4": qwen2_5,
        "ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122": llama3,
        "e10ca381b1ccc5cf9db52e371f3b6651576caee0a630b452e2816b2d404d4b65": llama3_1,
    ]

    /// The template that a family's published code sets itself, whatever its files say.
    static func setInCode(for architecture: ModelConfiguration.Architecture) -> ChatTemplate? {
        architecture == .mmada ? mmada : nil
    }

    /// The template of a family's chat models, for a directory without one; nil where they differ.
    static func standard(of architecture: ModelConfiguration.Architecture) -> ChatTemplate? {
        switch architecture {
        case .llada: llada
        case .mmada: mmada
        case .dream: dream
        case .llama, .qwen2: nil
        }
    }

    /// The template of that name. Errors: ``CaptureError/unknownChatTemplate(name:)``.
    public static func named(_ name: String) throws(CaptureError) -> ChatTemplate {
        guard let template = all.first(where: { $0.name == name }) else { throw .unknownChatTemplate(name: name) }
        return template
    }
}
