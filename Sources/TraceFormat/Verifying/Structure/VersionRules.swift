/// Judges whether this program may judge the file at all.
enum VersionRules {
    /// Whether the file is a trace of a version that this program knows.
    static func allow(_ file: HDF5File, log: FindingLog) -> Bool {
        guard let format = log.judging("@format", { try file.attribute("format") }), format?.text == Schema.format
        else {
            log.add(.rootFormat, "@format", "the root group has no attribute format = \"\(Schema.format)\"")
            return false
        }
        func version(_ name: String) -> FormatVersion? {
            guard let found = log.judging("@\(name)", { try file.attribute(name) }), let value = found else {
                return nil
            }
            guard let text = value.text, let version = FormatVersion(text) else {
                log.add(.rootVersion, "@\(name)", "is not a version such as \(Schema.version)")
                return nil
            }
            return version
        }
        let written = version("format_version")
        guard let minimum = version("min_reader") else {
            // A missing one is the attributes' affair; what cannot be read must not be judged.
            return (log.judging("@min_reader") { try file.attribute("min_reader") == nil }) ?? false
        }
        if let written, minimum > written {
            log.add(.rootVersion, "@min_reader", "is newer than format_version")
        }
        guard minimum.isReadable else {
            log.add(.rootVersion, "@min_reader", "asks for a reader newer than \(Schema.version); nothing is judged")
            return false
        }
        return true
    }
}
