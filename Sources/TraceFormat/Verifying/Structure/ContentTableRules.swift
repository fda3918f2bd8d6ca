/// Judges the table of content hashes by itself: nothing is hashed but the table.
struct ContentTableRules {
    let outline: TraceOutline
    let log: FindingLog

    /// The table, where it can be made out. `total` is the content hash that the file states.
    func judge(total: [UInt8]?) -> ContentTable? {
        guard let paths = outline.texts("content/leaf_path"), let hashes = outline.texts("content/leaf_sha256"),
            let indices = outline.vector(Int32.self, "content/leaf_index")
        else { return nil }
        guard !paths.isEmpty, total?.isEmpty == false else {
            log.add(
                .contentMissing, paths.isEmpty ? "content/leaf_path" : TraceScalar.contentSHA256,
                "is empty in a trace whose run has ended")
            return nil
        }
        guard paths.count == indices.count, hashes.count == indices.count,
            outline.readers[Dimension.leaf.rawValue].map({ $0.shape == [indices.count] }) ?? true
        else {
            log.add(.contentTable, "content", "its columns are of different lengths")
            return nil
        }
        var leaves: [ContentLeaf] = []
        for place in paths.indices {
            guard let path = String(validating: paths[place], as: UTF8.self), !path.isEmpty,
                let hash = String(validating: hashes[place], as: UTF8.self), AttributeRules.isHash(hash),
                indices[place] >= -1
            else {
                log.add(.contentTable, "content", "entry \(place) is not a path, a place and a hash")
                return nil
            }
            leaves.append(ContentLeaf(path: path, index: Int(indices[place]), sha256: hash))
        }
        let table = ContentTable(leaves)
        for (a, b) in zip(table.leaves, table.leaves.dropFirst()) where a.path == b.path && a.index == b.index {
            log.add(.contentTable, "content", "\(a.path) \(a.index) has two entries")
            return nil
        }
        judgeCoverage(table)
        if let total, String(validating: total, as: UTF8.self) != table.sha256 {
            log.add(.contentHash, TraceScalar.contentSHA256, "is not the hash of the table of hashes")
        }
        return table
    }

    /// A leaf for each place of each dataset, and none besides.
    private func judgeCoverage(_ table: ContentTable) {
        let hasher = ContentHasher(plan: outline.plan)
        var expected: [String: Range<Int>] = [ContentLeaf.attributes: -1..<0]
        for (path, reader) in outline.readers where ContentTable.isHashed(path) {
            expected[path] = hasher.leafAxis(of: reader.schema.dimensions).map { 0..<reader.shape[$0] } ?? -1..<0
        }
        var found: [String: Set<Int>] = [:]
        for leaf in table.leaves { found[leaf.path, default: []].insert(leaf.index) }
        for (path, range) in expected {
            let indices = found[path] ?? []
            if let missing = range.first(where: { !indices.contains($0) }) {
                log.add(.contentCoverage, path, "has no hash at \(missing)")
            }
            if let extra = indices.filter({ !range.contains($0) }).min() {
                log.add(.contentCoverage, path, "has a hash at \(extra), where there is nothing")
            }
        }
        for path in found.keys where expected[path] == nil && !outline.file.contains(path) {
            log.add(.contentCoverage, path, "has hashes, but is not there")
        }
    }
}
