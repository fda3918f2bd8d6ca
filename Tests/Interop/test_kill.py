"""A capture that is killed: every committed step can be read, and is that of the run that was not. Also while it runs."""

import contextlib
import random
import signal
import subprocess
import time

import numpy as np
import pytest

from support import (
    ATTNTRACE, PROMPT, Recorded, answer_json, attntrace, capture, heed_signals, open_running, read_all, same)

OPTIONS = ["--gen-length", "64", "--block-length", "32", "--record", "maps"]
STEPS = 64


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return Recorded(capture(tmp_path_factory.mktemp("whole") / "whole.h5", *OPTIONS))


def start(path):
    return subprocess.Popen(
        [ATTNTRACE, "capture", "--prompt", PROMPT, *OPTIONS, "--output", str(path)], stdout=subprocess.DEVNULL, preexec_fn=heed_signals,
        stderr=subprocess.PIPE)


def committed(partial):
    """Steps committed so far; 0 where the file is not there yet, or not open to readers yet."""
    try:
        with open_running(partial) as f:
            return int(f["committed_steps"][()])
    except (OSError, KeyError):
        return 0


def wait_for(steps, run, partial):
    while committed(partial) < steps and run.poll() is None:
        time.sleep(0.002)


def check_committed(partial, whole, at_least):
    """Returns the number of committed steps, all of which are there, and right."""
    with open_running(partial) as f:
        assert f["is_complete"][()] == 0
        steps = whole.check(f)
    assert steps >= at_least
    return steps


@pytest.mark.parametrize("moment", [1, 15, 40])
def test_killed_after_some_steps(tmp_path, whole, moment):
    path, partial = tmp_path / "out.h5", tmp_path / "out.h5.partial"
    run = start(path)
    wait_for(moment, run, partial)
    run.kill()
    assert run.wait() == -signal.SIGKILL
    assert [item.name for item in tmp_path.iterdir()] == ["out.h5.partial"]
    steps = check_committed(partial, whole, at_least=moment)

    said = answer_json("info", partial, "--json")
    assert said["committed_steps"] == steps and said["is_complete"] is False
    assert said["generated_length"] == STEPS
    assert answer_json("sinks", partial, "--json")["analysis"]["steps"] == steps
    # The name that was asked for says where the rest is; neither reading nor asking again changes it.
    missing = attntrace("info", path)
    assert missing.returncode == 3 and str(partial) in missing.stderr
    again = attntrace("capture", "--prompt", PROMPT, *OPTIONS, "--output", path)
    assert again.returncode == 2 and str(partial) in again.stderr
    assert check_committed(partial, whole, at_least=steps) == steps


def test_killed_at_any_moment(tmp_path, whole):
    """At times that the run does not choose: while it loads, creates, writes, finishes and renames."""
    began = time.monotonic()
    run = start(tmp_path / "timed.h5")
    assert run.wait() == 0
    length = time.monotonic() - began
    draw = random.Random(20261121)
    for place in range(8):
        path, partial = tmp_path / f"{place}.h5", tmp_path / f"{place}.h5.partial"
        run = start(path)
        time.sleep(length * draw.uniform(0, 1.05))
        run.kill()
        run.wait()
        run.stderr.close()
        if path.exists():
            # It had finished: then it is whole, and there is no other.
            assert not partial.exists()
            whole.check_whole(path)
        elif partial.exists():
            said = attntrace("info", partial, "--json")
            assert said.returncode in (0, 1), said.stderr
            # Before the first commit there may be nothing to open; after it, all of it.
            with contextlib.suppress(OSError, KeyError):
                with open_running(partial) as f:
                    steps = int(f["committed_steps"][()])
                    finished = int(f["is_complete"][()])
                if steps > 0:
                    assert said.returncode == 0, said.stderr
                    if not finished:
                        check_committed(partial, whole, at_least=steps)


def test_reading_while_it_runs(tmp_path, whole):
    path, partial = tmp_path / "out.h5", tmp_path / "out.h5.partial"
    run = start(path)
    wait_for(3, run, partial)
    assert run.poll() is None
    seen = []
    with contextlib.suppress(FileNotFoundError), open_running(partial) as f:
        for _ in range(5):
            # First how many steps there are, then what may have grown since.
            f["committed_steps"].id.refresh()
            steps = int(f["committed_steps"][()])
            for name in ["maps/attention", "token_id"]:
                f[name].id.refresh()
                assert same(f[name][steps - 1], whole.values[name][steps - 1])
            seen.append(steps)
            time.sleep(0.02)
    said = attntrace("info", partial, "--json")
    if run.poll() is None:
        assert said.returncode == 0, said.stderr
    assert run.wait() == 0, run.stderr.read()
    assert len(seen) == 5 and seen == sorted(seen) and seen[0] >= 3
    assert [item.name for item in tmp_path.iterdir()] == ["out.h5"]
    whole.check_whole(path)


def test_interrupted_by_the_user(tmp_path, whole):
    """Ctrl-C and a polite kill leave what a kill leaves."""
    for place, number in enumerate([signal.SIGINT, signal.SIGTERM]):
        path, partial = tmp_path / f"{place}.h5", tmp_path / f"{place}.h5.partial"
        run = start(path)
        wait_for(5, run, partial)
        run.send_signal(number)
        assert run.wait() != 0
        run.stderr.close()
        assert not path.exists()
        check_committed(partial, whole, at_least=5)
        assert answer_json("info", partial, "--json")["committed_steps"] >= 5


def test_forced_after_a_kill(tmp_path, whole):
    path, partial = tmp_path / "out.h5", tmp_path / "out.h5.partial"
    run = start(path)
    wait_for(2, run, partial)
    run.kill()
    run.wait()
    capture(path, *OPTIONS, "--force")
    assert [item.name for item in tmp_path.iterdir()] == ["out.h5"]
    assert np.array_equal(read_all(path)["final_id"], whole.values["final_id"])


def test_damaged_partial_is_refused_in_time(tmp_path):
    path, partial = tmp_path / "out.h5", tmp_path / "out.h5.partial"
    run = start(path)
    wait_for(2, run, partial)
    run.kill()
    run.wait()
    raw = bytearray(partial.read_bytes())
    raw[raw.index(b"OHDR") + 40] ^= 1
    partial.write_bytes(raw)
    for command in ["info", "sinks"]:
        said = attntrace(command, partial, timeout=10)
        assert said.returncode == 1 and said.stdout == ""
        assert str(partial) in said.stderr and said.stderr.count("\n") == 1
