/// Judges what a file holds besides what the schema asks for. What nobody knows is let be.
struct ObjectRules {
    let file: HDF5File
    let log: FindingLog

    /// Judges every link; `wanted` are the datasets of the signals listed. Returns those that must not be followed.
    func judge(wanted: Set<String>) -> [String] {
        guard let links = log.judging("", { try file.links() }) else { return [] }
        let dimensions = Set(Dimension.allCases.map(\.rawValue))
        var outside: [String] = []
        for link in links {
            switch link.target {
            case .outside:
                guard wanted.contains(where: { $0 == link.path || $0.hasPrefix(link.path + "/") }) else { continue }
                outside.append(link.path)
                log.add(.datasetOutside, link.path, "is a link by name, not the object itself")
            case .dataset: judgeDataset(link.path, dimensions, wanted)
            case .group, .other: continue
            }
        }
        return outside
    }

    private func judgeDataset(_ path: String, _ dimensions: Set<String>, _ wanted: Set<String>) {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        if name == path {
            let type = log.judging(path) { try file.dataset(path).elementType() } ?? nil
            if type?.type == .float16 {
                log.add(.datasetFloat16, path, "is float16 in the root group, which crashes netCDF4")
            }
        } else if dimensions.contains(name) {
            log.add(.datasetName, path, "has the name of an axis, and is lost in xarray")
        }
        if !wanted.contains(path), !dimensions.contains(path), Schema.dataset(at: path) != nil {
            log.add(.datasetUnlisted, path, "is there, but not of a signal that the trace lists")
        }
    }
}
