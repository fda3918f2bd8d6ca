import Testing

@testable import Capture

@Suite struct GenerationDefaultsTests {
    private func read(_ text: String) throws(ModelError) -> GenerationDefaults {
        try GenerationDefaults(parsing: text, file: "generation_config.json", vocabularySize: 1000)
    }

    /// The file of a chat model: its sampling is what a run does when told nothing.
    @Test func aModelThatSamples() throws {
        let defaults = try read(
            """
            {"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05,
             "eos_token_id": [7, 8], "pad_token_id": 7, "transformers_version": "4.37.0"}
            """)
        let sampler = AutoregressiveSampler(defaults: defaults)
        #expect(sampler.temperature == 0.7 && sampler.topK == 20 && sampler.topP == 0.8)
        #expect(sampler.repetitionPenalty == 1.05 && sampler.eosTokenIDs == [7, 8])
        let greedy = AutoregressiveSampler(defaults: defaults, temperature: 0)
        #expect(greedy.topK == nil && greedy.topP == nil && greedy.repetitionPenalty == 1.05)
    }

    @Test func aModelThatDoesNot() throws {
        for defaults in [GenerationDefaults(), try read(#"{"eos_token_id": 1}"#)] {
            #expect(AutoregressiveSampler(defaults: defaults).temperature == 0)
            let sampler = AutoregressiveSampler(defaults: defaults, temperature: 0.5)
            // transformers' own default, where it samples.
            #expect(sampler.topK == 50 && sampler.topP == nil && sampler.repetitionPenalty == nil)
        }
        #expect(try read(#"{"do_sample": true, "top_k": 0}"#).topK == nil)
        // What is off changes nothing.
        #expect(try read(#"{"num_beams": 1, "typical_p": 1.0, "min_p": null, "temperature": 0}"#).temperature == 1)
    }

    @Test(arguments: [
        (#"{"num_beams": 4}"#, "num_beams"), (#"{"no_repeat_ngram_size": 3}"#, "no_repeat_ngram_size"),
        (#"{"suppress_tokens": [1]}"#, "suppress_tokens"), (#"{"min_p": 0.1}"#, "min_p"),
        (#"{"do_sample": "yes"}"#, "do_sample"), (#"{"do_sample": true, "top_p": 1.5}"#, "top_p"),
        (#"{"do_sample": true, "temperature": -1}"#, "temperature"), (#"{"top_k": -1}"#, "top_k"),
        (#"{"eos_token_id": 1000}"#, "eos_token_id"), ("[]", ""),
    ])
    func errorsNameTheKey(text: String, key: String) {
        do {
            _ = try read(text)
            Issue.record("\(text) was read")
        } catch {
            #expect(error.file == "generation_config.json" && error.object == key)
        }
    }
}
