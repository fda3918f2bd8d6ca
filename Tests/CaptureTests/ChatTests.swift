import Foundation
import Testing
import Tokenizer
import TraceFormat

@testable import Capture

/// Conversations as published templates write them, and the regions that they make.
@Suite struct ChatTests {
    private struct Expected: Decodable {
        struct Message: Decodable {
            let role: String
            let content: String
        }

        struct Template: Decodable {
            let sha256: String
            let name: String
            let bos: String?
            let rendered: [String]
        }

        let conversations: [[Message]]
        let templates: [Template]
    }

    private static func expected() throws -> Expected {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures/chat/expected.json")
        return try JSONDecoder().decode(Expected.self, from: Data(contentsOf: file))
    }

    /// Jinja's renderings (Tests/Fixtures/chat/make_fixtures.py), byte for byte.
    @Test func everyTemplateRendersAsJinjaDoes() throws {
        let expected = try Self.expected()
        #expect(Set(expected.templates.map(\.sha256)) == Set(ChatTemplate.published.keys))
        #expect(Set(expected.templates.map(\.name)) == Set(ChatTemplate.all.map(\.name)))
        for entry in expected.templates {
            let template = try #require(ChatTemplate.published[entry.sha256])
            #expect(template.name == entry.name && template.bos == entry.bos)
            for (messages, rendered) in zip(expected.conversations, entry.rendered) {
                let text = try template.render(
                    messages.map { Message(role: $0.role, content: MarkedText($0.content)) })
                #expect(Array(text.text.utf8) == Array(rendered.utf8), "\(entry.name): \(text.text.debugDescription)")
                try text.check()
            }
        }
    }

