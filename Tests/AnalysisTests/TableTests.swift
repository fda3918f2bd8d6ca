import Testing

@testable import Analysis

@Suite struct TableTests {
    private let table = Table(
        name: "trial", notes: ["rule: none"],
        columns: [
            Column("step", .integer), Column("score", .number, unit: "sum"), Column("token", .text),
            Column("split", .flag),
        ],
        rows: [
            [.integer(3), .number(1.5), .text("a,\"b\""), .flag(true)],
            [.integer(12), .number(.nan), .text("\n"), .missing],
            [.missing, .number(-0.000123456), .text("é"), .flag(false)],
        ])

    @Test func csvFollowsRFC4180() {
        #expect(
            table.csv() == "step,score,token,split\r\n3,1.5,\"a,\"\"b\"\"\",true\r\n12,NaN,\"\n\",\r\n"
                + ",-0.000123456,é,false\r\n")
    }

    @Test func jsonKeepsTheOrderOfKeysAndWritesNaNAsNull() {
        let text = table.json.text()
        #expect(text.contains("[12, null, \"\\n\", null]"))
        #expect(text.contains("[3, 1.5, \"a,\\\"b\\\"\", true]"))
        #expect(text.hasPrefix("{\n  \"name\": \"trial\",\n  \"notes\": [\"rule: none\"],\n  \"columns\": ["))
        #expect(JSONValue.object([]).text() == "{}")
        #expect(JSONValue.array([]).text() == "[]")
        #expect(JSONValue.text("\u{1}").text() == "\"\\u0001\"")
        #expect(JSONValue.number(.infinity).text() == "null")
    }

    @Test func textIsAligned() {
        let lines = [
            "step       score  token  split",
            "           [sum]",
            "   3       1.500  a,\"b\"    yes",
            "  12         NaN  \\n         -",
            "   -  -0.0001235  é         no",
            "# rule: none",
        ]
        #expect(table.text() == lines.joined(separator: "\n"))
        #expect(table.text(limit: 1).contains("... and 2 rows more"))
    }

    @Test(arguments: [
        (0, "0"), (3, "3"), (1.5, "1.5"), (0.123456, "0.1235"), (12.3456, "12.35"), (123.456, "123.5"),
        (1234.56, "1235"), (-0.5, "-0.5"), (0.00012345, "0.0001235"), (1.2345e-7, "1.235e-7"), (2.5e9, "2.5e9"),
        (.nan, "NaN"),
    ]) func numbersAreBrief(value: Double, text: String) {
        let brief = NumberText.brief(value)
        #expect(brief == text || Double(brief) == Double(text) && !value.isNaN, "\(brief)")
    }
}
