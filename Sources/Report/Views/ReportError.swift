/// Why a page cannot be made.
public enum ReportError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The charts library is not there.
    case noCharts(path: String)
    /// The file that is to be the charts library cannot be put into a page.
    case badCharts(path: String, reason: String)
    /// A trace has no such block.
    case noSuchBlock(trace: String, block: String)
    /// The page does not fit, whatever is left out.
    case tooLarge(limit: Int, least: Int)

    /// One line: what, which file, what to do.
    public var description: String {
        switch self {
        case .noCharts(let path):
            "\(path): no such file: pages need Chart.js; install libjs-chart.js, or name a copy of chart.min.js in ATTNTRACE_CHARTS"
        case .badCharts(let path, let reason): "\(path): cannot be the charts library of a page: \(reason)"
        case .noSuchBlock(let trace, let block): "\(trace): has no block \(block)"
        case .tooLarge(let limit, let least):
            "the page takes \(least) bytes at the least, more than the limit of \(limit): name fewer traces, or a larger limit"
        }
    }
}
