"""A cohort of small traces: first tokens, sinks and trajectories of each, and their means over all, beside the same in NumPy.

Captures COUNT small traces with the embedded diffusion model. Our side is `analyze` with one and with two threads, from the
start of the process to the last file. Theirs is one Python process with its imports done: h5py reads, NumPy computes every
quantity of the metrics `first_tokens` and `sinks` by head, by layer and over all, for all steps and heads of a trace at once,
SciPy makes the matchings that ties leave open, and mean, standard deviation and bootstrap follow. Both are timed with the
trajectories' null (8 permutations of positions, the same ones) and without it, ours also with the check of each file's structure,
which theirs has no counterpart of. All numbers are compared.

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
METRICS = "first_tokens,sinks"
EPSILON, UNMATCHED, PERMUTATIONS, DRAWS = 3, 16, 8, 1000
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


# MARK: NumPy


def permutations(sites, keys):
    """(site, permutation, key): the orders that our null draws: SplitMix64 by layer, head and replicate, Fisher and Yates."""
    layer, head = (place.astype(np.uint64)[:, None] + np.uint64(1) for place in sites)
    state = (layer << np.uint64(40)) ^ (head << np.uint64(20)) ^ np.arange(PERMUTATIONS, dtype=np.uint64)
    places = np.broadcast_to(np.arange(keys), (*state.shape, keys)).copy()
    low = np.uint64(0xFFFFFFFF)
    for last in range(keys - 1, 0, -1):
        state = state + np.uint64(0x9E3779B97F4A7C15)
        value = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        value = value ^ (value >> np.uint64(31))
        # The high half of a product with a number below 2^32.
        bound = np.uint64(last + 1)
        other = ((value >> np.uint64(32)) * bound + ((value & low) * bound >> np.uint64(32))) >> np.uint64(32)
        other = other.astype(int)[..., None]
        swapped = np.take_along_axis(places, other, -1)
        np.put_along_axis(places, other, places[..., last:last + 1], -1)
        places[..., last:last + 1] = swapped
    return places


def match(ends, starts):
    """Of positions, ascending, which end goes on in which start: least cost, and of equal cost the first in order."""
    n, m = len(ends), len(starts)
    distance = np.abs(np.subtract.outer(ends, starts))
    if n == 1 and m == 1:
        return np.nonzero(distance <= 2 * UNMATCHED)
    # What a row gives for its column, worth more than all that the rows behind it can: exact below 2^53.
    weights = float(m + 1) ** np.arange(n - 1, -1, -1)
    scale = (m + 1) * weights[0]
    assert scale * 2 * UNMATCHED * (n + m) < 2**53, "too many for exact ties"
    cost = np.full((n + m, n + m), scale * 1000)
    cost[:n, :m] = distance * scale + weights[:, None] * np.arange(m)
    cost[range(n), range(m, m + n)] = UNMATCHED * scale + weights * m
    cost[range(n, n + m), range(m)] = UNMATCHED * scale
    cost[n:, m:] = 0
    rows, columns = linear_sum_assignment(cost)
    made = (rows < n) & (columns < m)
    return rows[made], columns[made]


def link(site, first, last, position):
    """Pairs of presences, the second of which follows the first."""
    span = last.max(initial=0) + 2
    by_end, by_start = np.lexsort((position, last, site)), np.lexsort((position, first, site))
    end_at, start_at = (site * span + last + 1)[by_end], (site * span + first)[by_start]
    where = np.intersect1d(end_at, start_at)
    bounds = [np.searchsorted(at, where, side) for at in (end_at, start_at) for side in ("left", "right")]
    # One and one need no matching.
    single = (bounds[1] - bounds[0] == 1) & (bounds[3] - bounds[2] == 1)
    before, after = by_end[bounds[0][single]], by_start[bounds[2][single]]
    near = np.abs(position[before] - position[after]) <= 2 * UNMATCHED
    pairs = [(before[near], after[near])]
    for a, b, c, d in np.stack(bounds, 1)[~single]:
        ends, starts = by_end[a:b], by_start[c:d]
        rows, columns = match(position[ends], position[starts])
        pairs.append((ends[rows], starts[columns]))
    return map(np.concatenate, zip(*pairs))


def trajectories(sites, steps, site, first, last, position):
    """Numbers by site of the trajectories that presences make."""
    before, after = link(site, first, last, position)
    count = len(site)
    root = np.arange(count)
    root[after] = before
    tail = np.ones(count, bool)
    tail[before] = False
    while (root[root] != root).any():
        root = root[root]
    head = np.ones(count, bool)
    head[after] = False
    number = np.cumsum(head) - 1
    trajectory = number[root]
    total = int(head.sum())

    def over(weights, of=None, size=total):
        return np.bincount(trajectory if of is None else of, weights, size)

    of_site = site[head]
    start, begin = position[head], first[head]
    end, finish = np.zeros(total, int), np.zeros(total, int)
    end[trajectory[tail]], finish[trajectory[tail]] = position[tail], last[tail]
    hop = position[after] - position[before]
    hop_site = site[before]
    dwell = last - first + 1
    x, y = (first + last) * dwell / 2, position * dwell
    squares = (last * (last + 1) * (2 * last + 1) - (first - 1) * first * (2 * first - 1)) / 6
    n, sum_x, sum_y = over(dwell), over(x), over(y)
    spread = over(squares) * n - sum_x**2
    drift = np.where(spread > 0, (over(position * x) * n - sum_x * sum_y) / spread, np.nan)
    visited = np.unique(np.stack([trajectory, position]), axis=1)[0]

    def by_site(values, of=of_site):
        return np.bincount(of, values, sites)

    def mean(values, of=of_site):
        known = ~np.isnan(values)
        return by_site(values[known], of[known]) / by_site(None, of[known])

    hops = by_site(None, hop_site)
    return {
        "trajectories": by_site(None), "births": by_site(begin > 0), "deaths": by_site(finish < steps - 1),
        "lifetime": mean(finish - begin + 1.0), "hops": hops, "hops_per_step": hops / (steps - 1),
        "hop_distance": mean(hop.astype(float), hop_site), "hop_length": mean(np.abs(hop).astype(float), hop_site),
        "net_displacement": mean((end - start).astype(float)),
        "path_length": mean(over(np.abs(hop), trajectory[before])), "drift": mean(drift),
        "distinct_positions": mean(np.bincount(visited, minlength=total).astype(float)),
    }


def measure(path, with_null):
    """Every headline number of a diffusion trace, by its name in our results."""
    with h5py.File(path) as file:
        classes = file["received"][()].astype(np.float64)
        visible = file["visible_queries"][()].astype(np.float64)
    steps, layers, heads, _, keys = classes.shape
    masked = classes[..., 2, :]
    received = classes.sum(3)
    share = received / keys
    total = received.sum(-1, keepdims=True)
    sinks = received > (total - received) / (keys - 1) + EPSILON
    number = sinks.sum(-1)
    found_sinks = number.sum(0)
    both, either = (sinks[1:] & sinks[:-1]).sum(-1), (sinks[1:] | sinks[:-1]).sum(-1)
    turnover = np.where(either > 0, 1 - both / either, np.nan)
    step = np.diff(share, axis=0)
    variation, transport = 0.5 * np.abs(step).sum(-1), np.abs(step.cumsum(-1)).sum(-1)
    top = received.argmax(-1)
    mass = np.where(sinks, received, 0)
    centroid = mass @ np.arange(keys) / mass.sum(-1)
    unmasked = received - masked
    splits = (masked.sum(-1) > 0.5) & (unmasked.sum(-1) > 0.5)
    split = np.where(splits, masked.argmax(-1) != unmasked.argmax(-1), np.nan)
    often = sinks.sum(0)
    static = 10 * often >= 9 * steps
    # A column of steps for each site and key: presences begin and end in turn.
    columns = np.pad(np.moveaxis(sinks, 0, -1).reshape(layers * heads, keys, steps), ((0, 0), (0, 0), (1, 1)))
    site, position, first = np.nonzero(columns[..., 1:-1] & ~columns[..., :-2])
    last = np.nonzero(columns[..., 1:-1] & ~columns[..., 2:])[2]
    presences = np.bincount(site, minlength=layers * heads)
    sinks_held = (mass / keys).sum((0, 3))
    found = {
        "first_tokens_mass": (received / visible[:, None, None])[..., :4].sum(-1).mean(0),
        "sinks_per_step": number.mean(0),
        "attention_on_sinks": sinks_held / steps,
        "strength": sinks_held / found_sinks,
        "strength_over_uniform": mass.sum((0, 3)) / found_sinks,
        "sinks_above_30_percent": (sinks & (share > 0.3)).sum(-1).mean(0),
        "static_share": np.bincount(site, static.reshape(layers * heads, keys)[site, position], layers * heads) / presences,
        "presences": presences,
        "dwell": found_sinks.reshape(-1) / presences,
        "turnover": np.nanmean(turnover, 0),
        "floating_index": variation.mean(0),
        "transport": transport.mean(0),
        "top_key_moves": (top[1:] != top[:-1]).mean(0),
        "distinct_top_keys": (np.diff(np.sort(top, 0), axis=0) != 0).sum(0) + 1,
        "temporal_variance": np.nanvar(centroid, 0),
        "spatial_variance": received.mean(0).var(-1),
        "first_key_share": share[..., 0].mean(0),
        "first_key_uniform": np.full((layers, heads), 1 / keys),
        "split_share": np.nanmean(split, 0),
        **trajectories(layers * heads, steps, site, first, last, position),
    }
    if with_null:
        places = permutations(np.divmod(np.arange(layers * heads), heads), keys)
        drawn = trajectories(
            layers * heads * PERMUTATIONS, steps, (site[:, None] * PERMUTATIONS + np.arange(PERMUTATIONS)).reshape(-1),
            first.repeat(PERMUTATIONS), last.repeat(PERMUTATIONS), places[site, :, position].reshape(-1))
        for name, values in drawn.items():
            found["null_" + name] = np.nanmean(values.reshape(-1, PERMUTATIONS), 1)
    found = {name: np.asarray(values, float).reshape(layers, heads) for name, values in found.items()}
    series = {"sinks_per_step": number, "turnover": turnover, "floating_index": variation, "transport": transport}
    for name in list(found):
        if name != "first_tokens_mass":
            found[name + "_by_layer"], found[name + "_mean"] = np.nanmean(found[name], 1), np.nanmean(found[name])
    return found, {name: np.nanmean(values, 2) for name, values in series.items()}


def numpy_cohort(paths, with_null, out):
    """Mean, standard deviation and interval of every number over traces; all that was computed is written to one file."""
    np.seterr(all="ignore")
    # Of numbers that are undefined everywhere.
    warnings.simplefilter("ignore", RuntimeWarning)
    each = [measure(path, with_null) for path in paths]
    draws = np.random.default_rng(0).integers(0, len(paths), (DRAWS, len(paths)))
    counts = np.apply_along_axis(np.bincount, 1, draws, minlength=len(paths)).astype(float)
    names = list(each[0][0])
    # All quantities side by side: one product and one sort for all of them.
    values = np.array([np.concatenate([found[name].reshape(-1) for name in names]) for found, _ in each])
    known = ~np.isnan(values)
    means = (counts @ np.nan_to_num(values)) / (counts @ known.astype(float))
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    over = {"n": known.sum(0), "mean": np.nanmean(values, 0), "sd": np.nanstd(values, 0, ddof=1), "low": low, "high": high}
    ends = np.cumsum([each[0][0][name].size for name in names])[:-1]
    said = {"values": values}
    for statistic, found in over.items():
        said |= {f"{name}:{statistic}": part for name, part in zip(names, np.split(found, ends))}
    for place, (_, series) in enumerate(each):
        said |= {f"{place}:{name}_by_step": values for name, values in series.items()}
    np.savez(out, **said)


# MARK: Timing


def numpy_side(paths, with_null, out, pipe):
    begin, before = time.monotonic(), time.process_time()
    numpy_cohort(paths, with_null, out)
    pipe.send((time.monotonic() - begin, time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def timed_numpy(*arguments):
    """Seconds, seconds of processor, and the largest resident set in kB, of a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=numpy_side, args=(*arguments, theirs))
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


