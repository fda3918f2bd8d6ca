import Foundation

/// Bytes for people: `532 B`, `1.4 MB`. Decimal, as disks are sold.
enum ByteCount {
    static func text(_ bytes: Int) -> String {
        var value = Double(bytes)
        if bytes < 1000 { return "\(bytes) B" }
        for unit in ["kB", "MB", "GB"] {
            value /= 1000
            if value < 1000 { return String(format: "%.1f %@", value, unit) }
        }
        return String(format: "%.1f TB", value / 1000)
    }
}
