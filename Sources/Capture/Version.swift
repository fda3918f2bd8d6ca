/// The version of this package, as traces name it.
public let attntraceVersion = "1.0.0"
