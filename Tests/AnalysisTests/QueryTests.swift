import Testing

@testable import Analysis

struct QueryTests {
    private let table = Table(
        name: "hops",
        columns: [
            Column("layer", .integer), Column("score", .number), Column("token", .text), Column("split", .flag),
            Column("other", .number),
        ],
        rows: [
            [.integer(0), .number(1.5), .text("the"), .flag(true), .number(2)],
            [.integer(1), .number(.nan), .text("."), .flag(false), .number(1)],
            [.integer(2), .number(-3), .text("it's"), .missing, .number(-3)],
            [.integer(3), .number(20), .missing, .flag(true), .missing],
            [.integer(4), .missing, .text("The\n"), .flag(false), .number(.nan)],
        ])

    private func layers(_ expression: String) throws -> [Int] {
        try table.filtered(where: expression).rows.map { row in
            guard case .integer(let layer) = row[0] else { return -1 }
            return layer
        }
    }

    @Test(
        arguments: [
            ("layer = 2", [2]), ("layer == 2", [2]), ("layer != 2", [0, 1, 3, 4]), ("layer <> 2", [0, 1, 3, 4]),
            ("layer < 2", [0, 1]), ("layer <= 2", [0, 1, 2]), ("layer > 2", [3, 4]), ("layer >= 2", [2, 3, 4]),
            ("2 <= layer", [2, 3, 4]), ("score > 1", [0, 3]), ("score > -3.5e0", [0, 2, 3]), ("score=-3", [2]),
            ("score >= 1.5 and layer < 3", [0]), ("layer = 0 or layer = 4", [0, 4]),
            ("layer = 0 or layer = 1 and score > 0", [0]), ("(layer = 0 or layer = 1) and score > 0", [0]),
            ("not layer = 0 and layer < 3", [1, 2]), ("not (layer = 0 or layer > 2)", [1, 2]),
            ("NOT layer=0 AND layer<2", [1]),
            ("layer in (1, 3, 9)", [1, 3]), ("layer not in (1, 3)", [0, 2, 4]), ("score in (1.5, 20)", [0, 3]),
            ("score not in (20)", [0, 2]), ("token = 'the'", [0]), ("token = \"it's\"", [2]), ("token = 'it''s'", [2]),
            ("token contains 'h'", [0, 4]), ("token not contains 'h'", [1, 2]), ("token contains ''", [0, 1, 2, 4]),
            ("token like 't%'", [0]), ("token like '_'", [1]), ("token like '%e%'", [0, 4]),
            ("token like '%%s'", [2]),
            ("token not like '%t%'", [1, 4]), ("token < 'i'", [1, 4]), ("token in ('.', 'the')", [0, 1]),
            ("split", [0, 3]),
            ("not split", [1, 2, 4]), ("split = false", [1, 4]), ("split != true", [1, 4]),
            ("score is missing", [1, 4]),
            ("score is not missing", [0, 2, 3]), ("token is missing or split is missing", [2, 3]),
            // Nothing compares with nothing; not turns that round.
            ("score != 20", [0, 2]), ("not score = 20", [0, 1, 2, 4]), ("score = other", [2]), ("other < score", []),
            ("layer < other", [0]),
        ] as [(String, [Int])])
    func conditions(expression: String, expected: [Int]) throws {
        #expect(try layers(expression) == expected, "\(expression)")
    }

    @Test(
        arguments: [
            ("", 0, "a column or a value"), ("layer", 5, "expected a comparison"), ("layer >", 7, "the end"),
            ("layer >= and score > 3", 9, "'and'"), ("layer > 3 score", 10, "'and', 'or' or the end"),
            ("(layer > 3", 10, "expected ')'"), ("layer > 3)", 9, "the end, found ')'"),
            ("nothing > 3", 0, "no column 'nothing'; columns: layer, score"),
            ("layer > 'a'", 8, "column layer (numbers) does not compare with text"),
            ("token > 3", 8, "does not compare with a number"),
            ("split > true", 0, "by = and != alone"), ("layer contains '3'", 0, "holds no text"),
            ("token like 3", 11, "text in quotes"),
            ("layer in 3", 9, "expected '('"), ("layer in ()", 10, "expected a column or a value"),
            ("layer in (score)", 10, "a value"), ("layer in ('a')", 10, "does not compare"),
            ("layer > 1e999", 8, "is not a number"), ("layer > 1.2.3", 8, "is not a number"),
            ("layer > -", 8, "is not a number"),
            ("token = 'a", 8, "has no end"), ("layer & 3", 6, "means nothing"), ("layer is 3", 9, "'missing'"),
            ("layer not 3", 10, "'in', 'contains' or 'like'"), ("3 in (4)", 2, "expected a comparison"),
            ("1 < layer < 3", 10, "'and', 'or' or the end"),
            ("layer ! 3", 6, "means nothing"), ("Layer > 3", 0, "no column 'Layer'"),
        ] as [(String, Int, String)])
    func faults(expression: String, offset: Int, reason: String) throws {
        let error = try #require(throws: QueryError.self) { try layers(expression) }
        #expect(error.offset == offset && error.reason.contains(reason), "\(expression): \(error)")
    }

