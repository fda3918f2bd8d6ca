import TraceFormat

/// A heat map for the terminal of where attention goes as a trace unfolds: position across, step down, the shade the
/// received mean c_j, sinks marked.
///
///     print(try DriftPlot(of: trace, at: .layer(3)).text(width: 100, height: 40))
///
/// Positions that a causal trace has not come to yet are blank.
public struct DriftPlot: Sendable {
    /// What is shown.
    public let site: Site
    /// The rule that marks sinks, its unit settled.
    public let rule: SinkRule
    /// Labels of the steps.
    public let steps: [Int]
    /// Keys of the trace.
    public let keyCount: Int
    /// Received mean of the visible keys, by step.
    public let receivedMeans: [[Double]]
    /// Positions of the sinks, by step; nil where the rule says nothing.
    public let sinks: [Set<Int>?]
    /// Text of each position's final token; empty where unknown.
    public let tokenText: [String]
    /// Whether the received means are those of running sums.
    public let isCumulative: Bool
    private let title: String

    /// Reads what the plot shows.
    ///
    /// - Parameters:
    ///   - trace: the trace; its signal `received` is needed.
    ///   - rule: when a key is marked as a sink.
    ///   - target: the head, layer or mean to show.
    ///   - byteBudget: bytes of one block of the pass.
    ///
    /// Throws ``AnalysisError`` for what the trace does not hold or the arguments do not allow, and what reading throws.
    public init(
        of trace: Trace, rule: SinkRule = .excess(), at target: PlotTarget = .overall, byteBudget: Int = 64 << 20
    ) throws {
        let rule = rule.resolved(for: trace.plan.causality)
        try rule.validate()
        var stream = try ReceivedStream(
            of: trace, per: target.scope, layers: target.layers, heads: target.heads,
            window: rule.unit?.windowRows, byteBudget: byteBudget)
        var reduction = SinkReduction(rule: rule, siteCount: 1)
        var means: [[Double]] = []
        while let frame = try stream.next() {
            try reduction.absorb(frame)
            means.append(frame.scores(of: 0, in: .mean) ?? [])
        }
        let outcome = reduction.finish()
        self.init(
            site: stream.grid.sites[0], rule: rule, steps: outcome.steps, keyCount: stream.keyCount,
            receivedMeans: means, sinks: outcome.sets[0].map { $0.isDefined ? Set($0.positions) : nil },
            tokenText: try trace.tokenText(), isCumulative: trace.plan.causality == .causal,
            title: trace.provenance.modelName)
    }

    init(
        site: Site, rule: SinkRule, steps: [Int], keyCount: Int, receivedMeans: [[Double]], sinks: [Set<Int>?],
        tokenText: [String], isCumulative: Bool, title: String
    ) {
        self.site = site
        self.rule = rule
        self.steps = steps
        self.keyCount = keyCount
        self.receivedMeans = receivedMeans
        self.sinks = sinks
        self.tokenText = tokenText
        self.isCumulative = isCumulative
        self.title = title
    }

    /// The plot as text: a map of at most `width` columns, at most `height` lines in all where that leaves one for it,
    /// a heading and a legend that may be wider.
    ///
    /// Where there are more positions or steps than room, each cell shows the largest received mean of several, and is
    /// marked if any of them is a sink; the legend says how many. With `colour`, shades are ANSI 256 colours;
    /// without, the text is pure ASCII.
    public func text(width: Int = 80, height: Int = 40, colour: Bool = false) -> String {
        let margin = max(4, String(steps.last ?? 0).count) + 1
        let columnSpan = Self.span(of: keyCount, in: max(1, width - margin))
        let columns = (keyCount + columnSpan - 1) / max(1, columnSpan)
        let labels = axisLabels(columns: columns, span: columnSpan, height: height)
        let rowSpan = Self.span(of: steps.count, in: max(1, height - labels.count - 4))
        let cells = grid(columnSpan: columnSpan, columns: columns, rowSpan: rowSpan)
        let peak = cells.joined().compactMap { $0?.value }.max() ?? 0

        var lines = [heading]
        let indent = String(repeating: " ", count: margin)
        lines.append(indent + ruler(columns: columns, span: columnSpan))
        for (place, row) in cells.enumerated() {
            let label = String(steps[place * rowSpan])
            let head = String(repeating: " ", count: max(0, margin - 1 - label.count)) + label + " "
            lines.append(head + (colour ? coloured(row, peak: peak) : shaded(row, peak: peak)))
        }
        for label in labels { lines.append(Self.trimmed(indent + label)) }
        lines.append(legend(peak: peak, colour: colour, columnSpan: columnSpan, rowSpan: rowSpan))
        return lines.map { Self.trimmed($0) }.joined(separator: "\n")
    }

    private struct PlotCell {
        var value: Double
        var isSink: Bool
    }

