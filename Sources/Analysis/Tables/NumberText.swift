/// Numbers as text, without a locale.
package enum NumberText {
    /// The shortest text that reads back as the same number; whole numbers without a fraction.
    static func exact(_ value: Double) -> String {
        if value == value.rounded(), abs(value) < 1e15 { return String(Int(value)) }
        return value.description
    }

    /// Four significant digits, or so many, for people.
    package static func brief(_ value: Double, digits: Int = 4) -> String {
        guard value.isFinite else { return value.isNaN ? "NaN" : value.description }
        if value == value.rounded(), abs(value) < 1e6 { return String(Int(value)) }
        let size = abs(value)
        guard size >= 1e-4, size < 1e6 else { return scientific(value) }
        var decimals = digits - 1
        var bound = 1.0
        if size >= 1 {
            bound = 10
            while size >= bound, decimals > 0 {
                bound *= 10
                decimals -= 1
            }
        } else {
            bound = 0.1
            decimals = digits
            while size < bound {
                bound /= 10
                decimals += 1
            }
        }
        return fixed(value, decimals: decimals)
    }

    /// A number with a fixed number of decimals.
    static func fixed(_ value: Double, decimals: Int) -> String {
        var factor = 1
        for _ in 0..<decimals { factor *= 10 }
        let scaled = Int((abs(value) * Double(factor)).rounded())
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard decimals > 0 else { return sign + String(scaled) }
        let fraction = String(scaled % factor)
        let zeros = String(repeating: "0", count: decimals - fraction.count)
        return sign + String(scaled / factor) + "." + zeros + fraction
    }

    private static func scientific(_ value: Double) -> String {
        var mantissa = abs(value)
        var exponent = 0
        while mantissa >= 10 {
            mantissa /= 10
            exponent += 1
        }
        while mantissa < 1 {
            mantissa *= 10
            exponent -= 1
        }
        return (value < 0 ? "-" : "") + fixed(mantissa, decimals: 3) + "e" + String(exponent)
    }
}
