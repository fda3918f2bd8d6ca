"""Runs the command on mutated traces, and judges what it says."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from fuzzing.mutation import Original, mutated
from support import ATTNTRACE, answer, capture

SECONDS = 10
# What a child of the guard ends with when libhdf5 does not return.
HUNG = 124
BYTES = 10**9
# The codes by which the reading guard says what happened to libhdf5.
GUARDED = {kind: re.compile(rf"\bread\.{kind}\b") for kind in ["crash", "hang", "memory"]}
OWN_CRASH = re.compile(r"crashed attntrace")
SMALL = ["--gen-length", 4, "--layers", "0-1", "--heads", "0-1", "--record", "maps"]


def originals(folder):
    """Small real traces: a diffusion one, a causal one, one whose run was cut short, and one with large chunks, which
    have a decoder of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "diffusion.h5", folder / "causal.h5", folder / "cut.h5.partial", folder / "large.h5"]
    for path in paths:
        path.unlink(missing_ok=True)
    capture(paths[0], *SMALL, prompt="In")
    capture(paths[1], *SMALL, "--model", "tiny-ar", prompt="In")

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = paths[0].stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    longer = ["--gen-length", "16", *map(str, SMALL[2:])]
    cut = [ATTNTRACE, "capture", "--prompt", "In", *longer, "--output", str(folder / "cut.h5")]
    subprocess.run(cut, preexec_fn=limited, capture_output=True, check=False)
    long = folder / "long.h5"
    long.unlink(missing_ok=True)
    capture(long, "--gen-length", 16, "--layers", 0, "--heads", 0, "--record", "maps", prompt=40 * "In ")
    answer("repack", long, "--access", "time", "--output", paths[3])
    return [path.read_bytes() for path in paths]


COPY = "copy.h5"
# What is run on each file: {name: (arguments before it, arguments after it)}.
COMMANDS = {
    "info": (["info"], []), "sinks": (["sinks"], []), "verify": (["verify"], []),
    "verify --deep --json": (["verify", "--deep", "--json"], []), "recover": (["recover"], ["--output", COPY]),
    "repack": (["repack", "--access", "map"], ["--output", COPY]), "diff": (["diff"], ["whole.h5"])}


@dataclass
class Tally:
    """What was seen; of several processes, to be added up."""
    files: int = 0
    outcomes: Counter = field(default_factory=Counter)
    guarded: Counter = field(default_factory=Counter)
    mutations: Counter = field(default_factory=Counter)
    failures: list = field(default_factory=list)
    slowest: tuple = (0.0, "")
    largest: tuple = (0, "")

    def add(self, other):
        self.files += other.files
        self.outcomes += other.outcomes
        self.guarded += other.guarded
        self.mutations += other.mutations
        self.failures += other.failures
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)

    def summary(self):
        guarded = sum(self.guarded.values())
        return (
            f"{self.files} files, {sum(self.outcomes.values())} runs: {self.outcomes[0]} accepted, "
            f"{self.outcomes[1] + self.outcomes[2] + self.outcomes[3]} refused, {guarded} of them by the guard "
            f"({', '.join(f'{self.guarded[kind]} {kind}' for kind in GUARDED)}); "
            f"slowest {self.slowest[0]:.1f} s ({self.slowest[1]}), "
            f"largest {self.largest[0] / 1e6:.0f} MB ({self.largest[1]}); {len(self.failures)} failures")


