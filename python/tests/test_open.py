"""Opening: what is there, labelled, lazy, cut to what is committed; and strange files, refused with a reason."""

import json
import pickle
import shutil
import subprocess
import sys
import time
import tracemalloc

import h5py
import numpy as np
import pytest
from conftest import GOLDEN, REPO
from support import attntrace as run

import attntrace
from attntrace import schema
from attntrace.storage import StoredArray


def test_what_golden_files_hold(golden):
    expected = json.loads((golden.parent / "expected.json").read_text()).get(golden.name, {})
    with attntrace.open(golden) as trace:
        if expected:
            assert trace.attrs["committed_steps"] == expected["committedSteps"] == trace.sizes["step"]
            assert trace["final_id"].values.tolist() == expected["finalIDs"]
            assert bool(trace.attrs["is_complete"]) == expected["isComplete"]
            assert trace.attrs["content_sha256"] == expected.get("contentHash", "")
            answer = trace["answer/attention"].values[0 if trace.is_causal else 1, 1, 2, : len(expected["answer"])]
            np.testing.assert_array_equal(answer.astype("f4"), np.float32(expected["answer"]))
        if "received" in expected:
            received = trace["received"].values[1, 1, 2][:, : len(expected["answer"])]
            np.testing.assert_array_equal(received.ravel(), np.float32(expected["received"]))
        with h5py.File(golden, "r", libver="latest", swmr=golden.suffix == ".partial") as f:
            for node in trace.subtree:
                for name, values in node.data_vars.items():
                    stored = f[f"{node.path}/{name}"]
                    assert values.dims and values.attrs["long_name"]
                    assert all(stop <= length for stop, length in zip(values.shape, stored.shape))
                    kept = stored[tuple(slice(length) for length in values.shape)]
                    if kept.dtype.kind == "S":
                        assert values.values.tolist() == np.char.decode(kept, "utf-8").tolist()
                    else:
                        np.testing.assert_array_equal(values.values, kept)


def test_labels(traces):
    with attntrace.open(traces["selected"]) as trace:
        assert isinstance(trace, attntrace.Trace)
        assert trace["layer"].values.tolist() == [1, 3, 4]
        assert trace["maps/attention"].sel(map_step=3, layer=4, head=5).dims == ("query", "key")
        assert trace["query_class_name"].values.tolist() == ["prompt", "unmasked", "masked"]
        assert trace["token_text"].dims == ("position",) and trace["token_text"].values[1] == "And"
        # Coordinates of the root reach every group.
        assert trace["answer/attention"].coords["generated"].values[0] == trace.attrs["prompt_length"]


def test_nothing_is_read_before_it_is_asked_for(traces, monkeypatch):
    reads = []
    real = StoredArray._read
    monkeypatch.setattr(StoredArray, "_read", lambda self, key: reads.append(self.path) or real(self, key))
    with attntrace.open(traces["diffusion"]) as trace:
        part = trace["maps/attention"].sel(map_step=2, layer=3)
        assert reads == []
        part.load()
        assert reads == ["maps/attention"]
        assert len(repr(trace)) > 1000
        assert "maps/attention" not in reads[1:]


def test_every_way_of_indexing(traces):
    with attntrace.open(traces["diffusion"]) as trace, h5py.File(traces["diffusion"]) as f:
        lazy, whole = trace["received"], f["received"][()]
        np.testing.assert_array_equal(lazy[::-1, 2, ::2].values, whole[::-1, 2, ::2])
        np.testing.assert_array_equal(lazy[[5, 1, 5]].values, whole[[5, 1, 5]])
        np.testing.assert_array_equal(lazy[-3:, :, [4, 0], 1].values, whole[-3:, :, [4, 0], 1])
        np.testing.assert_array_equal(lazy[3][:, 2][1:3].values, whole[3][:, 2][1:3])
        np.testing.assert_array_equal(lazy.where(lazy > 1).values, np.where(whole > 1, whole, np.nan))


def test_dask(traces):
    pytest.importorskip("dask")
    with attntrace.open(traces["diffusion"]) as trace:
        chunked = trace.chunk({"step": 4})["received"].sum("step")
        np.testing.assert_allclose(chunked.values, trace["received"].values.sum(axis=0), rtol=1e-5)


