"""The file itself beside its peers: writing maps, summing them, reading one, rebuilding them, and what they take.

Both sides get the same numbers: softmax of rotated random queries and keys with sink columns, of which a few tokens
change from step to step (8 steps x 8 layers x 8 heads x 256 x 256, 67 MB of float16). The large file repeats those steps;
every chunk is still written, found, read and decoded for itself. Sides take turns, each figure is the best of its
rounds. Prints a table, or with --json one JSON object.

    python Benchmarks/file/run.py --binary .build/release/file-bench [--gigabytes 3] [--traces a.h5 b.h5]
"""

import argparse
import io
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

STEPS, LAYERS, HEADS, LENGTH = 8, 8, 8, 256
CHANNELS = 64


def make_maps():
    rng = np.random.default_rng(1)

    def normal(*shape):
        return rng.standard_normal((LAYERS, HEADS, *shape), dtype=np.float32)

    shared = normal(1, CHANNELS)
    query, key = normal(LENGTH, CHANNELS) + shared, normal(LENGTH, CHANNELS) + 0.6 * shared
    half = CHANNELS // 2
    angle = np.arange(LENGTH)[:, None] * 10000.0 ** (-np.arange(half) / half)
    cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

    def rotate(x):
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * cosine - b * sine, b * cosine + a * sine], -1)

    maps = np.empty((STEPS, LAYERS, HEADS, LENGTH, LENGTH), np.float16)
    for step in range(STEPS):
        changed = rng.choice(LENGTH, LENGTH // STEPS // 4, replace=False)
        query[:, :, changed] = normal(len(changed), CHANNELS) + shared
        key[:, :, changed] = normal(len(changed), CHANNELS) + 0.6 * shared
        query += 0.02 * normal(LENGTH, CHANNELS)
        scores = rotate(query) @ rotate(key).swapaxes(-1, -2) * (1.2 / CHANNELS**0.5)
        for place, bonus in ((0, 4), (LENGTH // 3, 3), (2 * LENGTH // 3, 2.5)):
            scores[..., place] += bonus
        scores -= scores.max(-1, keepdims=True)
        np.exp(scores, out=scores)
        maps[step] = scores / scores.sum(-1, keepdims=True)
    return maps


def large_trace(folder, binaries, gigabytes):
    """A trace of the maps, their steps repeated up to a size: its path, the shape of its maps, and their bytes."""
    raw, trace = (f"{folder}/{name}" for name in ("raw", "trace.h5"))
    maps = make_maps()
    maps.tofile(raw)
    steps = max(len(maps), round(gigabytes * 1e9 / maps[0].nbytes))
    shape, size = (steps, *maps.shape[1:]), maps[0].nbytes * steps
    del maps
    subprocess.run(
        [binaries / "file-bench", "write", raw, trace, str(steps), *map(str, shape[1:4]), str(os.cpu_count())],
        check=True, stdout=subprocess.DEVNULL)
    os.unlink(raw)
    os.sync()
    return trace, shape, size


def peak_memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def timed(body):
    begin = time.perf_counter()
    body()
    return time.perf_counter() - begin


# What peers do, each in a process of its own so that its memory can be told.


def peer_write(raw, path):
    maps = np.fromfile(raw, np.float16).reshape(STEPS, LAYERS, HEADS, LENGTH, LENGTH)

    Path(path).unlink(missing_ok=True)

    def write():
        with h5py.File(path, "w") as file:
            data = file.create_dataset(
                "attention", maps.shape, np.float16, chunks=(1, 1, 1, LENGTH, LENGTH), compression="gzip",
                compression_opts=4, shuffle=True)
            for step in range(STEPS):
                for layer in range(LAYERS):
                    data[step, layer] = maps[step, layer]

    return {"seconds": [timed(write)]}


def peer_h5py(path, name, rounds, out):
    data = h5py.File(path)[name]
    sums = np.empty((*data.shape[:3], data.shape[4]), np.float32)

    def reduce():
        for step in range(data.shape[0]):
            for layer in range(data.shape[1]):
                sums[step, layer] = data[step, layer].astype(np.float32).sum(-2)

    seconds = [timed(reduce) for _ in range(rounds)]
    sums.tofile(out)
    return {"seconds": seconds, "peak": peak_memory()}


def peer_dask(path, group, chunks, rounds):
    import xarray

    data = xarray.open_dataset(path, group=group, engine="h5netcdf", chunks=chunks)["attention"]
    seconds = [timed(lambda: data.astype("float32").sum("query").compute()) for _ in range(rounds)]
    return {"seconds": seconds, "peak": peak_memory()}


def peer_maps(path, name, count, cold):
    data = h5py.File(path)[name]
    descriptor = os.open(path, os.O_RDONLY)
    rng = np.random.default_rng(7)
    seconds = []
    for _ in range(count):
        place = tuple(int(rng.integers(n)) for n in data.shape[:3])
        if cold:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        seconds.append(timed(lambda: data[place].astype(np.float32)))
    return {"seconds": seconds}


def stored_bytes(path, name):
    """Bytes of a dataset in our file, as h5py gzip 4 + shuffle with the same chunks, and as savez_compressed."""
    with h5py.File(path) as file:
        data = file[name]
        values, chunks = data[()], data.chunks
        ours = data.id.get_storage_size()
    with h5py.File("peer", "w", driver="core", backing_store=False) as file:
        gzip = file.create_dataset(
            "a", data=values, chunks=chunks, compression="gzip", compression_opts=4, shuffle=True).id.get_storage_size()
    archive = io.BytesIO()
    np.savez_compressed(archive, attention=values)
    return {"weights": values.size, "ours": ours, "gzip": gzip, "npz": archive.tell()}


def export_chunks(path, target):
    """The stored chunks of the peer's file, for inflating without any file: count, sizes, bytes."""
    with h5py.File(path) as file:
        data = file["attention"]
        chunks = [
            data.id.read_direct_chunk((step, layer, head, 0, 0))[1]
            for step in range(STEPS) for layer in range(LAYERS) for head in range(HEADS)]
    with open(target, "wb") as file:
        file.write(struct.pack(f"<{len(chunks) + 1}I", len(chunks), *map(len, chunks)))
        file.writelines(chunks)


PEERS = {f.__name__: f for f in (peer_write, peer_h5py, peer_dask, peer_maps)}


def peer(body, *arguments):
    command = [sys.executable, __file__, "--peer", json.dumps([body.__name__, *arguments])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(binary, gigabytes, traces, folder, progress):
    def ours(*arguments):
        run = subprocess.run([binary, *map(str, arguments)], check=True, capture_output=True, text=True)
        return json.loads(run.stdout)

    rows = []

    def row(name, ours, theirs, unit, note="", limit=False):
        """A ratio above 1 is in our favour, but where theirs is a limit: then it is the share of it that we reach."""
        rows.append(dict(name=name, ours=ours, theirs=theirs, unit=unit, ratio=theirs / ours, note=note, limit=limit))
        progress(rows[-1])

    threads = os.cpu_count()
    shape = f"{LAYERS} x {HEADS} x {LENGTH} x {LENGTH}"
    raw, small, large, theirs = (f"{folder}/{name}" for name in ("raw", "small.h5", "large.h5", "peer.h5"))
    sums, peer_sums = f"{folder}/sums", f"{folder}/peer_sums"
    maps = make_maps()
    maps.tofile(raw)
    size = maps.nbytes
    del maps
    steps = max(STEPS, round(gigabytes * 1e9 / (size / STEPS)))
    scale = steps / STEPS
    sizes = (STEPS, LAYERS, HEADS, LENGTH)

    # Writing.
    mine, yours = [], []
    for _ in range(3):
        mine += ours("write", raw, small, *sizes, threads)["seconds"]
        yours += peer(peer_write, raw, theirs)["seconds"]
        mine += ours("write", raw, small, *sizes, threads)["seconds"]
    row(f"write maps, {STEPS} x {shape} ({size / 1e6:.0f} MB), {threads} threads", min(mine), min(yours), "s",
        "h5py gzip 4 + shuffle")
    mine = []
    for _ in range(2):
        mine += ours("write", raw, large, steps, LAYERS, HEADS, LENGTH, threads)["seconds"]
    row(f"write maps, {steps} x {shape} ({size * scale / 1e9:.1f} GB)", min(mine), min(yours) * scale, "s",
        f"h5py at the rate of the small file; ours {size * scale / min(mine) / 1e6:.0f} MB/s")

    # Reducing. The peers read our file, which is the quicker for them.
    os.sync()
    name, group = "maps/attention", "maps"
    mine, yours, own = [], [], []
    for _ in range(3):
        mine += ours("reduce", small, threads, 5, sums)["seconds"]
        yours += peer(peer_h5py, small, name, 2, peer_sums)["seconds"]
        own += peer(peer_h5py, theirs, "attention", 1, peer_sums)["seconds"]
    difference = np.abs(np.fromfile(sums, np.float32) - np.fromfile(peer_sums, np.float32)).max()
    assert difference < 1e-3, f"sums differ by {difference}"
    row("sums of every map, small file", min(mine), min(yours), "s", "h5py + NumPy per (step, layer), our file")
    row("sums of every map, small file", min(mine), min(own), "s", "h5py + NumPy per (step, layer), h5py's own file")
    chunkings = [{}, {"map_step": 1, "layer": 1}, {"map_step": 1, "layer": 4}, {"map_step": 1}]
    tried = [(min(peer(peer_dask, small, group, chunks, 3)["seconds"]), i) for i, chunks in enumerate(chunkings)]
    best, index = min(tried)
    row("sums of every map, small file", min(mine), best, "s", f"xarray + dask, chunks {chunkings[index] or 'native'}")
    mine = ours("reduce", large, threads, 4, sums)
    yours = peer(peer_h5py, large, name, 1, peer_sums)
    dask = peer(peer_dask, large, group, chunkings[index], 1)
    rate = size * scale / min(mine["seconds"])
    row("sums of every map, large file", min(mine["seconds"]), min(yours["seconds"]), "s",
        f"h5py + NumPy; ours {rate / 1e6:.0f} MB/s of float16")
    row("sums of every map, large file", min(mine["seconds"]), min(dask["seconds"]), "s", "xarray + dask")
    row("peak memory of that pass", mine["peak"][0] / 1e6, 64, "MB",
        f"theirs: the aim; h5py {yours['peak'] / 1e6:.0f}, dask {dask['peak'] / 1e6:.0f}")
    decode = min(ours("decode", small, threads, 5)["seconds"] + ours("decode", small, threads, 5)["seconds"])

    # One map.
    for label, cold in (("warm", 0), ("cold", 1)):
        mine, yours = [], []
        for _ in range(2):
            mine += ours("maps", large, 60, cold)["seconds"]
            yours += peer(peer_maps, large, name, 60, cold)["seconds"]
        row(f"one random map, {label}, large file", 1e3 * statistics.median(mine), 1e3 * statistics.median(yours), "ms",
            "h5py; medians")

    # What it takes.
    weights = size / 2
    stored = stored_bytes(small, name)
    for key, label in (("npz", "NumPy savez_compressed"), ("gzip", "h5py gzip 4 + shuffle")):
        row("bytes a stored weight, synthetic maps", stored["ours"] / weights, stored[key] / weights, "B", label)
    for trace in traces:
        stored = stored_bytes(trace, name)
        for key, label in (("npz", "NumPy savez_compressed"), ("gzip", "h5py gzip 4 + shuffle"), (None, "raw float16")):
            other = stored[key] / stored["weights"] if key else 2
            row(f"bytes a stored weight, {Path(trace).stem}", stored["ours"] / stored["weights"], other, "B", label)

    # Rebuilding. Beside it: the same weights read from a file, by us, and from memory by libdeflate.
    export_chunks(theirs, f"{folder}/chunks")
    inflate = min(ours("inflate", f"{folder}/chunks", 2 * LENGTH * LENGTH, 5)["seconds"])
    for channels in (128, 32):
        for length in (512, 2048):
            seconds = ours("rebuild", length, channels, threads, 15 if length < 1000 else 5)
            mine = 1e9 * min(seconds["whole"]) / length**2
            label = f"a weight rebuilt, {length} tokens, head_dim {channels}"
            row(label, mine, 1e9 * inflate / weights, "ns", "inflated by libdeflate from memory, no file")
            row(label, mine, 1e9 * decode / weights, "ns", "read from the file and widened by us")

    # Limits.
    copy = min(ours("copy", 512)["seconds"]) / (512 << 20)
    row("sums, of the speed of a memory copy, all processors", 1e9 / rate, 1e9 * copy, "ns/B", "limit", limit=True)
    row("sums, of the speed of inflating alone (libdeflate, from memory)", 1e9 / rate, 1e9 * inflate / size, "ns/B",
        "limit of those who inflate byte by byte", limit=True)
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=Path)
    parser.add_argument("--gigabytes", type=float, default=3)
    parser.add_argument("--traces", nargs="*", default=[], help="captured traces, for what their maps take")
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
        rows = measure(options.binary, options.gigabytes, options.traces, folder, progress)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