def agreement(folder, out):
    """How many quantities were compared, and the largest relative difference of n, mean and standard deviation of any."""
    theirs = np.load(out)
    compared, worst = 0, (0.0, "")
    for quantity in json.loads((folder / "analysis.json").read_text())["quantities"]:
        name = quantity["name"]
        if f"{name}:mean" not in theirs:
            # Without the null its quantities are there, and undefined.
            assert name.startswith("null_") and not any(quantity["overall"]["n"]), name
            continue
        compared += 1
        assert quantity["overall"]["n"] == theirs[f"{name}:n"].tolist(), name
        for statistic in ("mean", "sd"):
            ours = np.array([np.nan if v is None else v for v in quantity["overall"][statistic]], float)
            other = theirs[f"{name}:{statistic}"]
            assert (np.isnan(ours) == np.isnan(other)).all(), name
            difference = np.abs(ours - other) / np.maximum(np.abs(other), 1e-6)
            worst = max(worst, (float(np.nanmax(difference, initial=0)), f"{name}, {statistic}"))
    assert compared == sum(name.endswith(":mean") for name in theirs)
    assert worst[0] < 1e-8, worst
    return compared, worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=Path, default=ROOT / ".build/release")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--traces", type=Path, help="a folder that has them already")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    command = options.bin / "attntrace"
    os.environ.setdefault("ATTNTRACE_MODELS", str(ROOT / "models"))
    reports = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        traces = options.traces or folder / "traces"
        if not options.traces:
            capture(command, folder, options.count)
        paths = sorted(traces.glob("*.h5"))
        for null in (PERMUTATIONS, 0):
            sides = {
                "analyze, 1 thread": (1, "none"), "analyze, 2 threads": (2, "none"),
                "analyze --verify structure, 1 thread": (1, "structure"),
                "analyze --verify structure, 2 threads": (2, "structure"), "NumPy + h5py + SciPy": None}
            runs = {side: [] for side in sides}
            # In turn, so that what else the machine does hits all of them.
            for round in range(options.rounds):
                for side, ours in sides.items():
                    if ours is None:
                        runs[side].append(timed_numpy(paths, null > 0, folder / "numpy.npz"))
                        continue
                    threads, verify = ours
                    out = folder / f"out-{null}-{threads}-{verify}-{round}"
                    runs[side].append(timed(
                        [command, "analyze", traces, "--metrics", METRICS, "--null-permutations", null, "--output", out,
                         "--threads", threads, "--verify", verify]))
            compared, worst = agreement(out, folder / "numpy.npz")
            seconds, processor = ({s: statistics.median(r[k] for r in each) for s, each in runs.items()} for k in (0, 1))
            reports.append({
                "traces": len(paths), "megabytes": sum(path.stat().st_size for path in paths) / 1e6, "metrics": METRICS,
                "null_permutations": null, "seconds": seconds, "processor_seconds": processor,
                "peak_kb": {side: max(r[2] for r in each) for side, each in runs.items()},
                "compared": compared, "largest_difference": worst[0], "differs_most": worst[1]})
    if options.json:
        print(json.dumps(reports))
        return
    for report in reports:
        seconds, theirs = report["seconds"], report["seconds"]["NumPy + h5py + SciPy"]
        print(f"{report['traces']} traces, {report['megabytes']:.1f} MB, metrics {METRICS}, "
              f"null of {report['null_permutations']} permutations")
        for side, took in seconds.items():
            print(f"{side:40} {took:7.2f} s  {theirs / took:6.2f} x   {report['processor_seconds'][side]:6.2f} s of processor  "
                  f"{report['peak_kb'][side] / 1000:6.0f} MB peak")
        print(f"two threads over one: {seconds['analyze, 1 thread'] / seconds['analyze, 2 threads']:.2f} x")
        print(f"{report['compared']} quantities agree to {report['largest_difference']:.1e} ({report['differs_most']})")


if __name__ == "__main__":
    main()