    /// How many of `count` go into one cell when there is room for `room` cells.
    private static func span(of count: Int, in room: Int) -> Int { max(1, (count + room - 1) / room) }

    /// Cells by row, then column; nil where no position of the cell has been seen.
    private func grid(columnSpan: Int, columns: Int, rowSpan: Int) -> [[PlotCell?]] {
        stride(from: 0, to: steps.count, by: rowSpan).map { start in
            var row: [PlotCell?] = Array(repeating: nil, count: columns)
            for step in start..<min(start + rowSpan, steps.count) {
                for (position, value) in receivedMeans[step].enumerated() {
                    let column = position / columnSpan
                    let isSink = sinks[step]?.contains(position) ?? false
                    let held = row[column] ?? PlotCell(value: value, isSink: isSink)
                    row[column] = PlotCell(value: max(held.value, value), isSink: held.isSink || isSink)
                }
            }
            return row
        }
    }

    private static let shades = Array(".:-=+*#%")
    private static let sinkMark = "@"

    /// A cell's place among `count` shades. By the square root: a few sinks hold most of the attention.
    private func shade(_ value: Double, peak: Double, of count: Int) -> Int {
        guard peak > 0 else { return 0 }
        return min(count - 1, Int((value / peak).squareRoot() * Double(count)))
    }

    private func shaded(_ row: [PlotCell?], peak: Double) -> String {
        row.map { cell in
            guard let cell else { return " " }
            if cell.isSink { return Self.sinkMark }
            return String(Self.shades[shade(cell.value, peak: peak, of: Self.shades.count)])
        }.joined()
    }

    /// Dark blue to yellow, in the colour cube of ANSI 256.
    private static let ramp = [17, 18, 19, 54, 90, 126, 162, 198, 203, 208, 214, 220]

    private func coloured(_ row: [PlotCell?], peak: Double) -> String {
        var line = ""
        var current = -1
        for cell in row {
            guard let cell else {
                if current >= 0 { line += "\u{1B}[0m" }
                current = -1
                line += " "
                continue
            }
            let place = shade(cell.value, peak: peak, of: Self.ramp.count)
            if place != current {
                // Black on the light shades, white on the dark.
                line += "\u{1B}[48;5;\(Self.ramp[place]);38;5;\(place >= 8 ? 16 : 231)m"
                current = place
            }
            line += cell.isSink ? Self.sinkMark : " "
        }
        return current >= 0 ? line + "\u{1B}[0m" : line
    }

    private var heading: String {
        let model = String(title.unicodeScalars.map { $0.isASCII ? Character($0) : "?" })
        return "\(model): received mean by position (across) and step (down), \(site)"
    }

    /// A tick every ten columns, each with the position at which its column begins.
    private func ruler(columns: Int, span: Int) -> String {
        var text = ""
        for column in stride(from: 0, to: columns, by: 10) {
            let label = "|" + String(column * span)
            guard column + label.count <= max(columns, label.count) else { break }
            text += String(repeating: " ", count: max(0, column - text.count)) + label
        }
        return text
    }

    /// Token text written downwards under each column, the first token of the column's; as long as there is room.
    private func axisLabels(columns: Int, span: Int, height: Int) -> [String] {
        let labels = (0..<columns).map { column -> [Character] in
            let position = column * span
            return tokenText.indices.contains(position) ? VisibleText.ascii(tokenText[position]) : []
        }
        let longest = min(labels.map(\.count).max() ?? 0, max(0, min(10, height / 4)))
        return (0..<longest).map { line in
            String(
                labels.map { label in
                    guard line < label.count else { return " " }
                    // A text that goes on ends in a tilde.
                    return line == longest - 1 && label.count > longest ? "~" : label[line]
                })
        }
    }

    private func legend(peak: Double, colour: Bool, columnSpan: Int, rowSpan: Int) -> String {
        var parts: [String] = []
        if colour {
            let bar = Self.ramp.map { "\u{1B}[48;5;\($0)m " }.joined() + "\u{1B}[0m"
            parts.append("shade 0 \(bar) \(NumberText.brief(peak)), by square root")
        } else {
            parts.append("shade 0 \(String(Self.shades)) \(NumberText.brief(peak)), by square root")
        }
        parts.append("\(Self.sinkMark) sink: \(rule)")
        if columnSpan > 1 { parts.append("1 column = \(columnSpan) positions, their largest") }
        if rowSpan > 1 { parts.append("1 line = \(rowSpan) steps, their largest") }
        let undefined = sinks.count { $0 == nil }
        if undefined > 0 { parts.append("sinks undefined at \(undefined) of \(steps.count) steps") }
        if isCumulative { parts.append("causal: cumulative over rows, blank = not yet seen") }
        return parts.joined(separator: "; ")
    }

    private static func trimmed(_ line: String) -> String {
        var line = line
        while line.last == " " { line.removeLast() }
        return line
    }
}
