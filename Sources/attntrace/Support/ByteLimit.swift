import ArgumentParser

/// A number of bytes as people write it: `800000`, `500MB`, `1.5GB`. Decimal, as disks are sold.
struct ByteLimit: ExpressibleByArgument, CustomStringConvertible {
    let bytes: Int

    init(bytes: Int) {
        self.bytes = bytes
    }

    init?(argument: String) {
        let units: [(String, Double)] = [("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("B", 1), ("", 1)]
        guard let (unit, factor) = units.first(where: { argument.uppercased().hasSuffix($0.0.uppercased()) }),
            let number = Double(argument.dropLast(unit.count).trimmingCharacters(in: .whitespaces)), number >= 0,
            let bytes = Int(exactly: (number * factor).rounded())
        else { return nil }
        self.bytes = bytes
    }

    var description: String { ByteCount.text(bytes) }
    var defaultValueDescription: String { description }
}