class Runner:
    """Runs one command at a time in a folder of its own, within time."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # A damaged file may be waited for less than a slow disk.
        self.environment = {**os.environ, "ATTNTRACE_READ_TIMEOUT": "2", "SWIFT_BACKTRACE": "enable=no"}

    def run(self, arguments):
        """Exit code (negative: a signal), texts on stdout and stderr, seconds, peak bytes.

        Begins as the child of the reading guard, with this process in the guard's place, since a process costs more
        than the reading. Only where that ends badly the whole command is asked for its answer.
        """
        done = self.start(arguments, {"ATTNTRACE_GUARDED_BY": str(os.getpid())})
        if done[0] >= 0 and done[0] != HUNG:
            return done
        # As the guard would.
        for name in [f"{COPY}.partial", f"{COPY}.partial.new"]:
            (self.folder / name).unlink(missing_ok=True)
        return self.start(arguments)

    def start(self, arguments, more={}):
        with open(self.folder / "out", "w+b") as out, open(self.folder / "err", "w+b") as err:
            began = time.monotonic()
            process = subprocess.Popen(
                [ATTNTRACE, *arguments], cwd=self.folder, env={**self.environment, **more}, stdin=subprocess.DEVNULL, stdout=out,
                stderr=err)
            signal.signal(signal.SIGALRM, lambda *_: process.kill())
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            _, status, usage = os.wait4(process.pid, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.monotonic() - began
            out.seek(0)
            err.seek(0)
            answer, said = (file.read().decode(errors="replace") for file in [out, err])
        for name in ["out", "err"]:
            (self.folder / name).unlink()
        return process.returncode, answer, said, seconds, usage.ru_maxrss * 1024


def complaint(name, code, answer, said, seconds, peak, left):
    """What is wrong with an answer; nothing, mostly."""
    if code < 0:
        return f"ended by signal {-code}" + (f" after {SECONDS} s" if seconds >= SECONDS else "")
    if code > 3:
        return f"exit code {code}"
    if OWN_CRASH.search(answer + said):
        return "a crash outside libhdf5"
    if peak > BYTES:
        return f"{peak / 1e6:.0f} MB of memory"
    if left:
        return f"left behind {left}"
    if name.startswith("verify") and not said and code < 2:
        return None if judges(answer, code, "--json" in name) else "a judgement that contradicts itself"
    if name == "diff" and code == 1 and not said:
        return None if answer.rstrip().splitlines()[-1].startswith("different") else "a difference that is none"
    if code and (said.count("\n") != 1 or not said.startswith("attntrace: ")):
        return "a refusal that is not one line"
    if code and answer:
        return "a refusal with something on stdout"
    return None


def judges(answer, code, is_json):
    """Whether the findings of `verify`, their sum and its exit code agree."""
    if is_json:
        report = json.loads(answer)
        errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
        return report["valid"] == (code == 0) == (not errors)
    *findings, summary = answer.splitlines()
    is_valid = not any(": error " in finding for finding in findings)
    return is_valid == (code == 0) == (": NOT valid, " not in summary)


def fuzz(raw, seeds, folder, keep):
    """Mutates and runs; what was seen. Keeps failing files in `keep`, and some that the guard answered for."""
    # Analysis may take what the machine has, unless it is given less; no honest trace of this size needs more.
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    bases = [Original(data) for data in raw]
    runner, tally = Runner(folder), Tally()
    path, whole = folder / "mutated.h5", folder / "whole.h5"
    whole.write_bytes(raw[0])
    for seed in seeds:
        data, mutation = mutated(bases, seed)
        path.write_bytes(data)
        tally.files += 1
        for name, (before, after) in commands_for(seed):
            code, answered, said, seconds, peak = runner.run([*before, path.name, *after])
            if code == 0:
                (folder / COPY).unlink(missing_ok=True)
            left = sorted(item.name for item in folder.iterdir() if item not in (path, whole))
            tally.outcomes[code] += 1
            tally.slowest = max(tally.slowest, (seconds, f"{name}, seed {seed}"))
            tally.largest = max(tally.largest, (peak, f"{name}, seed {seed}"))
            wrong = complaint(name, code, answered, said, seconds, peak, left)
            if wrong:
                tally.failures.append(f"seed {seed}, {mutation}: {name}: {wrong}: {(said or answered).strip()[:300]}")
                kept(keep, data, f"failure-{seed}")
            for kind, pattern in GUARDED.items():
                if pattern.search(said + answered):
                    tally.guarded[kind] += 1
                    tally.mutations[f"{kind} {mutation}"] += 1
                    if tally.guarded[kind] <= 20:
                        kept(keep, data, f"{kind}-{seed}")
            for item in left:
                (folder / item).unlink()
    path.unlink(missing_ok=True)
    whole.unlink()
    return tally


DEEPEST = "verify --deep --json"


def commands_for(seed):
    """The deepest reader, and one of the others in turn; or all, which takes four times as long."""
    others = [name for name in COMMANDS if name != DEEPEST]
    chosen = others if os.environ.get("FUZZ_COMMANDS") == "all" else [others[seed % len(others)]]
    return [(name, COMMANDS[name]) for name in [*chosen, DEEPEST]]


def kept(folder, data, name):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.h5").write_bytes(data)


def campaign(count, folder, keep, first=0, processes=2, report=None):
    """Fuzzes with that many seeds, in parallel; what was seen."""
    raw = originals(folder / "originals")
    total = Tally()
    seeds = range(first, first + count)
    part = max(25, min(250, count // (4 * processes)))
    parts = [seeds[start : start + part] for start in range(0, count, part)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(fuzz, raw, part, folder / f"part{index}", keep) for index, part in enumerate(parts)]
        for job in jobs:
            total.add(job.result())
            if report:
                report(total)
    return total


def main(arguments):
    count = int(arguments[0]) if arguments else 20_000
    first = int(arguments[1]) if len(arguments) > 1 else 0
    keep = Path(__file__).resolve().parents[3] / "out/fuzz"
    began = time.monotonic()

    def report(tally):
        if sys.stderr.isatty():
            print(f"\r{tally.files} of {count} files\x1b[K", end="", file=sys.stderr)

    tally = campaign(count, keep / "work", keep, first, report=report)
    for failure in tally.failures[:50]:
        print(failure)
    for what, number in sorted(tally.mutations.items()):
        print(f"  {number:5} {what}")
    print(f"{tally.summary()}; {time.monotonic() - began:.0f} s; kept files are in {keep}")
    return 1 if tally.failures else 0
