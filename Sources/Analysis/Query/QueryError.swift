/// What is wrong with an expression over a table, and where.
public struct QueryError: Error, Equatable, Sendable {
    /// The expression as given.
    public let expression: String
    /// Place of the fault, in Unicode scalars from 0; nil where it has none.
    public let offset: Int?
    /// The fault, as a sentence.
    public let reason: String

    /// Describes a fault.
    public init(_ reason: String, in expression: String, at offset: Int? = nil) {
        self.reason = reason
        self.expression = expression
        self.offset = offset
    }
}

extension QueryError: CustomStringConvertible {
    /// The fault, and below it the part of the expression around it with a caret.
    public var description: String {
        guard let offset else { return reason }
        let reach = 50
        let scalars = Array(expression.unicodeScalars)
        let start = max(0, min(offset, scalars.count) - reach)
        let end = min(scalars.count, offset + reach)
        // One column a scalar, so that the caret stands where it should.
        var line = String.UnicodeScalarView()
        for scalar in scalars[start..<max(start, end)] {
            line.append(scalar.properties.generalCategory == .control ? " " : scalar)
        }
        let before = start > 0 ? "..." : ""
        let after = end < scalars.count ? "..." : ""
        let indent = String(repeating: " ", count: before.count + min(offset, scalars.count) - start)
        return "\(reason)\n  \(before)\(String(line))\(after)\n  \(indent)^"
    }
}
