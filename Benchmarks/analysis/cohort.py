"""A cohort of small traces: the sinks of each and their means over all, beside the same in NumPy + h5py.

Captures COUNT small traces with the embedded diffusion model. Our side is `analyze` with one and with two threads, from the
start of the process to the last file; theirs is one Python process with its imports done, vectorised where the definition
lets it be, over the same received sums: sinks by rule excess, turnover, floating index, transport, top keys, presences and
the optimal matching of them by SciPy, then mean, standard deviation and bootstrap. Ours has the null of the trajectories and
some further numbers on top. Prints times, agreement and peak memory, or with --json one JSON object.

    python Benchmarks/analysis/cohort.py --bin .build/release [--count 100] [--rounds 3]
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
from scipy.optimize import linear_sum_assignment

ROOT = Path(__file__).resolve().parents[2]
WANTED = ["first_tokens", "sinks"]
EPSILON, DRAWS = 3, 1000
# Of equal cost a hop of 32 is made.
UNMATCHED = 16 + 1e-6
WORDS = "In the beginning God created the heaven and the earth And the earth was without form and void and darkness".split()


def capture(command, folder, count):
    """Traces of different prompts; the model is loaded once."""
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(
        json.dumps({"id": f"t{i}", "prompt": " ".join(WORDS[i % 7 : i % 7 + 4 + i % 9] + ["and", f"{i}"])}) + "\n"
        for i in range(count)))
    subprocess.run(
        [command, "capture", "--model", ROOT / "models/tiny-mdm", "--prompts", prompts, "--output", folder / "traces",
         "--gen-length", "32", "--block-length", "8", "--record", "received"], check=True, capture_output=True)


def hop_lengths(sets):
    """Hops of one site: presences that end at a step, matched with those that begin at the next."""
    hops = 0
    lengths = []
    for now, then in zip(sets, sets[1:]):
        ends, starts = np.flatnonzero(now & ~then), np.flatnonzero(then & ~now)
        if not len(ends) or not len(starts):
            continue
        n, m = len(ends), len(starts)
        cost = np.full((n + m, n + m), 1e9)
        cost[:n, :m] = np.abs(np.subtract.outer(ends, starts))
        cost[range(n), range(m, m + n)] = UNMATCHED
        cost[range(n, n + m), range(m)] = UNMATCHED
        cost[n:, m:] = 0
        rows, columns = linear_sum_assignment(cost)
        made = (rows < n) & (columns < m)
        hops += made.sum()
        lengths += cost[rows[made], columns[made]].tolist()
    return hops, np.mean(lengths) if lengths else np.nan


def measure(path):
    """Every number of a diffusion trace by (layer, head)."""
    with h5py.File(path) as file:
        received = file["received"][()].astype(np.float64).sum(3)
        visible = file["visible_queries"][()].astype(np.float64)
    keys = received.shape[-1]
    total = received.sum(-1, keepdims=True)
    sinks = received > (total - received) / (keys - 1) + EPSILON
    both, either = (sinks[1:] & sinks[:-1]).sum(-1), (sinks[1:] | sinks[:-1]).sum(-1)
    share = received / keys
    step = np.diff(share, axis=0)
    top = received.argmax(-1)
    begins = sinks & ~np.concatenate([np.zeros_like(sinks[:1]), sinks[:-1]])
    presences = begins.sum((0, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "first_tokens_mass": (received / visible[:, None, None])[..., :4].sum(-1).mean(0),
            "sinks_per_step": sinks.sum(-1).mean(0),
            "attention_on_sinks": (share * sinks).sum(-1).mean(0),
            "turnover": np.nanmean(np.where(either > 0, 1 - both / either, np.nan), 0),
            "floating_index": 0.5 * np.abs(step).sum(-1).mean(0),
            "transport": np.abs(step.cumsum(-1)).sum(-1).mean(0),
            "top_key_moves": (top[1:] != top[:-1]).mean(0),
            "distinct_top_keys": (np.diff(np.sort(top, 0), axis=0) != 0).sum(0) + 1,
            "spatial_variance": received.mean(0).var(-1),
            "first_key_share": share[..., 0].mean(0),
            "presences": presences,
            "dwell": sinks.sum((0, 3)) / presences,
        }
    layers, heads = sinks.shape[1:3]
    linked = np.array([[hop_lengths(sinks[:, layer, head]) for head in range(heads)] for layer in range(layers)])
    found["hops"], found["hop_length"] = linked[..., 0], linked[..., 1]
    return found


def numpy_cohort(paths):
    """Mean, standard deviation and interval of every number over traces."""
    np.seterr(all="ignore")
    each = [measure(path) for path in paths]
    draws = np.random.default_rng(0).integers(0, len(paths), (DRAWS, len(paths)))
    out = {}
    for name in each[0]:
        values = np.array([found[name] for found in each], float)
        flat = values.reshape(len(paths), -1)
        counts = np.apply_along_axis(np.bincount, 1, draws, minlength=len(paths)).astype(float)
        means = counts @ np.nan_to_num(flat) / (counts @ ~np.isnan(flat))
        ends = np.percentile(means, [2.5, 97.5], axis=0)
        out[name] = (np.nanmean(values, 0), np.nanstd(values, 0, ddof=1), ends)
    return out


def numpy_side(paths, pipe):
    # Numbers that are undefined everywhere.
    warnings.simplefilter("ignore", RuntimeWarning)
    begin, before = time.monotonic(), time.process_time()
    found = numpy_cohort(paths)
    seconds, processor = time.monotonic() - begin, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send((seconds, processor, peak, {name: values[0] for name, values in found.items()}))


def timed_numpy(paths):
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=numpy_side, args=(paths, theirs))
    process.start()
    result = ours.recv()
    process.join()
    return result


def timed(command):
    """Seconds, seconds of processor of the process and its children, and the largest resident set of any, in kB."""
    begin = time.monotonic()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"{command} ended with {status}"
    return time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def agreement(folder, theirs):
    """The largest relative difference of a mean, over all quantities that both have."""
    analysis = json.loads((folder / "analysis.json").read_text())
    worst = (0.0, "")
    compared = 0
    for quantity in analysis["quantities"]:
        if list(quantity["axes"]) != ["layer", "head"] or quantity["name"] not in theirs:
            continue
        compared += 1
        ours = np.array([np.nan if v is None else v for v in quantity["overall"]["mean"]], float)
        other = theirs[quantity["name"]].reshape(-1)
        assert (np.isnan(ours) == np.isnan(other)).all(), quantity["name"]
        scale = np.maximum(np.abs(other), 1e-9)
        worst = max(worst, (float(np.nanmax(np.abs(ours - other) / scale, initial=0)), quantity["name"]))
    return compared, worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=Path, default=ROOT / ".build/release")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    command = options.bin / "attntrace"
    os.environ.setdefault("ATTNTRACE_MODELS", str(ROOT / "models"))
    known = json.loads(subprocess.run(
        [command, "analyze", "--list-metrics", "--json"], check=True, capture_output=True, text=True).stdout)
    metrics = ",".join(name for name in WANTED if name in {row[0] for row in known["rows"]})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        capture(command, folder, options.count)
        paths = sorted((folder / "traces").glob("*.h5"))
        seconds = {"numpy": [], "1": [], "2": []}
        processor = {"numpy": [], "1": [], "2": []}
        peaks = {}
        # In turn, so that what else the machine does hits all of them.
        for round in range(options.rounds):
            for threads in ("1", "2"):
                out = folder / f"out-{threads}-{round}"
                took, spent, peaks[threads] = timed(
                    [command, "analyze", folder / "traces", "--metrics", metrics, "--output", out, "--threads", threads])
                seconds[threads].append(took)
                processor[threads].append(spent)
            took, spent, peaks["numpy"], theirs = timed_numpy(paths)
            seconds["numpy"].append(took)
            processor["numpy"].append(spent)
        compared, worst = agreement(out, theirs)
        size = sum(path.stat().st_size for path in paths)
    best = {side: statistics.median(values) for side, values in seconds.items()}
    report = {
        "traces": options.count, "megabytes": size / 1e6, "metrics": metrics, "seconds": best,
        "processor_seconds": {side: statistics.median(values) for side, values in processor.items()}, "peak_kb": peaks,
        "scaling": statistics.median(a / b for a, b in zip(seconds["1"], seconds["2"])),
        "compared": compared, "largest_difference": worst[0], "differs_most": worst[1],
    }
    if options.json:
        print(json.dumps(report))
        return
    print(f"{options.count} traces, {size / 1e6:.1f} MB, metrics {metrics}")
    for side, what in [("1", "analyze, 1 thread"), ("2", "analyze, 2 threads"), ("numpy", "NumPy + h5py + SciPy")]:
        print(f"{what:24} {best[side]:7.2f} s  {best['numpy'] / best[side]:6.2f} x   "
              f"{report['processor_seconds'][side]:6.2f} s of processor  {peaks[side] / 1000:6.0f} MB peak")
    print(f"two threads over one: {report['scaling']:.2f} x")
    print(f"{compared} quantities by layer and head agree to {worst[0]:.1e} ({worst[1]})")


if __name__ == "__main__":
    main()
