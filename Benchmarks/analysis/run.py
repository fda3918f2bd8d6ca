"""Metrics of full attention over a large trace, beside the same in NumPy + h5py and in xarray + dask.

The trace holds the maps of Benchmarks/file, its steps repeated up to the size asked for; every chunk is still found, read
and decoded for itself. All sides compute, of every row: entropy, attended distance, mass on masked keys, on the first 4
and the 5 largest, largest weight, its sum; mass between prompt, unmasked and masked positions; overlap of the 8 top keys
with the step before; and reduce them by layer and head. All read the same file, which is the format's own. Prints a
table, or with --json one JSON object.

    python Benchmarks/analysis/run.py --bin .build/release [--gigabytes 3] [--rounds 2]
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

spec = importlib.util.spec_from_file_location("file_bench", Path(__file__).resolve().parents[1] / "file" / "run.py")
file_bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(file_bench)

METRICS = "rows,region_flow,step_stability"
TOP, FIRST, STABLE = 5, 4, 8
STATISTICS = ["row_sum", "entropy", "attended_distance", "mask_mass", "first_k_mass", "top_k_mass", "max_weight"]


class Settings:
    """What is known of a trace before its maps are read."""

    def __init__(self, path):
        with h5py.File(path) as file:
            self.shape = file["maps/attention"].shape
            prompt = int(file.attrs["prompt_length"])
            masked = file["is_masked"][()].astype(bool)
        keys = self.shape[-1]
        self.distance = np.abs(np.subtract.outer(np.arange(keys), np.arange(keys))).astype(np.float32)
        self.masked = masked.astype(np.float32)
        self.classes = np.where(np.arange(keys) < prompt, 0, 1 + masked)


def measure_maps(maps, settings, step):
    """Of float32 maps (head, query, key): the means of each row statistic by head, the mass between classes by head, and
    the top keys of each row."""
    logs = np.log(np.maximum(maps, np.finfo(np.float32).tiny))
    part = np.partition(maps, maps.shape[-1] - TOP, -1)[..., -TOP:]
    distance = np.einsum("hqk,qk->h", maps, settings.distance) / maps.shape[1]
    rows = np.stack([
        maps.sum(-1).mean(-1), -np.einsum("hqk,hqk->h", maps, logs) / maps.shape[1], distance,
        (maps @ settings.masked[step]).mean(-1), maps[..., :FIRST].sum(-1).mean(-1), part.sum(-1).mean(-1),
        maps.max(-1).mean(-1)])
    classes = settings.classes[step]
    belongs = (classes == np.arange(3)[:, None]).astype(np.float32)
    mass = belongs @ maps @ belongs.T
    top = np.argpartition(maps, maps.shape[-1] - STABLE, -1)[..., -STABLE:]
    picked = np.zeros(maps.shape, bool)
    np.put_along_axis(picked, top, True, -1)
    return rows, mass, picked


def peer_h5py(path, out):
    """A layer at a time over the steps, as one who knows his memory does."""
    settings = Settings(path)
    steps, layers, heads, queries, _ = settings.shape
    rows = np.zeros((len(STATISTICS), layers, heads))
    mass = np.zeros((steps, layers, 3, 3))
    overlap = np.zeros((layers, heads))

    def run():
        data = h5py.File(path)["maps/attention"]
        for layer in range(layers):
            before = None
            for step in range(steps):
                part, regions, picked = measure_maps(data[step, layer].astype(np.float32), settings, step)
                rows[:, layer] += part / steps
                mass[step, layer] = regions.mean(0)
                if before is not None:
                    overlap[layer] += (before & picked).sum((-1, -2)) / (queries * STABLE * (steps - 1))
                before = picked

    seconds = file_bench.timed(run)
    np.savez(out, rows=rows, overlap=overlap)
    return {"seconds": [seconds], "peak": file_bench.peak_memory()}


def peer_dask(path, out):
    """The same on two workers: xarray opens, a block is a step and a layer, whose top keys the next one's meet."""
    import dask
    import xarray

    settings = Settings(path)
    steps, layers, _, queries, _ = settings.shape

    @dask.delayed
    def measured(maps, step):
        rows, mass, picked = measure_maps(maps[0, 0].astype(np.float32), settings, step)
        return rows, mass.mean(0), np.packbits(picked, -1)

    @dask.delayed
    def shared(one, other):
        return np.unpackbits(one[2] & other[2], -1).sum((-1, -2)) / (queries * STABLE)

    @dask.delayed
    def without_keys(each):
        return each[:2]

    def run():
        data = xarray.open_dataset(path, group="maps", engine="h5netcdf", chunks={
            "map_step": 1, "layer": 1, "head": -1, "query": -1, "key": -1})
        blocks = data["attention"].data.to_delayed()[:, :, 0, 0, 0]
        each = [[measured(blocks[step, layer], step) for step in range(steps)] for layer in range(layers)]
        overlaps = [[shared(*pair) for pair in zip(of_layer, of_layer[1:])] for of_layer in each]
        kept = [[without_keys(one) for one in of_layer] for of_layer in each]
        kept, overlaps = dask.compute(kept, overlaps, scheduler="threads", num_workers=2)
        rows = np.stack([np.mean([one[0] for one in of_layer], 0) for of_layer in kept], 1)
        np.savez(out, rows=rows, overlap=np.mean(overlaps, 1))

    seconds = file_bench.timed(run)
    return {"seconds": [seconds], "peak": file_bench.peak_memory()}


