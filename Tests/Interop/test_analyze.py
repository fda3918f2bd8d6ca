"""analyze of one trace: what is chosen, what is left out, and the forms in which a result leaves."""

import csv
import io
import json
import math
import os
import shutil
import subprocess

import h5py
import numpy as np
import pytest

from support import REPO, answer, answer_json, attntrace, capture, root_attributes, run_python

SHORT = ["--gen-length", 8, "--block-length", 8, "--record", "received"]
GOLDEN = REPO / "Tests/Golden/1.0"
NAME = "first_tokens"


def mass(path, count=4, layers=None, heads=None, steps=None):
    """First-k mass by layer and head, from the file: sum over j < k of c_j, mean over steps."""
    with h5py.File(path) as f:
        received = f["received"][()].astype(float).sum(3)
        visible = f["visible_queries"][()].astype(float)
        labels = [f[name][()] for name in ("layer", "head", "step")]
        if f.attrs["causality"] == b"causal":
            received = received.cumsum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = received / visible[:, None, None, :]
    places = [
        np.arange(len(known)) if chosen is None else np.flatnonzero(np.isin(known, chosen))
        for known, chosen in zip(labels, (layers, heads, steps))]
    return np.nansum(share[..., :count], -1)[np.ix_(places[2], places[0], places[1])].mean(0)


def quantity(result, name=None):
    """A quantity's values in their shape, and its axes."""
    [metric] = [metric for metric in result["metrics"] if metric["metric"] == NAME]
    [found] = [q for q in metric["quantities"] if name in (None, q["name"])]
    values = np.array([math.nan if v is None else v for v in found["values"]], float)
    return values.reshape([len(labels) for labels in found["axes"].values()]), found


@pytest.mark.parametrize("name", ["diffusion", "causal", "received", "selected", "causal_selected"])
def test_numbers_and_what_made_them(traces, name):
    path = traces[name]
    result = answer_json("analyze", path, "--metrics", NAME, "--json")
    values, found = quantity(result)
    np.testing.assert_allclose(values, mass(path), rtol=1e-9)
    with h5py.File(path) as f:
        assert [list(labels) for labels in found["axes"].values()] == [f["layer"][()].tolist(), f["head"][()].tolist()]
        assert result["trace"]["content_sha256"] == f["content_sha256"][()].decode()
    attributes = root_attributes(path)
    assert result["trace"]["path"] == str(path) and not result["trace"]["is_unfinished"]
    made = result["trace"]["provenance"]
    assert made["model"] == attributes["model_name"] and made["seed"] == attributes["seed"]
    assert made["sampler_parameters"] == json.loads(attributes["sampler_parameters"])
    assert result["definitions"] == 2 and result["settings"]["metrics"] == [NAME]
    assert result["settings"]["options"]["rule"] == "excess epsilon=3"


def test_parts_of_a_trace(diffusion):
    chosen = ["--layers", "1,3-4", "--heads", "0,5", "--steps", "2-6"]
    result = answer_json("analyze", diffusion, "--metrics", NAME, "--first-tokens", 2, "--json", *chosen)
    values, found = quantity(result)
    np.testing.assert_allclose(values, mass(diffusion, 2, [1, 3, 4], [0, 5], range(2, 7)), rtol=1e-9)
    assert found["axes"] == {"layer": [1, 3, 4], "head": [0, 5]}
    assert result["settings"]["steps"] == "2-6" and result["settings"]["layers"] == "1,3,4"


def test_the_same_bits_with_any_threads(diffusion):
    texts = {answer("analyze", diffusion, "--json", "--threads", n, "--memory", m) for n, m in
             [(1, "1kB"), (2, "64MB"), (5, "1MB")]}
    assert len(texts) == 1


def test_tables_for_people_and_csv(diffusion):
    values = mass(diffusion)
    shown = answer("analyze", diffusion, "--metrics", NAME)
    assert "first_tokens_mass" in shown and "share" in shown and "content hash" in shown
    place = np.unravel_index(values.argmax(), values.shape)
    assert f" L{place[0]}H{place[1]}\n" in shown
    assert f"layer {place[0]}, head {place[1]}" in answer("analyze", diffusion, "--metrics", NAME, "--full")
    rows = list(csv.DictReader(io.StringIO(answer("analyze", diffusion, "--metrics", NAME, "--format", "csv"))))
    assert len(rows) == values.size
    for row in rows:
        np.testing.assert_allclose(float(row["value"]), values[int(row["layer"]), int(row["head"])], rtol=1e-9)


