"""Figures: their numbers are the program's, they look as they did, and strange tokens do no harm.

The pictures in `references` are of a golden file, drawn by matplotlib's newest version; other versions set type otherwise.
After a change that is meant: ATTNTRACE_WRITE_FIGURES=1, and look at what changed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import matplotlib
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from conftest import GOLDEN, REPO
from support import attntrace as run

import attntrace
from attntrace import figures
from attntrace.figures.__main__ import main
from attntrace.figures.sources import measured, told_apart
from attntrace.figures.style import STYLE, shown

REFERENCES = Path(__file__).parent / "references"
REFERENCE_VERSION = "3.11"


@pytest.fixture(scope="session")
def analysed(traces, tmp_path_factory):
    """A trace and its results, by the trace's name."""
    folder = tmp_path_factory.mktemp("analysed")
    gold = folder / "golden.h5"
    shutil.copy(GOLDEN / "1.0/bidirectional.h5", gold)
    with h5py.File(gold, "r+") as f:
        f["region_gold"][...] = 1

    def of(name, *options):
        path = gold if name == "golden" else traces[name]
        output = folder / f"{name}{''.join(options)}.json"
        if not output.exists():
            done = run("analyze", path, "--output", output, *options)
            assert done.returncode == 0, done.stderr
        return attntrace.open(path), attntrace.results(output)

    return of


# Numbers


@pytest.mark.parametrize("rule", ["excess", "deviation", "share", "top"])
@pytest.mark.parametrize("name", ["diffusion", "causal", "selected"])
def test_what_is_measured_is_what_the_program_says(analysed, name, rule):
    trace, found = analysed(name, "--rule", rule, "--metrics", "absorption,epsilon_sweep,score_by_head")
    ours = measured(trace, rule)
    compared = 0
    for each in ours.quantities:
        if "top_score" in each.name and rule != "excess":
            continue  # The program takes top scores in the unit of the rule asked for; the figure is of excess.
        if "not_sinks" in each.name and each.name not in found:
            continue
        theirs = found.array(each.name)
        assert theirs.dims == tuple(each.axes) and theirs.attrs["units"] == each.unit, each.name
        np.testing.assert_allclose(each.values, theirs.values, rtol=1e-9, err_msg=each.name)
        compared += 1
    assert compared >= 3


@pytest.mark.parametrize("name", ["diffusion", "causal"])
def test_drift_is_the_drift_map(analysed, name):
    trace, found = analysed(name, "--metrics", "drift_map")
    drawn = figures.drift(trace, layers=[1, 6])
    [quantity] = [each.name for each in found.quantities]
    theirs = found.array(quantity)
    numbers = drawn.numbers
    assert set(numbers.layer) == {1, 6} and len(numbers) == int(theirs.sel(layer=[1, 6]).notnull().sum())
    at = [theirs.get_index(axis).get_indexer(numbers[column])
          for axis, column in [("layer", "layer"), ("step", "step"), ("key", "position")]]
    place = dict(zip(("layer", "step", "key"), at))
    np.testing.assert_allclose(numbers.received_mean, theirs.values[tuple(place[axis] for axis in theirs.dims)], rtol=1e-9)
    sinks = trace.sinks(per="layer", layers=[1, 6])
    assert numbers.is_sink.sum() == len(sinks) > 0


def test_lines_are_means_over_heads(analysed):
    _, found = analysed("diffusion")
    numbers = figures.absorption(found).numbers
    for panel, quantity in [("top key", "absorption_top_key"), ("first token", "absorption_first_token")]:
        part, heads = numbers[numbers.panel == panel], found.array(quantity)
        np.testing.assert_allclose(part["mean"], found.array(quantity + "_by_layer"), rtol=1e-12)
        np.testing.assert_allclose(part.high - part["mean"], heads.std("head", ddof=1), rtol=1e-9)
    numbers = figures.triptych(found).numbers
    assert set(numbers.panel) == {"score", "cosine", "norms"} and set(numbers.line) == {"sinks", "other keys"}
    part = numbers[(numbers.panel == "cosine") & (numbers.line == "sinks")]
    route = part.quantity.iloc[0]
    np.testing.assert_allclose(part["mean"], found.array(route).mean("head"), rtol=1e-12)
    numbers = figures.region_flow(found).numbers
    whole = numbers[numbers.step.isna()]
    np.testing.assert_allclose(whole.share, found.array("region_flow").values.ravel(), rtol=1e-12)
    numbers = figures.epsilon_sweep(found).numbers
    np.testing.assert_allclose(numbers[numbers.line != "layer"]["mean"], found.array("not_sinks_excess"), rtol=1e-12)


