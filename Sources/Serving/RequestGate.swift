import HTTPTypes

/// What is let in: requests of the page itself, for what the page asks for.
struct RequestGate: Sendable {
    /// Why a request is turned away.
    enum Refusal: Error, Equatable {
        /// 405: neither GET nor HEAD.
        case method
        /// 400: names no host or several.
        case malformed
        /// 421: comes by a name that is not this machine's own, as a page of another site can make it (DNS rebinding).
        case host
        /// 403: made by a page of another site.
        case origin
        /// 414: a target longer than any of ours.
        case tooLong
        /// 413: carries a body.
        case body
        /// 404: lacks the token, or names nothing.
        case unknown

        var status: HTTPResponse.Status {
            switch self {
            case .method: .methodNotAllowed
            case .malformed: .badRequest
            case .host: .misdirectedRequest
            case .origin: .forbidden
            case .tooLong: .uriTooLong
            case .body: .contentTooLarge
            case .unknown: .notFound
            }
        }
    }

    let token: AccessToken
    let limits: ServingLimits

    /// What a request asks for.
    ///
    /// - Throws: ``Refusal``.
    func item(of request: HTTPRequest) throws(Refusal) -> PageItem {
        guard request.method == .get || request.method == .head else { throw .method }
        guard let host = request.authority, request.headerFields[values: .host].isEmpty else { throw .malformed }
        guard Self.isLoopback(host) else { throw .host }
        let fields = request.headerFields
        guard fields[.transferEncoding] == nil, fields[values: .contentLength].allSatisfy({ $0 == "0" }) else {
            throw .body
        }
        let path = request.path ?? ""
        guard path.utf8.count <= limits.targetBytes else { throw .tooLong }
        // Nothing is decoded: no address of ours has anything to decode.
        let parts = path.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
        let tokenMatches = token.matches(parts.count > 1 ? parts[1] : "")
        let item = parts.count == 3 && parts[0].isEmpty ? PageItem(String(parts[2])) : nil
        guard isOwn(request, host: host, item: item) else { throw .origin }
        guard tokenMatches, let item else { throw .unknown }
        return item
    }

    /// Whether a name is this machine's own. Any port will do: `ssh -L` may have given it another one.
    static func isLoopback(_ authority: String) -> Bool {
        for name in ["127.0.0.1", "localhost", "[::1]"] where authority.lowercased().hasPrefix(name) {
            let rest = authority.dropFirst(name.count)
            if rest.isEmpty { return true }
            guard rest.first == ":", (2...6).contains(rest.count) else { return false }
            guard rest.dropFirst().utf8.allSatisfy({ (48...57).contains($0) }) else { return false }
            return (1...65535).contains(Int(rest.dropFirst()) ?? 0)
        }
        return false
    }

    /// Whether the page itself asks, or someone who opens it: by a link from elsewhere the page may be opened, and nothing
    /// else be had.
    private func isOwn(_ request: HTTPRequest, host: String, item: PageItem?) -> Bool {
        let origins = request.headerFields[values: .origin]
        guard origins.allSatisfy({ $0.lowercased() == "http://\(host.lowercased())" }) else { return false }
        for site in request.headerFields[values: Self.fetchSite] where site != "same-origin" && site != "none" {
            let modes = request.headerFields[values: Self.fetchMode]
            let places = request.headerFields[values: Self.fetchDestination]
            guard item == .document, modes == ["navigate"], places == ["document"] else { return false }
        }
        return true
    }

    private static let fetchSite = name("Sec-Fetch-Site")
    private static let fetchMode = name("Sec-Fetch-Mode")
    private static let fetchDestination = name("Sec-Fetch-Dest")

    private static func name(_ text: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(text) else { preconditionFailure("\(text) is a name of a field") }
        return name
    }
}

extension HTTPField.Name {
    /// The name of the host, which comes as the request's authority; here only where there are several.
    static var host: HTTPField.Name {
        guard let name = HTTPField.Name("Host") else { preconditionFailure("Host is a name of a field") }
        return name
    }
}
