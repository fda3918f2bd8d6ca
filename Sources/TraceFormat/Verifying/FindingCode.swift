/// The rules of the format that ``TraceVerifier`` judges, each by a code that never changes its meaning.
///
/// `docs/verify.md` has an entry for each: what the rule says, and what to do about a file that breaks it.
public enum FindingCode: String, CaseIterable, Sendable, Codable {
    // The file as such.
    case fileOpen = "file.open"
    case fileRead = "file.read"
    case rootFormat = "root.format"
    case rootVersion = "root.version"

    // Attributes of the root group, and the schema that travels along.
    case attributeMissing = "attribute.missing"
    case attributeType = "attribute.type"
    case attributeValue = "attribute.value"
    case attributeHash = "attribute.hash"
    case attributeJSON = "attribute.json"
    case attributeHeads = "attribute.heads"
    case schemaHash = "schema.hash"
    case schemaText = "schema.text"

    // The commit record.
    case commitRecord = "commit.record"
    case commitSteps = "commit.steps"
    case commitUnfinished = "commit.unfinished"

    // Datasets: which, of what type, how long, how stored.
    case datasetMissing = "dataset.missing"
    case datasetUnlisted = "dataset.unlisted"
    case datasetType = "dataset.type"
    case datasetAxes = "dataset.axes"
    case datasetLength = "dataset.length"
    case datasetLonger = "dataset.longer"
    case datasetWords = "dataset.words"
    case datasetFill = "dataset.fill"
    case datasetFilters = "dataset.filters"
    case datasetChecksum = "dataset.checksum"
    case datasetFloat16 = "dataset.float16"
    case datasetName = "dataset.name"
    case datasetOutside = "dataset.outside"

    // Scales and what they say.
    case scaleMissing = "scale.missing"
    case scaleName = "scale.name"
    case scaleLength = "scale.length"
    case labelValue = "label.value"

    // Content hashes.
    case contentMissing = "content.missing"
    case contentTable = "content.table"
    case contentCoverage = "content.coverage"
    case contentHash = "content.hash"
    case contentLeaf = "content.leaf"

    // Single values.
    case chunkDamaged = "chunk.damaged"
    case textEncoding = "text.encoding"
    case valueUndefined = "value.undefined"
    case valueRange = "value.range"
    case valueProbability = "value.probability"
    case valueFlag = "value.flag"

    // Tokens.
    case vocabMissing = "vocab.missing"
    case vocabRepeated = "vocab.repeated"
    case vocabText = "vocab.text"
    case timelineMasked = "timeline.masked"
    case timelineMaskCount = "timeline.mask_count"
    case timelineTime = "timeline.time"
    case timelineAsked = "timeline.asked"
    case timelinePrompt = "timeline.prompt"
    case timelineChange = "timeline.change"
    case timelineUnmaskStep = "timeline.unmask_step"
    case timelineUnmaskOrder = "timeline.unmask_order"
    case timelineFinalID = "timeline.final_id"
    case topOrder = "top.order"
    case regionIndex = "region.index"

    // Attention.
    case visibleCount = "visible.count"
    case receivedRows = "received.rows"
    case mapsRows = "maps.rows"
    case mapsVisible = "maps.visible"
    case mapsReceived = "maps.received"
    case rowsMaps = "rows.maps"
    case answerSource = "answer.source"
    case answerRows = "answer.rows"
    case answerMap = "answer.map"
    case qkMaps = "qk.maps"
    case qkReceived = "qk.received"
    case qkRows = "qk.rows"
    case qkAnswer = "qk.answer"
    case residualOrder = "residual.order"

    /// Whether a rule of the format is broken, or something is merely unusual.
    public var severity: FindingSeverity {
        switch self {
        case .schemaText, .commitUnfinished, .datasetUnlisted, .datasetLonger: .warning
        default: .error
        }
    }
}

/// How bad a finding is.
public enum FindingSeverity: String, Sendable, Codable {
    /// The format says MUST, and the file does not.
    case error
    /// Unusual, and allowed.
    case warning
}