def test_what_a_trace_lacks(diffusion, tmp_path):
    path = tmp_path / "a.h5"
    answer("repack", diffusion, "--drop", "received", "--output", path)
    done = attntrace("analyze", path, "--metrics", NAME)
    assert done.returncode == 1 and done.stdout == ""
    assert f"{NAME} needs received sums, which the trace does not hold" in done.stderr
    done = attntrace("analyze", path)
    assert done.returncode == 0 and f"left out: {NAME}: lacks received sums" in done.stderr
    done = attntrace("analyze", path, "--json")
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout)["left_out"][NAME] == "lacks received sums"


def test_regions_are_keys(tmp_path):
    regions = tmp_path / "regions.json"
    regions.write_text(json.dumps([{"name": "first", "start": 0, "end": 6}]))
    path = capture(
        tmp_path / "a.h5", "--gen-length", 8, "--block-length", 8, "--record", "received", "--regions", regions)
    result = answer_json("analyze", path, "--metrics", NAME, "--regions", "first", "--json")
    assert result["settings"]["regions"] == ["first"]
    done = attntrace("analyze", path, "--regions", "second")
    assert done.returncode == 2 and "no region 'second'; regions: prompt, first, answer" in done.stderr


@pytest.mark.parametrize("arguments, said", [
    (["--metrics", "nothing"], "metric = nothing: metrics are first_tokens"),
    (["--steps", "99"], "step 99 is not among"),
    (["--layers", "99"], "layer 99 was not recorded"),
    (["--keys", "999"], "position 999 is not among"),
    (["--regions", "x"], "no region 'x'; the trace has none"),
    (["--rule", "none"], "no sink rule 'none'"),
    (["--pass", "unconditional"], "has one forward pass a step"),
    (["--shard", "1/2"], "take a folder to write to"),
    (["--each", "csv"], "take a folder to write to"),
    (["--each", "xml"], "the forms are csv and hdf5"),
    (["--group-by", "sampler.", "--output", "{folder}"], "group-by = sampler.: fields are"),
    (["--group-by", "x", "--output", "{folder}"], "group-by = x: fields are model, "),
    (["--threads", "0"], "--threads must be 1 to 1024"),
    (["--memory", "9GB"], "at most 500MB"),
    (["--confidence", "1", "--output", "{folder}"], "confidence = 1.0"),
    (["--part", "x"], "--part is for the program's own use"),
])
def test_wrong_usage(received, tmp_path, arguments, said):
    arguments = [a.format(folder=tmp_path / "out") for a in arguments]
    done = attntrace("analyze", received, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "" and said in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.fixture
def received(traces):
    return traces["received"]


def test_a_list_of_metrics(diffusion):
    assert NAME in answer("analyze", "--list-metrics")
    rows = answer_json("analyze", diffusion, "--list-metrics", "--json")["rows"]
    assert [NAME, "received sums", ""] in [row[:3] for row in rows]


def test_a_broken_trace_gives_no_number(diffusion, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(diffusion.read_bytes())
    with h5py.File(path, "r+", libver=("v110", "v110")) as f:
        f.attrs["prompt_length"] = np.int32(7)
    done = attntrace("analyze", path)
    assert done.returncode == 1 and done.stdout == "" and "NOT valid" in done.stderr
    assert answer("analyze", path, "--metrics", NAME, "--verify", "none")


def test_an_unfinished_trace(tmp_path):
    source = tmp_path / "x.h5.partial"
    source.write_bytes((GOLDEN / "unfinished.h5.partial").read_bytes())
    result = answer_json("analyze", source, "--json")
    assert result["trace"]["content_sha256"] is None and result["trace"]["is_unfinished"]
    assert 0 < result["trace"]["steps"] < result["trace"]["planned_steps"]
    said = answer("analyze", source, "--metrics", NAME).replace("\n#   ", " ")
    assert "unfinished: no content hash" in said


# Files of results.

def test_an_hdf5_file_in_every_reader(traces, tmp_path):
    for name in ("diffusion", "causal"):
        path = tmp_path / f"{name}.h5"
        answer("analyze", traces[name], "--metrics", NAME, "--output", path)
        values, found = quantity(answer_json("analyze", traces[name], "--metrics", NAME, "--json"))
        with h5py.File(path) as f:
            dataset = f[NAME][found["name"]]
            assert dataset.dtype == "<f8" and np.isnan(dataset.fillvalue)
            np.testing.assert_array_equal(dataset[()], values)
            assert [dataset.dims[axis][0].name.split("/")[-1] for axis in (0, 1)] == ["layer", "head"]
            assert dataset.attrs["units"] == b"share" and dataset.attrs["long_name"].decode() == found["meaning"]
            assert json.loads(f[NAME].attrs["parameters"]) == {"count": 4}
            assert json.loads(f.attrs["trace"])["content_sha256"]
            assert json.loads(f.attrs["settings"])["metrics"] == [NAME]
        shown = subprocess.run(["h5dump", str(path)], capture_output=True, text=True)
        assert shown.returncode == 0 and found["name"] in shown.stdout
        said = run_python(READ, path, NAME, found["name"])
        assert json.loads(said) == [[["layer", "head"], values[2].tolist(), "share"]] * 2
        assert answer("diff", path, path).startswith("same")


READ = """
import json, sys
import numpy as np, xarray as xr
path, group, name = sys.argv[1:]
found = []
for engine in ("h5netcdf", "netcdf4"):
    tree = xr.open_datatree(path, engine=engine)
    with xr.open_dataset(path, group=group, engine=engine) as opened:
        array = opened[name]
        assert np.array_equal(array.values, tree[group][name].values)
        found.append([list(array.dims), array.sel(layer=2).values.tolist(), array.attrs["units"]])
print(json.dumps(found))
"""


def test_the_same_result_has_the_same_bytes(diffusion, tmp_path):
    for name in ("a.h5", "b.h5"):
        answer("analyze", diffusion, "--output", tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    done = attntrace("analyze", diffusion, "--output", tmp_path / "a.h5")
    assert done.returncode == 2 and "already exists" in done.stderr
    answer("analyze", diffusion, "--output", tmp_path / "a.h5", "--force")


def test_results_are_compared(traces, tmp_path):
    only = ["--metrics", NAME]
    answer("analyze", traces["diffusion"], *only, "--output", tmp_path / "a.h5")
    answer("analyze", traces["diffusion"], *only, "--json", "--output", tmp_path / "a.json")
    assert answer("diff", tmp_path / "a.h5", tmp_path / "a.json").startswith("same")
    answer("analyze", traces["diffusion"], *only, "--first-tokens", 5, "--json", "--output", tmp_path / "b.json")
    done = attntrace("diff", tmp_path / "a.h5", tmp_path / "b.json", "--json")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert {item["name"]: item["values"] for item in said["attributes"]} == {
        "settings.options.firstTokens": ["4", "5"], f"{NAME}/parameters.count": ["4", "5"]}
    [difference] = [d for d in said["values"] if d["path"] == f"{NAME}/first_tokens_mass"]
    gap = np.abs(mass(traces["diffusion"], 5) - mass(traces["diffusion"], 4))
    np.testing.assert_allclose(difference["largest"], gap.max(), rtol=1e-6)
    layer, head = np.unravel_index(gap.argmax(), gap.shape)
    assert difference["largest_at"] == f"layer {layer}, head {head}"
    assert difference["differing"] == difference["compared"] == gap.size
    # Within the tolerance only the settings differ.
    done = attntrace("diff", tmp_path / "a.h5", tmp_path / "b.json", "--json", "--tolerance", 10)
    assert done.returncode == 1 and json.loads(done.stdout)["values"] == []
    done = attntrace("diff", tmp_path / "a.h5", traces["diffusion"])
    assert done.returncode == 1 and "not a result of an analysis" in done.stderr


def test_a_failed_analysis_leaves_nothing(diffusion, tmp_path):
    done = attntrace("analyze", diffusion, "--layers", "99", "--output", tmp_path / "a.h5")
    assert done.returncode == 2 and list(tmp_path.iterdir()) == []


def test_no_output_takes_the_place_of_an_input(tmp_path):
    path, other = capture(tmp_path / "a.h5", *SHORT), tmp_path / "b.h5"
    shutil.copy(path, other)
    (tmp_path / "hard.h5").hardlink_to(path)
    (tmp_path / "soft.h5").symlink_to(path)
    before = path.read_bytes()
    for name in ("a.h5", "hard.h5", "soft.h5"):
        for command in (["analyze", path], ["sinks", path], ["trajectories", path], ["compare", other, path]):
            done = attntrace(*command, "--output", tmp_path / name, "--force")
            assert done.returncode == 2 and "over what is read" in done.stderr
    assert path.read_bytes() == before and (tmp_path / "hard.h5").samefile(path)


def test_what_is_no_file_is_said(tmp_path):
    path = capture(tmp_path / "a.h5", *SHORT)
    os.mkfifo(tmp_path / "f.h5")
    for command in ("info", "analyze", "verify", "sinks"):
        done = attntrace(command, tmp_path / "f.h5", timeout=20)
        assert done.returncode == 1 and "no regular file" in done.stdout + done.stderr
    assert attntrace("diff", path, tmp_path / "f.h5", timeout=20).returncode == 1
    done = attntrace("diff", tmp_path / "nope", path)
    assert done.returncode == 3 and f"{tmp_path / 'nope'}: no such file" in done.stderr


@pytest.mark.parametrize("option", [
    ["--first-tokens", 0], ["--null", 0], ["--required-recall", 2], ["--massive-size", -1], ["--gap", -1], ["--reach", 0]])
def test_options_are_judged_before_anything_is_read(tmp_path, option):
    done = attntrace("analyze", tmp_path / "nothing.h5", *(f"{option[0]}={value}" for value in option[1:]))
    assert done.returncode == 2 and "no such file" not in done.stderr


def test_the_ending_names_the_format(tmp_path):
    path = capture(tmp_path / "a.h5", *SHORT)
    for command in (["analyze", path, "--metrics", NAME], ["sinks", path]):
        answer(*command, "--output", tmp_path / "o.csv", "--force")
        answer(*command, "--output", tmp_path / "o.json", "--force")
        assert (tmp_path / "o.csv").read_text() == answer(*command, "--format", "csv")
        assert json.loads((tmp_path / "o.json").read_text()) == answer_json(*command, "--json")
        for wrong in (["o.json", "--format", "csv"], ["o.csv", "--json"], ["o.h5", "--format", "json"]):
            done = attntrace(*command, "--output", tmp_path / wrong[0], *wrong[1:], "--force")
            assert done.returncode == 2 and "is no name for" in done.stderr
    done = attntrace("sinks", path, "--output", tmp_path / "o.h5")
    assert done.returncode == 2 and not (tmp_path / "o.h5").exists()


def test_documents_of_one_title_are_told_apart(tmp_path):
    """Labels of an axis are unique: a result with one twice could not be read back."""
    line = {"id": "a", "prompt": "{documents} In the beginning", "documents": [
        {"title": "Emma", "text": "God created the heaven."}, {"title": "Emma", "text": "And the earth."},
        {"title": "other", "text": "Let there be light."}]}
    (tmp_path / "p.jsonl").write_text(json.dumps(line))
    made = attntrace(
        "capture", "--prompts", tmp_path / "p.jsonl", "--output", tmp_path / "traces", "--record", "maps",
        "--gen-length", 8, "--block-length", 8)
    assert made.returncode == 0, made.stderr
    done = attntrace("analyze", tmp_path / "traces", "--metrics", "region_flow", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    [file] = (tmp_path / "out" / "traces").glob("*.json")
    [axes] = {tuple(q["axes"]["key_region"]) for q in json.loads(file.read_text())["metrics"][0]["quantities"]
              if "key_region" in q["axes"]}
    assert len(set(axes)) == len(axes) and {"Emma", "Emma #2", "other"} < set(axes)
