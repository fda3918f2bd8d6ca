import CHDF5
import Foundation

/// Creates every group, dataset, scale and attribute of a trace, before concurrent reading starts: nothing can be
/// created after.
struct TraceBuilder {
    let file: HDF5File
    let layout: TraceLayout
    /// The shape as planned, which the layout may fall short of where a run that has ended is copied.
    let planned: TracePlan
    /// What was done to the trace since its capture; empty where nothing was.
    let history: String

    func build(_ provenance: Provenance) throws -> [String: (HDF5Dataset, TraceLayout.Dataset)] {
        let plan = planned
        let schemaText = try SchemaDocument.current.json()
        for (name, text) in provenance.writtenAttributes + [
            ("format", Schema.format), ("format_version", Schema.version), ("min_reader", Schema.minimumReader),
            ("schema_sha256", SHA256Hash.hexadecimal(of: schemaText)), ("causality", plan.causality.rawValue),
            ("planned_queries", plan.queries.map(IndexText.text) ?? "all"),
            ("planned_map_steps", plan.mapSteps.map(IndexText.text) ?? "all"),
            ("signals", plan.signals.map(\.rawValue).sorted().joined(separator: ",")),
            (
                "attention_convention",
                "softmax over keys of query . key / sqrt(head_dim); query head h uses kv_head floor(h / (heads / kv_heads))"
            ),
        ] {
            try file.setAttribute(name, text)
        }
        for (name, number) in provenance.numberAttributes + [
            ("prompt_length", plan.promptLength), ("planned_generated_length", plan.generatedLength),
            ("planned_steps", plan.stepCount), ("is_guided", plan.isGuided ? 1 : 0), ("text_width", plan.textWidth),
            ("head_dim", plan.headWidth),
        ] {
            try file.setAttribute(name, [Int32(clamping: number)])
        }
        try file.setAttribute("seed", [provenance.seed])
        if !history.isEmpty { try file.setAttribute("history", history) }

        var groups: Set<String> = []
        var created: [String: (HDF5Dataset, TraceLayout.Dataset)] = [:]
        for placed in layout.datasets {
            var parent = ""
            for part in placed.path.split(separator: "/").dropLast() {
                parent += parent.isEmpty ? String(part) : "/" + part
                if groups.insert(parent).inserted { try file.createGroup(parent) }
            }
            created[placed.path] = (try create(placed), placed)
        }
        try labelFixedAxes(created)
        try attachScales(created)
        for scalar in Schema.scalars {
            // Full of zeros: nothing committed, not complete, an empty hash.
            let width = scalar.path == TraceScalar.schemaText ? schemaText.utf8.count : scalar.textWidth ?? 4
            var bytes = [UInt8](repeating: 0, count: width)
            if scalar.path == TraceScalar.schemaText { bytes = Array(schemaText.utf8) }
            try createScalar(scalar, bytes: bytes)
        }
        return created
    }

    private func create(_ placed: TraceLayout.Dataset) throws -> HDF5Dataset {
        let dataset = try HDF5Library.locked {
            let path = placed.path
            func check<Code: SignedInteger>(_ code: Code) throws -> Code {
                try HDF5Library.check(code, "create", file: file.path, object: path)
            }
            let type = Handle(
                try HDF5Type.make(
                    placed.schema.type, textWidth: placed.schema.textWidth ?? layout.plan.textWidth, file: file.path))
            let properties = Handle(try check(H5Pcreate(chdf5_dataset_create())))
            let initial = placed.dimensions.map { hsize_t(layout.length($0, afterSteps: 0)) }
            // Only steps grow without end; the other axes that grow have a planned full length.
            let limit = zip(placed.dimensions, placed.fullShape).map { dimension, full in
                layout.isUnlimited(dimension) ? chdf5_unlimited() : hsize_t(full)
            }
            let space = Handle(try check(H5Screate_simple(Int32(initial.count), initial, limit)))
            _ = try check(H5Pset_chunk(properties.id, Int32(placed.chunk.count), placed.chunk.map { hsize_t($0) }))
            if placed.isCompressed {
                _ = try check(H5Pset_shuffle(properties.id))
                _ = try check(H5Pset_deflate(properties.id, 1))
                _ = try check(H5Pset_fletcher32(properties.id))
            }
            try setFill(properties.id, type.id, placed)
            H5Pset_obj_track_times(properties.id, false)
            let id = try check(
                H5Dcreate2(file.id, path, type.id, space.id, hid_t(H5P_DEFAULT), properties.id, hid_t(H5P_DEFAULT)))
            return HDF5Dataset(file: file, object: path, handle: Handle(id))
        }
        try file.setAttribute("long_name", placed.schema.meaning, of: placed.path)
        if !placed.isCoordinate, placed.schema.type != .utf8 {
            try file.setAttribute("units", placed.schema.unit, of: placed.path)
        }
        if placed.schema.type == .float32 { try file.setAttribute("_FillValue", [Float.nan], of: placed.path) }
        let flags = [
            "is_masked": "not_masked masked", "suppressed": "kept suppressed suppressed_for_other_queries",
            "region_gold": "other gold",
        ]
        if let meanings = flags[placed.schema.path] {
            let count = UInt8(meanings.split(separator: " ").count)
            try file.setAttribute("flag_values", Array(0..<count), of: placed.path)
            try file.setAttribute("flag_meanings", meanings, of: placed.path)
        }
        if placed.path == Dimension.queryClass.rawValue {
            try file.setAttribute("flag_values", [0, 1, 2] as [Int32], of: placed.path)
            try file.setAttribute("flag_meanings", "prompt unmasked masked", of: placed.path)
        }
        return dataset
    }

