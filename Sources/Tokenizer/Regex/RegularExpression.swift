import COniguruma
import Synchronization

/// A compiled regular expression of Oniguruma, the engine that the `tokenizers` package uses, over UTF-8.
///
/// `@unchecked Sendable` is sound because Oniguruma never writes to a compiled expression, and each search here has
/// match parameters and a region of its own.
final class RegularExpression: @unchecked Sendable {
    /// Why an expression did not compile, or a search ended early.
    struct Failure: Error {
        let reason: String
    }

    /// Bytes of a pattern that are accepted; published ones have some hundreds.
    static let maximumPatternLength = 65_536
    /// Steps back that one attempt to match may take: Oniguruma's own default, which no published pattern comes near.
    static let retryLimit: UInt = 10_000_000
    /// Entries of the engine's backtracking stack, one for each character of a greedy run; bounds memory to about 2 GB.
    static let stackLimit: UInt32 = 1 << 25

    private let handle: OnigRegex

    /// Compiles a pattern in the syntax that `tokenizers` uses, save for callouts, which are programs rather than
    /// patterns. Throws where it does not compile.
    init(_ pattern: String) throws(Failure) {
        var pattern = pattern
        guard pattern.utf8.count <= Self.maximumPatternLength else {
            throw Failure(reason: "is longer than \(Self.maximumPatternLength) bytes")
        }
        var handle: OnigRegex?
        var info = OnigErrorInfo()
        let (status, reason) = pattern.withUTF8 { bytes -> (Int32, String) in
            // An empty string may have no address at all; the engine wants one.
            var nothing: UInt8 = 0
            return withUnsafePointer(to: &nothing) { empty in
                let start = bytes.baseAddress ?? empty
                let status = Engine.shared.compile(&handle, start, start + bytes.count, &info)
                // The text of the error may quote the pattern, so it is taken while the pattern has its address.
                let reason = status == ONIG_NORMAL ? "" : Self.text { coniguruma_compile_error($0, status, &info) }
                return (status, reason)
            }
        }
        guard status == ONIG_NORMAL, let handle else {
            throw Failure(reason: reason.isEmpty ? "cannot be compiled" : reason)
        }
        self.handle = handle
    }

    deinit {
        onig_free(handle)
    }

    /// Compiles a pattern that matches a text as it stands.
    static func literal(_ text: String) throws(Failure) -> RegularExpression {
        var pattern = ""
        for scalar in text.unicodeScalars {
            if "\\.+*?()|[]{}^$#&-~".unicodeScalars.contains(scalar) { pattern += "\\" }
            pattern.unicodeScalars.append(scalar)
        }
        return try RegularExpression(pattern)
    }

    /// Calls `body` with each match in turn, as offsets into `text`: leftmost first, not overlapping, and without empty
    /// matches that touch the match before them. `text` must be valid UTF-8.
    ///
    /// Throws where the engine hits its limits, or where a match does not fall on whole characters in order.
    func forEachMatch(in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) throws(Failure) {
        guard let start = text.baseAddress, !text.isEmpty else { return }
        guard text.count < Int(Int32.max) else { throw Failure(reason: "cannot search 2 GiB of text at once") }
        guard let parameters = onig_new_match_param() else { throw Failure(reason: "ran out of memory") }
        defer { onig_free_match_param(parameters) }
        guard let region = onig_region_new() else { throw Failure(reason: "ran out of memory") }
        defer { onig_region_free(region, 1) }
        // A search that finds nothing makes an attempt, and so a step back or two, at every character.
        let searchLimit = Self.retryLimit + 64 * UInt(text.count)
        onig_set_match_stack_limit_size_of_match_param(parameters, Self.stackLimit)
        onig_set_retry_limit_in_match_of_match_param(parameters, Self.retryLimit)
        onig_set_retry_limit_in_search_of_match_param(parameters, searchLimit)

        let end = start + text.count
        var position = 0
        var previousEnd = -1
        while position <= text.count {
            let status = onig_search_with_param(
                handle, start, end, start + position, end, region, ONIG_OPTION_NONE, parameters)
            if status == ONIG_MISMATCH { return }
            guard status >= 0 else { throw Failure(reason: Self.text { coniguruma_match_error($0, status) }) }
            let first = Int(region.pointee.beg[0])
            let last = Int(region.pointee.end[0])
            guard first >= max(previousEnd, 0), first <= last, last <= text.count,
                Self.isBoundary(first, text), Self.isBoundary(last, text)
            else { throw Failure(reason: "matched something other than whole characters in order") }
            if first == last, last == previousEnd {
                position = max(position, last)
                guard position < text.count else { return }
                position += 1
                while position < text.count, !UTF8Scan.isBoundary(text[position]) { position += 1 }
                continue
            }
            position = last
            previousEnd = last
            body(first..<last)
        }
    }

    private static func isBoundary(_ offset: Int, _ text: UnsafeBufferPointer<UInt8>) -> Bool {
        offset == text.count || UTF8Scan.isBoundary(text[offset])
    }

    /// The text that an Oniguruma function writes into a buffer of the size that it promises to keep to.
    private static func text(_ write: (UnsafeMutablePointer<UInt8>) -> Int32) -> String {
        // The quoted pattern is cut at the limit, but its escapes are counted generously.
        let room = Int(ONIG_MAX_ERROR_MESSAGE_LEN) * 4
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: room) { buffer in
            buffer.initialize(repeating: 0)
            guard let address = buffer.baseAddress else { return "" }
            let length = Int(write(address))
            return String(decoding: buffer.prefix(max(0, min(length, room))), as: UTF8.self)
        }
    }
}

/// Oniguruma's global state: set up once, and used by one thread at a time.
///
/// `@unchecked Sendable` is sound because the syntax is written in `init` only, and compiling holds the lock.
private final class Engine: @unchecked Sendable {
    static let shared = Engine()

    private let lock = Mutex(())
    /// Kept for good: compiled expressions point to it.
    private let syntax: UnsafeMutablePointer<OnigSyntaxType>
    private let encoding: OnigEncoding?

    private init() {
        var encodings: [OnigEncoding?] = [coniguruma_utf8()]
        encoding = encodings[0]
        onig_initialize(&encodings, 1)
        syntax = .allocate(capacity: 1)
        syntax.initialize(to: OnigSyntaxType())
        onig_copy_syntax(syntax, coniguruma_default_syntax())
        // (?{...}) and (*name), as the header numbers them; its macros do not import.
        let callouts: UInt32 = 1 << 28 | 1 << 29
        onig_set_syntax_op2(syntax, onig_get_syntax_op2(syntax) & ~callouts)
    }

    func compile(
        _ handle: inout OnigRegex?, _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>,
        _ info: inout OnigErrorInfo
    ) -> Int32 {
        lock.withLock { _ in onig_new(&handle, start, end, ONIG_OPTION_NONE, encoding, syntax, &info) }
    }
}