def test_a_trace_larger_than_memory(tmp_path, traces):
    """A file whose maps would take 40 GB: opening it and looking at one map takes next to none."""
    path = tmp_path / "large.h5"
    shutil.copy(traces["diffusion"], path)
    with h5py.File(path, "r+") as f:
        steps, layers, heads, queries, keys = f["maps/attention"].shape
        del f["maps/attention"], f["key"], f["query"], f["visible_queries"], f["received"], f["key_cosine"]
        del f["value_cosine"], f["answer/attention"]
        for name in ["entropy", "logsumexp", "max_weight", "attended_distance", "mask_mass", "query_norm", "output_norm"]:
            del f[name]
        del f["key_norm"], f["value_norm"]
        f.attrs["signals"] = np.bytes_("maps")
        large = 4096
        for dataset, entry in schema.current().datasets.items():
            if "position" in entry["dimensions"] and dataset in f:
                shape = [large if axis == "position" else length
                         for axis, length in zip(entry["dimensions"], f[dataset].shape)]
                kind = f[dataset].dtype
                del f[dataset]
                f.create_dataset(dataset, shape, kind)
        del f["position"]
        f["position"] = np.arange(large, dtype="i4")
        f["key"], f["query"] = np.arange(large, dtype="i4"), np.arange(large, dtype="i4")
        f.create_dataset("answer/attention", (24, layers, heads, large), "f2", chunks=(1, 1, heads, large))
        f.create_dataset("maps/attention", (steps, layers, heads, large, large), "f2", chunks=(1, 1, 1, 64, large))
    tracemalloc.start()
    with attntrace.open(path) as trace:
        assert trace["maps/attention"].nbytes > 3e10
        # Not a trace that verify would take, and a map like any other.
        assert trace.map(3, 2, 1).shape == (large, large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400e6


def test_closed_files_say_so(traces):
    trace = attntrace.open(traces["causal"])
    kept = trace["final_id"].load()
    trace.close()
    assert kept.values[0] == 0
    with pytest.raises(attntrace.AttntraceError, match="was closed"):
        trace.map(3, 2, 1)


def test_pickled_traces_open_again(traces):
    with attntrace.open(traces["diffusion"]) as trace:
        again = pickle.loads(pickle.dumps(trace))
        assert isinstance(again, attntrace.Trace)
        assert again.map(3, 2, 1).equals(trace.map(3, 2, 1))
        assert trace.copy(deep=True).map(3, 2, 1).equals(trace.map(3, 2, 1))
    again.close()


def test_received_sums(traces):
    with attntrace.open(traces["diffusion"]) as trace:
        np.testing.assert_allclose(trace.received_sums().sum("key"), trace.sizes["key"], rtol=1e-5)
    with attntrace.open(traces["causal"]) as trace:
        sums = trace.received_sums()
        prompt = trace.attrs["prompt_length"]
        assert sums.dims == ("step", "layer", "head", "key")
        for step in (0, 7, 39):
            rows = prompt + step
            np.testing.assert_allclose(sums.sel(step=step).sum("key"), rows, rtol=1e-5)
            np.testing.assert_allclose(sums.values[step, 3, 2, :rows], trace.map(step, 3, 2).sum("query"), atol=0.05)
            assert np.isnan(sums.values[step, 3, 2, rows:]).all()
        one = trace.received_sums(running=False)
        np.testing.assert_allclose(one[5].sum("key"), 1, rtol=1e-5)


def test_a_running_capture_is_followed(tmp_path):
    path = tmp_path / "running.h5"
    command = [
        "capture", "--prompt", "In the beginning", "--gen-length", 96, "--block-length", 96, "--record", "maps",
        "--output", path]
    import support

    process = subprocess.Popen([support.ATTNTRACE, *map(str, command)], stdout=subprocess.DEVNULL)
    partial, seen = tmp_path / "running.h5.partial", []
    try:
        deadline = time.monotonic() + 60
        while len(seen) < 2 and process.poll() is None and time.monotonic() < deadline:
            if not partial.exists():
                time.sleep(0.002)
                continue
            try:
                trace = attntrace.open(partial)
            except attntrace.AttntraceError as error:
                assert "no such file" in str(error), error
                continue
            with trace:
                steps = trace.sizes["step"]
                if steps and steps not in seen:
                    seen.append(steps)
                    assert trace.map(steps - 1, 2, 1).shape == trace.map(0, 2, 1).shape
                    assert trace["received"][-1].notnull().all()
    finally:
        process.kill()
        process.wait()
    assert seen, "the run ended before it could be looked at"
    if partial.exists():
        with attntrace.open(partial) as trace:
            assert trace.sizes["step"] >= seen[-1]
            assert len(trace.sinks()) > 0


def test_what_was_not_committed_never_happened(tmp_path):
    """A step that was cut off may have written its tokens already."""
    def change(f):
        f["committed_steps"][()] = 2
        f["is_complete"][()] = 0

    with attntrace.open(broken(tmp_path, change)) as trace:
        step = trace["unmask_step"].values
        assert trace.sizes["step"] == 2 and step.max() < 2
        assert set(trace["final_id"].values[step == -2]) == {trace.attrs["mask_token_id"]}
        assert (trace["unmask_order"].values[step == -2] == -2).all()
        emitted = trace["answer/source_step"].values
        assert emitted.max() < 2 and (trace["answer/source_query"].values[emitted < 0] == -1).all()
        assert (emitted >= 0).sum() == (step >= 0).sum()


# Strange files


def broken(tmp_path, change, name="x.h5", source=GOLDEN / "1.0/bidirectional.h5"):
    path = tmp_path / name
    shutil.copy(source, path)
    with h5py.File(path, "r+") as f:
        change(f)
    return path


def replaced(path, values):
    def change(f):
        del f[path]
        if values is not None:
            f[path] = values

    return change


def attribute(name, value):
    def change(f):
        del f.attrs[name]
        if value is not None:
            f.attrs[name] = value

    return change


def linked(link):
    def change(f):
        del f["received"]
        f["received"] = link

    return change


DAMAGE = {
    "no format": (attribute("format", None), "not an attention trace"),
    "format of another": (attribute("format", b"netcdf"), "not an attention trace"),
    "newer": (attribute("min_reader", b"99.0"), "cannot read"),
    "no version": (attribute("min_reader", b"new"), "@min_reader"),
    "no causality": (attribute("causality", None), "@causality"),
    "strange causality": (attribute("causality", b"sideways"), "@causality"),
    "number for text": (attribute("signals", 3), "@signals"),
    "text for number": (attribute("prompt_length", b"three"), "@prompt_length"),
    "negative prompt": (attribute("prompt_length", np.int32(-1)), "@prompt_length"),
    "no heads": (attribute("kv_head_count", np.int32(0)), "@kv_head_count"),
    "heads that do not divide": (attribute("kv_head_count", np.int32(3)), "@kv_head_count"),
    "list for number": (attribute("layer_count", np.arange(3)), "@layer_count"),
    "signal without data": (replaced("received", None), "received: damaged: missing"),
    "no tokens": (replaced("token_id", None), "token_id: damaged: missing"),
    "wrong type": (replaced("received", np.zeros((4, 2, 3, 3, 8))), "float64"),
    "wrong axes": (replaced("received", np.zeros((4, 2, 3, 8), "f4")), "has 4 axes"),
    "too short": (replaced("received", np.zeros((3, 2, 3, 3, 8), "f4")), "3 places along step"),
    "too few keys": (replaced("received", np.zeros((4, 2, 3, 3, 7), "f4")), "7 places along key"),
    "more steps than there are": (replaced("committed_steps", np.int32(5)), "step: damaged"),
    "steps below none": (replaced("committed_steps", np.int32(-5)), "is no count"),
    "steps as text": (replaced("committed_steps", b"four"), "is no count"),
    "steps as a list": (replaced("committed_steps", np.arange(4)), "is not one value"),
    "layers that do not ascend": (replaced("layer", np.array([4, 1], "i4")), "ascending"),
    "an axis of floats": (replaced("layer", np.array([1.0, 2.0])), "one axis of int32"),
    "a group for a dataset": (lambda f: (f.pop("received"), f.create_group("received")), "is not a dataset"),
    "a link to itself": (linked(h5py.SoftLink("/received")), "is a link"),
    "a link outside": (linked(h5py.ExternalLink("/etc/passwd", "/x")), "is a link"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(tmp_path, name):
    change, message = DAMAGE[name]
    path = broken(tmp_path, change)
    with pytest.raises(attntrace.AttntraceError, match=message) as caught:
        attntrace.open(path)
    assert str(path) in str(caught.value)


def test_values_elsewhere_are_not_followed(tmp_path):
    def external(f):
        del f["received"]
        f.create_dataset("received", (4, 2, 3, 3, 8), "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])

    def virtual(f):
        del f["received"]
        layout = h5py.VirtualLayout((4, 2, 3, 3, 8), "f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4, 2, 3, 3, 8))
        f.create_virtual_dataset("received", layout)

    for change in (external, virtual):
        with pytest.raises(attntrace.AttntraceError, match="other files"):
            attntrace.open(broken(tmp_path, change))


def test_an_axis_longer_than_memory(tmp_path):
    def change(f):
        del f["key"]
        f.create_dataset("key", (1 << 40,), "i4", chunks=(1024,))

    with pytest.raises(attntrace.AttntraceError, match="longer than any axis"):
        attntrace.open(broken(tmp_path, change))


def test_later_minor_versions_are_read(tmp_path):
    def change(f):
        f.attrs["format_version"] = np.bytes_("1.7")
        f.attrs["signals"] = np.bytes_(f.attrs["signals"] + b",telepathy")
        f["telepathy"] = np.arange(3)
        f.attrs["mood"] = b"new"

    with attntrace.open(broken(tmp_path, change)) as trace:
        assert len(trace.sinks("top")) > 0


@pytest.mark.parametrize("name", ["bidirectional", "causal", "selected"])
def test_unknown_parts_of_later_versions_are_ignored(tmp_path, name):
    """A later 1.x: a signal with an axis of its own, in the root and in a group, and attributes of any type."""
    def change(f):
        f.attrs["format_version"] = np.bytes_("1.12")
        f.attrs["min_reader"] = np.bytes_("1.0.0")
        f.attrs["signals"] = np.bytes_(f.attrs["signals"] + b",telepathy")
        f["distance_bin"] = np.arange(5, dtype="i4")
        f["distance_bin"].make_scale("distance_bin")
        shape = f["received"].shape[:3] + (5,)
        for place in ("telepathy", "maps/telepathy", "minds/telepathy"):
            item = f.create_dataset(place, shape, "f4")
            for axis, scale in enumerate(("step", "layer", "head", "distance_bin")):
                item.dims[axis].label = scale
            item.dims[3].attach_scale(f["distance_bin"])
        f["thoughts"] = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
        f["aside"] = h5py.SoftLink("/nowhere")
        f.attrs["mood"] = b"new"
        f.attrs["numbers"] = np.arange(3)
        f.attrs["nothing"] = h5py.Empty("f4")
        f.attrs["reference"] = f["received"].ref
        time = h5py.h5t.UNIX_D32LE.copy()
        h5py.h5a.create(f.id, b"when", time, h5py.h5s.create(h5py.h5s.SCALAR))

    original = GOLDEN / f"1.0/{name}.h5"
    with attntrace.open(broken(tmp_path, change, source=original)) as trace, attntrace.open(original) as before:
        assert trace.attrs["format_version"] == "1.12" and trace.attrs["mood"] == "new"
        assert trace.attrs["numbers"].tolist() == [0, 1, 2] and "reference" not in trace.attrs
        assert pickle.loads(pickle.dumps(trace)).attrs.keys() == trace.attrs.keys()
        assert set(trace.signals) == {*before.signals, "telepathy"}
        assert "telepathy" not in trace and "minds" not in trace and "distance_bin" not in trace.sizes
        assert repr(trace) and trace._repr_html_()
        for node in before.subtree:
            for variable in node.data_vars:
                assert trace[f"{node.path.rstrip('/')}/{variable}"].equals(node[variable])
        layer, head = int(trace["layer"][0]), int(trace["head"][0])
        step = int((trace["step"] if trace.is_causal else trace["map_step"])[-1])
        assert trace.map(step, layer, head).equals(before.map(step, layer, head))
        assert trace.sinks("top").equals(before.sinks("top"))
        assert trace.load() is trace


@pytest.mark.parametrize(("oldest", "readable"), [
    ("1", True), ("1.0", True), ("1.0.0", True), ("0.9.12", True), ("01.0", True), ("1.0.0.1", False), ("1.0.1", False),
    ("1.1", False), ("2", False)])
def test_the_oldest_reader_is_compared_part_by_part(tmp_path, oldest, readable):
    """As the program does, to which 1, 1.0 and 1.0.0 are the same."""
    if schema.current().version != "1.0":
        pytest.skip("the table is of readers of 1.0")
    path = broken(tmp_path, attribute("min_reader", np.bytes_(oldest)))
    # `info` takes notice of the version before all else.
    assert (run("info", path).returncode == 0) == readable
    if readable:
        attntrace.open(path).close()
    else:
        with pytest.raises(attntrace.AttntraceError, match="cannot read"):
            attntrace.open(path)


def test_files_that_are_none(tmp_path):
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    empty = tmp_path / "empty.h5"
    empty.touch()
    other = tmp_path / "other.h5"
    h5py.File(other, "w").close()
    for path, message in [
        (text, "not readable as HDF5"), (empty, "not readable"), (other, "not an attention trace"),
        (tmp_path, "a folder"), (tmp_path / "none.h5", "no such file"),
    ]:
        with pytest.raises(attntrace.AttntraceError, match=message):
            attntrace.open(path)


CUTS = """
import sys, pathlib, attntrace
whole, path = pathlib.Path(sys.argv[1]).read_bytes(), pathlib.Path(sys.argv[2])
ended = {"read": 0, "refused": 0}
for cut in range(0, len(whole), max(1, len(whole) // 25)):
    for data in (whole[:cut], whole[:cut] + bytes([whole[cut] ^ 255]) + whole[cut + 1 :]):
        path.write_bytes(data)
        try:
            with attntrace.open(path) as trace:
                trace.load()
                trace.sinks()
                ended["read"] += 1
        except attntrace.AttntraceError:
            ended["refused"] += 1
print(ended["read"], ended["refused"])
"""


@pytest.mark.parametrize("name", ["1.0/causal.h5", "0.9/unfinished.h5.partial"])
def test_cut_and_changed_files_end_in_order(tmp_path, name):
    """In a process of its own: a crash of libhdf5 would be this test's failure, not its end."""
    path = tmp_path / ("cut" + "".join((GOLDEN / name).suffixes[-2:] if "partial" in name else [".h5"]))
    done = subprocess.run(
        [sys.executable, "-c", CUTS, str(GOLDEN / name), str(path)], capture_output=True, text=True, timeout=120,
        env={"PYTHONPATH": str(REPO / "python/src"), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr[-2000:]
    read, refused = map(int, done.stdout.split())
    assert refused > 20


def test_untrusted_files_are_read_elsewhere_first(traces, tmp_path, monkeypatch):
    with attntrace.open(traces["causal"], untrusted=True) as trace:
        assert trace.map(3, 2, 1).shape
    with pytest.raises(attntrace.AttntraceError, match="not readable as HDF5"):
        (tmp_path / "none.h5").write_text("none")
        attntrace.open(tmp_path / "none.h5", untrusted=True)
    # Which files crash libhdf5 changes with its version, so a Python that crashes by itself stands in for one.
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -SEGV $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(attntrace.AttntraceError, match=r"read.crash: libhdf5 crashed on it \(signal 11\)"):
        attntrace.open(traces["causal"], untrusted=True)


def test_errors_survive_pickling():
    error = attntrace.AttntraceError("a.h5", "received", "damaged: missing")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "a.h5: received: damaged: missing"
    assert (again.path, again.object, again.rule) == ("a.h5", "received", "damaged: missing")


def test_schema_is_the_repositorys():
    newest = schema.current()
    assert newest.text == (REPO / f"schemas/attention-trace-{newest.version}.json").read_bytes()
    assert schema.version_key("0.10") > schema.version_key("0.9")
    with attntrace.open(GOLDEN / "1.0/minimal.h5") as trace:
        assert trace.attrs["schema_sha256"] == newest.sha256
    assert run("--version").returncode == 0