def test_a_map_is_its_numbers(analysed):
    trace, _ = analysed("causal")
    numbers = figures.attention_map(trace, 9, 3, 4).numbers
    found = trace.map(9, 3, 4)
    np.testing.assert_array_equal(numbers.attention, found.values.ravel())
    sinks = trace.sinks()
    at = sinks[(sinks.step == 9) & (sinks.layer == 3) & (sinks["head"] == 4)]
    assert set(numbers.key[numbers.key_is_sink]) == set(at.position)
    part = figures.attention_map(trace, 9, 3, 4, queries=slice(5, 9), keys=slice(0, 3)).numbers
    assert len(part) == 5 * 4


def test_captions_say_what_has_no_band(analysed):
    _, found = analysed("diffusion")
    drawn = figures.contrast(found)
    banded = drawn.numbers.groupby("panel").low.apply(lambda low: low.notna().any())
    assert not banded["top key"] and banded["first key"]
    assert drawn.caption.endswith("Bands: ± 1 s.d. over heads; none: (a).")
    trace, _ = analysed("diffusion")
    one_head = trace.sel(head=[2])
    drawn = figures.absorption(trace, one_head)
    assert "none: tiny-mdm (diffusion.h5, 2) (a)" in drawn.caption
    assert "Bands" not in figures.absorption(one_head).caption


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("rule", ["excess", "deviation", "share", "top"])
def test_undefined_numbers_give_no_warnings(golden, rule):
    with attntrace.open(golden) as trace:
        if "received" not in trace.signals:
            return
        found = measured(trace, rule)
        by_layer = next(each for each in found.quantities if each.name.endswith("not_sinks_excess_by_layer")).values
        mean = next(each for each in found.quantities if each.name.endswith("not_sinks_excess")).values
        for column, value in zip(by_layer.T, mean):
            known = column[~np.isnan(column)]
            assert value == known.mean() if len(known) else np.isnan(value)
        figures.absorption(found)
        figures.epsilon_sweep(found)
        figures.drift(trace, rule=rule)


def test_drift_of_some_steps(analysed):
    """Sinks are hatched at the steps that they are sinks of."""
    trace, _ = analysed("diffusion")
    drawn = figures.drift(trace.sel(step=slice(4, 9)), layers=[1])
    image = drawn.axes[0].images[0]
    assert image.get_extent()[2:] == [9.5, 3.5]
    assert set(drawn.numbers.step) == set(range(4, 10))
    with pytest.raises(attntrace.AttntraceError, match="follow one another"):
        figures.drift(trace.sel(step=[1, 5]))


def test_cohorts_have_intervals(traces, tmp_path):
    paths = [traces[name] for name in ("diffusion", "suppressed", "causal", "causal_suppressed")]
    run("analyze", *paths, "--group-by", "model", "--metrics", "absorption,answer_shares,epsilon_sweep", "--output", tmp_path / "c")
    found = attntrace.results(tmp_path / "c")
    numbers = figures.absorption(found).numbers
    assert set(numbers.line) == {"tiny-mdm", "tiny-ar"} and numbers.quantity.str.startswith("cumulative_").any()
    part = numbers[(numbers.line == "tiny-mdm") & (numbers.panel == "top key")]
    statistics = found.statistics("absorption_top_key_by_layer", group="tiny-mdm")
    for name in ("mean", "low", "high"):
        np.testing.assert_array_equal(part[name], statistics[name])
    assert "95 % interval" in figures.contrast(found).caption
    assert set(figures.epsilon_sweep(found).numbers.line) == {"tiny-mdm", "tiny-ar"}


# Looks

DRAWN = {
    "drift": lambda trace, found: figures.drift(trace, rule="deviation", z=1),
    "map": lambda trace, found: figures.attention_map(trace, 1, int(trace["layer"][0]), int(trace["head"][0])),
    "absorption": lambda trace, found: figures.absorption(found),
    "triptych": lambda trace, found: figures.triptych(found),
    "head_scores": lambda trace, found: figures.head_scores(found),
    "retrieval": lambda trace, found: figures.retrieval(found),
    "region_flow": lambda trace, found: figures.region_flow(found),
    "epsilon_sweep": lambda trace, found: figures.epsilon_sweep(found),
}