PEERS = {f.__name__: f for f in (peer_h5py, peer_dask)}


def peer(body, *arguments):
    command = [sys.executable, __file__, "--peer", json.dumps([body.__name__, *map(str, arguments)])]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def ours(command, path, threads, out):
    """Seconds and peak memory of the whole command, its start and its printing included."""
    arguments = [command, "analyze", path, "--metrics", METRICS, "--json", "--threads", str(threads),
                 "--verify", "none"]
    peak = 0
    with open(out, "w") as file:
        begin = time.perf_counter()
        process = subprocess.Popen(list(map(str, arguments)), stdout=file)
        # What the system tells of an ended child counts the parent that it was forked from.
        while process.poll() is None:
            peak = max(peak, sum(map(peak_memory, family(process.pid))))
            time.sleep(0.01)
        seconds = time.perf_counter() - begin
    if process.returncode:
        raise SystemExit(f"{arguments}: status {process.returncode}")
    return {"seconds": [seconds], "peak": peak}


def family(pid):
    """A process and those that it started."""
    children = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return [pid, *(each for child in children for each in family(child))]


def peak_memory(pid):
    """The most memory that a process ever had; 0 where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def check(out, peer_out, name):
    """Both sides say the same. NumPy sums in single precision, and picks among equal weights as it likes."""
    said = json.loads(Path(out).read_text())
    found = {q["name"]: q["values"] for result in said["metrics"] for q in result["quantities"]}
    theirs = np.load(peer_out)
    for statistic, values in zip(STATISTICS, theirs["rows"]):
        np.testing.assert_allclose(found[statistic], values.reshape(-1), rtol=1e-4, err_msg=f"{name}: {statistic}")
    np.testing.assert_allclose(found["top_k_overlap"], theirs["overlap"].reshape(-1), atol=2e-2, err_msg=name)


def measure(folder, binaries, gigabytes, rounds, progress):
    rows = []

    def row(name, ours, theirs, unit, note="", limit=False):
        rows.append(dict(name=name, ours=ours, theirs=theirs, unit=unit, ratio=theirs / ours, note=note, limit=limit))
        progress(rows[-1])

    out, peer_out = (f"{folder}/{name}" for name in ("out.json", "peer.npz"))
    trace, _, size = file_bench.large_trace(folder, binaries, gigabytes)
    command = binaries / "attntrace"
    results = {name: [] for name in ("one", "two", "h5py", "dask")}
    for _ in range(rounds):
        results["one"].append(ours(command, trace, 1, out))
        results["two"].append(ours(command, trace, 2, out))
        results["h5py"].append(peer(peer_h5py, trace, peer_out))
        check(out, peer_out, "h5py")
        results["dask"].append(peer(peer_dask, trace, peer_out))
        check(out, peer_out, "dask")
    best = {name: min(each["seconds"][0] for each in runs) for name, runs in results.items()}
    peak = {name: max(each["peak"] for each in runs) for name, runs in results.items()}
    label = f"metrics of maps, {size / 1e9:.1f} GB"
    row(f"{label}, 2 threads", best["two"], best["h5py"], "s",
        f"h5py + NumPy; ours {size / best['two'] / 1e6:.0f} MB/s of float16")
    row(f"{label}, 2 threads", best["two"], best["dask"], "s", "xarray + dask, 2 workers")
    row(f"{label}, 1 thread", best["one"], best["h5py"], "s", "h5py + NumPy")
    row(f"{label}, from 1 thread to 2", best["two"], best["one"], "s", "theirs: ours with 1 thread; the aim is 1.8")
    row("peak memory of that command", peak["two"] / 1e6, 256, "MB",
        f"theirs: the aim; h5py {peak['h5py'] / 1e6:.0f}, dask {peak['dask'] / 1e6:.0f}")
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=Path, help="where attntrace and file-bench are")
    parser.add_argument("--gigabytes", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", help="where the files go, and are deleted again")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        body, *arguments = json.loads(options.peer)
        print(json.dumps(PEERS[body](*arguments)))
        return

    def progress(row):
        if not options.json:
            print(f"{row['name']:66} {row['ours']:10.4g} {row['theirs']:10.4g} {row['unit']:5} {row['ratio']:6.2f} x "
                  f"{row['note']}", flush=True)

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = measure(folder, options.bin.resolve(), options.gigabytes, options.rounds, progress)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
