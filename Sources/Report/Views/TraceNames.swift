import Foundation

/// What traces are called on a page.
public enum TraceNames {
    /// The file's own name.
    static func last(of path: String) -> String { URL(fileURLWithPath: path).lastPathComponent }

    /// A name for each path, all different: the file's, with its folder where two are equal, with a number where that does
    /// not help.
    public static func names(of paths: [String]) -> [String] {
        let plain = paths.map(last)
        let withFolder = zip(paths, plain).map { path, name in
            guard plain.count(where: { $0 == name }) > 1 else { return name }
            let folder = URL(fileURLWithPath: path).deletingLastPathComponent().lastPathComponent
            return "\(folder)/\(name)"
        }
        var taken: Set<String> = []
        return withFolder.map { name in
            var (candidate, number) = (name, 2)
            while !taken.insert(candidate).inserted {
                candidate = "\(name) #\(number)"
                number += 1
            }
            return candidate
        }
    }
}
