"""A capture that ends at any one of the calls by which it changes files: killed before it, torn in the middle of it, or told
by the system that it cannot be done.

One run is recorded with every byte that it wrote, which gives the files as a kill at any moment would leave them. A
sample of moments is also lived through by a real process. What is left is read by h5py, and a part of it is verified,
recovered and resumed by the command. `make crash` takes every call instead of a sample.
"""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pytest

from faults import build
from faults.calls import Call, Files, read_log
from support import ATTNTRACE, Recorded, answer_json, attntrace, open_running, small_disk

ALL = os.environ.get("CRASH_POINTS") == "all"
STEPS = 8
SMALL = [
    "--prompt", "In the beginning", "--gen-length", str(STEPS), "--layers", "0-1", "--heads", "0-1", "--record", "maps"]
SCENARIOS = {
    "diffusion": SMALL,
    "causal": [*SMALL, "--model", "tiny-ar"],
    "forced": [*SMALL, "--force"],
}
# The name of a trace, its name until it is whole, and the one it has until readers may open it.
OUTPUT, PARTIAL, HUSK = "out.h5", "out.h5.partial", "out.h5.partial.new"
# Where there are files of these names, and they are replaced.
BEFORE = {"forced": {OUTPUT: b"an older file of that name", PARTIAL: b"what an older run left"}}
FINISHED = STEPS + 1


@dataclass
class Run:
    """A capture that was left alone, and what it did to its folder."""
    scenario: str
    library: Path
    calls: list
    whole: Recorded
    record: int = 0  # place of the commit record in the file
    opened: int = 0  # the call from which on readers may open it
    is_paged: bool = False  # whether metadata stays within pages
    contents: list = field(default_factory=list)  # hashes of its first 1, 2, ... steps

    @property
    def before(self):
        return BEFORE.get(self.scenario, {})

    def committed(self, data):
        """What the bytes of the commit record say, whether or not the file can be opened."""
        return int.from_bytes(data[self.record : self.record + 4].ljust(4, b"\0"), "little")


