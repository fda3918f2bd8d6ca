/// The few lines of a result that a person looks at first: a row a quantity, all its forms folded into it.
///
/// `x`, `x_by_layer` and `x_mean` are one row: the mean, the lowest and the highest layer, the highest head. What a number
/// is to be held against (a null, other keys, uniform attention) stands beside it. Quantities along steps and positions have
/// no row.
struct Digest {
    /// A value, and the layer, depth or head that has it.
    struct Place {
        let value: Double
        let label: String
    }

    /// One line.
    struct Row {
        /// The name without the endings that say what it is averaged over.
        let name: String
        let unit: String
        /// The name of the single number that ``mean`` is; nil where it was averaged here, over layers and heads.
        let scalar: String?
        /// Over layers and heads; NaN where undefined, and where there are other axes.
        let mean: Double
        /// What to hold it against, and what that is.
        var against: (value: Double, name: String)?
        let lowestLayer: Place?
        let highestLayer: Place?
        let highestHead: Place?
        /// What lies along other axes, averaged over layers and heads; nil where nothing does.
        let along: Quantity?

        var isUndefined: Bool { mean.isNaN && along == nil }
    }

    /// A metric's rows.
    struct Section {
        let metric: MetricResult
        let rows: [Row]
    }

    let sections: [Section]

    /// Quantities that are left to the full table, unless their metric was asked for by name: they follow from others, or
    /// are told by them.
    private static let finer: Set<String> = [
        "births", "deaths", "presences", "strength", "sinks_above_30_percent", "net_displacement", "path_length",
        "distinct_positions", "distinct_top_keys", "spatial_variance", "answer_distinct_top_keys",
        "window_distinct_top_keys", "answer_count", "window_count", "absorption_top_key_published",
        "absorption_top_key_of_mean_head", "row_sum", "row_sum_by_class", "first_k_mass_by_class",
        "top_k_mass_by_class", "max_weight_by_class", "attended_distance_by_class", "mask_mass_by_class",
        "answer_class_uniform", "class_uniform", "class_over_uniform", "first_key_sink_rate_last_step",
        "massive_count", "query_norm_difference", "key_norm_difference", "cosine_difference", "logit_difference",
        "answer_rows", "gold_document", "value_weighted_top_key_agreement",
    ]

    init(of result: TraceResult) {
        let isShort = result.settings["metrics"]?.items == nil
        sections = result.metrics.map { metric in
            Section(metric: metric, rows: Self.rows(of: metric, withoutFiner: isShort))
        }
    }

    private static func rows(of metric: MetricResult, withoutFiner: Bool) -> [Row] {
        var order: [String] = []
        var forms: [String: [Quantity]] = [:]
        for quantity in metric.quantities where quantity.isHeadline {
            let name = quantity.baseName
            if forms[name] == nil { order.append(name) }
            forms[name, default: []].append(quantity)
        }
        var rows = order.map { Row($0, forms[$0] ?? []) }
        for place in rows.indices {
            for (other, what) in partners(of: rows[place].name) {
                guard let partner = rows.first(where: { $0.name == other }) else { continue }
                rows[place].against = (partner.mean, what)
                break
            }
        }
        let told = Set(rows.filter { $0.against != nil }.flatMap { partners(of: $0.name).map(\.name) })
        return rows.filter { row in
            !told.contains(row.name) && !(withoutFiner && (isFiner(row.name) || row.name.hasSuffix("_published")))
        }
    }

    private static func isFiner(_ name: String) -> Bool {
        let plain = ["cumulative_", "map_", "vector_"].reduce(name) {
            $0.hasPrefix($1) ? String($0.dropFirst($1.count)) : $0
        }
        return finer.contains(plain) || plain.hasPrefix("absorption_") && plain.hasSuffix("_of_mean_head")
    }

    /// Names of what a quantity is held against, each with a word for it; the first that is there counts.
    private static func partners(of name: String) -> [(name: String, what: String)] {
        var found = [(name: "null_" + name, what: "null")]
        if name.hasPrefix("cumulative_") {
            found.append(("cumulative_null_" + name.dropFirst("cumulative_".count), "null"))
        }
        func add(_ ending: String, _ other: String, _ what: String) {
            if name.hasSuffix(ending) { found.append((name.dropLast(ending.count) + other, what)) }
        }
        add("_on_sinks", "_on_others", "others")
        add("first_key_share", "first_key_uniform", "uniform")
        add("_observed", "_null_mean", "null")
        return found
    }
}

