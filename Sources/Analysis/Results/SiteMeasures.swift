/// The numbers of one site: a head of a layer, a layer, or the whole model.
public struct SiteMeasures: Sendable {
    /// The site.
    public let site: Site
    /// The value of each of ``Measure/all``; NaN where undefined.
    public let values: [Double]
    /// What is undefined, and left out of means.
    public let undefined: UndefinedCounts
}