    /// What was never written is not zero: NaN, or the most negative number.
    private func setFill(_ properties: hid_t, _ type: hid_t, _ placed: TraceLayout.Dataset) throws {
        func set<Value: BitwiseCopyable>(_ value: Value) throws {
            try withUnsafeBytes(of: value) { bytes in
                _ = try HDF5Library.check(
                    H5Pset_fill_value(properties, type, bytes.baseAddress), "set the fill value of", file: file.path,
                    object: placed.path)
            }
        }
        switch placed.schema.type {
        // A fill value on a float16 dataset makes netCDF4 1.7.5 crash when it closes the file.
        case .float16: break
        case .float32: try set(Float.nan)
        // Where a causal run ends without having fed a position in, nothing is written: these say so by -1.
        case .int32 where placed.path.hasPrefix("answer/source_") || placed.path.hasSuffix("hidden_max_channel"):
            try set(Int32(-1))
        case .int32: try set(Int32.min)
        case .uint8: try set(UInt8.max)
        case .utf8: break
        }
    }

    private func createScalar(_ scalar: Schema.Dataset, bytes: [UInt8]) throws {
        let name = scalar.path
        try HDF5Library.locked {
            func check<Code: SignedInteger>(_ code: Code) throws -> Code {
                try HDF5Library.check(code, "create", file: file.path, object: name)
            }
            let properties = Handle(try check(H5Pcreate(chdf5_dataset_create())))
            H5Pset_obj_track_times(properties.id, false)
            // Written at creation, so that the value has its place in the file before concurrent reading starts.
            H5Pset_alloc_time(properties.id, H5D_ALLOC_TIME_EARLY)
            let space = Handle(try check(H5Screate(H5S_SCALAR)))
            let type = Handle(try HDF5Type.make(scalar.type, textWidth: bytes.count, file: file.path))
            let dataset = Handle(
                try check(
                    H5Dcreate2(
                        file.id, name, type.id, space.id, hid_t(H5P_DEFAULT), properties.id, hid_t(H5P_DEFAULT))))
            _ = try check(
                H5Dwrite(dataset.id, type.id, hid_t(H5S_ALL), hid_t(H5S_ALL), hid_t(H5P_DEFAULT), bytes))
            // Only closing writes the value, so only an explicit close tells that it could not be written.
            _ = try check(H5Dclose(dataset.surrender()))
        }
        try file.setAttribute("long_name", scalar.meaning, of: name)
    }

    /// Labels the axes whose length and labels are known now.
    private func labelFixedAxes(_ created: [String: (HDF5Dataset, TraceLayout.Dataset)]) throws {
        let plan = layout.plan
        var labels: [Dimension: [Int]] = [
            .layer: plan.layers, .head: plan.heads, .kvHead: plan.kvHeads,
            .queryClass: QueryClass.allCases.map(\.rawValue), .depth: Array(0..<plan.layerCount + 1),
            .channel: Array(0..<plan.headWidth), .rank: Array(0..<plan.rankCount),
            .regionIndex: Array(0..<plan.regionCount),
        ]
        if plan.causality == .bidirectional {
            labels[.position] = Array(0..<plan.positionCount)
            labels[.query] = plan.queries ?? Array(0..<plan.keyCount)
            labels[.key] = Array(0..<plan.keyCount)
            labels[.generated] = Array(plan.promptLength..<plan.positionCount)
        }
        for (dimension, values) in labels {
            guard let dataset = created[dimension.rawValue]?.0, !values.isEmpty else { continue }
            try values.map { Int32(clamping: $0) }.withUnsafeBytes { bytes in
                if let base = bytes.baseAddress { try dataset.write(base, at: [0], shape: [values.count]) }
            }
        }
    }

    /// Gives each axis of each dataset its scale, as netCDF-4 does, so that xarray and netCDF4 know its name.
    private func attachScales(_ created: [String: (HDF5Dataset, TraceLayout.Dataset)]) throws {
        var number: Int32 = 0
        for dimension in Dimension.allCases {
            guard let (scale, _) = created[dimension.rawValue] else { continue }
            try HDF5Library.locked {
                _ = try HDF5Library.check(
                    H5DSset_scale(scale.id, dimension.rawValue), "make a scale of", file: file.path,
                    object: scale.object)
            }
            try file.setAttribute("_Netcdf4Dimid", [number], of: dimension.rawValue)
            number += 1
        }
        for placed in layout.datasets where !placed.isCoordinate {
            guard let (dataset, _) = created[placed.path] else { continue }
            for (axis, dimension) in placed.dimensions.enumerated() {
                guard let (scale, _) = created[dimension.rawValue] else { continue }
                try HDF5Library.locked {
                    _ = try HDF5Library.check(
                        H5DSattach_scale(dataset.id, scale.id, UInt32(axis)), "attach a scale to", file: file.path,
                        object: placed.path)
                }
            }
        }
    }
}
