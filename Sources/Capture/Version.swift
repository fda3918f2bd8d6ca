/// The version of this package, as traces name it.
public let attntraceVersion = "0.9.0"
