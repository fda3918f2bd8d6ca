/// Exact minimum-cost assignment of the rows of a square integer matrix to its columns.
///
/// Among all assignments of minimum cost the one is taken in which row 0 has its smallest column, then row 1, and so
/// on; integers make the ties exact.
struct Assignment {
    /// The column of each row.
    let columns: [Int]

    /// Stands for a pair that is not allowed. Sums of a whole matrix of them still fit.
    static let forbidden = 1 << 40

    /// Solves a square matrix in which some assignment avoids the forbidden pairs.
    init(minimising cost: [[Int]]) { self.init(minimising: cost.flatMap { $0 }, size: cost.count) }

    /// The same, (row, column), row-major.
    init(minimising cost: [Int], size: Int) {
        columns = cost.withUnsafeBufferPointer { cost in
            let (matched, rowPrice, columnPrice) = Self.solve(cost, size)
            return Self.first(of: cost, size, from: matched, rowPrice: rowPrice, columnPrice: columnPrice)
        }
    }

    /// The Hungarian method by shortest augmenting paths (Kuhn 1955; Jonker and Volgenant 1987), O(n^3).
    private static func solve(
        _ cost: UnsafeBufferPointer<Int>, _ n: Int
    ) -> (columns: [Int], rowPrice: [Int], columnPrice: [Int]) {
        // Row and column 0 are the root of each search; the matrix begins at 1.
        var rowPrice = Array(repeating: 0, count: n + 1)
        var columnPrice = rowPrice
        var rowOfColumn = rowPrice
        var slack = rowPrice
        var previous = rowPrice
        var visited = Array(repeating: false, count: n + 1)
        for row in 1..<n + 1 {
            rowOfColumn[0] = row
            var column = 0
            for candidate in 0..<n + 1 {
                slack[candidate] = Int.max
                visited[candidate] = false
            }
            repeat {
                visited[column] = true
                let current = rowOfColumn[column]
                var delta = Int.max
                var next = 0
                for candidate in 1..<n + 1 where !visited[candidate] {
                    let reduced = cost[(current - 1) * n + candidate - 1] - rowPrice[current] - columnPrice[candidate]
                    if reduced < slack[candidate] {
                        slack[candidate] = reduced
                        previous[candidate] = column
                    }
                    if slack[candidate] < delta {
                        delta = slack[candidate]
                        next = candidate
                    }
                }
                for candidate in 0..<n + 1 {
                    if visited[candidate] {
                        rowPrice[rowOfColumn[candidate]] += delta
                        columnPrice[candidate] -= delta
                    } else if candidate > 0 {
                        slack[candidate] -= delta
                    }
                }
                column = next
            } while rowOfColumn[column] != 0
            repeat {
                let before = previous[column]
                rowOfColumn[column] = rowOfColumn[before]
                column = before
            } while column != 0
        }
        var columns = Array(repeating: 0, count: n)
        for column in 1..<n + 1 { columns[rowOfColumn[column] - 1] = column - 1 }
        return (columns, Array(rowPrice.dropFirst()), Array(columnPrice.dropFirst()))
    }

    /// The first assignment in the order of the rows' columns, among those of minimum cost: the perfect matchings of
    /// the pairs whose reduced cost is zero. Each row in turn takes the smallest such column for which the rows
    /// behind it can still be rearranged.
    private static func first(
        of cost: UnsafeBufferPointer<Int>, _ n: Int, from start: [Int], rowPrice: [Int], columnPrice: [Int]
    ) -> [Int] {
        var columns = start
        var rows = Array(repeating: 0, count: n)
        for row in 0..<n { rows[columns[row]] = row }
        func isTight(_ row: Int, _ column: Int) -> Bool {
            cost[row * n + column] - rowPrice[row] - columnPrice[column] == 0
        }
        for row in 0..<n {
            for column in 0..<columns[row] where rows[column] > row && isTight(row, column) {
                // The row that held the column must reach the one given up, through rows not yet settled.
                let displaced = rows[column]
                let target = columns[row]
                var origin = Array(repeating: -1, count: n)
                var queue = [displaced]
                var found = false
                search: while let current = queue.popLast() {
                    for next in 0..<n
                    where origin[next] < 0 && next != column && rows[next] >= row && isTight(current, next) {
                        origin[next] = current
                        if next == target {
                            found = true
                            break search
                        }
                        queue.append(rows[next])
                    }
                }
                guard found else { continue }
                var free = target
                while true {
                    let mover = origin[free]
                    let given = columns[mover]
                    columns[mover] = free
                    rows[free] = mover
                    if mover == displaced { break }
                    free = given
                }
                columns[row] = column
                rows[column] = row
                break
            }
        }
        return columns
    }
}
