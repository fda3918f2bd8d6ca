/// A part of a text, and whether the pattern that cut it out matched it.
struct SplitPiece: Equatable {
    var range: Range<Int>
    let isMatch: Bool
}
