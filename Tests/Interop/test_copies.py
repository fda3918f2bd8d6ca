"""recover, repack, diff and capture --resume, as a person uses them, judged by h5py and by content hashes."""

import json
import random
import re
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest

from support import ATTNTRACE, REPO, PROMPT, answer, answer_json, attntrace, capture, read_all, run_python, same, text

DIFFUSION = ["--gen-length", "32", "--block-length", "16", "--record", "maps"]
CAUSAL = ["--model", "tiny-ar", "--max-new-tokens", "64", "--record", "maps"]
SAMPLED = ["--gen-length", "16", "--cfg-scale", "1.5", "--temperature", "0.7", "--seed", "3", "--record", "maps"]
RUNS = {
    "diffusion": DIFFUSION, "causal": CAUSAL, "sampled": SAMPLED,
    "suppressed": [*DIFFUSION, "--suppress-sinks", "3"], "causal_suppressed": [*CAUSAL, "--suppress-sinks", "3"]}


def content(path):
    return answer_json("info", path, "--json")["content_sha256"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return {name: capture(folder / f"{name}.h5", *options) for name, options in RUNS.items()}


def killed(path, options, after):
    """Kills a capture once so many steps are committed. Its partial file."""
    partial = path.with_name(path.name + ".partial")
    run = subprocess.Popen(
        [ATTNTRACE, "capture", "--prompt", PROMPT, "--output", str(path), *options], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    while run.poll() is None:
        try:
            with h5py.File(partial, "r", libver="latest", swmr=True) as f:
                if f["committed_steps"][()] >= after:
                    break
        except (OSError, KeyError):
            time.sleep(0.001)
    run.kill()
    assert run.wait() == -signal.SIGKILL, "it was too fast to be killed"
    return partial


@pytest.mark.parametrize("name", RUNS)
def test_the_content_hash_is_that_of_the_values(tmp_path, whole, name):
    assert re.fullmatch("[0-9a-f]{64}", content(whole[name]))
    again = capture(tmp_path / "again.h5", *RUNS[name], "--threads", "1")
    assert content(again) == content(whole[name])
    # What differs is named; what bears on no value does not make another trace of it.
    assert answer("diff", again, whole[name]).splitlines() == [
        '@threads: "1" | "2"', f"same: {41 if name == 'sampled' else 36 + ('suppressed' in name)} datasets"]
    other = capture(tmp_path / "other.h5", *RUNS[name], "--seed", "11")
    assert content(other) != content(whole[name])


@pytest.mark.parametrize("name", ["bidirectional", "causal", "guided", "selected"])
def test_an_older_trace_is_migrated(tmp_path, name):
    old, new = REPO / f"Tests/Golden/0.9/{name}.h5", tmp_path / "new.h5"
    # Read as it is, and verified as it is.
    assert answer_json("verify", old, "--deep", "--json")["valid"]
    said = answer_json("migrate", old, "--output", new, "--json")
    assert said["is_content_unchanged"] and said["content_sha256"] == content(old)
    assert answer_json("verify", new, "--deep", "--json")["findings"] == []
    with h5py.File(old) as before, h5py.File(new) as after:
        schema = json.loads((REPO / "schemas/attention-trace-1.0.json").read_text())
        assert text(before.attrs["format_version"]) == "0.9"
        assert text(after.attrs["format_version"]) == schema["version"]
        assert text(after.attrs["min_reader"]) == schema["min_reader"]
        assert json.loads(after["schema_text"][()]) == schema
        assert text(after.attrs["history"]) == "migrate: format 0.9 to 1.0"
    ours, theirs = read_all(old), read_all(new)
    assert all(same(ours[path], theirs[path]) for path in ours if path not in ["schema_text"])
    again = attntrace("migrate", new, "--output", tmp_path / "again.h5")
    assert again.returncode == 1 and "is of format 1.0 already" in again.stderr


@pytest.mark.parametrize("name", RUNS)
def test_recovered(tmp_path, whole, name):
    partial = killed(tmp_path / "cut.h5", RUNS[name], after=3)
    before = partial.read_bytes()
    said = answer_json("recover", partial, "--output", tmp_path / "saved.h5", "--json")
    assert partial.read_bytes() == before
    steps = said["steps"]
    assert steps >= 3 and said["is_complete"] is False
    found = read_all(tmp_path / "saved.h5")
    expected = read_all(whole[name])
    assert found["committed_steps"] == steps and found["is_complete"] == 0
    for path in ["token_id", "received", "predicted_id"]:
        there = expected[path][:steps]
        assert same(found[path], there[tuple(slice(0, n) for n in found[path].shape)]), path
    # Nothing of the step that was under way, and everything that a whole trace has.
    assert found["answer/source_step"].max() < steps and found["unmask_step"].max() < steps
    assert all(found["token_text"][found["unmask_step"] >= -1] != b"")
    # The first so many steps of the whole run are the same trace.
    answer("recover", whole[name], "--steps", steps, "--output", tmp_path / "first.h5")
    assert content(tmp_path / "first.h5") == said["content_sha256"]
    with h5py.File(tmp_path / "saved.h5") as f:
        assert text(f.attrs["history"]) == f"recover: {steps} of {steps} committed steps"


def test_nothing_to_recover(tmp_path, whole):
    missing = attntrace("recover", tmp_path / "none.partial", "--output", tmp_path / "b.h5")
    assert missing.returncode == 3 and "no such file" in missing.stderr
    too_many = attntrace("recover", whole["diffusion"], "--steps", "33", "--output", tmp_path / "b.h5")
    assert too_many.returncode == 2 and "32 committed steps, not 33" in too_many.stderr
    taken = attntrace("recover", whole["diffusion"], "--output", whole["causal"])
    assert taken.returncode == 2 and "already exists" in taken.stderr
    itself = attntrace("recover", whole["diffusion"], "--output", whole["diffusion"], "--force")
    assert itself.returncode == 2 and "another name" in itself.stderr
    assert list(tmp_path.iterdir()) == []


def test_recovering_around_damage(tmp_path, whole):
    """What is damaged is named; a trace without it, or of the steps before it, is still to be had."""
    broken = tmp_path / "broken.h5"
    shutil.copy(whole["diffusion"], broken)
    with h5py.File(broken) as f:
        info = f["maps/attention"].id.get_chunk_info_by_coord((20, 1, 2, 0, 0))
    raw = bytearray(broken.read_bytes())
    raw[info.byte_offset + 100] ^= 1
    broken.write_bytes(raw)
    refused = attntrace("recover", broken, "--output", tmp_path / "a.h5")
    assert refused.returncode == 1 and "/maps/attention: damaged: the chunk at [20, 1, 2, 0, 0]" in refused.stderr
    assert [item.name for item in tmp_path.iterdir()] == ["broken.h5"]
    answer("recover", broken, "--steps", "20", "--output", tmp_path / "before.h5")
    assert read_all(tmp_path / "before.h5")["maps/attention"].shape[0] == 20
    answer("recover", broken, "--drop", "maps", "--output", tmp_path / "without.h5")
    found = read_all(tmp_path / "without.h5")
    assert "maps/attention" not in found and same(found["received"], read_all(whole["diffusion"])["received"])


@pytest.mark.parametrize("name", ["diffusion", "causal"])
@pytest.mark.parametrize("options", [
    ["--level", "9"], ["--access", "map"], ["--access", "time"], ["--page-size", "65536"],
    ["--access", "map", "--level", "12", "--page-size", "4096"],
], ids=" ".join)
def test_repacking_keeps_values(tmp_path, whole, name, options):
    packed = tmp_path / "packed.h5"
    said = answer_json("repack", whole[name], "--output", packed, *options, "--json")
    assert said["is_content_unchanged"] is True and content(packed) == content(whole[name])
    assert answer("diff", whole[name], packed).startswith("same")
    a, b = read_all(whole[name]), read_all(packed)
    assert a.keys() == b.keys()
    for path in a:
        assert same(a[path], b[path]), path
    with h5py.File(packed) as f:
        if "map" in options:
            keys = len(f["key"])
            assert f["maps/attention"].chunks == (1, 1, 1, keys, keys)
        if "--page-size" in options:
            assert f.id.get_create_plist().get_file_space_strategy()[0] == h5py.h5f.FSPACE_STRATEGY_PAGE


def test_repacking_smaller(tmp_path, whole):
    source = whole["diffusion"]
    sizes = {}
    for bits in [None, 7, 3]:
        packed = tmp_path / f"{bits}.h5"
        answer("repack", source, "--output", packed, *(["--keep-bits", bits] if bits else ["--level", 9]))
        sizes[bits] = packed.stat().st_size
        if bits:
            exact, rounded = read_all(source)["maps/attention"], read_all(packed)["maps/attention"]
            error = np.abs(exact.astype("f8") - rounded)
            assert np.all(error <= np.maximum(exact * 2.0 ** -(bits + 1), 2.0 ** -24 * 2 ** (9 - bits)))
            with h5py.File(packed) as f:
                assert f["maps/attention"].attrs["kept_mantissa_bits"] == bits
                assert f"keep-bits {bits}" in text(f.attrs["history"])
            assert content(packed) != content(source)
            assert answer("verify", "--deep", packed).startswith(f"{packed}: valid")
            # What was rounded stays so, whatever is done to it.
            answer("repack", packed, "--level", 9, "--output", tmp_path / "again.h5", "--force")
            assert answer_json("verify", "--deep", tmp_path / "again.h5", "--json")["valid"]
            different = attntrace("diff", source, packed)
            assert different.returncode == 1 and different.stdout.startswith("/maps/attention: first at map_step 0")
            assert answer("diff", source, packed, "--tolerance", "0.1").startswith("same")
    assert sizes[3] < sizes[7] < sizes[None] < source.stat().st_size
    dropped = tmp_path / "dropped.h5"
    answer("repack", source, "--drop", "maps,rows", "--output", dropped)
    hashes = [{d["path"]: d["sha256"] for d in answer_json("info", p, "--json")["datasets"]} for p in (source, dropped)]
    assert set(hashes[0]) - set(hashes[1]) == {"maps/attention", "entropy", "logsumexp", "max_weight"}
    assert all(hashes[0][path] == hashes[1][path] for path in hashes[1] if not path.startswith("content/"))


@pytest.mark.parametrize("options", [
    ["--token-ids", "0,5", "--gen-length", "1", "--layers", "0"],
    ["--token-ids", "0,5", "--gen-length", "1", "--layers", "0", "--heads", "3", "--record", "qk", "--signals", "all"],
    ["--model", "tiny-ar", "--token-ids", "5", "--gen-length", "1", "--layers", "0", "--heads", "0", "--record", "maps"],
    ["--model", "tiny-ar", "--token-ids", "5,6", "--gen-length", "9", "--queries", "1,4", "--signals", "all"],
    ["--token-ids", "5", "--gen-length", "8", "--steps", "2", "--queries", "0,7", "--map-steps", "1", "--signals", "all"],
], ids=["one", "one of qk", "one causal", "causal rows", "some rows and steps"])
def test_odd_shapes(tmp_path, options):
    """The smallest traces, and those with holes: captured, judged, compared with themselves, and copied."""
    trace = tmp_path / "a.h5"
    # Vectors of the embedded models may rebuild maps less exactly than asked for, which is said.
    assert attntrace("capture", *options, "--output", trace).returncode == 0
    copies = [tmp_path / name for name in ["recovered.h5", "map.h5", "time.h5"]]
    answer("recover", trace, "--output", copies[0])
    answer("repack", trace, "--access", "map", "--output", copies[1])
    answer("repack", trace, "--access", "time", "--level", 6, "--output", copies[2])
    for path in [trace, *copies]:
        assert answer_json("verify", "--deep", path, "--json")["valid"]
        assert answer("diff", trace, path).startswith("same")
        assert content(path) == content(trace)


@pytest.mark.parametrize("options, message", [
    (["--level", "13"], "1 to 12"), (["--keep-bits", "0"], "1 to 9"), (["--page-size", "5000"], "power of two"),
    (["--drop", "nonsense"], "nonsense"), (["--access", "x"], "access"),
])
def test_repack_refuses(tmp_path, whole, options, message):
    said = attntrace("repack", whole["diffusion"], "--output", tmp_path / "a.h5", *options)
    assert said.returncode == 2 and message in said.stderr and said.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_copy_never_takes_its_source_away(tmp_path):
    """`X.partial` is the name that a copy called X passes through, whether it succeeds or fails."""
    partial = killed(tmp_path / "cut.h5", DIFFUSION, after=4)
    raw = bytearray(partial.read_bytes())
    with h5py.File(partial, "r", libver="latest", swmr=True) as f:
        raw[f["maps/attention"].id.get_chunk_info_by_coord((1, 1, 2, 0, 0)).byte_offset + 50] ^= 1
    partial.write_bytes(raw)
    for force in [[], ["--force"]]:
        said = attntrace("recover", partial, "--output", tmp_path / "cut.h5", *force)
        assert said.returncode == 2 and "another name" in said.stderr
        assert partial.read_bytes() == raw and list(tmp_path.iterdir()) == [partial]


def test_what_is_missing_is_not_made_up(tmp_path, whole):
    """Absent is not zero: a copy of a trace that lacks a dataset, or a chunk of one, is refused."""
    for name, change in {
        "predicted_id": lambda f: f.__delitem__("predicted_id"), "entropy": lambda f: f.__delitem__("entropy")}.items():
        broken = tmp_path / "broken.h5"
        shutil.copy(whole["diffusion"], broken)
        with h5py.File(broken, "r+", libver=("v110", "v110")) as f:
            change(f)
        said = attntrace("recover", broken, "--output", tmp_path / "copy.h5")
        assert said.returncode == 1 and f"/{name}: damaged: is missing" in said.stderr
        assert list(tmp_path.iterdir()) == [broken]
    answer("recover", broken, "--drop", "rows", "--output", tmp_path / "copy.h5")
    assert answer_json("verify", "--deep", tmp_path / "copy.h5", "--json")["valid"]


def test_a_signal_of_a_later_version_is_let_be(tmp_path, whole):
    later = tmp_path / "later.h5"
    shutil.copy(whole["diffusion"], later)
    with h5py.File(later, "r+", libver=("v110", "v110")) as f:
        f.attrs.modify("signals", np.bytes_(f.attrs["signals"] + b",telepathy"))
    assert answer_json("info", later, "--json")["committed_steps"] == 32
    answer("sinks", later)


def test_vectors_resumed_before_their_first_step(tmp_path):
    options = ["--gen-length", "48", "--record", "qk", "--map-steps", "40-42", "--signals", "cosine"]
    whole = tmp_path / "whole.h5"
    assert attntrace("capture", "--prompt", PROMPT, "--output", whole, *options).returncode == 0
    killed(tmp_path / "cut.h5", options, after=3)
    assert attntrace("capture", "--prompt", PROMPT, "--output", tmp_path / "cut.h5", *options, "--resume").returncode == 0
    assert content(tmp_path / "cut.h5") == content(whole)


def test_repacking_takes_little_memory(tmp_path):
    """However many steps there are: the slowest compression, with the trace several times as large."""
    peaks = []
    for length in [32, 112]:
        trace = capture(tmp_path / f"{length}.h5", "--gen-length", length, "--record", "maps", "--size-limit", "4GB")
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
        peaks.append(int(run_python(
            code, ATTNTRACE, "repack", trace, "--level", 9, "--output", tmp_path / "packed.h5", "--force")) / 1024)
    assert max(peaks) < 160, peaks


def test_what_is_not_there_cannot_be_dropped(tmp_path, whole):
    said = attntrace("repack", whole["diffusion"], "--drop", "norms", "--output", tmp_path / "a.h5")
    assert said.returncode == 1 and "/norms was not recorded" in said.stderr and list(tmp_path.iterdir()) == []


def test_an_unfinished_trace_is_recovered_first(tmp_path):
    partial = killed(tmp_path / "cut.h5", DIFFUSION, after=2)
    said = attntrace("repack", partial, "--output", tmp_path / "a.h5")
    assert said.returncode == 1 and "recover it first" in said.stderr


def test_diff_names_the_first_place(tmp_path, whole):
    changed = tmp_path / "changed.h5"
    shutil.copy(whole["diffusion"], changed)
    with h5py.File(changed, "r+", libver=("v110", "v110")) as f:
        f["received"][7, 3, 2, 1, 5] += 0.5
        f["received"][9, 0, 0, 0, 0] += 0.25
    said = attntrace("diff", whole["diffusion"], changed, "--json")
    assert said.returncode == 1 and said.stderr == ""
    found = json.loads(said.stdout)
    assert found["is_same"] is False and [entry["path"] for entry in found["values"]] == ["received"]
    entry = found["values"][0]
    assert entry["first"] == {"step": 7, "layer": 3, "head": 2, "query_class": 1, "key": 5}
    assert entry["differing"] == 2 and entry["largest"] == pytest.approx(0.5, abs=1e-5)
    line = attntrace("diff", whole["diffusion"], changed).stdout.splitlines()[0]
    assert line.startswith("/received: first at step 7, layer 3, head 2, query_class 1, key 5: ")


@pytest.mark.parametrize("name", RUNS)
def test_resumed_runs_give_the_same_content(tmp_path, whole, name):
    """Killed again and again, at moments that the run does not choose, and taken up each time."""
    draw = random.Random(name)
    path = tmp_path / "out.h5"
    command = ["capture", "--prompt", PROMPT, "--output", path, *RUNS[name], "--resume"]
    began = time.monotonic()
    capture(tmp_path / "timed.h5", *RUNS[name])
    length = time.monotonic() - began
    killed(path, [*RUNS[name], "--resume"], after=3)
    for _ in range(6):
        run = subprocess.Popen([ATTNTRACE, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.3, 1) * length)
        run.kill()
        run.wait()
        if path.exists():
            break
    if not path.exists():
        assert attntrace(*command).returncode == 0
    assert content(path) == content(whole[name])
    assert {item.name for item in tmp_path.iterdir()} == {"out.h5", "timed.h5"}
    a, b = read_all(path), read_all(whole[name])
    assert all(same(a[key], b[key]) for key in b)


@pytest.mark.parametrize("change, message", [
    (["--seed", "9"], "seed"), (["--layers", "0,1"], "layers"), (["--record", "received"], "signals"),
    (["--temperature", "0.5"], "sampler_parameters"),
])
def test_another_run_is_not_resumed(tmp_path, change, message):
    path = tmp_path / "out.h5"
    partial = killed(path, DIFFUSION, after=2)
    before = partial.read_bytes()
    said = attntrace("capture", "--prompt", PROMPT, "--output", path, *DIFFUSION, *change, "--resume")
    assert said.returncode == 2 and "cannot be resumed" in said.stderr and message in said.stderr
    assert partial.read_bytes() == before
    other = attntrace("capture", "--prompt", "Another prompt", "--output", path, *DIFFUSION, "--resume")
    assert other.returncode == 2 and partial.read_bytes() == before


def test_a_step_that_does_not_repeat_is_refused(tmp_path):
    path = tmp_path / "out.h5"
    partial = killed(path, DIFFUSION, after=4)
    # As if another machine had computed it.
    with h5py.File(partial, "r", libver="latest", swmr=True) as f:
        step = int(f["committed_steps"][()]) - 1
        info = f["confidence"].id.get_chunk_info_by_coord((step, 0))
        values = f["confidence"][step]
    raw = bytearray(partial.read_bytes())
    place = int(np.flatnonzero(~np.isnan(values))[0])
    raw[info.byte_offset + 4 * place] ^= 1
    partial.write_bytes(raw)
    said = attntrace("capture", "--prompt", PROMPT, "--output", path, *DIFFUSION, "--resume")
    assert said.returncode == 1 and f"step {step}, run again, does not give" in said.stderr
    assert partial.exists() and not path.exists()