@pytest.mark.parametrize("name", DRAWN)
def test_pictures_are_the_references(analysed, tmp_path, name):
    trace, found = analysed("golden", "--epsilon", "0.5")
    drawn = DRAWN[name](trace, found)
    assert drawn.caption and len(drawn.numbers)
    path = tmp_path / f"{name}.png"
    with matplotlib.rc_context(STYLE):
        drawn.savefig(path, dpi=70)
    if os.environ.get("ATTNTRACE_WRITE_FIGURES"):
        REFERENCES.mkdir(exist_ok=True)
        shutil.copy(path, REFERENCES / path.name)
    if not matplotlib.__version__.startswith(REFERENCE_VERSION):
        pytest.skip(f"references are drawn by matplotlib {REFERENCE_VERSION}")
    expected, picture = (matplotlib.image.imread(each)[..., :3] for each in (REFERENCES / path.name, path))
    assert picture.shape == expected.shape
    assert np.sqrt(np.mean((picture - expected) ** 2)) < 0.02


def test_files_are_ready_for_print(analysed, tmp_path):
    trace, _ = analysed("diffusion")
    drawn = figures.drift(trace, layers=[1])
    pdf, csv = figures.save(drawn, tmp_path / "drift.pdf")
    content = pdf.read_bytes()
    # Embedded TrueType, no bitmaps of letters, as wide as two columns.
    assert b"/FontFile2" in content and b"/Type3" not in content
    width = float(re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", content)[1])
    assert width == pytest.approx(72 * figures.PAGE)
    again, _ = figures.save(figures.drift(trace, layers=[1]), tmp_path / "again.pdf")
    assert again.read_bytes() == content
    assert len(pd.read_csv(csv)) == len(drawn.numbers)
    assert drawn._repr_png_().startswith(b"\x89PNG")
    assert b"</svg>" in figures.save(drawn, tmp_path / "drift.svg")[0].read_bytes()
    with pytest.raises(attntrace.AttntraceError, match="figures are written as"):
        figures.save(drawn, tmp_path / "drift.bmp")


@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
def test_strange_tokens(traces, tmp_path):
    path = tmp_path / "strange.h5"
    shutil.copy(traces["diffusion"], path)
    strange = ["$x$", "$\\frac{", "\n\n", "\t", "   ", "a" * 15, "\x1b[31m", "שלום", "𝔘𝔫𝔦", "_^{", "<|x|>", "<script>", "\\"]
    with h5py.File(path, "r+") as f:
        width = f["vocab_text"].dtype.itemsize
        f["vocab_text"][...] = np.array(
            [strange[i % len(strange)].encode()[:width] for i in range(len(f["vocab_text"]))], dtype=f["vocab_text"].dtype)
    with attntrace.open(path) as trace:
        for drawn in (figures.attention_map(trace, 3, 1, 0), figures.drift(trace, layers=[1, 2])):
            for form in ("pdf", "svg"):
                figures.save(drawn, tmp_path / f"strange.{form}")
    assert b"<script>" not in (tmp_path / "strange.svg").read_bytes()
    assert shown("\n") == "⏎" and shown("  ") == "␣" and shown("<|mask|>") == "⟨mask⟩" and len(shown("a" * 99)) == 10


def test_matplotlib_is_left_as_it_was(analysed):
    before = dict(matplotlib.rcParams)
    trace, _ = analysed("diffusion")
    figures.head_scores(trace)
    assert dict(matplotlib.rcParams) == before


# The command


@pytest.fixture
def command(capsys):
    """Runs the command in this process: exit code, stdout, stderr."""
    def run_main(*arguments):
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as exit:
            code = exit.code
        return code, *capsys.readouterr()

    return run_main


def test_the_command_draws_all(analysed, tmp_path):
    trace, found = analysed("diffusion")
    done = subprocess.run(
        [sys.executable, "-m", "attntrace", "figures", trace.encoding["source"], found.path, "--output", tmp_path / "out",
         "--format", "png", "--layers", "0,3"],
        capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(REPO / "python/src")})
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    expected = {"drift", "absorption", "epsilon_sweep", "head_scores", "triptych", "region_flow", "contrast"}
    assert names == {f"{name}.{form}" for name in expected for form in ("png", "csv")}
    assert "retrieval: left out" in done.stdout and "marked gold" in done.stdout


