/// Judges whether this program may judge the file at all.
enum VersionRules {
    /// Whether the file is a trace of a version that this program knows.
    static func allow(_ file: HDF5File, log: FindingLog) -> Bool {
        guard let format = log.judging("@format", { try file.attribute("format") }), format?.text == Schema.format
        else {
            log.add(.rootFormat, "@format", "the root group has no attribute format = \"\(Schema.format)\"")
            return false
        }
        func version(_ name: String) -> [Int]? {
            guard let found = log.judging("@\(name)", { try file.attribute(name) }), let value = found else {
                return nil
            }
            guard let text = value.text, let parts = numbers(text) else {
                log.add(.rootVersion, "@\(name)", "is not a version such as \(Schema.version)")
                return nil
            }
            return parts
        }
        let written = version("format_version")
        guard let minimum = version("min_reader") else {
            // A missing one is the attributes' affair; what cannot be read must not be judged.
            return (log.judging("@min_reader") { try file.attribute("min_reader") == nil }) ?? false
        }
        if let written, isNewer(minimum, than: written) {
            log.add(.rootVersion, "@min_reader", "is newer than format_version")
        }
        guard let own = numbers(Schema.version), !isNewer(minimum, than: own) else {
            log.add(.rootVersion, "@min_reader", "asks for a reader newer than \(Schema.version); nothing is judged")
            return false
        }
        return true
    }

    /// `0.10` as numbers, which are compared part by part.
    static func numbers(_ text: String) -> [Int]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { part in
            part.utf8.allSatisfy { (48...57).contains($0) } ? Int(part) : nil
        }
        let numbers = parts.compactMap { $0 }
        return numbers.count == parts.count ? numbers : nil
    }

    static func isNewer(_ a: [Int], than b: [Int]) -> Bool {
        for place in 0..<max(a.count, b.count) {
            let (x, y) = (place < a.count ? a[place] : 0, place < b.count ? b[place] : 0)
            if x != y { return x > y }
        }
        return false
    }
}
