import CKernels

/// Key vectors of one layer as the attention kernels read them, lent: for each key-value head panels of
/// ``panelWidth`` positions, [panel][channel][position], with numbers of no meaning beyond the last key.
public struct KeyPanels {
    /// Positions of a panel.
    public static let panelWidth = Int(CK_PANEL)

    /// Key-value heads.
    public let headCount: Int
    /// Keys, from position 0.
    public let keyCount: Int
    /// Numbers of a vector.
    public let channelCount: Int

    private let memory: UnsafeBufferPointer<Float>
    private let headStride: Int

    /// Describes panels in `memory`, which begins with those of head 0.
    public init(
        _ memory: UnsafeBufferPointer<Float>, headCount: Int, keyCount: Int, channelCount: Int, headStride: Int
    ) {
        self.memory = memory
        self.headCount = headCount
        self.keyCount = keyCount
        self.channelCount = channelCount
        self.headStride = headStride
        precondition(headCount > 0 && keyCount > 0 && channelCount > 0 && headStride >= 0)
        precondition((headCount - 1) * headStride + size <= memory.count)
    }

    /// Numbers of a head's panels.
    public var size: Int { Self.size(keyCount: keyCount, channelCount: channelCount) }

    /// Numbers of the panels of a head with as many keys.
    public static func size(keyCount: Int, channelCount: Int) -> Int {
        (keyCount + panelWidth - 1) / panelWidth * panelWidth * channelCount
    }

    /// The panels of one key-value head.
    public subscript(head: Int) -> UnsafeBufferPointer<Float> {
        precondition(0 <= head && head < headCount)
        return UnsafeBufferPointer(rebasing: memory[head * headStride..<head * headStride + size])
    }
}