def test_a_cohort_is_drawn_by_group(command, cohort, tmp_path):
    code, said, _ = command(cohort, "-o", tmp_path / "o", "--format", "png")
    assert code == 0
    for model, unit in [("tiny-mdm", "received sum"), ("tiny-ar", "window score")]:
        assert f"({unit}), mean over steps, by layer and head, mean over 2 traces of {model}." in said
        numbers = pd.read_csv(tmp_path / f"o/head_scores-{model}.csv")
        expected = attntrace.results(cohort).statistics("top_score", group=model)["mean"]
        np.testing.assert_allclose(numbers["top_score"], expected.values.ravel(), rtol=1e-12)


def test_the_command_says_what_is_wrong(command, traces, tmp_path):
    text = tmp_path / "none.h5"
    text.write_text("none")
    for arguments, code, message in [
        ([text, "-o", tmp_path / "o"], 1, "not readable as HDF5"),
        ([tmp_path / "no.json", "-o", tmp_path / "o"], 1, "no such file"),
        ([traces["diffusion"], "-o", text], 1, "cannot be written"),
        ([traces["diffusion"], "-o", tmp_path / "o", "--format", "bmp"], 2, "formats are"),
        ([traces["diffusion"], "-o", tmp_path / "o", "--layers", "x"], 2, "a list such as"),
        ([traces["diffusion"], "-o", tmp_path / "o", "--rule", "soft"], 1, "rules are"),
        ([], 2, "usage"),
    ]:
        found, _, said = command(*arguments)
        assert found == code, (arguments, said)
        assert message in said


def test_a_trace_without_received_sums(command, tmp_path):
    code, said, _ = command(GOLDEN / "1.0/minimal.h5", "-o", tmp_path / "o")
    assert code == 1
    assert "drift: left out" in said and "'received'" in said


@pytest.mark.parametrize(("paths", "names"), [
    (["x/A/run.h5", "x/B/run.h5"], ["A/run.h5", "B/run.h5"]),
    (["A/x/run.h5", "B/x/run.h5", "B/x/b.h5"], ["A/x/run.h5", "B/x/run.h5", "b.h5"]),
    (["run.h5", "x/run.h5"], ["HERE/run.h5", "x/run.h5"]),
    (["a.h5", "b.h5", "./a.h5"], ["a.h5, 1", "b.h5", "a.h5, 2"]),
])
def test_paths_are_told_apart(tmp_path, monkeypatch, paths, names):
    here = tmp_path / "HERE"
    here.mkdir()
    monkeypatch.chdir(here)
    assert told_apart(paths) == names


def test_files_of_one_name(command, traces, tmp_path):
    """Two runs in folders of their own: two names, in colour and in the table."""
    for folder, name in (("A", "diffusion"), ("B", "suppressed")):
        (tmp_path / folder).mkdir()
        shutil.copy(traces[name], tmp_path / folder / "run.h5")
    code, _, said = command(tmp_path / "A/run.h5", tmp_path / "B/run.h5", "-o", tmp_path / "o", "--format", "png")
    assert code == 0, said
    for figure in ("absorption", "epsilon_sweep"):
        names = pd.read_csv(tmp_path / f"o/{figure}.csv").line
        assert set(names) == {"tiny-mdm (A/run.h5)", "tiny-mdm (B/run.h5)"}
    a, b = (attntrace.open(tmp_path / folder / "run.h5") for folder in "AB")
    with a, b:
        drawn = figures.absorption(a, b)
        assert len({line.get_color() for line in drawn.axes[0].lines}) == 2


def test_numbers_of_results_are_kept_apart(analysed):
    """Two results of one model: the legend says which is which."""
    _, a = analysed("diffusion")
    _, b = analysed("suppressed", "--metrics", "absorption")
    names = set(figures.absorption(a, b).numbers.line)
    assert len(names) == 2 and all(name.startswith("tiny-mdm (") for name in names)
    assert json.loads(Path(a.path).read_text())["format"] == "attntrace result"
