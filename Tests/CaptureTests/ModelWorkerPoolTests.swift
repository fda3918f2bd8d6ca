import Capture
import Synchronization
import Testing

@Suite struct ModelWorkerPoolTests {
    @Test(arguments: [1, 2, 5, 16])
    func everyIndexOnce(threads: Int) throws {
        let pool = try WorkerPool(threads: threads)
        #expect(pool.threadCount == threads)
        for count in [0, 1, 2, 3, 100, 1000] {
            for _ in 0..<50 {
                let seen = (0..<count).map { _ in Tally() }
                pool.forEach(count) { index, worker in
                    seen[index].add()
                    if worker < 0 || worker >= threads { seen[index].add() }
                }
                #expect(seen.allSatisfy { $0.value == 1 })
            }
        }
    }

    @Test func loopsInsideLoops() throws {
        let pool = try WorkerPool(threads: 3)
        let total = Tally()
        pool.forEach(20) { _, outer in
            pool.forEach(10) { _, inner in
                if inner == outer { total.add() }
            }
        }
        #expect(total.value == 200)
    }

    @Test func severalCallers() async throws {
        let pool = try WorkerPool(threads: 2)
        let total = Tally()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask { for _ in 0..<100 { pool.forEach(10) { _ in total.add() } } }
            }
        }
        #expect(total.value == 4000)
    }

    @Test func sleepsBetweenLoops() async throws {
        let pool = try WorkerPool(threads: 2)
        for _ in 0..<5 {
            let total = Tally()
            pool.forEach(10) { _ in total.add() }
            #expect(total.value == 10)
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    @Test(arguments: [0, -3, 100_000])
    func badNumbers(threads: Int) {
        #expect(throws: ModelError.self) { try WorkerPool(threads: threads) }
    }
}

/// A counter that several threads add to.
final class Tally: Sendable {
    private let count = Atomic<Int>(0)
    func add() { count.add(1, ordering: .relaxed) }
    var value: Int { count.load(ordering: .relaxed) }
}
