/// What must hold of a file of results beyond its parts being there: files are edited, and names become paths of others.
enum ResultRules {
    /// Refuses a name that could leave its folder or group. Throws ``AnalysisError/notAResult(path:reason:)``.
    static func check(name: String, path: String) throws(AnalysisError) {
        guard !name.isEmpty, !name.hasPrefix("."), !name.contains(where: { $0 == "/" || $0 == "\0" }) else {
            throw .notAResult(path: path, reason: "\(name.debugDescription) is no name")
        }
    }

    /// Refuses what is no SHA-256. Throws ``AnalysisError/notAResult(path:reason:)``.
    static func check(hash: String, path: String) throws(AnalysisError) {
        guard hash.utf8.count == 64, hash.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) else {
            throw .notAResult(path: path, reason: "content_sha256 is not 64 hexadecimal digits")
        }
    }

    /// How many values axes of such lengths take; nil where that is no number of values.
    static func product(of lengths: [Int]) -> Int? {
        var product = 1
        for length in lengths {
            let (next, overflow) = product.multipliedReportingOverflow(by: length)
            guard !overflow else { return nil }
            product = next
        }
        return product
    }
}
