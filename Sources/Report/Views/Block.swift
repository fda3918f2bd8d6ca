import Foundation

/// Numbers for a page: named arrays behind a head in JSON, as Sources/Report/README.md lays them out.
public struct Block: Sendable, Equatable {
    /// How the values of an array are stored.
    public enum Storage: Sendable, Equatable {
        /// Whole numbers of 32 bits.
        case int32([Int32])
        /// Numbers in single precision; NaN where undefined.
        case float32([Float])
        /// Bits of numbers in half precision.
        case float16([UInt16])
        /// Numbers of 8 bits as they are.
        case bytes([UInt8])
        /// Codes 0...254 of peak x (code / 254)^2; 255 where undefined.
        case codes([UInt8], peak: Float)
    }

    /// One array.
    public struct Array: Sendable, Equatable {
        /// Its name.
        public let name: String
        /// Lengths of its axes, the last fastest.
        public let shape: [Int]
        /// Its values, row-major.
        public let storage: Storage

        /// Names values along axes.
        public init(_ name: String, shape: [Int], _ storage: Storage) {
            self.name = name
            self.shape = shape
            self.storage = storage
        }
    }

    /// Its arrays, in order.
    public let arrays: [Array]

    /// Collects arrays.
    public init(_ arrays: [Array]) { self.arrays = arrays }
}
