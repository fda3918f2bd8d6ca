"""The page of a report in headless Chromium, against the trace read by h5py and against `attntrace analyze`."""

import csv
import io
import math
import re
import re

import h5py
import numpy as np
import pypdfium2
import pytest

from browsing import LOCAL, WatchedPage, open_report, served
from reports import Report
from support import answer, answer_json, attntrace, capture

HOSTILE = (
    "[[document one]]In the beginning.[[/document]] [[document two gold]]</script><img src=x onerror=alert(1)> "
    "שלום\u200f 👩\u200d👧 a\u200bb[[/document]] And God said"
)
ARGUMENTS = {
    "diffusion": ["--gen-length", 12, "--signals", "rows,norms", "--record", "maps", "--markers"],
    "causal": ["--model", "tiny-ar", "--max-new-tokens", 10, "--record", "maps", "--markers"],
    "received": ["--gen-length", 8, "--record", "received", "--markers"],
}


@pytest.fixture(scope="session")
def shown(tmp_path_factory):
    """Traces of a hostile prompt, and the path of their report: one of a diffusion and a causal one, one of summaries only."""
    folder = tmp_path_factory.mktemp("page")
    paths = {name: capture(folder / f"{name}.h5", *arguments, prompt=HOSTILE) for name, arguments in ARGUMENTS.items()}
    answer("report", paths["diffusion"], paths["causal"], "--output", folder / "both.html")
    answer("report", paths["received"], "--output", folder / "received.html")
    paths["both"], paths["summaries"] = folder / "both.html", folder / "received.html"
    return paths


@pytest.fixture(scope="session")
def maps(shown):
    """Full attention of both traces, float64: [step, layer, head, query, key]; causal: one step."""
    found = {}
    for name in ("diffusion", "causal"):
        with h5py.File(shown[name]) as f:
            found[name] = f["maps/attention"][()].astype(np.float64)
    return found


@pytest.fixture
def page(browser, shown):
    page = open_report(browser, shown["both"])
    yield page
    page.close()


def tolerance(value, peak):
    """How far a number may lie from the one that its 8-bit code stands for: half a step of code, and float16."""
    return 1.02 * peak * (2 * math.sqrt(value / peak) * 0.5 / 254 + (0.5 / 254) ** 2) + 1e-7


def hover(page, row, column, rows, columns):
    """Points at a cell of the map; the value that the page reads there."""
    left, top, width, height = page.evaluate("""() => {
        const canvas = document.querySelector("#map canvas");
        canvas.scrollIntoView({ block: "center", behavior: "instant" });
        const { left, top } = canvas.getBoundingClientRect();
        const plot = canvas.dataset;
        return [left + Number(plot.left), top + Number(plot.top), Number(plot.width), Number(plot.height)];
    }""")
    page.mouse.move(left + (column + 0.5) * width / columns, top + (row + 0.5) * height / rows)
    page.settle()
    return page.get_attribute("#map-value", "data-value")


def go(page, trace=0, step=0, layer=0, head="mean", follow=None):
    """Goes to a place by the page's address."""
    fragment = f"#t={trace}&s={step}&l={layer}&h={head}" + ("" if follow is None else f"&f={follow}")
    page.evaluate("(fragment) => { location.hash = fragment; }", fragment)
    page.settle()
    kind = "mean over heads" if head == "mean" else f"head {head}"
    page.wait("(title) => document.getElementById('map-caption').textContent === title", f"Step {step}, layer {layer}, {kind}")
    page.settle()


def test_hostile_text_is_only_text(page):
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert "</script><img src=x onerror=alert(1)>" in page.text_of(".prompt")
    chips = page.eval_on_selector_all("#text .chip .final", "(all) => all.map((each) => each.textContent)")
    assert "<|startoftext|>" in chips
    # Nothing that cannot be seen stands in a chip as it is: these models' tokens are bytes there, others' are not.
    assert not any(mark in chip for chip in chips for mark in "\u200b\u200d\u200f\n")
    assert page.evaluate("(text) => visible(text)", "a\u200b\u202eb c\n\x00") == "a⟨200B⟩⟨202E⟩b·c↵⟨0000⟩"
    assert page.evaluate("(text) => label(text, 4)", "שלום עולם") == "\u2068שלו…\u2069"


