/// How many positions a step of Dream's sampler unmasks: by the number of the step, and what was written before it.
///
/// Published, times are float32, and so is what is made of them; whether a product is rounded down to 3 or to 2 may hang
/// on it.
struct DreamSchedule {
    /// Steps that share out the positions.
    let steps: Int
    /// The time at which they end.
    let eps: Double
    /// Positions that are masked at first.
    let maskCount: Int

    /// The time before a step: `steps` + 1 of them from 1 to eps, counted from the nearer end as torch does.
    func time(_ step: Int) -> Float {
        let end = Float(eps)
        let width = (end - 1) / Float(steps)
        return step < (steps + 1) / 2 ? 1 + width * Float(step) : end - width * Float(steps - step)
    }

    /// 1 - s / t; 1 at the last step.
    func share(at step: Int) -> Float { step < steps - 1 ? 1 - time(step + 1) / time(step) : 1 }

    /// How many of the masked positions a step unmasks, by their score.
    func quota(of masked: Int, at step: Int) -> Int { Int(Float(masked) * share(at: step)) }

    /// How many positions are due at a step of `confidence_threshold`: an equal share each step, and what waits of
    /// earlier shares.
    func due(at step: Int, _ generation: Generation) -> Int {
        let shared = step < steps ? maskCount / steps * (step + 1) : maskCount
        return shared - generation.unmaskStep.count { $0 >= 0 }
    }

    /// Whether `confidence_threshold` has ended before a step. Each position that still waits after the planned steps adds
    /// one; the published code goes on through those even where nothing is left to do, which changes nothing.
    func hasEnded(before step: Int, _ generation: Generation) -> Bool {
        let waiting = generation.unmaskStep.count { $0 == -2 || Int($0) >= steps }
        return step >= steps + waiting || !generation.unmaskStep.contains(-2)
    }
}
