/// Whether a sink stays: Rulli et al., arXiv 2510.15731.
public enum SinkKind: String, Sendable, Codable {
    /// Its position is a sink in at least 90 % of the steps in which the site's sink set is defined, and it never hops.
    case `static`
    /// It hops or vanishes.
    case moving
}
