import Capture
import TraceFormat

/// A loaded model, and the options by which every prompt of a command is run.
struct CaptureSession {
    let options: RunOptions
    let capture: Capture
    /// How attention is changed; nil: it is not.
    let suppression: Suppression?

    /// Loads the model. Errors: ``UsageError`` for options that the model does not have; those of `Capture`.
    init(_ options: RunOptions) throws {
        self.options = options
        capture = try Capture(model: try EmbeddedModels.directory(for: options.model), on: options.machine)
        suppression = try options.suppression.suppression(for: capture.configuration)
        _ = try options.sampler.sampler(for: capture.configuration, in: capture.directory, promptLength: 1)
        _ = try options.recording(for: capture.configuration)
    }

    /// The sampler for a prompt, whose length may decide how much is generated.
    func sampler(for prompt: Prompt) throws -> Sampler {
        try options.sampler.sampler(
            for: capture.configuration, in: capture.directory, promptLength: capture.render(prompt).ids.count)
    }

    /// How a prompt's full attention is recorded: as asked for; as an earlier run began; else as fits best.
    func encoding(for prompt: Prompt, sampler: Sampler, earlier: EarlierRun?) throws -> ChosenEncoding {
        if let encoding = options.record.encoding { return ChosenEncoding(encoding: encoding, reason: "asked for") }
        if let earlier { return ChosenEncoding(encoding: earlier.encoding, reason: "as it was begun") }
        let choice = try capture.choose(
            prompt: prompt, sampler: sampler, recording: options.recording(for: capture.configuration),
            limit: options.record.sizeLimit.bytes)
        let chosen = ChosenEncoding(encoding: choice.encoding, reason: choice.reason, probed: choice.probed)
        guard choice.encoding == .received else { return chosen }
        return chosen.warning(
            "\(choice.reason) (--size-limit \(options.record.sizeLimit)); recording received sums only (\(choice.alternatives))"
        )
    }

    /// What is recorded, in an encoding.
    func recording(_ encoding: AttentionEncoding) throws -> RecordingOptions {
        var recording = try options.recording(for: capture.configuration)
        recording.signals.formUnion(encoding.signals)
        return recording
    }
}

/// How the full attention is recorded, and why.
struct ChosenEncoding {
    let encoding: AttentionEncoding
    let reason: String
    /// The rebuild error of the first step, where it was probed.
    var probed: RebuildError?
    /// What the user should know beforehand; nil: nothing.
    var warning: String?

    func warning(_ text: String) -> ChosenEncoding {
        var chosen = self
        chosen.warning = text
        return chosen
    }
}

extension RecordingChoice {
    /// What the full attention would take, for those who want it nevertheless.
    fileprivate var alternatives: String {
        let sizes = [AttentionEncoding.maps, .qk].map { encoding in
            "--record \(encoding.rawValue) takes up to \(ByteCount.text(plans[encoding]?.traceBytes ?? 0))"
        }
        return sizes.joined(separator: ", ")
    }
}
