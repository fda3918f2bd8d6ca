/// What the server takes of the machine, and what it waits for.
public struct ServingLimits: Sendable {
    /// Connections open at once; the last place is given to each new one, in place of the one that has been without a request
    /// for the longest. Where none is without, what comes beyond waits to be accepted.
    public var connections = 128
    /// Seconds in which a request must have arrived, and for which a connection may be without one.
    public var idleSeconds = 10.0
    /// Seconds in which an answer must have been taken.
    public var sendingSeconds = 60.0
    /// Bytes of a request's target; longer ones are refused.
    public var targetBytes = 512
    /// Bytes of all header fields of a request.
    public var headerBytes = 16 << 10
    /// Header fields of a request.
    public var headerFields = 64
    /// Requests that may wait for reading; what comes beyond is told to ask again.
    public var waiting = 64
    /// Bytes of blocks that are kept.
    public var blockCacheBytes = 24 << 20
    /// Bytes of analyses that are kept.
    public var analysisCacheBytes = 24 << 20
    /// Bytes of answers that are on their way at once; what comes beyond is told to ask again.
    public var sendingBytes = 48 << 20

    /// The limits of the command.
    public init() {}
}