extension Digest.Row {
    /// Folds the forms of one quantity.
    init(_ name: String, _ forms: [Quantity]) {
        func along(_ axes: Set<String>) -> Quantity? { forms.first { Set($0.axes.map(\.name)) == axes } }
        let scalar = along([])
        let sites = along(["layer", "head"]) ?? along(["layer", "kv_head"])
        let layers = along(["layer"]) ?? along(["depth"]) ?? sites?.averaged(keeping: ["layer"])
        let other = forms.filter { $0.averaged(keeping: nil).axes.count > 0 && $0.axes.map(\.name) != ["depth"] }
            .min { $0.axes.count < $1.axes.count }?.averaged(keeping: nil)
        self.name = name
        unit = forms.first?.unit ?? ""
        self.scalar = scalar?.name
        mean = scalar?.values.first ?? Statistics.mean(of: sites?.values ?? layers?.values ?? [])
        let (low, high) = (layers?.extreme { $0 < $1 }, layers?.extreme { $0 > $1 })
        let differs = low?.value != high?.value
        lowestLayer = differs ? low : nil
        highestLayer = differs ? high : nil
        highestHead = differs ? sites?.extreme { $0 > $1 } : nil
        self.along = other?.values.allSatisfy(\.isNaN) == false ? other : nil
    }
}

extension Quantity {
    /// The name without the endings that say what it is averaged over.
    fileprivate var baseName: String {
        let hasLayers = axes.contains { $0.name == "layer" }
        if hasLayers, name.hasSuffix("_by_layer") { return String(name.dropLast("_by_layer".count)) }
        if !hasLayers, name.hasSuffix("_mean") { return String(name.dropLast("_mean".count)) }
        return name
    }

    /// Means over layers, heads or depths, those kept aside, NaN left out; `nil` keeps none of them.
    fileprivate func averaged(keeping kept: Set<String>?) -> Quantity {
        let averages = axes.map {
            ["layer", "head", "kv_head", "depth"].contains($0.name) && kept?.contains($0.name) != true
        }
        let left = zip(axes, averages).filter { !$0.1 }.map(\.0)
        var groups = Array(repeating: [Double](), count: left.reduce(1) { $0 * $1.count })
        for index in values.indices {
            var (rest, target, stride) = (index, 0, 1)
            for axis in axes.indices.reversed() {
                let label = rest % axes[axis].count
                rest /= axes[axis].count
                guard !averages[axis] else { continue }
                target += label * stride
                stride *= axes[axis].count
            }
            groups[target].append(values[index])
        }
        return Quantity(name, unit: unit, meaning, axes: left, values: groups.map { Statistics.mean(of: $0) })
    }

    /// The first of the extreme values, and where it is: `L3`, `L3H5`, `D2`; nil where nothing is defined or there is
    /// nothing to compare.
    fileprivate func extreme(_ isBetter: (Double, Double) -> Bool) -> Digest.Place? {
        var best: Int?
        for index in values.indices where !values[index].isNaN {
            if let found = best, !isBetter(values[index], values[found]) { continue }
            best = index
        }
        guard let best, values.count > 1 else { return nil }
        let label = zip(axes, labels(at: best)).map { axis, label in
            switch axis.name {
            case "layer": "L\(label.brief)"
            case "head", "kv_head": "H\(label.brief)"
            default: "D\(label.brief)"
            }
        }
        return Digest.Place(value: values[best], label: label.joined())
    }

    /// Values along names in words: those that are not zero, of many the largest; along numbers: the first, one in the
    /// middle, the last. As many as there is room for.
    func inWords(room: Int) -> String {
        let defined = values.indices.filter { !values[$0].isNaN }
        var places = defined
        if case .texts? = axes.last?.labels {
            if places.count > 4 {
                places = places.filter { values[$0] != 0 }.sorted { values[$0] > values[$1] }
            }
        } else {
            places = [defined[0], defined[defined.count / 2], defined[defined.count - 1]].uniqued
        }
        var text = ""
        for (count, place) in places.enumerated() {
            let labels = labels(at: place).map { label in
                if case .number(let value) = label { NumberText.exact(value) } else { label.brief }
            }
            let part = "\(labels.joined(separator: " to ")) \(NumberText.brief(values[place], digits: 3))"
            if count > 0, text.count + part.count + 6 > room { return text + " ..." }
            text += (count == 0 ? "" : ", ") + part
        }
        if case .texts? = axes.last?.labels { return text }
        return "\(axes[0].name) \(text)"
    }
}
