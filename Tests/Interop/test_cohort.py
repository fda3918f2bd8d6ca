"""analyze of many traces, shards of it, and merge: the numbers, and what kills, damage and repeats do to them."""

import csv
import filecmp
import json
import os
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest

from support import ATTNTRACE, answer, answer_json, attntrace, capture, heed_signals, run_python
from test_analyze import NAME, mass
from test_guard import crashing

GROUPS = ["--group-by", "model,sampler.steps"]
MASS = "first_tokens_mass"
SMALL = ["--gen-length", 16, "--block-length", 8, "--record", "received", "--temperature", 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five diffusion traces, of which two have all layers, and two causal ones."""
    folder = tmp_path_factory.mktemp("cohort") / "traces"
    for seed, options in enumerate([[], [], ["--steps", 8], ["--layers", "0-3"], ["--layers", "2-5", "--steps", 8]]):
        (folder / "mdm").mkdir(parents=True, exist_ok=True)
        capture(folder / "mdm" / f"m{seed}.h5", *SMALL, "--seed", seed, *options)
    for seed in range(2):
        capture(
            folder / f"a{seed}.h5", "--model", "tiny-ar", "--max-new-tokens", 8, "--temperature", 1, "--seed", seed,
            "--record", "received")
    return folder


def traces(folder):
    return sorted(folder.rglob("*.h5"))


def run(paths, output, *options, code=0):
    paths = paths if isinstance(paths, list) else [paths]
    done = attntrace("analyze", *paths, "--metrics", NAME, "--output", output, "--json", *options)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if done.stdout.startswith("{") else None, done.stderr


def assert_same_files(a, b):
    names = sorted(path.relative_to(a) for path in a.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(b) for path in b.rglob("*") if path.is_file())
    assert len(names) > 4
    for name in names:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


def statistics(quantity, part="overall"):
    shape = [len(labels) for labels in quantity["axes"].values()]
    found = quantity[part] if part == "overall" else quantity["groups"][part]
    return {name: np.array([np.nan if v is None else v for v in values], float).reshape(shape)
            for name, values in found.items()}


def expected(paths):
    """Masses of every trace by layer and head, NaN where it did not record the layer."""
    values = np.full((len(paths), 8, 6), np.nan)
    for place, path in enumerate(paths):
        with h5py.File(path) as f:
            values[place][f["layer"][()]] = mass(path)
    return values


def check(found, values):
    count = (~np.isnan(values)).sum(0)
    np.testing.assert_array_equal(found["n"], count)
    with np.errstate(invalid="ignore", divide="ignore"):
        np.testing.assert_allclose(found["mean"], np.where(count > 0, np.nansum(values, 0) / count, np.nan), rtol=1e-9)
    several = count > 1
    spread = np.nanstd(values[:, several], 0, ddof=1)
    np.testing.assert_allclose(found["sd"][several], spread, rtol=1e-6, atol=1e-15)
    assert np.isnan(found["sd"][~several]).all() and np.isnan(found["low"][~several]).all()
    low, high, mean = (found[name][several] for name in ("low", "high", "mean"))
    assert ((low <= mean) & (mean <= high)).all()
    assert (np.nanmin(values[:, several], 0) <= low + 1e-12).all() and (high <= np.nanmax(values[:, several], 0) + 1e-12).all()


def test_statistics_over_traces_and_groups(folder, tmp_path):
    found, _ = run(folder, tmp_path / "out", *GROUPS)
    paths = {path: capture_of(path) for path in traces(folder)}
    diffusion = [path for path, made in paths.items() if made[0] == "tiny-mdm"]
    assert len(found["traces"]) == 7 and found["failures"] == [] and found["duplicates"] == []
    hashes = [trace["content_sha256"] for trace in found["traces"]]
    assert hashes == sorted(hashes) and all(trace["state"] == "finished" for trace in found["traces"])
    # Running sums have a name of their own, and are averaged by themselves.
    by_name = {q["name"]: q for q in found["quantities"]}
    assert set(by_name) == {MASS, "cumulative_" + MASS}
    assert by_name[MASS]["axes"] == {"layer": list(range(8)), "head": list(range(6))}
    check(statistics(by_name[MASS]), expected(diffusion))
    check(statistics(by_name["cumulative_" + MASS]), expected([p for p in paths if p not in diffusion]))
    assert found["groups"] == ["tiny-ar, none", "tiny-mdm, 16", "tiny-mdm, 8"]
    for steps in (8, 16):
        check(
            statistics(by_name[MASS], f"tiny-mdm, {steps}"), expected([p for p in diffusion if paths[p][1] == steps]))
    # As tables: the cohort, the groups side by side, a row a trace and value.
    rows = list(csv.DictReader((tmp_path / "out" / "cohort.csv").open()))
    assert len(rows) == 96
    [row] = [r for r in rows if (r["quantity"], r["layer"], r["head"]) == (MASS, "2", "1")]
    assert float(row["mean"]) == statistics(by_name[MASS])["mean"][2, 1] and row["n"] == "5" and row["unit"] == "share"
    rows = list(csv.DictReader((tmp_path / "out" / "groups.csv").open()))
    [row] = [r for r in rows if (r["quantity"], r["layer"], r["head"]) == (MASS, "2", "1")]
    assert float(row["tiny-mdm, 8: mean"]) == statistics(by_name[MASS], "tiny-mdm, 8")["mean"][2, 1]


def test_the_values_of_each_trace_by_layer(folder, tmp_path):
    """traces.csv: what is by layer, or a single number; by head and layer it would be most of a large cohort."""
    paths = traces(folder / "mdm")
    done = attntrace("analyze", *paths, "--metrics", f"{NAME},sinks", "--null-permutations", 0, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "traces.csv").open()))
    assert "head" not in rows[0] and not any(row["quantity"].startswith("null_") for row in rows)
    by_trace = {trace["name"]: trace["path"] for trace in json.loads((tmp_path / "analysis.json").read_text())["traces"]}
    for trace, path in by_trace.items():
        with h5py.File(path) as f:
            layers = f["layer"][()]
            share = f["received"][()].astype(float).sum(3) / f["received"].shape[-1]
        floating = 0.5 * np.abs(np.diff(share, axis=0)).sum(-1).mean((0, 2))
        found = {row["quantity"] + row["layer"]: float(row["value"]) for row in rows if row["trace"] == trace}
        expected = [found[f"floating_index_by_layer{layer}"] for layer in layers]
        np.testing.assert_allclose(expected, floating, rtol=1e-9)
        np.testing.assert_allclose(found["floating_index_mean"], floating.mean(), rtol=1e-9)


def capture_of(path):
    with h5py.File(path) as f:
        return f.attrs["model_name"].decode(), json.loads(f.attrs["sampler_parameters"]).get("steps")


def test_the_interval_is_the_percentile_bootstrap(folder, tmp_path):
    """Drawn again in NumPy with another generator and ten times the draws: the ends agree within their spread."""
    paths = traces(folder / "mdm")[:3]
    found, _ = run(paths, tmp_path / "out", "--draws", 4000, "--confidence", 0.8, "--seed", 3)
    ours = statistics(found["quantities"][0])
    values = expected(paths)
    draws = np.random.default_rng(0).integers(0, 3, (40000, 3))
    ends = np.percentile(values[draws].mean(1), [10, 90], axis=0)
    for end, name in zip(ends, ("low", "high")):
        assert (np.abs(ours[name] - end) <= 0.12 * (values.max(0) - values.min(0)) + 1e-12).all()
    few, other = (
        statistics(run(folder / "mdm", tmp_path / f"seed{seed}", "--draws", 20, "--seed", seed)[0]["quantities"][0])
        for seed in (1, 2))
    assert not np.array_equal(few["low"], other["low"], equal_nan=True)
    np.testing.assert_array_equal(few["mean"], other["mean"])


def test_shards_merge_into_what_one_run_gives(folder, tmp_path):
    run(folder, tmp_path / "one", *GROUPS, "--threads", 1)
    for part in (3, 1, 2):
        _, said = run(folder, tmp_path / f"part{part}", "--shard", f"{part}/3", "--threads", 2)
        assert not (tmp_path / f"part{part}" / "analysis.json").exists()
    merged = answer_json(
        "merge", *(tmp_path / f"part{part}" for part in (2, 3, 1)), "--output", tmp_path / "merged", "--json", *GROUPS)
    assert len(merged["traces"]) == 7
    assert_same_files(tmp_path / "one", tmp_path / "merged")
    assert answer("diff", tmp_path / "one", tmp_path / "merged").startswith("same")
    # Shards in one folder, and a part twice.
    for part in (1, 2):
        run(folder, tmp_path / "shared", "--shard", f"{part}/2")
    answer("merge", tmp_path / "shared", tmp_path / "part1", "--output", tmp_path / "again", *GROUPS)
    assert_same_files(tmp_path / "one", tmp_path / "again")


def test_what_was_made_otherwise_is_not_merged(folder, tmp_path):
    run(folder, tmp_path / "a", "--shard", "1/2")
    run(folder, tmp_path / "b", "--shard", "2/2", "--first-tokens", 5)
    done = attntrace("merge", tmp_path / "a", tmp_path / "b", "--output", tmp_path / "out")
    assert done.returncode == 2 and "settings.options.firstTokens is 4, and 5 there" in done.stderr
    [first, *_] = sorted((tmp_path / "b" / "traces").glob("*.json"))
    for path in (tmp_path / "b" / "traces").glob("*.json"):
        path.write_text(path.read_text().replace('"firstTokens": 5', '"firstTokens": 4').replace(
            '"definitions": 2', '"definitions": 3'))
    done = attntrace("merge", tmp_path / "a", tmp_path / "b", "--output", tmp_path / "out")
    assert done.returncode == 2 and "definitions are 2, and 3 there" in done.stderr
    first.write_text(first.read_text()[:-9])
    done = attntrace("merge", tmp_path / "b", "--output", tmp_path / "out")
    assert done.returncode == 1 and f"{first}: not a result of an analysis" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_same_trace_counts_once(folder, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in traces(folder / "mdm")[:2]:
        shutil.copy(path, copies / path.name)
    shutil.copy(traces(folder / "mdm")[0], copies / "z.h5")
    found, said = run([copies, copies / "m0.h5"], tmp_path / "out", "--threads", 1)
    assert [len(found["traces"]), len(found["duplicates"])] == [2, 1]
    assert found["duplicates"] == [{"path": str(copies / "z.h5"), "same_as": str(copies / "m0.h5")}]
    assert f"{copies / 'z.h5'}: the same trace as {copies / 'm0.h5'}: counted once" in said
    check(statistics(found["quantities"][0]), expected(traces(folder / "mdm")[:2]))


def test_what_is_done_is_not_read_again(folder, tmp_path):
    copies = tmp_path / "traces"
    shutil.copytree(folder, copies)
    first, _ = run(copies, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "traces").iterdir()}
    # The values of one are ruined, another one is gone: neither is read.
    with h5py.File(copies / "a0.h5") as f:
        chunk = f["received"].id.get_chunk_info(0)
    with (copies / "a0.h5").open("r+b") as f:
        f.seek(chunk.byte_offset)
        f.write(bytes(chunk.size))
    (copies / "a1.h5").unlink()
    again, said = run([copies, copies / "a1.h5"], tmp_path / "out")
    assert again == first
    assert said.count(": kept") == 7 and "the result that is there counts" in said
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "traces").iterdir()}
    # Afresh, both fail.
    found, _ = run([copies, copies / "a1.h5"], tmp_path / "other", code=1)
    assert {failure["path"] for failure in found["failures"]} == {str(copies / name) for name in ("a0.h5", "a1.h5")}
    # What changed since is.
    shutil.copy(folder / "mdm" / "m0.h5", copies / "mdm" / "m1.h5")
    found, said = run(copies, tmp_path / "out")
    assert f"{copies / 'mdm' / 'm1.h5'}: done" in said and len(found["duplicates"]) == 1


def test_other_settings_are_not_written_over(folder, tmp_path):
    run(folder, tmp_path / "out")
    done = attntrace("analyze", folder, "--output", tmp_path / "out")
    assert done.returncode == 2 and "settings.metrics is" in done.stderr and "--force" in done.stderr
    (tmp_path / "out" / "analysis.json").unlink()
    done = attntrace("analyze", folder, "--output", tmp_path / "out")
    assert done.returncode == 2 and "results of another analysis" in done.stderr
    answer_of = attntrace("analyze", folder, "--output", tmp_path / "out", "--force", "--json")
    assert answer_of.returncode == 0 and json.loads(answer_of.stdout)["settings"]["metrics"] is None


def test_traces_that_fail_are_named_and_not_averaged(folder, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(folder / "mdm", bad)
    whole = traces(bad)
    crashing(whole[0], bad)
    (bad / "text.h5").write_text("no trace")
    (bad / "cut.h5").write_bytes(whole[0].read_bytes()[:20000])
    broken = bad / "broken.h5"
    shutil.copy(whole[1], broken)
    with h5py.File(broken, "r+", libver=("v110", "v110")) as f:
        f.attrs["prompt_length"] = np.int32(7)
    for threads in (1, 2):
        out = tmp_path / f"out{threads}"
        found, said = run(bad, out, "--threads", threads, code=1)
        assert len(found["traces"]) == 5
        codes = {os.path.basename(f["path"]): f["codes"] for f in found["failures"]}
        assert set(codes) == {"crashing.h5", "text.h5", "cut.h5", "broken.h5"}
        assert codes["crashing.h5"] == ["read.crash"] and codes["broken.h5"] != []
        for name in codes:
            assert f"{bad / name}: failed" in said and "not counted: " in said
        check(statistics(found["quantities"][0]), expected(whole))
        if threads == 2:
            assert_same_files(tmp_path / "out1", out)
    # Failures merge like results, and are tried again.
    done = attntrace("merge", tmp_path / "out1", "--output", tmp_path / "merged")
    assert done.returncode == 1
    assert_same_files(tmp_path / "out1", tmp_path / "merged")
    shutil.copy(folder / "a0.h5", bad / "crashing.h5")
    found, said = run(bad, tmp_path / "out1", code=1)
    assert f"{bad / 'crashing.h5'}: done" in said and len(found["failures"]) == 3


def test_values_are_judged_where_asked(folder, tmp_path):
    """A number that the structure says nothing of."""
    path = tmp_path / "a.h5"
    shutil.copy(traces(folder / "mdm")[0], path)
    with h5py.File(path, "r+", libver=("v110", "v110")) as f:
        f["confidence"][2] = 7
    run(path, tmp_path / "out")
    found, _ = run(path, tmp_path / "deep", "--verify", "deep", code=1)
    [failure] = found["failures"]
    assert "content.leaf" in failure["codes"] and found["traces"] == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_taken_up(folder, tmp_path, how):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(12):
        for path in traces(folder):
            shutil.copy(path, many / f"{path.stem}-{number}.h5")
    run(many, tmp_path / "whole")
    out = tmp_path / "out"
    command = [ATTNTRACE, "analyze", str(many), "--metrics", NAME, "--output", str(out), "--threads", "1"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=lambda: (os.setpgrp(), heed_signals()))
    while len(list(out.glob("traces/*.json"))) < 20:
        assert process.poll() is None
        time.sleep(0.001)
    os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()
    assert process.wait(timeout=10) == -how
    time.sleep(0.2)
    left = {path: path.read_bytes() for path in out.glob("traces/*.json")}
    assert 20 <= len(left) < 84 and not (out / "analysis.json").exists()
    for path, text in left.items():
        assert text == (tmp_path / "whole" / "traces" / path.name).read_bytes()
    times = {path: path.stat().st_mtime_ns for path in left}
    _, said = run(many, out)
    assert said.count(": kept") == len(left) and said.count(": done") == 84 - len(left)
    assert times == {path: path.stat().st_mtime_ns for path in left}
    for path in out.glob("traces/*.partial"):
        path.unlink()
    assert_same_files(tmp_path / "whole", out)


def small(folder, tmp_path):
    """Three diffusion traces that may be damaged."""
    copies = tmp_path / "traces"
    copies.mkdir()
    for path in traces(folder / "mdm")[:3]:
        shutil.copy(path, copies / path.name)
    return copies


def states(found):
    return {os.path.basename(trace["path"]): trace["verified"] for trace in found["traces"]}


def test_a_stronger_judgement_judges_again(folder, tmp_path):
    copies = small(folder, tmp_path)
    with h5py.File(copies / "m1.h5", "r+", libver=("v110", "v110")) as f:
        f["confidence"][2] = 7
    first, _ = run(copies, tmp_path / "out", "--verify", "none")
    assert set(states(first).values()) == {"none"}
    second, said = run(copies, tmp_path / "out")
    assert set(states(second).values()) == {"structure"} and said.count(": verified") == 3
    assert second["quantities"] == first["quantities"]
    third, said = run(copies, tmp_path / "out", "--verify", "deep", code=1)
    assert states(third) == {"m0.h5": "deep", "m2.h5": "deep"} and "m1.h5: failed" in said
    again, said = run(copies / "m0.h5", tmp_path / "out", "--verify", "none")
    assert states(again) == {"m0.h5": "deep"} and said.count(": kept") == 1


def test_damage_after_the_analysis_is_seen(folder, tmp_path):
    copies = small(folder, tmp_path)
    run(copies, tmp_path / "out")
    (copies / "m0.h5").write_bytes((copies / "m0.h5").read_bytes()[:3000])
    shutil.copy(folder / "a0.h5", copies / "m1.h5")
    (copies / "m2.h5").unlink()
    found, said = run([copies, copies / "m2.h5"], tmp_path / "out", code=1)
    assert f"{copies / 'm0.h5'}: failed" in said and f"{copies / 'm1.h5'}: done" in said
    assert "the trace is gone; the result that is there counts" in said
    assert [os.path.basename(failure["path"]) for failure in found["failures"]] == ["m0.h5"]
    assert set(states(found)) == {"m1.h5", "m2.h5"}


def test_a_failure_in_one_share_wins(folder, tmp_path):
    copies = small(folder, tmp_path)
    run(copies, tmp_path / "good")
    (copies / "m0.h5").write_text("no trace")
    run(copies, tmp_path / "bad", code=1)
    for order in (("good", "bad"), ("bad", "good")):
        done = attntrace("merge", *(tmp_path / part for part in order), "--output", tmp_path / "-".join(order), "--json")
        assert done.returncode == 1 and "m0.h5: failed in " in done.stderr
        found = json.loads(done.stdout)
        assert set(states(found)) == {"m1.h5", "m2.h5"} and len(found["failures"]) == 1
    assert_same_files(tmp_path / "good-bad", tmp_path / "bad-good")


def test_contradictions_are_refused(folder, tmp_path):
    copies = small(folder, tmp_path)
    for part in ("a", "b"):
        run(copies, tmp_path / part)
    [file] = (tmp_path / "b" / "traces").glob("m0-*.json")
    result = json.loads(file.read_text())

    def refuse(message, change):
        changed = json.loads(json.dumps(result))
        change(changed, changed["metrics"][0]["quantities"][0])
        file.write_text(json.dumps(changed))
        for order in (("a", "b"), ("b", "a")):
            done = attntrace("merge", *(tmp_path / part for part in order), "--output", tmp_path / "out")
            assert done.returncode == 1 and str(file) in done.stderr and message in done.stderr, done.stderr
        assert not (tmp_path / "out").exists()

    def number(whole, quantity):
        quantity["values"][3] += 0.01
    refuse(str(tmp_path / "a" / "traces" / file.name), number)
    refuse("of other content", lambda whole, quantity: whole["trace"].update(content_sha256="0" * 64))
    # What no analysis writes.
    refuse("there twice", lambda whole, quantity: quantity["axes"].update(head=[0, 1, 2, 3, 4, 4]))
    refuse("do not fill", lambda whole, quantity: quantity["values"].pop())
    refuse("two quantities", lambda whole, quantity: whole["metrics"][0]["quantities"].append(quantity))
    refuse("there twice", lambda whole, quantity: whole["metrics"].append(whole["metrics"][0]))
    refuse("steps are -1", lambda whole, quantity: whole["trace"].update(steps=-1))
    refuse("64 hexadecimal", lambda whole, quantity: whole["trace"].update(content_sha256="../../x"))
    refuse("is no name", lambda whole, quantity: quantity.update(name="../up"))
    refuse("is no name", lambda whole, quantity: whole["metrics"][0].update(metric="a/b"))


def test_what_the_last_run_left_out_is_not_merged(folder, tmp_path):
    copies = small(folder, tmp_path)
    run(copies, tmp_path / "out")
    (copies / "m0.h5").unlink()
    last, _ = run(copies, tmp_path / "out")
    done = attntrace("merge", tmp_path / "out", "--output", tmp_path / "merged", "--json")
    assert json.loads(done.stdout) == last and len(last["traces"]) == 2
    assert done.stderr.count("does not list it") == 1 and "/m0-" in done.stderr
    assert answer("diff", tmp_path / "out", tmp_path / "merged").startswith("same")


def test_traces_beside_their_results(folder, tmp_path):
    copies = small(folder, tmp_path)
    bad = os.fsencode(copies) + b"/bad\xff.h5"
    shutil.copy(copies / "m0.h5", bad)
    for _ in range(2):
        found, said = run(copies, copies, "--each", "hdf5", code=1)
        assert len(found["traces"]) == 3 and "not UTF-8" in said and len(found["failures"]) == 1
    os.unlink(bad)
    os.mkfifo(copies / "fifo.h5")
    found, said = run(copies, copies, code=1)
    assert len(found["traces"]) == 3 and "it is no regular file" in said
    # A trace under the name of a file that an analysis writes.
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(copies / "m0.h5", other / "results.h5")
    done = attntrace("analyze", other, "--output", other, "--force")
    assert done.returncode == 2 and "over what is read" in done.stderr


def test_other_forms_of_each_result(folder, tmp_path):
    out = tmp_path / "out"
    run(folder / "mdm", out)
    # From the results that are there.
    run(folder / "mdm", out, "--each", "csv,hdf5")
    for path in (out / "traces").glob("*.json"):
        result = json.loads(path.read_text())
        values = expected([result["trace"]["path"]])[0]
        rows = list(csv.DictReader((path.with_suffix("") / "layer-head.csv").open()))
        for row in rows:
            np.testing.assert_allclose(float(row[MASS]), values[int(row["layer"]), int(row["head"])], rtol=1e-9)
        assert answer("diff", path, path.with_suffix(".h5")).startswith("same")


def test_a_folder_without_traces(tmp_path):
    done = attntrace("analyze", tmp_path, "--output", tmp_path / "out")
    assert done.returncode == 2 and "no traces (*.h5) there" in done.stderr
    done = attntrace("merge", tmp_path, "--output", tmp_path / "out")
    assert done.returncode == 2 and "no folder of results" in done.stderr


READ = """
import json, sys
import numpy as np, xarray as xr
path, engine = sys.argv[1:]
tree = xr.open_datatree(path, engine=engine)
name = "first_tokens_mass"
one = tree["first_tokens"][name]
mean = tree["cohort/first_tokens"][name + "_mean"]
with np.errstate(all="ignore"):
    assert np.allclose(one.mean("trace").values, mean.values, equal_nan=True)
assert [str(v) for v in tree["groups"]["group"].values] == ["tiny-ar, none", "tiny-mdm, 16", "tiny-mdm, 8"]
assert tree["groups/first_tokens"][name + "_n"].sel(group="tiny-mdm, 8", layer=3).values.tolist() == [2] * 6
with xr.open_dataset(path, engine=engine) as root:
    assert root["model"].dims == ("trace",)
    table = {str(t): str(p) for t, p in zip(root["trace"].values, root["path"].values)}
with xr.open_dataset(path, group="first_tokens", engine=engine) as opened:
    assert opened[name].dims == ("trace", "layer", "head") and opened[name].attrs["units"] == "share"
    values = opened[name].values
print(json.dumps([list(table.values()), np.where(np.isnan(values), None, values).tolist()]))
"""


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_a_cohort_in_xarray(folder, tmp_path, engine):
    run(folder, tmp_path / "out", *GROUPS)
    path = tmp_path / "out" / "results.h5"
    paths, values = json.loads(run_python(READ, path, engine))
    known = expected(paths)
    causal = [capture_of(p)[0] == "tiny-ar" for p in paths]
    known[causal] = np.nan
    np.testing.assert_allclose(np.array(values, float), known, rtol=1e-9)
    assert subprocess.run(["h5dump", str(path)], capture_output=True).returncode == 0
