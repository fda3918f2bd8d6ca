/// A group of labelled arrays, with groups below it.
package struct LabelledGroup: Sendable, Equatable {
    /// Its name; empty for the root.
    package let name: String
    /// Texts that hold for all of it, by name.
    package var attributes: [(name: String, text: String)]
    /// Its arrays, scales among them.
    package var arrays: [LabelledArray]
    /// The groups below.
    package var groups: [LabelledGroup]

    /// Makes a group.
    package init(
        _ name: String = "", attributes: [(name: String, text: String)] = [], arrays: [LabelledArray] = [],
        groups: [LabelledGroup] = []
    ) {
        self.name = name
        self.attributes = attributes
        self.arrays = arrays
        self.groups = groups
    }

    /// An attribute's text.
    package func attribute(_ name: String) -> String? { attributes.first { $0.name == name }?.text }

    /// Whether both hold the same; NaN is not itself.
    package static func == (first: LabelledGroup, second: LabelledGroup) -> Bool {
        first.name == second.name && first.attributes.elementsEqual(second.attributes) { $0 == $1 }
            && first.arrays == second.arrays && first.groups == second.groups
    }
}
