"""What the tests share: running the command, reading a trace whole, comparing two."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

REPO = Path(__file__).resolve().parents[2]
MODELS = REPO / "models"
ATTNTRACE = os.environ.get("ATTNTRACE") or str(REPO / ".build/release/attntrace")
PROMPT = "In the beginning God created the heaven and the earth."

# The command looks for the embedded models above itself, which fails where it was built elsewhere.
os.environ["ATTNTRACE_MODELS"] = str(MODELS)


def attntrace(*arguments, timeout=120, env=None, **options):
    """Runs the command; stdout and stderr as text."""
    return subprocess.run(
        [ATTNTRACE, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=timeout, env={**os.environ, **(env or {})}, **options)


def heed_signals():
    """For a process about to start: tests that run in the background of a shell, or under nohup, would pass on that SIGINT
    and SIGHUP are ignored."""
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)


def answer(*arguments, **options):
    """stdout of a run that must succeed and say nothing else."""
    done = attntrace(*arguments, **options)
    assert done.returncode == 0, f"{arguments}: exit {done.returncode}: {done.stderr}"
    assert done.stderr == "", f"{arguments}: said on stderr: {done.stderr}"
    return done.stdout


def answer_json(*arguments, **options):
    return json.loads(answer(*arguments, **options))


def capture(output, *arguments, prompt=PROMPT):
    """Captures a trace and returns its path."""
    answer("capture", "--prompt", prompt, "--output", output, *arguments)
    return output


def run_python(code, *arguments, timeout=120):
    """Runs Python in a process of its own, so that a reader's crash is a failure with a message. Its stdout."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)
    assert done.returncode >= 0, f"killed by signal {-done.returncode}:\n{code}\n{done.stderr}"
    assert done.returncode == 0, f"exit {done.returncode}:\n{done.stderr}"
    return done.stdout


def dataset_paths(file):
    """Paths of every dataset of an open file."""
    found = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return sorted(found)


def read_all(path):
    """Every dataset of a closed trace by its path."""
    with h5py.File(path, "r") as f:
        return {name: f[name][()] for name in dataset_paths(f)}


def root_attributes(path):
    with h5py.File(path, "r") as f:
        return {name: text(value) for name, value in f.attrs.items()}


def text(value):
    """Fixed-length text as str; anything else as it is."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray) and value.dtype.kind == "S":
        return np.array([item.decode() for item in value], dtype=object)
    return value


def same(a, b):
    """Equal bit for bit; NaN equals NaN."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def loaded_library():
    """libhdf5 as h5py brings it, for what h5py does not offer."""
    paths = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    [path] = [path for path in paths if Path(path).name.startswith("libhdf5") and "_hl" not in path]
    library = ctypes.CDLL(path)
    library.H5Pset_metadata_read_attempts.argtypes = [ctypes.c_int64, ctypes.c_uint]
    return library


def open_running(path):
    """Opens a trace that is being written, or whose writer was killed.

    As h5py.File(path, "r", libver="latest", swmr=True), which goes on trying for ever where the file is damaged: the
    library waits before each of its 100 attempts twice as long as before the last.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    assert loaded_library().H5Pset_metadata_read_attempts(access.id, 20) >= 0
    flags = h5py.h5f.ACC_RDONLY | h5py.h5f.ACC_SWMR_READ
    return h5py.File(h5py.h5f.open(os.fsencode(path), flags, fapl=access))


class Recorded:
    """A finished trace, to hold the committed part of the same run against."""

    def __init__(self, path):
        self.values = read_all(path)
        with h5py.File(path, "r") as f:
            self.axes = {
                name: [axis[0].name.lstrip("/") for axis in f[name].dims]
                for name in self.values if f[name].ndim and not f[name].is_scale}
            self.is_causal = text(f.attrs["causality"]) == "causal"
            self.prompt_length = int(f.attrs["prompt_length"])
        self.steps = len(self.values["step"])

    def lengths(self, steps):
        """How long axes are after some steps; the others are as long as ever."""
        if not self.is_causal:
            return {"step": steps, "row_step": steps, "map_step": steps}
        rows = self.prompt_length + steps - 1
        return {"step": steps, "query": rows, "key": rows, "position": rows + 1}

    def check(self, f):
        """Every committed step of an open file is there, bit for bit. Returns how many there are."""
        steps = int(f["committed_steps"][()])
        assert 0 <= steps <= self.steps
        if steps == 0:
            return 0
        lengths = self.lengths(steps)
        compared = 0
        for name, axes in self.axes.items():
            # What has no step is known at the end only; the answers come further down.
            if axes[0] in ("step", "row_step", "map_step"):
                part = tuple(slice(lengths.get(axis)) for axis in axes)
                assert same(f[name][part], self.values[name][part]), f"{name} of {steps} steps"
                compared += 1
        assert compared >= 8
        self.check_tokens(f, steps)
        keys = slice(lengths.get("key"))
        for place, step in enumerate(self.values["answer/source_step"]):
            if step < steps:
                for name in ["answer/source_step", "answer/source_query"]:
                    assert f[name][place] == self.values[name][place], name
                assert same(
                    f["answer/attention"][place][..., keys], self.values["answer/attention"][place][..., keys])
        return steps

    def check_tokens(self, f, steps):
        """What grows by token and not by step: right for committed steps; beyond, at most something of the next one."""
        done = self.values["unmask_step"] < steps
        if self.is_causal:
            done = done[: self.prompt_length + steps]
        for name in ["final_id", "unmask_step", "unmask_order", "position_id"]:
            found = f[name][: len(done)]
            assert same(found[done], self.values[name][: len(done)][done]), f"{name} after {steps} steps"
        later = f["unmask_step"][: len(done)][~done]
        assert not np.any((later >= -1) & (later < steps)), "unmask_step of what is still masked"

        texts = dict(zip(self.values["vocab_id"], self.values["vocab_text"]))
        found = dict(zip(f["vocab_id"][()], f["vocab_text"][()]))
        occurring = {*self.values["final_id"][: len(done)][done]}
        for name in {"token_id", "predicted_id", "top_id"} & self.axes.keys():
            occurring.update(self.values[name][:steps].flat)
        for token in occurring:
            assert token < 0 or found[token] == texts[token], f"the text of {token} after {steps} steps"

    def check_whole(self, path):
        """A finished file has all of it."""
        found = read_all(path)
        assert found.keys() == self.values.keys()
        for name, values in self.values.items():
            assert same(found[name], values), name


@contextlib.contextmanager
def small_disk(folder, size):
    """A folder on a disk of a size of its own."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
