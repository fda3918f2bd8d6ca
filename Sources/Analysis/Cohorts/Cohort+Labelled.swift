import TraceFormat

/// A cohort as labelled arrays: the traces' values along a dimension `trace`, and the statistics over them.
extension Cohort {
    /// The whole cohort: `trace` and what is known of each in the root, a group a metric with the traces' values,
    /// `cohort` and, where there are groups, `groups` with the statistics.
    package var labelled: LabelledGroup {
        var root = LabelledGroup(
            attributes: [
                ("format", Self.format), ("definitions", String(made.definitions)),
                ("settings", made.settings.line()), ("parameters", options.json.line()),
            ])
        root.arrays.append(.scale("trace", .texts(traces.map(\.name)), meaning: "name of the trace"))
        func column(_ name: String, _ meaning: String, _ text: (Int) -> String) {
            root.arrays.append(
                LabelledArray(
                    name, axes: ["trace"], shape: [traces.count], .texts(traces.indices.map(text)), meaning: meaning))
        }
        func source(_ trace: Int) -> TraceSource { traces[trace].result.source }
        column("path", "the file, as it was named") { source($0).path }
        column("content_sha256", "content hash of the trace; empty for an unfinished one") {
            source($0).contentHash ?? ""
        }
        for field in ["model", "sampler", "seed", "causality", "prompt_id"] {
            column(field, "\(field) of the trace") { source($0).group(by: field) }
        }
        if !groupNames.isEmpty { column("trace_group", "group of the trace") { groupNames[groupOfTrace[$0]] } }

        root.groups = members { metric, axes in
            metric.map { quantity in
                let names = quantity.axes.map { axes.name(of: $0) }
                return LabelledArray(
                    quantity.name, axes: ["trace"] + names, shape: [traces.count] + quantity.axes.map(\.count),
                    .numbers(quantity.values.flatMap { $0 }), unit: quantity.unit, meaning: quantity.meaning)
            }
        }
        let overall = members { metric, axes in
            metric.flatMap { quantity in statistics(of: quantity, [quantity.overall], &axes, group: nil) }
        }
        root.groups.append(LabelledGroup("cohort", groups: overall))
        if !groupNames.isEmpty {
            let grouped = members { metric, axes in
                metric.flatMap { quantity in statistics(of: quantity, quantity.groups, &axes, group: "group") }
            }
            root.groups.append(
                LabelledGroup(
                    "groups", arrays: [.scale("group", .texts(groupNames), meaning: "name of the group")],
                    groups: grouped))
        }
        return root
    }

    /// A group for each metric, or, where traces were told otherwise, for each of its parameters.
    private func members(
        _ arrays: (_ quantities: [CohortQuantity], _ axes: inout AxisNames) -> [LabelledArray]
    ) -> [LabelledGroup] {
        struct Form: Hashable {
            let metric: String
            let told: String
        }
        var forms: [Form] = []
        var members: [Form: [CohortQuantity]] = [:]
        for quantity in quantities {
            let form = Form(metric: quantity.metric, told: quantity.told)
            if members[form] == nil { forms.append(form) }
            members[form, default: []].append(quantity)
        }
        return forms.enumerated().map { place, form in
            let before = forms[..<place].count { $0.metric == form.metric }
            let quantities = members[form] ?? []
            var axes = AxisNames(avoiding: quantities.map(\.name) + ["trace", "group"])
            let arrays = arrays(quantities, &axes)
            return LabelledGroup(
                before == 0 ? form.metric : "\(form.metric)_\(before + 1)", attributes: [("parameters", form.told)],
                arrays: axes.scales + arrays)
        }
    }

    private func statistics(
        of quantity: CohortQuantity, _ each: [CohortQuantity.Statistics], _ axes: inout AxisNames, group: String?
    ) -> [LabelledArray] {
        let names = (group.map { [$0] } ?? []) + quantity.axes.map { axes.name(of: $0) }
        let shape = (group == nil ? [] : [each.count]) + quantity.axes.map(\.count)
        let share = NumberText.brief(options.bootstrap.confidence * 100)
        func array(
            _ suffix: String, _ meaning: String, _ values: (CohortQuantity.Statistics) -> [Double]
        ) -> LabelledArray {
            LabelledArray(
                "\(quantity.name)_\(suffix)", axes: names, shape: shape, .numbers(each.flatMap(values)),
                unit: quantity.unit, meaning: "\(meaning): \(quantity.meaning)")
        }
        return [
            array("mean", "mean over traces", \.mean),
            array("sd", "sample standard deviation over traces", \.deviation),
            array("low", "lower end of the \(share) % interval of the mean", \.low),
            array("high", "upper end of the \(share) % interval of the mean", \.high),
            LabelledArray(
                "\(quantity.name)_n", axes: names, shape: shape,
                .integers(each.flatMap { $0.count.map { Int?.some($0) } }), unit: "traces",
                meaning: "traces in which it is defined"),
        ]
    }
}