    @Test func theFilesTokenStartsTheText() throws {
        let text = try ChatTemplate.llada.render([Message(role: "user", content: "a")], bos: "<s>").text
        #expect(text.hasPrefix("<s><|start_header_id|>user"))
        #expect(
            try ChatTemplate.dream.render([Message(role: "user", content: "a")], bos: "<s>").text.contains("<s>")
                == false)
    }

    @Test func badConversations() throws {
        #expect(throws: CaptureError.badConversation(reason: "has no message")) { try ChatTemplate.llada.render([]) }
        #expect(throws: CaptureError.self) { try ChatTemplate.llada.render([Message(role: "tool", content: "a")]) }
        #expect(throws: CaptureError.unknownChatTemplate(name: "x")) { try ChatTemplate.named("x") }
    }

    @Test func trimmingKeepsSpansInPlace() {
        let marked = MarkedText(
            " \u{85}\u{2003}ab cd \n",
            spans: [.init(range: 0..<8, name: "x"), .init(range: 9..<11, name: "y"), .init(range: 11..<13, name: "z")])
        let trimmed = marked.trimmed
        #expect(trimmed.text == "ab cd")
        #expect(trimmed.spans.map(\.range) == [0..<2, 3..<5])
        #expect(MarkedText(" \t").trimmed.text == "")
    }

    @Test func markers() throws {
        let text = try MarkedText(
            markers: "Q [[document a]]é x[[/document]][[document b gold]]y[[/document]]. [[link]]")
        #expect(text.text == "Q é xy. [[link]]")
        #expect(
            text.spans == [
                .init(range: 2..<6, name: "a"), .init(range: 6..<7, name: "b", isGold: true),
            ])
        for bad in [
            "[[document a]]x", "x[[/document]]", "[[document a]]x[[document b]]y[[/document]][[/document]]",
            "[[document a b c]]x[[/document]]", "[[document a", "[[document a]][[/document]]",
        ] {
            #expect(throws: CaptureError.self, "\(bad)") { try MarkedText(markers: bad) }
        }
    }

    @Test func regionsOfAFile() throws {
        var messages = [
            Message(role: "user", content: "é\u{1F600}abc"), Message(role: "assistant", content: "no"),
            Message(role: "user", content: "xyz"),
        ]
        try ConversationFile.mark(
            &messages,
            regions: Data(
                """
                [{"name": "d", "start": 1, "end": 3, "message": 0, "gold": true},
                 {"name": "e", "kind": "hint", "start": 2, "end": 3}]
                """.utf8), file: "r.json")
        #expect(messages[0].content.spans == [.init(range: 2..<7, name: "d", isGold: true)])
        #expect(messages[2].content.spans == [.init(range: 2..<3, name: "e", kind: "hint")])
        for bad in [
            "{}", "[{\"name\": \"d\", \"start\": 2, \"end\": 2}]", "[{\"name\": \"d\", \"start\": 0, \"end\": 4}]",
            "[{\"name\": \"d\", \"start\": -1, \"end\": 1}]",
            "[{\"name\": \"d\", \"start\": 0, \"end\": 1, \"message\": 3}]",
        ] {
            #expect(throws: CaptureError.self, "\(bad)") {
                try ConversationFile.mark(&messages, regions: Data(bad.utf8), file: "r.json")
            }
        }
    }

    @Test func tokensBelongToTheShortestSpanThatHoldsThem() {
        // 0123456789: "ab cd ef g", a span over all but g, one over " cd" without its space.
        let text = MarkedText(
            "ab cd ef g", spans: [.init(range: 0..<8, name: "all", kind: "user"), .init(range: 3..<5, name: "cd")])
        let table = RegionTable(
            of: text, ranges: [nil, 0..<2, 2..<5, 5..<8, 8..<10], rest: Region(name: "rest", kind: "template"),
            answer: Region(name: "answer", kind: "answer"))
        #expect(table.regionOfToken == [0, 1, 2, 1, 0])
        #expect(table.regions.map(\.name) == ["rest", "all", "cd", "answer"])
    }

    /// A folder with the embedded tokenizer and some other files.
    private func folder(_ files: [String: String]) throws -> TemporaryFolder {
        let folder = TemporaryFolder()
        try FileManager.default.copyItem(
            atPath: "\(ModelFixture.models)/tiny-mdm/tokenizer.json", toPath: "\(folder.path)/tokenizer.json")
        for (name, text) in files { try folder.write(name, text) }
        return folder
    }

    private func renderer(_ folder: TemporaryFolder, _ architecture: ModelConfiguration.Architecture) throws
        -> PromptRenderer
    {
        var configuration = try ModelConfiguration(directory: "\(ModelFixture.models)/tiny-mdm")
        configuration.architecture = architecture
        return try PromptRenderer(model: folder.path, configuration: configuration)
    }

    @Test func templatesAreKnownByTheirHash() throws {
        let chat = Prompt.chat([Message(role: "user", content: "a")])
        // None in the files: the family's, or a name is asked for.
        let bare = try folder([:])
        #expect(
            throws: CaptureError.noChatTokens(
                directory: bare.path, template: "llada", token: "<|start_header_id|>")
        ) { try renderer(bare, .llada).render(chat) }
        let tokens = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"].enumerated().map {
            #""\#(2048 + $0)": {"content": "\#($1)", "special": true}"#
        }
        let able = try folder([
            "tokenizer_config.json": #"{"added_tokens_decoder": {\#(tokens.joined(separator: ", "))}}"#
        ])
        #expect(try renderer(able, .llada).render(chat).chatTemplate == #"{"from":"architecture","name":"llada"}"#)
        #expect(try renderer(bare, .mmada).render(chat).chatTemplate == #"{"from":"architecture","name":"mmada"}"#)
        #expect(throws: CaptureError.noChatTemplate(directory: bare.path)) { try renderer(bare, .llama).render(chat) }
        let named = Prompt.chat([Message(role: "user", content: "a")], template: "llama-3.1")
        let prompt = try renderer(bare, .llama).render(named)
        #expect(prompt.chatTemplate == #"{"from":"option","name":"llama-3.1"}"#)
        #expect(prompt.text.contains("Today Date: 26 Jul 2024"))
        // One that is not known: refused with its hash, wherever it stands.
        let hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  // of "x"
        for (name, text) in [
            ("chat_template.jinja", "x"), ("tokenizer_config.json", #"{"chat_template": "x"}"#),
            (
                "tokenizer_config.json",
                #"{"chat_template": [{"name": "tool", "template": "y"}, {"name": "default", "template": "x"}]}"#
            ),
        ] {
            let folder = try folder([name: text])
            #expect(throws: CaptureError.chatTemplateNotKnown(file: "\(folder.path)/\(name)", sha256: hash)) {
                try renderer(folder, .llada).render(chat)
            }
            // Published code of MMaDA does not look at it.
            #expect(try renderer(folder, .mmada).render(chat).chatTemplate.contains("mmada"))
        }
    }

    /// Whoever gives a plain prompt needs no template.
    @Test func templatesAreReadForConversations() throws {
        let folder = try folder([
            "tokenizer_config.json": #"{"chat_template": [{"name": "tool", "template": "y"}]}"#
        ])
        let renderer = try renderer(folder, .llada)
        #expect(try renderer.render("In").ids.count > 0)
        #expect(throws: TokenizerError.self) {
            try renderer.render(.chat([Message(role: "user", content: "a")]))
        }
    }

    @Test func regionsReachTheTrace() throws {
        let capture = try Capture(model: "\(ModelFixture.models)/tiny-mdm", threads: 1)
        let folder = TemporaryFolder()
        let marked = try MarkedText(markers: "See [[document d1 gold]]the first token[[/document]] now")
        let prompt = Prompt.chat(
            [Message(role: "system", content: "Be short."), Message(role: "user", content: marked)], template: "llada")
        let path = "\(folder.path)/a.h5"
        try capture.run(prompt: prompt, sampler: .llada(steps: 2, genLength: 4, blockLength: 4), to: path)
        let trace = try Trace(path: path)
        let (regions, places) = try trace.regions()
        #expect(regions.map(\.name) == ["template", "system", "user", "d1", "answer"])
        #expect(regions.map(\.kind) == ["template", "system", "user", "document", "answer"])
        #expect(regions.map(\.isGold) == [false, false, false, true, false])
        #expect(places.suffix(4) == [4, 4, 4, 4] && places.first == 0)
        let ids = try trace.read(.finalID).values
        func text(_ region: Int32) -> String {
            capture.tokenizer?.decode(zip(ids, places).filter { $1 == region }.map(\.0)) ?? ""
        }
        #expect(text(1) == "Be short." && text(2) == "See now" && text(3) == " the first token")
        #expect(trace.provenance.chatTemplate == #"{"from":"option","name":"llada"}"#)
        // Without marks nothing is recorded.
        let plain = "\(folder.path)/c.h5"
        try capture.run(prompt: "In", sampler: .llada(steps: 1, genLength: 2, blockLength: 2), to: plain)
        #expect(try Trace(path: plain).regions().regions.isEmpty)
    }
}
