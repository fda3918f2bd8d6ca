import TraceFormat

/// A number that each row of attention comes to.
enum RowStatistic: String, CaseIterable, Sendable {
    case rowSum = "row_sum"
    case entropy
    case attendedDistance = "attended_distance"
    case maskMass = "mask_mass"
    case firstMass = "first_k_mass"
    case topMass = "top_k_mass"
    case maxWeight = "max_weight"

    /// Its unit.
    var unit: String {
        switch self {
        case .entropy: "nat"
        case .attendedDistance: "positions"
        case .rowSum, .maskMass, .firstMass, .topMass, .maxWeight: "share"
        }
    }

    /// What it is.
    var meaning: String {
        switch self {
        case .rowSum: "sum of the row's weights as stored: 1 but for float16's rounding"
        case .entropy: "entropy of the row, -sum A ln A"
        case .attendedDistance: "distance that the row attends over, sum A_ij |i - j|"
        case .maskMass: "weight that the row gives to keys fed in masked"
        case .firstMass: "weight that the row gives to the first k keys"
        case .topMass: "sum of the row's k largest weights"
        case .maxWeight: "the row's largest weight"
        }
    }

    /// Where a capture records it of each row; nil where nothing does.
    var signal: DatasetKey<Float>? {
        switch self {
        case .entropy: .entropy
        case .attendedDistance: .attendedDistance
        case .maskMass: .maskMass
        case .maxWeight: .maxWeight
        case .rowSum, .firstMass, .topMass: nil
        }
    }
}