def test_hover_reads_the_traces_numbers(page, maps):
    rng = np.random.default_rng(1)
    attention = maps["diffusion"]
    steps, layers, heads, keys, _ = attention.shape
    checked = 0
    for step, layer, head in [(0, 0, "mean"), (5, 3, 2), (steps - 1, layers - 1, heads - 1)]:
        go(page, 0, step, layer, head)
        wanted = attention[step, layer].mean(0) if head == "mean" else attention[step, layer, head]
        row, column = np.unravel_index(np.argmax(wanted), wanted.shape)
        for query, key in [(row, column), *rng.integers(0, keys, (3, 2))]:
            read = float(hover(page, query, key, keys, keys))
            assert abs(read - wanted[query, key]) <= tolerance(wanted[query, key], wanted.max()), (step, layer, head, query, key)
            assert f" {query}" in page.text_of("#map-readout div:nth-child(2)") and f" {key}" in page.text_of("#map-readout div:nth-child(3)")
            checked += 1
    assert checked == 12


def test_a_causal_map_grows_and_hides_what_is_not_seen(page, maps, shown):
    attention = maps["causal"][0]
    keys = attention.shape[-1]
    with h5py.File(shown["causal"]) as f:
        prompt = int(f.attrs["prompt_length"])
    go(page, 1, 3, 2, 1)
    seen = prompt + 3
    for query, key in [(seen - 1, 0), (seen - 1, seen - 1), (5, 2)]:
        read = float(hover(page, query, key, keys, keys))
        wanted = attention[2, 1, query, key]
        assert abs(read - wanted) <= tolerance(wanted, attention[2, 1].max())
    assert hover(page, seen, 0, keys, keys) == ""
    assert hover(page, 5, 6, keys, keys) == ""
    assert page.text_of("#map-value") == "not seen"


def test_the_slider_and_the_keys_move(page):
    pictures = set()
    last = int(page.get_attribute("#step", "max"))
    for place in range(last + 1):
        page.eval_on_selector("#step", "(slider, place) => { slider.value = place; slider.dispatchEvent(new Event('input', {bubbles: true})); }", place)
        page.wait("(title) => document.getElementById('map-caption').textContent.startsWith(title)", f"Step {place},")
        page.settle()
        pictures.add(page.pixels("#map canvas"))
        assert page.get_attribute("#step", "aria-valuetext") == f"step {place}, {place + 1} of {last + 1}"
    assert len(pictures) == last + 1
    state = lambda: page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")
    page.evaluate("document.activeElement.blur()")
    page.press("Home", "ArrowRight", "ArrowRight", "ArrowLeft", "]", "]", "[", ".", ".", ",")
    page.wait_for_timeout(400)
    assert {name: state()[name] for name in "slh"} == {"s": "1", "l": "1", "h": "0"}
    page.press("End", "m")
    page.wait_for_timeout(400)
    assert {name: state()[name] for name in "sh"} == {"s": str(last), "h": "mean"}
    page.press("?")
    assert page.locator("#help").is_visible()
    page.press("Escape")
    assert not page.locator("#help").is_visible()


def test_the_text_is_that_of_the_step(page, shown):
    with h5py.File(shown["diffusion"]) as f:
        masked, unmasked_at = f["is_masked"][()], f["unmask_step"][()]
        predicted = f["predicted_id"][()]
        texts = dict(zip(f["vocab_id"][()].tolist(), (text.decode().rstrip("\0") for text in f["vocab_text"][()])))
    for step in (0, 4, 11):
        go(page, 0, step)
        # The text may lie out of sight: it follows when all is quiet.
        page.wait("([at, position]) => document.querySelectorAll('#text .chip')[position].classList.contains('now')",
                  [step, int(np.flatnonzero(unmasked_at == step)[0])])
        chips = page.eval_on_selector_all(
            "#text .chip", "(all) => all.map((each) => [each.className, each.querySelector('.guess').textContent])")
        assert len(chips) == masked.shape[1]
        for position, (classes, guess) in enumerate(chips):
            still = bool(masked[step, position]) and unmasked_at[position] != step
            assert ("masked" in classes.split()) == still, (step, position)
            assert ("now" in classes.split()) == (unmasked_at[position] == step)
            if still:
                assert guess == page.evaluate("(text) => visible(text)", texts[predicted[step, position]])


def test_play_moves_by_itself_and_stops_at_the_end(page):
    page.press("Home", "p")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    page.wait("() => document.getElementById('step').value === document.getElementById('step').max")
    page.wait("() => document.getElementById('play').getAttribute('aria-pressed') === 'false'")


