"""The examples run, and their Swift and Python sides print the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import MODELS, PROMPT, REPO, capture

EXAMPLES = REPO / "examples"
# Kept between runs: the libraries are compiled once.
SCRATCH = Path(os.environ.get("ATTNTRACE_EXAMPLES_BUILD") or REPO / ".build/examples")


def output(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built():
    """The folder of the Swift examples' programs."""
    command = ["swift", "build", "--package-path", EXAMPLES, "-c", "release", "--scratch-path", SCRATCH]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(output(*command, "--show-bin-path").strip())


@pytest.mark.parametrize("name", ["diffusion", "causal", "selected"])
def test_read_a_trace(built, traces, name):
    swift = output(built / "read-a-trace", traces[name])
    python = output(sys.executable, EXAMPLES / "01-read-a-trace/read.py", traces[name])
    assert swift == python
    assert len(swift.splitlines()) == 4


@pytest.mark.parametrize("name", ["diffusion", "guided", "received"])
def test_sinks_by_hand(built, traces, name):
    swift = output(built / "sinks-by-hand", traces[name])
    python = output(sys.executable, EXAMPLES / "02-sinks-by-hand/sinks.py", traces[name])
    assert swift == python
    assert swift.count("sinks, the strongest receives") == 16


def test_capture_from_swift(built, tmp_path):
    trace = tmp_path / "out.h5"
    swift = output(built / "capture-from-swift", MODELS / "tiny-mdm", PROMPT, trace)
    python = output(sys.executable, EXAMPLES / "03-capture-from-swift/read.py", trace)
    assert swift == python
    assert "steps: 8" in swift
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


@pytest.mark.parametrize("options", [["--layers", "0-2", "--heads", "3,5"], ["--model", "tiny-ar"]], ids=["mdm", "ar"])
def test_rebuild_a_map(built, tmp_path, options):
    trace = capture(tmp_path / "qk.h5", "--gen-length", "8", "--record", "qk", *options)
    swift = output(built / "rebuild-a-map", trace)
    python = output(sys.executable, EXAMPLES / "04-rebuild-a-map/rebuild.py", trace)
    assert swift == python
    assert swift.startswith("signals: qk received rows\n") and "layer 1: the last query gives most to key" in swift


def test_follow_a_capture(built, tmp_path):
    """Both sides see every step of a run that is under way."""
    trace = tmp_path / "live.h5"
    watchers = [
        subprocess.Popen([*map(str, command), str(trace)], stdout=subprocess.PIPE, text=True)
        for command in ([built / "follow-a-capture"], [sys.executable, EXAMPLES / "05-follow-a-capture/follow.py"])]
    capture(trace, "--gen-length", "48")
    swift, python = (watcher.communicate(timeout=60)[0] for watcher in watchers)
    assert [watcher.returncode for watcher in watchers] == [0, 0]
    assert len(swift.splitlines()) == 49 and swift.splitlines()[-1] == "done: 48 steps"
    assert [line.split(",")[0] for line in swift.splitlines()] == [line.split(",")[0] for line in python.splitlines()]


@pytest.mark.parametrize("name", ["diffusion", "causal", "selected"])
def test_custom_metric(built, traces, name):
    swift = output(built / "custom-metric", traces[name])
    python = output(sys.executable, EXAMPLES / "06-custom-metric/looking_back.py", traces[name])
    assert swift == python
    assert swift.count("of the attention looks back") == (3 if name == "selected" else 8)


def test_cohort(built, traces):
    names = ["diffusion", "random", "fewer_steps"]
    swift = output(built / "cohort", *[traces[name] for name in names])
    python = output(sys.executable, EXAMPLES / "07-cohort/cohort.py", *[traces[name] for name in names])
    assert swift == python
    assert len(swift.splitlines()) == 4 and swift.splitlines()[3].startswith("mean 0.")


@pytest.mark.parametrize("name", ["diffusion", "received", "fewer_steps"])
def test_query(built, traces, name):
    swift = output(built / "query", traces[name])
    python = output(sys.executable, EXAMPLES / "08-query/query.py", traces[name])
    assert swift == python
    assert len(swift.splitlines()) > 3


def test_every_example_is_tested():
    folders = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name[:2].isdigit())
    assert folders == [
        "01-read-a-trace", "02-sinks-by-hand", "03-capture-from-swift", "04-rebuild-a-map", "05-follow-a-capture",
        "06-custom-metric", "07-cohort", "08-query"]
    for folder in folders:
        assert (EXAMPLES / folder / "main.swift").exists()
        assert list((EXAMPLES / folder).glob("*.py"))
