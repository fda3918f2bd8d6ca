import CProcess

/// What Ctrl-C and SIGTERM do to a run: it ends after the step that it is in, and says what is kept.
struct Interruption: Error {
    /// The signal.
    let signal: Int32

    /// From now on a signal is noted where it would have ended the program; a second one, a second later or more, ends it.
    static func note() { cprocess_note_interruption() }

    /// Throws where a signal was noted.
    static func check() throws(Interruption) {
        let signal = cprocess_interruption()
        if signal != 0 { throw Interruption(signal: signal) }
    }

    /// Ends the program as the signal would have, so that whoever started it sees that.
    func end() -> Never { cprocess_end_by(signal) }
}
