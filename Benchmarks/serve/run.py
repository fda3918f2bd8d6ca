"""A served page over a trace of several gigabytes: time until a map is there, and memory while many tabs ask.

The trace is that of Benchmarks/file, its steps repeated up to the size asked for. One map is fetched over HTTP, cold (the
file's pages dropped from the system's cache first) and warm, each of a map that was not asked for before, beside the same
map read by h5py in a process that has the file open. Then 8 clients ask for random maps, each by itself, and the memory of
the server and its readers is sampled: resident, and proportional (pages that they share counted once). Prints a table, or
with --json one JSON object.

    python Benchmarks/serve/run.py --bin .build/release [--gigabytes 3] [--seconds 20]
"""

import argparse
import importlib.util
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import h5py

REPO = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("file_bench", REPO / "Benchmarks/file/run.py")
file_bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(file_bench)
# The server under test and what is known of its processes are those of the tests.
sys.path.insert(0, str(REPO / "Tests/Interop"))

CLIENTS = 8
MAPS = 40


def forget(path):
    """Drops a file from the system's cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def fetch(server, path):
    """Milliseconds until an answer is there, all of it."""
    begin = time.perf_counter()
    with urllib.request.urlopen(f"{server.url}block/0/{path}") as answer:
        answer.read()
    return (time.perf_counter() - begin) * 1e3


def choose(shape, count, seed):
    """Different maps, at random."""
    chosen = random.Random(seed).sample(range(shape[0] * shape[1] * shape[2]), count)
    return [(each // (shape[1] * shape[2]), each // shape[2] % shape[1], each % shape[2]) for each in chosen]


def proportional_bytes(processes):
    """Memory of some processes, what they share counted once."""
    total = 0
    for process in processes:
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += next((int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:")), 0)
    return total


def ask(server, shape, seconds, number, times):
    """One tab: random maps, one after another."""
    chosen = random.Random(number)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        path = "map/{}/{}/{}".format(*(chosen.randrange(length) for length in shape[:3]))
        times.append(fetch(server, path))


def load(server, shape, seconds, also=None):
    """Milliseconds of each map that many tabs got, and the most memory meanwhile."""
    times, resident, proportional = [], 0, 0
    tabs = [threading.Thread(target=ask, args=(server, shape, seconds, n, times)) for n in range(CLIENTS)]
    if also:
        tabs.append(threading.Thread(target=also))
    for tab in tabs:
        tab.start()
    while any(tab.is_alive() for tab in tabs):
        resident = max(resident, server.resident_bytes())
        proportional = max(proportional, proportional_bytes([server.process.pid, *server.readers()]))
        time.sleep(0.05)
    return times, resident, proportional


def read_with_h5py(path, places):
    """Milliseconds of each map."""
    with h5py.File(path) as file:
        maps = file["maps/attention"]
        times = []
        for place in places:
            begin = time.perf_counter()
            maps[place]
            times.append((time.perf_counter() - begin) * 1e3)
    return times


def measure(folder, binaries, gigabytes, seconds):
    os.environ["ATTNTRACE"] = str(binaries / "attntrace")
    from serving import Server

    trace, shape, size = file_bench.large_trace(folder, binaries, gigabytes)
    rows = []

    def row(name, ours, theirs, unit, note="", limit=False):
        rows.append(dict(name=name, ours=ours, theirs=theirs, unit=unit, ratio=theirs / ours, note=note, limit=limit))

    label = f"serve, {size / 1e9:.1f} GB"
    places = choose(shape, 2 * MAPS, 1)
    with Server(trace) as server:
        server.get("page.json")
        cold, cold_peer = [], []
        for place in places[:MAPS // 4]:
            forget(trace)
            cold.append(fetch(server, "map/{}/{}/{}".format(*place)))
            forget(trace)
            cold_peer += read_with_h5py(trace, [place])
        warm = [fetch(server, "map/{}/{}/{}".format(*place)) for place in places[MAPS:]]
        # Read once before: the second reading finds the pages there, and its own cache of chunks empty.
        read_with_h5py(trace, places[MAPS:])
        warm_peer = read_with_h5py(trace, places[MAPS:])
        again = [fetch(server, "map/{}/{}/{}".format(*place)) for place in places[MAPS:]]
        row(f"{label}: one map over HTTP, cold", statistics.median(cold), statistics.median(cold_peer), "ms",
            "theirs: h5py reading it, without HTTP")
        row(f"{label}: one map over HTTP, warm", statistics.median(warm), statistics.median(warm_peer), "ms",
            f"theirs: h5py reading it, without HTTP; asked for again: {statistics.median(again):.2f} ms")
        times, resident, proportional = load(server, shape, seconds)
        row(f"{label}: random maps to {CLIENTS} tabs at once, slowest of 20", sorted(times)[len(times) * 19 // 20], 100,
            "ms", f"theirs: the aim; {len(times) / seconds:.0f} maps/s, median {statistics.median(times):.1f} ms")
        row(f"{label}: memory meanwhile", proportional / 1e6, 256, "MB",
            f"theirs: the aim; server and readers, shared pages once; {resident / 1e6:.0f} MB with shared pages twice")
        began = time.perf_counter()
        took = []

        def analyse():
            with urllib.request.urlopen(f"{server.url}analysis/0.json", timeout=600) as answer:
                answer.read()
            took.append(time.perf_counter() - began)

        times, resident, proportional = load(server, shape, seconds, also=analyse)
        row(f"{label}: memory while the trace is analysed as well", proportional / 1e6, 256, "MB",
            f"theirs: the aim; the analysis took {took[0]:.1f} s beside {len(times) / seconds:.0f} maps/s; "
            f"{resident / 1e6:.0f} MB with shared pages twice")
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=Path, required=True, help="where attntrace and file-bench are")
    parser.add_argument("--gigabytes", type=float, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="for how long the tabs ask")
    parser.add_argument("--folder", help="where the trace goes, and is deleted again")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = measure(folder, options.bin.resolve(), options.gigabytes, options.seconds)
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['name']:66} {row['ours']:10.4g} {row['theirs']:10.4g} {row['unit']:5} {row['ratio']:6.2f} x "
              f"{row['note']}")


if __name__ == "__main__":
    main()