    @Test func theCaretStandsUnderTheFault() {
        let error = QueryError("here", in: "layer >= and", at: 9)
        #expect(error.description == "here\n  layer >= and\n           ^")
        let long = QueryError("here", in: String(repeating: "x", count: 500), at: 250)
        let lines = long.description.split(separator: "\n")
        #expect(lines[1].count < 120 && lines[2].count == 2 + 3 + 50 + 1)
    }

    @Test func deepNestingIsRefusedAndLongLinesAreNot() throws {
        for (opening, closing) in [("(", ")"), ("not ", "")] {
            func nested(_ depth: Int) -> String {
                String(repeating: opening, count: depth) + "layer = 2" + String(repeating: closing, count: depth)
            }
            #expect(try layers(nested(62)) == [2])
            for depth in [65, 1000, 100_000] {
                let error = try #require(throws: QueryError.self) { try layers(nested(depth)) }
                #expect(error.reason.contains("64 conditions within each other"))
            }
        }
        let many = Array(repeating: "layer = 2", count: 20_000)
        #expect(try layers(many.joined(separator: " or ")) == [2])
        #expect(try layers(many.joined(separator: " and ")) == [2])
        #expect(try layers("layer in (" + (0..<50_000).map { "\($0 + 3)" }.joined(separator: ",") + ")") == [3, 4])
        #expect(try layers("token like '" + String(repeating: "%", count: 5000) + "z'") == [])
    }

    @Test func garbageIsAnErrorOrAConditionAndNeverACrash() {
        let words = [
            "layer", "score", "token", "split", "and", "or", "not", "in", "is", "missing", "contains", "like", "(", ")",
            ",", "=", "!=", "<", "<=", ">", ">=", "3", "-1.5", "1e5", "'x'", "\"%_\"", "true", "'", "é", "\u{0}", "-",
            ".", "zz",
        ]
        var random = SplitMix64(seed: 11)
        var valid = 0
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...9, using: &random)
            let expression = (0..<count).map { _ in words[Int.random(in: 0..<words.count, using: &random)] }
                .joined(separator: Bool.random(using: &random) ? " " : "")
            do {
                _ = try layers(expression)
                valid += 1
            } catch let error as QueryError {
                #expect(!error.description.isEmpty && (error.offset ?? -1) <= expression.unicodeScalars.count)
            } catch {
                Issue.record("\(expression): \(error)")
            }
        }
        #expect(valid > 20)
    }

    @Test func sorting() throws {
        func sorted(_ list: String) throws -> [Cell] { try table.sorted(by: list).rows.map { $0[0] } }
        #expect(try sorted("score") == [2, 0, 3, 1, 4].map(Cell.integer))
        #expect(try sorted("-score") == [3, 0, 2, 1, 4].map(Cell.integer))
        #expect(try sorted("token") == [1, 4, 2, 0, 3].map(Cell.integer))
        #expect(try sorted("split, -layer") == [4, 1, 3, 0, 2].map(Cell.integer))
        let error = try #require(throws: QueryError.self) { try table.sorted(by: "layer, scope") }
        #expect(error.offset == 7 && error.reason.hasPrefix("no column 'scope'; columns: layer, "))
    }

    @Test func selecting() throws {
        let chosen = try table.selecting("token, layer")
        #expect(chosen.columns.map(\.name) == ["token", "layer"])
        #expect(chosen.rows[3] == [.missing, .integer(3)])
        #expect(throws: QueryError.self) { try table.selecting("token,,layer") }
    }
}

/// Random numbers that repeat.
private struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