def rows_of_map(shown):
    with h5py.File(shown["diffusion"]) as f:
        return f["query"][()]


def test_a_token_is_followed_everywhere(page, shown):
    go(page, 0, 4, 1)
    before = page.pixels("#drift-map canvas")
    chip = page.locator("#text .chip").nth(7)
    chip.click()
    page.wait("() => !document.getElementById('follow').hidden && document.querySelectorAll('#follow canvas').length >= 3")
    page.settle()
    assert chip.get_attribute("aria-pressed") == "true"
    assert page.pixels("#drift-map canvas") != before
    assert "at 7" in page.text_of("#follow h3")
    # What it receives, by step, as in the file.
    page.locator("#follow details summary").first.click()
    page.wait("() => document.querySelectorAll('#follow tbody tr').length > 0")
    rows = page.eval_on_selector_all("#follow tbody tr", "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))")
    with h5py.File(shown["diffusion"]) as f:
        received = f["received"][:, 1].sum(2).mean(1)[:, 7] / f["visible_queries"][:, 7]
        peak = (f["received"][:, 1].sum(2).mean(1) / f["visible_queries"][()]).max()
    assert len(rows) == len(received)
    for (_, value), wanted in zip(rows, received):
        assert abs(float(value) - wanted) <= tolerance(wanted, peak) + 1e-5 * wanted
    page.press("Escape")
    assert page.locator("#follow").is_hidden()
    # A click into the map follows the key, and one on a row's label the query.
    keys = len(rows_of_map(shown))
    hover(page, 3, 9, keys, keys)
    page.mouse.down()
    page.mouse.up()
    page.settle()
    assert "following 9 " in page.text_of("#following")


@pytest.mark.parametrize("rule", ["deviation", "top"])
def test_absorption_is_that_of_the_rule(browser, shown, tmp_path, rule):
    answer("report", shown["diffusion"], "--rule", rule, "--output", tmp_path / "r.html")
    analysis = answer_json("analyze", shown["diffusion"], "--rule", rule, "--metrics", "absorption", "--json")
    [wanted] = [each["values"] for each in analysis["metrics"][0]["quantities"] if each["name"] == f"absorption_{rule}_by_layer"]
    page = open_report(browser, tmp_path / "r.html")
    rows = table_of(page, "Absorption by layer")
    heads = page.locator("figure:has(> h3:text-is('Absorption by layer')) thead th").all_text_contents()
    [place] = [place for place, head in enumerate(heads) if head.startswith("sinks of the rule") and "band" not in head][:1]
    for row, value in zip(rows, wanted, strict=True):
        assert abs(float(row[place]) - value) <= 2e-5 * abs(value) + 1e-9
    page.close()


