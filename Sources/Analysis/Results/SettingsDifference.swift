import Foundation
import TraceFormat

/// In what two runs were told otherwise: what may explain that they differ, beside what an experiment means to change.
enum SettingsDifference {
    /// Names with the value of the first run and of the second; the change of attention is left out.
    static func between(_ first: Provenance, _ second: Provenance) -> [(name: String, values: (String, String))] {
        let fields: [(String, String, String)] = [
            ("model", first.modelName, second.modelName),
            ("weights", String(first.weightsSHA256.prefix(8)), String(second.weightsSHA256.prefix(8))),
            ("sampler", first.sampler, second.sampler), ("numeric_type", first.numericType, second.numericType),
            ("kernel", first.kernel, second.kernel),
        ]
        let (one, other) = (parameters(first), parameters(second))
        let names = Set(one.keys).union(other.keys).sorted()
        let all = fields + names.map { ($0, one[$0] ?? "none", other[$0] ?? "none") }
        return all.filter { $0.1 != $0.2 }.map { ($0.0, ($0.1, $0.2)) }
    }

    /// Parameters of the sampler as text; what is no JSON object counts as one parameter.
    private static func parameters(_ provenance: Provenance) -> [String: String] {
        let text = provenance.samplerParameters
        do {
            let object = try JSONSerialization.jsonObject(with: Data(text.utf8))
            guard let members = object as? [String: Any] else { return ["sampler_parameters": text] }
            return members.mapValues { "\($0)" }
        } catch {
            return ["sampler_parameters": text]
        }
    }
}