def capture_with(scenario, folder, library, mode="", at=0, error=0):
    """Runs a scenario in a new folder with a fault; the process that ended, and the calls it made."""
    folder.mkdir()
    for name, data in BEFORE.get(scenario, {}).items():
        (folder / name).write_bytes(data)
    log = folder.with_suffix(".log")
    environment = {
        **os.environ, "LD_PRELOAD": str(library), "FAULT_FOLDER": f"{folder}/", "FAULT_LOG": str(log),
        "FAULT_MODE": mode, "FAULT_AT": str(at), "FAULT_ERRNO": str(error)}
    done = subprocess.run(
        [ATTNTRACE, "capture", *SCENARIOS[scenario], "--output", str(folder / OUTPUT)], env=environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done, read_log(log)


# What of a call is made before the end.
TEARS = {"before": None, "half": Call.torn_in_half, "page": Call.torn_at_page}


def states(run, tear=None):
    """Call and files of every moment: before each call, or in the middle of it; at the end without a call.

    The files are those of the moment: whoever wants to keep them copies them.
    """
    files = Files(run.before)
    for call in run.calls:
        if tear and call.data:
            halfway = Files(files.content)
            halfway.apply(tear(call))
            yield call, halfway.content
        else:
            yield call, files.content
        files.apply(call)
    yield None, files.content


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("crash")


@pytest.fixture(scope="session")
def runs(folder):
    """Each scenario, run once without a fault."""
    library = build("write_faults", folder)
    made = {}

    def record(scenario):
        place = folder / f"{scenario:_<10}"
        done, calls = capture_with(scenario, place, library)
        assert done.returncode == 0, done.stderr
        # Names without folders: the states of this run are examined elsewhere.
        calls = [call.relative_to(place) for call in calls]
        run = Run(scenario, library, calls, Recorded(place / OUTPUT))
        middle = place / "middle"
        middle.write_bytes(next(files[PARTIAL] for call, files in states(run) if call.number > len(calls) // 2))
        # Nothing is called partial before it can be read, and nothing is lost with what it replaces.
        place_taken = next(call for call in calls if (call.kind, call.path, call.other) == ("rename", HUSK, PARTIAL))
        run.opened = place_taken.number
        with open_running(middle) as f:
            run.record = f["committed_steps"].id.get_offset()
            run.is_paged = f.id.get_create_plist().get_file_space_strategy()[0] == h5py.h5f.FSPACE_STRATEGY_PAGE
        for steps in range(1, STEPS + 1):
            copy = place / f"{steps}.h5"
            said = answer_json("recover", place / OUTPUT, "--steps", steps, "--output", copy, "--json")
            run.contents.append(said["content_sha256"])
        assert run.contents[-1] == content(place / OUTPUT) and len(set(run.contents)) == STEPS
        return run

    def get(scenario):
        if scenario not in made:
            made[scenario] = record(scenario)
        return made[scenario]

    return get


class Lost(Exception):
    """Committed steps cannot be read, and whoever tries is told so."""


def examine(folder, run, may_be_husk=True):
    """What a folder holds after a run that may have ended anywhere: committed steps, or FINISHED. All of them are right.

    Raises Lost where there is a partial file that cannot be read.
    """
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert files.keys() <= {OUTPUT, PARTIAL, *([HUSK] if may_be_husk else [])}, f"left behind: {sorted(files)}"
    final, partial = files.get(OUTPUT), files.get(PARTIAL)
    if HUSK in files:
        # Only before anything was committed, and never beside what it became.
        assert final == run.before.get(OUTPUT) and partial in (None, run.before.get(PARTIAL))
        return 0
    if final != run.before.get(OUTPUT):
        run.whole.check_whole(folder / OUTPUT)
        assert partial in (None, final)
        return FINISHED
    if partial in (None, run.before.get(PARTIAL)):
        return 0
    implied = run.committed(partial)
    try:
        with open_running(folder / PARTIAL) as f:
            steps = run.whole.check(f)
    except (OSError, KeyError) as error:
        raise Lost(f"{implied} committed steps: {error}") from error
    assert steps == implied
    return steps


def check_command(folder, run, steps, is_whole=True):
    """The command says the same of it: after a kill between calls all of it, after a torn one at least no crash."""
    path = folder / (OUTPUT if steps == FINISHED else PARTIAL)
    if not path.exists() or path.read_bytes() == run.before.get(path.name):
        return
    said = attntrace("info", path, "--json")
    judged = attntrace("verify", "--deep", "--json", path)
    assert judged.stderr == ""
    findings = json.loads(judged.stdout)
    assert judged.returncode == (0 if findings["valid"] else 1)
    if not is_whole:
        assert said.returncode in (0, 1), said.stderr
        assert not [finding for finding in findings["findings"] if finding["code"].startswith("read.")]
        return
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["committed_steps"] == findings["committed_steps"] == min(steps, STEPS)
    assert found["is_complete"] or steps != FINISHED
    assert findings["valid"], findings
    assert [finding["code"] for finding in findings["findings"]] == (
        [] if found["is_complete"] else ["commit.unfinished"])


def content(path):
    return answer_json("info", path, "--json")["content_sha256"]


def check_recovered(run, folder, steps, is_whole=True):
    """What `recover` makes of it is what it makes of as many steps of the whole run; nothing else, whatever is damaged."""
    before = (folder / PARTIAL).read_bytes()
    copy = folder / "recovered.h5"
    done = attntrace("recover", folder / PARTIAL, "--output", copy, "--json")
    assert (folder / PARTIAL).read_bytes() == before
    if not is_whole and done.returncode == 1:
        assert not copy.exists()
    else:
        assert done.returncode == 0 and done.stderr == "", done.stderr
        said = json.loads(done.stdout)
        assert said["steps"] == steps and said["content_sha256"] == run.contents[steps - 1]
        with h5py.File(copy, "r") as f:
            assert run.whole.check(f) == steps
        assert answer_json("verify", "--deep", copy, "--json")["valid"]
        copy.unlink()


def check_resumed(run, folder, is_whole=True):
    """A resumed run ends as one that was never interrupted, and leaves nothing else."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = attntrace("capture", *SCENARIOS[run.scenario], "--resume", "--output", folder / OUTPUT)
    if not is_whole and done.returncode == 1:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    else:
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert [path.name for path in folder.iterdir()] == [OUTPUT]
        assert content(folder / OUTPUT) == run.contents[-1]
        assert examine(folder, run) == FINISHED


def check_copies(run, folder, state, is_whole=True):
    """What can be had of a state by the commands that go on from it. Changes the folder."""
    if 0 < state < FINISHED:
        check_recovered(run, folder, state, is_whole)
    if state < FINISHED and (is_whole or state > 0):
        check_resumed(run, folder, is_whole)


def shares(items, count=2):
    """Parts for that many processes."""
    return [items[index::count] for index in range(count) if items[index::count]]


def in_parallel(work, run, points, folder):
    """Runs `work(run, points, folder)` on parts of the points, and returns the answers of all in one dictionary."""
    found = {}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(work, run, part, folder / f"part{index}") for index, part in enumerate(shares(points))]
        for job in jobs:
            found.update(job.result())
    return found


def spread(calls, number, all_of_the_last=0):
    """Numbers of calls from first to last; of the last ones, every one."""
    total = len(calls)
    if ALL:
        return list(range(1, total + 2))
    early = [1 + index * total // number for index in range(number)]
    return sorted({*early, *range(1, min(12, total)), *range(max(1, total - all_of_the_last), total + 2)})


def length_of_finish(run):
    """Calls after the one that committed the last step."""
    for call, files in states(run):
        if run.committed(files.get(PARTIAL, b"")) == STEPS:
            return len(run.calls) - call.number + 2
    raise AssertionError("the last step was never committed")


# Every moment of one run


def is_at_odds(path):
    """Whether a token is there of which its timeline knows nothing yet: between two writes of one flush."""
    with open_running(path) as f:
        return bool(np.any((f["unmask_step"][()] == -2) & (f["final_id"][()] != f.attrs["mask_token_id"])))


def look_at(run, points, folder):
    folder.mkdir(parents=True)
    odd = 0
    wanted, tear = {number for number, _ in points}, TEARS[points[0][1]]
    found = {}
    for call, files in states(run, tear):
        number = call.number if call else len(run.calls) + 1
        if number not in wanted:
            continue
        place = folder / f"{number:05d}"
        place.mkdir()
        for name, data in files.items():
            (place / name).write_bytes(data)
        try:
            found[number] = examine(place, run)
        except Lost as error:
            found[number] = f"{'a write of structure' if call.is_metadata else 'a write of values'}: {error}"
        except Exception as error:
            raise AssertionError(f"{run.scenario}: call {number} of {len(run.calls)}: {error}") from error
        if isinstance(found[number], int):
            # A command costs more than a look at the file.
            is_whole = tear is None
            often = 12 if is_whole else 30
            if ALL or number % often == 0:
                check_command(place, run, found[number], is_whole)
            at_odds = is_whole and not run.whole.is_causal and 0 < found[number] < FINISHED and is_at_odds(place / PARTIAL)
            odd += at_odds
            is_wanted = number % (2 * often) == 0 or is_whole and (ALL or number > len(run.calls) - 8)
            if is_wanted or at_odds and odd <= 2:
                check_copies(run, place, found[number], is_whole)
        shutil.rmtree(place)
    return found


@pytest.mark.parametrize("tear", TEARS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_ended_at_any_call(runs, tmp_path, scenario, tear):
    run = runs(scenario)
    number = 20 if scenario == "forced" else 300
    points = [(number, tear) for number in spread(run.calls, number, length_of_finish(run))]
    found = in_parallel(look_at, run, points, tmp_path)
    assert len(found) >= len(points) - 1 and len(found) >= (40 if scenario == "forced" else 300)
    lost = {number: str(state) for number, state in found.items() if not isinstance(state, int)}
    # libhdf5 rewrites metadata in place, and a part of such a write cannot be read. A kill lets every write within a
    # page end, so metadata in pages of its own is safe from it.
    may_lose = {"before": 0, "half": 0.5, "page": 0 if run.is_paged else 0.1}[tear]
    assert len(lost) <= may_lose * len(found), lost
    assert not [reason for reason in lost.values() if reason.startswith("a write of values")], lost

    committed = [found[number] for number in sorted(found) if number not in lost]
    assert committed == sorted(committed), "a later end has fewer steps"
    assert committed[0] == 0 and committed[-1] == FINISHED
    assert set(range(2, STEPS)) <= set(committed)


# Real processes


def check_log(folder, calls, run):
    """The recording says what happened: the calls of this very run make the files that it left."""
    files = Files(run.before)
    for call in calls:
        files.apply(call.relative_to(folder))
    left = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert left.keys() == files.content.keys()
    assert all(left[name] == files.content[name] for name in left)


def kill_at(run, points, folder):
    folder.mkdir(parents=True)
    found = {}
    for number, mode in points:
        place = folder / f"{number:_>5}{mode:_>5}"
        done, calls = capture_with(run.scenario, place, run.library, mode, number)
        # A run may make a call more or less than the recorded one: its threads take turns as they please.
        has_ended = done.returncode == 0 and len(calls) < number
        assert has_ended or done.returncode == -signal.SIGKILL, done.stderr
        check_log(place, calls, run)
        try:
            found[number, mode] = examine(place, run)
        except Lost:
            assert mode == "torn" and calls[-1].is_metadata, f"{run.scenario}: {mode} {number}"
            found[number, mode] = None
        if found[number, mode] is not None and number % 5 == 0:
            check_command(place, run, found[number, mode], mode == "kill")
            check_copies(run, place, found[number, mode], mode == "kill")
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_a_call(runs, tmp_path, scenario):
    run = runs(scenario)
    last = len(run.calls)
    draw = random.Random(20261121)
    sample = range(1, last + 2) if ALL else draw.sample(range(1, last + 1), 6 if scenario == "forced" else 40)
    numbers = sorted({*sample, *range(last - 2, last + 2)})
    points = [(number, mode) for number in numbers for mode in ["kill", "torn"]]
    found = in_parallel(kill_at, run, points, tmp_path)
    assert found[last + 1, "kill"] == FINISHED
    killed = [found[number, "kill"] for number in numbers]
    # Within a step, whose calls come in any order.
    assert all(later >= earlier - 1 for earlier, later in zip(killed, killed[1:]))


def fail_at(run, points, folder):
    folder.mkdir(parents=True)
    found = {}
    for number, mode, error in points:
        place = folder / f"{number:_>5}{mode}{error:02d}"
        done, calls = capture_with(run.scenario, place, run.library, mode, number, error)
        told = f"{run.scenario}: {mode} {number} of {len(calls)}, {errno.errorcode[error]}"
        failed = [call.kind for call in calls if call.failed]
        check_log(place, calls, run)
        try:
            # Where not even names can be taken away.
            left = examine(place, run, may_be_husk="unlink" in failed)
        except AssertionError as wrong:
            raise AssertionError(f"{told}: {wrong}; said {done.returncode} {done.stderr!r}; failed {failed}") from wrong
        found[number, mode, error] = left
        # A name that cannot be taken away, or a link that cannot be made, leaves the trace where it belongs.
        is_harmless = not failed or failed == ["unlink"] or (failed == ["link"] and mode == "once")
        if is_harmless:
            assert done.returncode == 0 and done.stderr == "" and left == FINISHED, f"{told}: {done.stderr}"
            continue
        assert left != FINISHED, told
        assert done.returncode == 3 and done.stdout == "", f"{told}: {done.returncode} {done.stderr}"
        [line] = done.stderr.splitlines()
        assert line.startswith("attntrace: ") and str(place / OUTPUT) in line and os.strerror(error) in line, told
        if left > 0 and number % 3 == 0:
            check_command(place, run, left)
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_refused_by_the_system(runs, tmp_path, scenario):
    run = runs(scenario)
    last = len(run.calls)
    draw = random.Random(20261122)
    sample = range(1, last + 1) if ALL else draw.sample(range(1, last + 1), 3 if scenario == "forced" else 20)
    numbers = sorted({*sample, 1, 2, *range(last - 2, last + 1)})
    points = [
        (number, mode, error) for number in numbers
        for mode, error in [("from", errno.ENOSPC), ("from", errno.EIO), ("once", errno.EIO)]]
    found = in_parallel(fail_at, run, points, tmp_path)
    assert max(found.values()) >= STEPS


@pytest.mark.parametrize("scenario", ["diffusion", "causal"])
def test_a_disk_that_is_full(runs, tmp_path, scenario):
    """Of every size from nothing to almost enough."""
    run = runs(scenario)
    seen = set()
    for pages in range(1, 24, 1 if ALL else 3):
        with small_disk(tmp_path / f"disk{pages:02d}", f"{pages * 4}k") as disk:
            done = subprocess.run(
                [ATTNTRACE, "capture", *SCENARIOS[scenario], "--no-space-check", "--output", str(disk / OUTPUT)],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            left = examine(disk, run)
            seen.add(left)
            if left == FINISHED:
                assert done.returncode == 0
                break
            assert done.returncode == 3 and done.stdout == ""
            [line] = done.stderr.splitlines()
            assert str(disk / OUTPUT) in line and "No space left on device" in line
    assert len(seen) >= 3
