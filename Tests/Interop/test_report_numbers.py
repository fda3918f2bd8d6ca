"""The numbers of a written report against the trace, read by h5py and computed in NumPy."""

import json
import os

import h5py
import numpy as np
import pytest

from reports import Report, assert_coded
from support import PROMPT, REPO, answer, answer_json, attntrace, capture

GOLDEN = REPO / "Tests/Golden/1.0"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reports")


@pytest.fixture
def reported(folder):
    """The report of a trace; made when first asked for."""

    def report(trace, *arguments):
        path = folder / f"{trace.stem}{'-'.join(map(str, arguments))}.html"
        if not path.exists():
            assert answer("report", trace, "--output", path, *arguments) == ""
        return Report(path)

    return report


def received_means(file):
    """c_j by (step, layer, head, key), NaN where no query sees the key; and s_j."""
    sums = np.nan_to_num(file["received"][()].astype(np.float64)).sum(3)
    if file.attrs["causality"] == b"causal":
        sums = sums.cumsum(0)
    visible = file["visible_queries"][()].astype(np.float64)[:, None, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(visible > 0, sums / visible, np.nan), sums


def test_received_means_and_sinks(any_trace, reported):
    report = reported(any_trace)
    shown = report.page["traces"][0]["blocks"]["received"]
    with h5py.File(any_trace) as file:
        means, sums = received_means(file)
        layers, heads = file["layer"][()].tolist(), file["head"][()].tolist()
        causal = file.attrs["causality"] == b"causal"
    assert shown == {"steps": list(range(len(means))), "layers": layers, "heads": heads, "keySpan": 1}
    for place, layer in enumerate(layers):
        for name, mean, score in [
            (f"received/{layer}", means[:, place].mean(1), sums[:, place].mean(1)),
            *((f"received/{layer}/{head}", means[:, place, i], sums[:, place, i]) for i, head in enumerate(heads)),
        ]:
            block = report.block(name)
            assert_coded(block["received"], block["peak of received"], mean)
            if not causal:
                # score_j > mean of the others + 3
                others = (score.sum(1, keepdims=True) - score) / (score.shape[1] - 1)
                assert np.array_equal(block["sinks"], score > others + 3)
            else:
                # A window needs twice its 16 rows.
                prompt = report.page["traces"][0]["promptLength"]
                early = np.arange(len(mean)) + prompt < 32
                assert (block["sinks"][early] == 255).all()


def test_maps(any_trace, reported):
    report = reported(any_trace)
    trace = report.page["traces"][0]
    with h5py.File(any_trace) as file:
        if "maps/attention" not in file:
            assert trace["blocks"]["map"] is None
            assert any("Full attention was not recorded" in each for each in trace["reductions"])
            assert not any(name.startswith("block/0/map") for name in report.elements)
            return
        maps = file["maps/attention"][()].astype(np.float64)
        layers, heads = file["layer"][()].tolist(), file["head"][()].tolist()
        steps = file["map_step"][()].tolist()
        queries = file["query"][()]
        causal = file.attrs["causality"] == b"causal"
    assert trace["blocks"]["map"] == {"steps": steps, "layers": layers, "heads": heads, "span": 1}
    if causal:
        maps = np.where(np.arange(maps.shape[-1]) > queries[:, None], np.nan, maps)
    for i, step in enumerate(steps):
        for j, layer in enumerate(layers):
            for name, true in [("mean", maps[i, j].mean(0)), *zip(heads, maps[i, j])]:
                block = report.block(f"map/{step}/{layer}/{name}")
                assert np.array_equal(block["queries"], queries)
                assert_coded(block["weights"], block["peak of weights"], true)


def test_maps_from_vectors(folder, reported):
    trace = folder / "vectors.h5"
    # It may say on stderr how far rebuilt weights are from the model's own.
    arguments = ["--prompt", PROMPT, "--gen-length", 8, "--record", "qk", "--layers", "0,2", "--output", trace]
    assert attntrace("capture", *arguments).returncode == 0
    report = reported(trace)
    with h5py.File(trace) as file:
        query, key = (file[f"qk/{name}_vector"][()].astype(np.float64) for name in ("query", "key"))
    scores = np.einsum("slhqc,slhkc->slhqk", query, key) / np.sqrt(query.shape[-1])
    true = np.exp(scores - scores.max(-1, keepdims=True))
    true /= true.sum(-1, keepdims=True)
    for step in (0, 7):
        for place, layer in enumerate((0, 2)):
            block = report.block(f"map/{step}/{layer}/4")
            assert_coded(block["weights"], block["peak of weights"], true[step, place, 4])


def test_selected_queries_and_steps(folder, reported):
    arguments = ["--gen-length", 8, "--record", "maps", "--queries", "0,3-5,9", "--map-steps", "1,6"]
    trace = capture(folder / "queries.h5", *arguments)
    report = reported(trace)
    entry = report.page["traces"][0]
    assert entry["blocks"]["map"]["steps"] == [1, 6]
    assert "The trace keeps maps at 2 of 8 steps." in entry["reductions"]
    with h5py.File(trace) as file:
        block = report.block("map/6/7/5")
        assert block["queries"].tolist() == [0, 3, 4, 5, 9]
        assert_coded(block["weights"], block["peak of weights"], file["maps/attention"][1, 7, 5].astype(np.float64))


def test_timeline_and_tokens(any_trace, reported):
    report = reported(any_trace)
    trace = report.page["traces"][0]
    block = report.block("timeline")
    with h5py.File(any_trace) as file:
        assert np.array_equal(block["fed"], file["token_id"])
        assert np.array_equal(block["predicted"], file["predicted_id"])
        assert np.array_equal(block["masked"], file["is_masked"])
        confidence = file["confidence"][()].astype(np.float64)
        assert np.array_equal(np.isnan(block["confidence"]), np.isnan(confidence))
        np.testing.assert_allclose(
            np.sqrt(np.nan_to_num(block["confidence"])), np.sqrt(np.nan_to_num(confidence)), atol=0.51 / 254)
        texts = [each.decode() for each in file["token_text"][()]]
        assert [each["text"] for each in trace["tokens"]] == texts
        assert [each["unmaskStep"] for each in trace["tokens"]] == file["unmask_step"][()].tolist()
        assert [each["unmaskOrder"] for each in trace["tokens"]] == file["unmask_order"][()].tolist()
        vocabulary = zip(file["vocab_id"][()].tolist(), file["vocab_text"][()])
        assert trace["vocabulary"] == {str(token): text.decode() for token, text in vocabulary}
        assert trace["promptLength"] == file.attrs["prompt_length"]
        assert trace["prompt"] == file.attrs["prompt"].decode()
        assert trace["maskToken"] == file.attrs["mask_token_id"]
        assert trace["keys"] == len(file["key"]) and trace["positions"] == len(file["position"])
        assert trace["guided"] == bool(file.attrs["is_guided"])
    assert trace["verification"] == {"level": "structure", "sound": True, "findings": []}


def test_analysis_is_that_of_analyze(any_trace, reported):
    shown = reported(any_trace).analysis()
    whole = answer_json("analyze", any_trace, "--json")
    assert shown["leftOut"] == whole["left_out"]
    assert [each["metric"] for each in shown["metrics"]] == [each["metric"] for each in whole["metrics"]]
    dropped = " ".join(shown["notes"])
    for here, there in zip(shown["metrics"], whole["metrics"]):
        kept = {each["name"]: each for each in here["quantities"]}
        for quantity in there["quantities"]:
            if quantity["name"] not in kept:
                assert quantity["name"] in dropped
                continue
            found = kept[quantity["name"]]
            assert found["axes"] == quantity["axes"] and found["unit"] == quantity["unit"]
            numbers = [np.array(each["values"], dtype=float) for each in (found, quantity)]
            np.testing.assert_allclose(*numbers, rtol=1e-8)


def test_the_rule_says_what_it_is_applied_to(diffusion, reported):
    report = reported(diffusion, "--layers", "1,2", "--heads", "0,3")
    assert report.analysis()["rule"] == "excess unit=sum epsilon=3, per head; layers 1-2 only; heads 0, 3 only"
    trace = report.page["traces"][0]
    assert trace["rule"] == "excess unit=sum epsilon=3" and trace["window"] is None
    names = [name for group in trace["facts"] if group["title"] == "Sampler" for name, _ in group["rows"]]
    assert names.count("seed") == 1
    assert not any("_" in table["title"] for table in report.analysis()["tables"])


def test_trajectories_follow_sinks(diffusion, reported):
    report = reported(diffusion)
    trajectories = report.analysis()["trajectories"]
    for layer, found in trajectories.items():
        sinks = report.block(f"received/{layer}")["sinks"]
        points = {(each["step"], each["position"]) for one in found for each in one}
        assert points == {(int(step), int(key)) for step, key in np.argwhere(sinks == 1)}


def test_comparison_is_that_of_compare(diffusion, causal, folder):
    path = folder / "comparison.html"
    answer("report", diffusion, causal, "--output", path)
    report = Report(path)
    assert [each["name"] for each in report.page["traces"]] == ["diffusion.h5", "causal.h5"]
    tables = {each["name"]: each for each in json.loads(report.elements["comparison"])["tables"]}
    assert [each["name"] for each in tables["contrast"]["columns"]][2:] == ["diffusion.h5", "causal.h5"]
    layers = answer("compare", diffusion, causal, "--by-layer", "--format", "csv").splitlines()[1:]
    assert len(tables["layer_contrast"]["rows"]) == len(layers)
    for row, line in zip(tables["layer_contrast"]["rows"], layers):
        assert [float(each) for each in line.split(",")[3:]] == pytest.approx(
            [np.nan if each is None else each for each in row[3:]], nan_ok=True)


def test_size_limit(folder):
    trace = capture(folder / "large.h5", "--gen-length", 96, "--block-length", 96, "--record", "maps")
    sizes = {}
    for limit in (15_000_000, 3_000_000, 1_500_000):
        path = folder / f"large-{limit}.html"
        answer("report", trace, "--output", path, "--size-limit", limit)
        sizes[limit] = path.stat().st_size
        assert sizes[limit] <= limit
    report = Report(folder / "large-3000000.html")
    entry = report.page["traces"][0]
    shown = entry["blocks"]["map"]
    assert shown["steps"][0] == 0 and shown["steps"][-1] == 95 and len(shown["steps"]) < 96
    assert any(each.startswith("Maps are shown at") for each in entry["reductions"])
    span, step, layer = shown["span"], shown["steps"][1], 3
    name = "mean" if not shown["heads"] else shown["heads"][1]
    with h5py.File(trace) as file:
        maps = file["maps/attention"][step, layer].astype(np.float64)
    true = maps.mean(0) if name == "mean" else maps[name]
    edges = np.arange(0, len(true), span)
    counts = np.diff(np.append(edges, len(true)))
    cells = np.add.reduceat(np.add.reduceat(true, edges, 0), edges, 1) / np.outer(counts, counts)
    block = report.block(f"map/{step}/{layer}/{name}")
    assert_coded(block["weights"], block["peak of weights"], cells)
    wanted = {f"map/{s}/{l}/{h}" for s in shown["steps"] for l in shown["layers"] for h in [*shown["heads"], "mean"]}
    assert {each[8:] for each in report.elements if each.startswith("block/0/map")} == wanted


def test_same_bytes_again(diffusion, folder):
    paths = [folder / "one.html", folder / "two.html"]
    for path in paths:
        answer("report", diffusion, "--output", path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_refusals(diffusion, folder, tmp_path):
    taken = tmp_path / "taken.html"
    taken.write_text("mine")
    done = attntrace("report", diffusion, "--output", taken)
    assert done.returncode == 2 and "already exists" in done.stderr and taken.read_text() == "mine"
    done = attntrace("report", diffusion, "--output", diffusion, "--force")
    assert done.returncode == 2 and "another name" in done.stderr
    with h5py.File(diffusion) as file:
        assert "received" in file
    done = attntrace("report", diffusion, "--output", tmp_path / "a.html", env={"ATTNTRACE_CHARTS": str(tmp_path / "no.js")})
    assert done.returncode == 3 and "no.js" in done.stderr and "libjs-chart.js" in done.stderr
    done = attntrace("report", diffusion, "--output", tmp_path / "a.html", "--size-limit", 1000)
    assert done.returncode == 2 and "more than the limit of 1000" in done.stderr
    done = attntrace("report", tmp_path / "none.h5", "--output", tmp_path / "a.html")
    assert done.returncode == 3
    done = attntrace("report", diffusion)
    assert done.returncode == 2
    assert os.listdir(tmp_path) == ["taken.html"]


def test_unfinished(folder):
    golden = [each for each in os.listdir(GOLDEN) if each.endswith(".partial")]
    assert len(golden) == 2
    for name in golden:
        path = folder / f"{name}.html"
        answer("report", GOLDEN / name, "--output", path)
        entry = Report(path).page["traces"][0]
        assert not entry["complete"]
        assert any("cut short" in each for each in entry["reductions"])


def test_hostile_text(folder):
    hostile = "</script><script>document.title = 'no'</script><!-- \u2028 & \" ' ]]>"
    trace = capture(folder / "hostile.h5", "--gen-length", 4, prompt=hostile)
    path = folder / "hostile.html"
    answer("report", trace, "--output", path)
    report = Report(path)
    assert report.page["traces"][0]["prompt"] == hostile
    for name, text in report.elements.items():
        assert "<" not in text, name
