import Foundation

/// Chart.js, which pages draw their charts with: Debian's copy, or the one that `ATTNTRACE_CHARTS` names.
public enum ChartsLibrary {
    /// The variable that names another copy.
    static let variable = "ATTNTRACE_CHARTS"
    /// Where the package libjs-chart.js puts it.
    static let installed = "/usr/share/javascript/chart.js/chart.min.js"

    /// The library with its licence comment, as it goes into a page.
    ///
    /// Throws ``ReportError/noCharts(path:)`` and ``ReportError/badCharts(path:reason:)``.
    public static func text() throws -> String {
        let named = ProcessInfo.processInfo.environment[variable] ?? ""
        return try text(at: named.isEmpty ? installed : named)
    }

    static func text(at path: String) throws -> String {
        guard FileManager.default.fileExists(atPath: path) else { throw ReportError.noCharts(path: path) }
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw ReportError.badCharts(path: path, reason: error.localizedDescription)
        }
        guard text.contains("Chart") else {
            throw ReportError.badCharts(path: path, reason: "it does not define Chart")
        }
        // It stands in an element that this would end.
        guard !text.lowercased().contains("</script") else {
            throw ReportError.badCharts(path: path, reason: "it has an end tag of a script in it")
        }
        return text
    }
}
