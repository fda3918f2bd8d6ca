"""What the tests share: running the command, reading a trace whole, comparing two."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

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
