import NIOCore
import Synchronization
import Testing

@testable import Serving

@Suite struct AnswersTests {
    /// Waits until something is so; fails after some seconds.
    private func wait(for condition: @Sendable () async -> Bool) async throws {
        for _ in 0..<5000 {
            if await condition() { return }
            try await Task.sleep(for: .milliseconds(1))
        }
        Issue.record("waited in vain")
    }

    private func map(_ step: Int) -> PageItem { .block(trace: 0, path: .map(step: step, layer: 0, head: nil)) }

    @Test func readsOnceForAllWhoAsk() async throws {
        let source = SyntheticSource()
        let answers = Answers(source: source, limits: ServingLimits())
        source.isHeld = true
        async let all = withThrowingTaskGroup(of: Int.self) { group in
            for waiter in 0..<20 {
                group.addTask { try await answers.answer(to: .analysis(trace: 0), waiter: waiter).readableBytes }
            }
            return try await group.reduce(0, +)
        }
        try await wait { source.asked.count == 1 }
        source.isHeld = false
        #expect(try await all == 200)
        _ = try await answers.answer(to: .analysis(trace: 0), waiter: 99)
        #expect(source.asked == [.analysis(trace: 0)])
        source.replaceFile()
        _ = try await answers.answer(to: .analysis(trace: 0), waiter: 100)
        #expect(source.asked.count == 2)
        await answers.end()
    }

    @Test func dropsWhatNobodyWaitsFor() async throws {
        let source = SyntheticSource()
        let answers = Answers(source: source, limits: ServingLimits())
        source.isHeld = true
        let first = Task { try await answers.answer(to: map(0), waiter: 0) }
        try await wait { source.asked.count == 1 }
        let second = Task { try await answers.answer(to: map(1), waiter: 1) }
        try await wait { await answers.waiting == 2 }
        let third = Task { try await answers.answer(to: map(2), waiter: 2) }
        try await wait { await answers.waiting == 3 }
        // A pass does not wait for blocks.
        let pass = Task { try await answers.answer(to: .analysis(trace: 0), waiter: 3) }
        try await wait { source.asked.count == 2 }
        await answers.leave(map(1), waiter: 1)
        // Its read has begun: it is kept for whoever asks next.
        await answers.leave(map(0), waiter: 0)
        await #expect(throws: SourceError.abandoned) { try await second.value }
        source.isHeld = false
        _ = try await (first.value, third.value, pass.value)
        #expect(source.asked == [map(0), .analysis(trace: 0), map(2)])
        #expect(await answers.waiting == 0)
        await answers.end()
    }

    @Test func keepsABoundedNumberWaiting() async throws {
        let source = SyntheticSource()
        var limits = ServingLimits()
        limits.waiting = 3
        let answers = Answers(source: source, limits: limits)
        source.isHeld = true
        let tasks = (0..<3).map { step in Task { try await answers.answer(to: map(step), waiter: step) } }
        try await wait { await answers.waiting == 3 }
        await #expect(throws: SourceError.busy) { try await answers.answer(to: map(9), waiter: 9) }
        source.isHeld = false
        for task in tasks { #expect(try await task.value.readableBytes == 10) }
        await answers.end()
        await #expect(throws: SourceError.busy) { try await answers.answer(to: map(0), waiter: 10) }
    }
}