def test_where_a_followed_token_is_a_sink(browser, shown):
    """As `attntrace sinks` says it, layer by layer, as ranges of steps."""
    table = list(csv.DictReader(io.StringIO(answer("sinks", shown["diffusion"], "--per", "layer", "--format", "csv"))))
    position = table[len(table) // 2]["position"]
    wanted = {}
    for row in table:
        if row["position"] == position:
            wanted.setdefault(int(row["layer"]), []).append(int(row["step"]))
    page = open_report(browser, shown["both"], f"#f={position}")
    page.wait("() => document.querySelector('#follow .notes').textContent.includes('heads averaged')")
    said = page.text_of("#follow .notes")
    found = {}
    for layer, ranges in re.findall(r"layer (\d+), steps ([\d–, ]+)", said):
        ends = [list(map(int, each.split("–"))) for each in ranges.split(", ")]
        found[int(layer)] = [step for each in ends for step in range(each[0], each[-1] + 1)]
    assert found == wanted and wanted
    page.close()


def test_the_address_brings_back_the_place(browser, shown):
    page = open_report(browser, shown["both"], "#t=1&s=2&l=3&h=4&f=5&c=log")
    assert page.input_value("#layer") == "3" and page.input_value("#head") == "4" and page.input_value("#scale") == "log"
    assert page.input_value("#step") == "2" and page.is_checked("input[name=trace][value='1']")
    assert "following 5 " in page.text_of("#following")
    page.close()
    page = open_report(browser, shown["both"], "#t=9&s=x&l=99&h=-1&f=100000&c=%3Cimg%3E")
    assert page.input_value("#layer") == "0" and page.input_value("#head") == "mean"
    page.close()


def table_of(page, figure):
    """Rows of the numbers behind a figure, as text."""
    box = page.locator(f"figure:has(> h3:text-is('{figure}'))").first
    box.locator("details.numbers summary").click()
    box.locator("tbody tr").first.wait_for(state="attached")
    return box.locator("tbody tr").evaluate_all("(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))")


def test_numbers_behind_figures_are_those_of_analyze(page, shown):
    analysis = answer_json("analyze", "--json", shown["diffusion"])
    quantities = {quantity["name"]: quantity for metric in analysis["metrics"] for quantity in metric["quantities"]}
    close = lambda text, value: (text == "–") if value is None else abs(float(text) - value) <= 2e-5 * abs(value) + 1e-12
    score = table_of(page, "Sink score by layer and head")
    heads = len(quantities["top_score"]["axes"]["head"])
    for layer, row in enumerate(score):
        for head in range(heads):
            assert close(row[1 + head], quantities["top_score"]["values"][layer * heads + head])
    absorption = table_of(page, "Absorption by layer")
    for layer, row in enumerate(absorption):
        assert close(row[1], quantities["absorption_excess_by_layer"]["values"][layer])
        spread = np.std(quantities["absorption_excess"]["values"][layer * heads:(layer + 1) * heads])
        assert math.isclose(float(row[3]) - float(row[2]), 2 * spread, rel_tol=1e-3, abs_tol=1e-4)
    structure = table_of(page, "Structure against content")
    for layer, row in enumerate(structure):
        assert close(row[1], quantities["structural_share_by_layer"]["values"][layer])
    cosine = table_of(page, "Angle: cosine of q and k")
    for layer, row in enumerate(cosine):
        defined = [v for v in quantities["map_cosine_on_sinks"]["values"][layer * heads:(layer + 1) * heads] if v is not None]
        assert close(row[1], float(np.mean(defined)) if defined else None)
    flow = table_of(page, "Flow, rolled out over the layers")
    wide = len(flow)
    for query, row in enumerate(flow):
        assert all(close(text, quantities["region_flow"]["values"][query * wide + key]) for key, text in enumerate(row[1:]))


def test_numbers_are_saved_in_full(page, shown):
    table_of(page, "Sink score by layer and head")
    with page.expect_download() as saved:
        page.locator("figure:has(> h3:text-is('Sink score by layer and head')) >> button:text-is('CSV')").click()
    rows = list(csv.reader(io.StringIO(open(saved.value.path(), newline="", encoding="utf-8").read())))
    quantities = {q["name"]: q for m in answer_json("analyze", "--json", shown["diffusion"])["metrics"] for q in m["quantities"]}
    values = [float(value) for row in rows[1:] for value in row[1:]]
    np.testing.assert_allclose(values, quantities["top_score"]["values"], rtol=1e-8)
    assert saved.value.suggested_filename == "top_score.csv"


def test_tables_are_sorted_by_a_click(page):
    box = page.locator("figure:has(> h3:text-is('Tokens that are sinks')) table")
    numbers = lambda: [float(text) for text in box.locator("tbody td:nth-child(3)").all_text_contents()]
    box.locator("th:has-text('sinks') button").click()
    assert numbers() == sorted(numbers(), reverse=True)
    box.locator("th:has-text('sinks') button").click()
    assert numbers() == sorted(numbers()) and box.locator("th:has-text('sinks')").get_attribute("aria-sort") == "ascending"


def test_any_quantity_can_be_read(page, shown):
    page.select_option("#quantity", "sinks_per_step_by_step")
    analysis = answer_json("analyze", "--json", shown["diffusion"])
    [quantity] = [q for m in analysis["metrics"] for q in m["quantities"] if q["name"] == "sinks_per_step_by_step"]
    first = page.locator("#numbers tbody tr").first.locator("td").all_text_contents()
    steps = len(quantity["axes"]["step"])
    assert [float(text) for text in first] == pytest.approx(quantity["values"][:steps], rel=1e-5)


def test_traces_are_compared(page, shown):
    assert page.locator("#compare").is_visible()
    page.wait("() => document.querySelectorAll('#compare figure canvas').length >= 3")
    assert page.locator("#compare table caption").count() >= 1
    rows = table_of(page, "Floating index of answer rows")
    for place, name in enumerate(("diffusion", "causal")):
        quantities = {q["name"]: q for m in answer_json("analyze", "--json", shown[name])["metrics"] for q in m["quantities"]}
        each = quantities["answer_floating_index"]
        wanted = np.array(each["values"], dtype=float).reshape(-1, len(each["axes"]["head"])).mean(1)
        assert [float(row[1 + place]) for row in rows] == pytest.approx(wanted, rel=1e-5)


def test_what_was_not_recorded_is_said(browser, shown):
    page = open_report(browser, shown["summaries"])
    assert "not recorded" in page.text_of("#map-notes")
    absent = page.locator("figure.absent").all_text_contents()
    assert any("Region flow" in text and "lacks full attention" in text for text in absent)
    assert any("QK decomposition" in text and "--record qk" in text for text in absent)
    page.close()


def test_damage_to_the_page_is_said_on_the_page(browser, shown, tmp_path):
    text = shown["both"].read_text(encoding="utf-8")
    start = text.index('id="block/0/received/2"')
    broken = tmp_path / "broken.html"
    broken.write_text(text[:start] + 'id="block/0/elsewhere"' + text[start + len('id="block/0/received/2"'):], encoding="utf-8")
    page = open_report(browser, broken)
    page.wait("() => document.getElementById('messages').textContent.includes('block/0/received/2')")
    page.context.close()


def test_the_same_page_reads_over_http(browser, shown, maps):
    with served(shown["both"]) as (address, asked, missing):
        page = WatchedPage(browser, address, local=(*LOCAL, address))
        go(page, 0, 5, 3, 2)
        wanted = maps["diffusion"][5, 3, 2]
        row, column = np.unravel_index(np.argmax(wanted), wanted.shape)
        read = float(hover(page, row, column, *wanted.shape))
        assert abs(read - wanted[row, column]) <= tolerance(wanted[row, column], wanted.max())
        assert {"/page.json", "/analysis/0.json", "/block/0/timeline", "/block/0/map/5/3/2"} <= set(asked)
        assert "/block/0/map/5/6/2" not in asked
        page.check_quiet()
        missing.add("/block/0/map/5/6/2")
        page.evaluate("location.hash = '#t=0&s=5&l=6&h=2'")
        page.wait("() => document.getElementById('messages').textContent.includes('block/0/map/5/6/2: the server answers 404')")
        page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_schemes(browser, shown, scheme):
    page = open_report(browser, shown["both"], color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor").removeprefix("rgb(").rstrip(")").split(", ")
    assert (sum(map(int, paper)) > 600) == (scheme == "light")
    first = page.pixels("#map canvas")
    page.select_option("#theme", "light" if scheme == "dark" else "dark")
    page.settle()
    assert page.pixels("#map canvas") != first
    page.close()


def test_print_has_everything_on_white(browser, shown, tmp_path):
    page = open_report(browser, shown["both"], color_scheme="dark")
    page.page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.settle()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("#controls").is_hidden() and page.locator("#help-open").is_hidden()
    assert page.locator("details.facts:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.page.pdf(path=tmp_path / "page.pdf")
    page.close()
    # The sheet of the map shows it: that much of the sheet is not white.
    document = pypdfium2.PdfDocument(tmp_path / "page.pdf")
    [sheet] = [each for each in document if "\nattention weight" in "\n" + each.get_textpage().get_text_bounded()][:1]
    picture = np.asarray(sheet.render(scale=1).to_numpy())[..., :3]
    assert (picture.min(axis=-1) < 240).mean() > 0.2


def test_less_motion(browser, shown):
    page = open_report(browser, shown["both"], reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    page.close()


@pytest.mark.parametrize("width", [380, 1600])
@pytest.mark.parametrize("which", ["both", "summaries"])
def test_no_width_overflows(browser, shown, width, which):
    page = open_report(browser, shown[which], "#s=3&f=4")
    page.page.set_viewport_size({"width": width, "height": 800})
    page.settle()
    assert not page.overflows()
    page.close()


def test_everything_has_a_name(page):
    go(page, 0, 3, 1, "mean", 4)
    nameless = page.evaluate("""() => [...document.querySelectorAll("canvas, button, select, input, a")].filter((each) =>
        !each.closest("[aria-hidden=true]") && each.getAttribute("aria-hidden") !== "true" && !each.closest("[hidden]")
        && !(each.getAttribute("aria-label") || each.textContent.trim() || each.labels?.length)).map((each) => each.outerHTML)""")
    assert nameless == []
    assert page.evaluate("[...document.querySelectorAll('table')].every((each) => each.caption && each.querySelector('th[scope=col]'))")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))
    assert page.evaluate("document.documentElement.lang") == "en"


def test_the_map_is_read_by_keyboard_alone(page):
    page.evaluate("document.querySelector('#map canvas').focus()")
    page.press("ArrowRight", "ArrowRight", "ArrowDown")
    assert "query 1 " in page.text_of("#map-status") and "key 1 " in page.text_of("#map-status")
    assert page.input_value("#step") == "0"
    page.press("Enter")
    assert "following 1 " in page.text_of("#following")


def test_a_trace_without_steps_shows_its_facts(browser, shown, tmp_path):
    path = tmp_path / "none.h5.partial"
    path.write_bytes(shown["received"].read_bytes())
    with h5py.File(path, "r+") as f:
        f["committed_steps"][()] = 0
        f["is_complete"][()] = 0
    report = tmp_path / "none.html"
    answer("report", path, shown["received"], "--output", report)
    page = open_report(browser, report, "#t=1")
    page.check_quiet()
    page.evaluate("location.hash = '#t=0'")
    page.wait("() => document.getElementById('controls').hidden")
    page.settle()
    assert page.locator("main > section:visible").evaluate_all("(all) => all.map((each) => each.id)") == ["captured", "compare"]
    assert "No step of the run is whole yet" in page.text_of("#summary") and page.locator("#facts .facts").count() == 4
    page.press("ArrowRight", "End", "p")
    page.evaluate("location.hash = '#t=1&s=2'")
    page.wait("() => !document.getElementById('controls').hidden && document.getElementById('step-value').textContent.startsWith('2 of')")
    page.close()


def report_within(trace, path, room):
    """A report that has so many bytes for blocks, beyond what every page of the trace takes."""
    said = attntrace("report", trace, "--output", path, "--size-limit", 1000)
    least = int(re.search(r"takes (\d+) bytes at the least", said.stderr)[1])
    answer("report", trace, "--output", path, "--size-limit", least + room)


@pytest.fixture(scope="session")
def thinned(shown, tmp_path_factory):
    """A page of so few bytes that steps are left out of text, maps and received means: its path and what is kept."""
    folder = tmp_path_factory.mktemp("thinned")
    trace = capture(folder / "long.h5", "--gen-length", 96, "--block-length", 96, "--record", "maps")
    report_within(trace, folder / "long.html", 40_000)
    return trace, folder / "long.html", Report(folder / "long.html").page["traces"][0]["blocks"]


def test_the_text_of_a_thinned_page_is_of_the_step_that_it_names(browser, thinned):
    trace, path, blocks = thinned
    kept = np.array(blocks["timeline"]["steps"])
    step = int(next(step for step in range(40, 96) if step not in kept))
    nearest = int(kept[kept <= step].max())
    with h5py.File(trace) as f:
        masked, unmasked_at = f["is_masked"][nearest], f["unmask_step"][()]
    page = open_report(browser, path, f"#s={step}")
    page.locator("#text").scroll_into_view_if_needed()
    page.wait("(step) => document.getElementById('text-notes').textContent.includes(`of step ${step}.`)", nearest)
    chips = page.eval_on_selector_all("#text .chip", "(all) => all.map((each) => each.classList.contains('masked'))")
    assert chips == (masked.astype(bool) & (unmasked_at != nearest)).tolist() and any(chips)
    page.close()


def test_marks_of_sinks_are_of_the_step_of_the_map(browser, thinned):
    trace, path, _ = thinned
    path = path.with_name("maps.html")
    report_within(trace, path, 500_000)
    report = Report(path)
    kept, received = (report.page["traces"][0]["blocks"][name] for name in ("map", "received"))
    assert received["steps"] == list(range(96)) and received["keySpan"] == 1 and len(kept["steps"]) < 96
    before = {step: max(each for each in kept["steps"] if each <= step) for step in range(96)}
    columns = {}
    for layer in kept["layers"]:
        for step, row in enumerate(report.block(f"received/{layer}")["sinks"]):
            columns[layer, step] = sorted({int(key) // kept["span"] for key in np.flatnonzero(row == 1)})
    layer, step = next(each for each in columns if columns[each] and columns[each] != columns[each[0], before[each[1]]])
    page = open_report(browser, path, f"#s={step}&l={layer}")
    assert f"this is step {before[step]}." in page.text_of("#map-notes")
    wanted = ", ".join(str(column * kept["span"]) for column in columns[layer, before[step]])
    said = page.get_attribute("#map canvas", "aria-label")
    assert (f"Sinks at {wanted}. " in said) if wanted else ("Sinks" not in said)
    page.close()


def test_what_a_causal_drift_means_is_said(page):
    go(page, 1, 3, 2, "mean", 4)
    page.wait("() => document.getElementById('drift-lead').textContent.includes('mean over all rows so far; sinks on the last 16 rows')")
    assert "over all rows so far" in page.text_of("#drift-caption") and "over all rows so far" in page.text_of("#drift-legend")
    assert "over all rows so far" in page.text_of("#follow figure .notes")
    assert "per layer, its heads averaged first" in page.text_of("#drift-notes")
    go(page, 0, 3, 2, "mean")
    assert "so far" not in page.text_of("#drift-lead") and "so far" not in page.text_of("#drift-caption")


def test_numbers_of_the_drift_follow_it(page, shown):
    go(page, 1, 0, 0)
    page.locator("#drift-numbers summary").click()
    rows = lambda: page.eval_on_selector_all("#drift-numbers tbody tr", "(all) => all.map((row) => [...row.cells].map((cell) => cell.textContent))")
    # A window of 16 rows needs 32: the rule says nothing of the first step where fewer are seen.
    report = Report(shown["both"])
    for layer in (0, 2):
        go(page, 1, 0, layer)
        block = report.block(f"received/{layer}", 1)
        read = rows()
        values, sinks = block["received"].ravel()[:len(read)], block["sinks"].ravel()[:len(read)]
        for (_, _, _, value, sink), wanted, flag in zip(read, values, sinks):
            assert (value == "–") if np.isnan(wanted) else abs(float(value) - wanted) <= 6e-3 * wanted
            assert sink == ("–" if flag == 255 else str(flag))
    assert "8-bit codes" in page.text_of("#drift-numbers caption")
    assert "8-bit codes" in page.get_attribute("#drift-numbers .table-foot button", "title")
    go(page, 1, 0, 0)


def test_arrows_scroll_a_table_that_has_the_focus(page):
    table_of(page, "Sink score by layer and head")
    page.evaluate("document.querySelector('#charts .table-scroll').focus()")
    page.press("ArrowRight", "End")
    assert page.input_value("#step") == "0"
    page.press("]")
    assert page.input_value("#layer") == "1"


def test_printed_tables_fit_the_paper(browser, shown):
    page = open_report(browser, shown["both"])
    page.page.set_viewport_size({"width": 720, "height": 1000})
    page.page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.settle()
    widths = page.eval_on_selector_all("table", "(all) => all.map((each) => each.getBoundingClientRect().width)")
    assert widths and max(widths) <= 720
    page.close()


def test_causal_maps_of_selected_queries_keep_their_rows_apart(browser, tmp_path):
    trace = capture(tmp_path / "q.h5", "--model", "tiny-ar", "--max-new-tokens", 110, "--record", "maps", "--queries", "0-4,7,9-40,43,45,60-101")
    report_within(trace, tmp_path / "q.html", 34_000)
    report = Report(tmp_path / "q.html")
    kept = report.page["traces"][0]["blocks"]["map"]
    span, step, last = kept["span"], kept["steps"][0], report.page["traces"][0]["steps"][-1]
    assert span > 1
    block = report.block(f"map/{step}/2/mean")
    with h5py.File(trace) as f:
        queries = f["query"][()]
        weights = f["maps/attention"][0, 2].astype(np.float64).mean(0)
    assert block["lengths"].sum() == len(queries)
    page = open_report(browser, tmp_path / "q.html", f"#s={last}&l=2")
    rows, columns = block["weights"].shape
    for row in range(rows):
        first, length = int(block["queries"][row]), int(block["lengths"][row])
        inside = (queries >= first) & (queries < first + length)
        keys = np.arange(span)
        seen = keys <= queries[inside][:, None]
        wanted = weights[inside][:, :span][seen].mean()
        read = float(hover(page, row, 0, rows, columns))
        assert abs(read - wanted) <= tolerance(wanted, block["peak of weights"]), (row, first)
        name = f" {first}–{first + length - 1}" if length > 1 else f" {first}"
        assert page.text_of("#map-readout div:nth-child(2) dd").endswith(name)
    page.close()
