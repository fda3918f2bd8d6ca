"""An independent, plain implementation of the sink metrics, to check Sources/Analysis against.

Loops rather than cleverness: each function is its definition written out. Definitions are those of
docs/metrics.md. Needs numpy and scipy; `metrics_of_file` also needs h5py.

    from reference_metrics import metrics_of_file
    metrics_of_file("run.h5", rule="excess", epsilon=3)["headline"]["floating_index"]

The result has the names of the command's JSON: `headline`, `undefined`, `like_rows`.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

NAN = float("nan")
TRAJECTORY_NAMES = [
    "trajectories", "births", "deaths", "lifetime", "hops", "hops_per_step", "hop_distance", "hop_length",
    "net_displacement", "path_length", "drift", "distinct_positions",
]
SET_MEASURES = (
    ["sinks_per_step", "static_share", "presences", "dwell", "turnover"]
    + TRAJECTORY_NAMES + ["null_" + name for name in TRAJECTORY_NAMES]
)


@dataclass
class TraceData:
    """The part of a trace that the metrics are made of, as arrays."""

    causality: str  # "bidirectional" or "causal"
    prompt: int
    layers: list
    heads: list
    received: np.ndarray  # (step, layer, head, query_class, key)
    answer: np.ndarray = None  # (generated, layer, head, key)
    source_query: np.ndarray = None  # (generated)
    source_step: np.ndarray = None  # (generated)
    generated: np.ndarray = None  # (generated), positions
    order: np.ndarray = None  # (position)
    maps: np.ndarray = None  # (layer, head, query, key), of a causal trace
    steps: list = field(default_factory=list)


@dataclass
class Frame:
    """One step of one site."""

    step: int
    rows: int
    received: np.ndarray  # (visible keys)
    visible: np.ndarray
    uniform: np.ndarray
    masked: np.ndarray = None
    window: np.ndarray = None
    window_undefined: str = "rows_not_recorded"

    def scores(self, unit):
        if unit == "sum":
            return self.received
        if unit == "mean":
            return self.received / self.visible
        if unit == "percent":
            return 100 * self.received / self.visible
        if unit == "ratio":
            return self.received / self.uniform
        return self.window

    def p(self, keys):
        out = np.zeros(keys)
        out[: len(self.received)] = self.received / self.rows
        return out


def mean(values):
    values = [float(v) for v in values if not math.isnan(v)]
    return sum(values) / len(values) if values else NAN


def variance(values):
    values = [float(v) for v in values if not math.isnan(v)]
    return float(np.var(values)) if values else NAN


# Sites and frames


def sites_of(trace, per, layers, heads):
    """[(layer label or None, head label or None, [(layer index, head index), ...])]"""
    chosen_l = [l for l in trace.layers if layers is None or l in layers]
    chosen_h = [h for h in trace.heads if heads is None or h in heads]
    pairs = lambda ls, hs: [(trace.layers.index(l), trace.heads.index(h)) for l in ls for h in hs]
    if per == "head":
        return [(l, h, pairs([l], [h])) for l in chosen_l for h in chosen_h]
    if per == "layer":
        return [(l, None, pairs([l], chosen_h)) for l in chosen_l]
    return [(None, None, pairs(chosen_l, chosen_h))]


def received_frames(trace, members, window):
    """Frames of one site over the steps."""
    received = np.mean([trace.received[:, l, h].astype(np.float64) for l, h in members], axis=0)  # step, class, key
    keys = received.shape[2]
    frames = []
    if trace.causality == "bidirectional":
        for index, step in enumerate(trace.steps):
            total = received[index].sum(axis=0)
            frames.append(
                Frame(step, keys, total, np.full(keys, float(keys)), np.ones(keys), masked=received[index, 2]))
        return frames
    # Every causal row that is known by itself, by its index.
    single = {}
    if trace.maps is not None and trace.maps.shape[2] >= trace.prompt:
        for i in range(trace.prompt):
            row = np.mean([trace.maps[l, h, i].astype(np.float64) for l, h in members], axis=0)
            row[i + 1 :] = 0
            single[i] = row
    running = np.zeros(keys)
    for index, step in enumerate(trace.steps):
        n = trace.prompt + step
        increment = np.zeros(keys)
        increment[:n] = received[index].sum(axis=0)[:n]
        running = running + increment
        if step > 0:
            single[n - 1] = increment
        elif trace.prompt == 1 and 0 not in single:
            single[0] = increment
        visible = np.array([n - j for j in range(n)], dtype=float)
        uniform = np.array([sum(1.0 / (i + 1) for i in range(j, n)) for j in range(n)])
        scores, undefined = None, "rows_not_recorded"
        if window is not None:
            if n < 2 * window:
                undefined = "too_few_rows"
            elif all(i in single for i in range(n - window, n)):
                scores = np.full(n, NAN)
                for j in range(n - window):
                    scores[j] = n * np.mean([single[i][j] for i in range(n - window, n)])
        frames.append(
            Frame(step, n, running[:n].copy(), visible, uniform, window=scores, window_undefined=undefined))
    return frames


def answer_frames(trace, members):
    """The rows that scored each emitted token, in the order of emission."""
    emitted = [g for g in range(len(trace.source_step)) if trace.source_step[g] >= 0 and trace.source_query[g] >= 0]

    def place(g):
        position = int(trace.generated[g])
        return (int(trace.source_step[g]), 0 if trace.order is None else int(trace.order[position]), position)

    frames = []
    for index, g in enumerate(sorted(emitted, key=place)):
        keys = trace.answer.shape[3]
        n = keys if trace.causality == "bidirectional" else int(trace.source_query[g]) + 1
        rows = [trace.answer[g, l, h, :n].astype(np.float64) for l, h in members]
        row = np.mean([r / r.sum() for r in rows], axis=0)
        frames.append(Frame(index, 1, row, np.ones(n), np.full(n, 1.0 / n)))
    return frames


def window_frames(rows, size, causality):
    """Sums of rows without overlap."""
    frames = []
    for index in range(len(rows) // size):
        members = rows[index * size : (index + 1) * size]
        n = max(len(r.received) for r in members)
        received, visible, uniform = np.zeros(n), np.zeros(n), np.zeros(n)
        for r in members:
            k = len(r.received)
            received[:k] += r.received
            visible[:k] += 1
            uniform[:k] += 1.0 / k
        scores = n * received / size
        if causality == "causal":
            scores[n - size :] = NAN
            if n < 2 * size:
                scores = None
        frames.append(
            Frame(index, size, received, visible, uniform, window=scores, window_undefined="too_few_rows"))
    return frames


# Rules


def verdict(scores, rule, rows):
    """(positions or None, reason)"""
    name, unit = rule["name"], rule["unit"]
    known = [j for j in range(len(scores)) if not math.isnan(scores[j])]
    m = len(known)
    if m == 0:
        return None, "too_few_keys"
    reach = {"sum": rows, "mean": 1, "percent": 100, "ratio": len(scores), "window": len(scores)}[unit]
    by_size = sorted(known, key=lambda j: (-scores[j], j))
    if name == "excess":
        if m < 2:
            return None, "too_few_keys"
        if rule["epsilon"] >= reach:
            return None, "cannot_fire"
        others = lambda j: math.fsum(scores[k] for k in known if k != j) / (m - 1)
        return [j for j in known if scores[j] > others(j) + rule["epsilon"]], None
    if name == "deviation":
        can = m - 1 > rule["z"] ** 2
        if not can and not rule.get("fallback"):
            return None, "cannot_fire"
        values = np.array([scores[j] for j in known]) - scores[known[0]]
        threshold = values.mean() + rule["z"] * values.std()
        found = [j for j, value in zip(known, values) if value > threshold] if can else []
        return (found or by_size[:1]) if rule.get("fallback") else found, None
    if name == "share":
        if rule["epsilon"] >= reach:
            return None, "cannot_fire"
        return [j for j in known if scores[j] > rule["epsilon"]], None
    return sorted(by_size[: rule["count"]]), None


def sink_sets(frames, rule):
    """[(positions or None, reason, scores)] by step."""
    out = []
    for frame in frames:
        scores = frame.scores(rule["unit"])
        if scores is None:
            out.append((None, frame.window_undefined, None))
        else:
            out.append((*verdict(scores, rule, frame.rows), scores))
    return out


def turnovers(sets):
    out = []
    for (a, _, _), (b, _, _) in zip(sets, sets[1:]):
        if a is None or b is None or not (set(a) | set(b)):
            out.append(NAN)
        else:
            out.append(1 - len(set(a) & set(b)) / len(set(a) | set(b)))
    return out


# Trajectories


def presences(sets, gap):
    """[(first, last, position, members, scores)] by first step, then position."""
    out = []
    for j in sorted({j for s, _, _ in sets if s is not None for j in s}):
        runs = []
        for t in [t for t, (s, _, _) in enumerate(sets) if s is not None and j in s]:
            if runs and t - runs[-1][-1] <= gap + 1:
                runs[-1].append(t)
            else:
                runs.append([t])
        out += [(run[0], run[-1], j, run, [sets[t][2][j] for t in run]) for run in runs]
    return sorted(out, key=lambda p: (p[0], p[2]))


def matching_cost(ends, starts, allowed, cost, unmatched):
    """Minimum cost over matchings of `ends` to `starts`; each left out costs `unmatched`."""
    n, m = len(ends), len(starts)
    if n + m == 0:
        return 0
    big = 10**9
    square = np.zeros((n + m, n + m))
    for r, a in enumerate(ends):
        for c, b in enumerate(starts):
            square[r, c] = cost(a, b) if allowed(a, b) else big
        for c in range(n):
            square[r, m + c] = unmatched if c == r else big
    for r in range(m):
        for c in range(m):
            square[n + r, c] = unmatched if c == r else big
    rows, columns = linear_sum_assignment(square)
    return int(round(square[rows, columns].sum()))


def link(found, placed, reach, unmatched):
    """Follower of each presence: of all minimum-cost matchings the first in order, by trying."""
    count = len(found)
    allowed = lambda a, b: 1 <= found[b][0] - found[a][1] <= reach
    cost = lambda a, b: abs(placed[a] - placed[b])
    # Groups that no allowed link joins are independent; one scipy call a group keeps this fast enough.
    group = list(range(2 * count))

    def root(x):
        while group[x] != x:
            x = group[x]
        return x

    for a in range(count):
        for b in range(count):
            if allowed(a, b):
                group[root(a)] = root(count + b)
    follower = [None] * count
    for r in sorted({root(x) for x in range(2 * count)}):
        ends = [a for a in range(count) if root(a) == r]
        starts = [b for b in range(count) if root(count + b) == r]
        ends.sort(key=lambda a: (found[a][1], placed[a]))
        starts.sort(key=lambda b: (found[b][0], placed[b]))
        best = matching_cost(ends, starts, allowed, cost, unmatched)
        spent = 0
        while ends:
            a = ends.pop(0)
            for b in [b for b in starts if allowed(a, b)] + [None]:
                rest = [x for x in starts if x != b]
                here = unmatched if b is None else cost(a, b)
                if spent + here + matching_cost(ends, rest, allowed, cost, unmatched) == best:
                    follower[a] = b
                    spent += here
                    starts = rest
                    break
            else:
                raise AssertionError("no choice keeps the optimum")
    return follower


def slope(points):
    t = np.array([p[0] for p in points], dtype=float)
    x = np.array([p[1] for p in points], dtype=float)
    if len(set(t)) < 2:
        return NAN
    return float(((t - t.mean()) * (x - x.mean())).sum() / ((t - t.mean()) ** 2).sum())


def trajectories(found, placed, reach, unmatched):
    follower = link(found, placed, reach, unmatched)
    followed = {b for b in follower if b is not None}
    out = []
    for a in range(len(found)):
        if a in followed:
            continue
        chain = [a]
        while follower[chain[-1]] is not None:
            chain.append(follower[chain[-1]])
        hops = [placed[b] - placed[a] for a, b in zip(chain, chain[1:])]
        out.append(
            {
                "chain": chain,
                "first": found[chain[0]][0],
                "last": found[chain[-1]][1],
                "start": placed[chain[0]],
                "end": placed[chain[-1]],
                "hops": hops,
                "drift": slope([(t, placed[i]) for i in chain for t in found[i][3]]),
                "distinct": len({placed[i] for i in chain}),
            }
        )
    return out


def trajectory_summary(found, defined):
    if not defined:
        return [NAN] * len(TRAJECTORY_NAMES)
    hops = [h for t in found for h in t["hops"]]
    first, last = defined[0], defined[-1]
    return [
        float(len(found)),
        float(sum(t["first"] > first for t in found)),
        float(sum(t["last"] < last for t in found)),
        mean(t["last"] - t["first"] + 1 for t in found),
        float(len(hops)),
        len(hops) / (last - first) if last > first else NAN,
        mean(hops),
        mean(abs(h) for h in hops),
        mean(t["end"] - t["start"] for t in found),
        mean(sum(abs(h) for h in t["hops"]) for t in found),
        mean(t["drift"] for t in found),
        mean(t["distinct"] for t in found),
    ]


def permutation(count, seed, layer, head, replicate):
    """Fisher and Yates, driven by SplitMix64."""
    mask = (1 << 64) - 1
    state = seed ^ ((0 if layer is None else layer + 1) << 40) ^ ((0 if head is None else head + 1) << 20) ^ replicate
    places = list(range(count))
    for last in range(count - 1, 0, -1):
        state = (state + 0x9E3779B97F4A7C15) & mask
        value = state
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
        value ^= value >> 31
        other = (value * (last + 1)) >> 64
        places[last], places[other] = places[other], places[last]
    return places


# Flow


def flow(frames):
    keys = max(len(f.received) for f in frames)
    p = [f.p(keys) for f in frames]
    top = [int(np.argmax(f.received)) for f in frames]
    splits = []
    for f in frames:
        if f.masked is None:
            splits.append(NAN)
            continue
        unmasked = f.received - f.masked
        if f.masked.sum() <= 0.5 or unmasked.sum() <= 0.5:
            splits.append(NAN)
        else:
            splits.append(float(np.argmax(f.masked) != np.argmax(unmasked)))
    spatial = [np.mean([f.received[j] for f in frames if j < len(f.received)]) for j in range(keys)]
    return {
        "variations": [0.5 * np.abs(b - a).sum() for a, b in zip(p, p[1:])],
        # The running sums are compared over the keys that either step sees.
        "transports": [
            np.abs(np.cumsum(b - a))[: max(len(f.received), len(g.received))].sum()
            for a, b, f, g in zip(p, p[1:], frames, frames[1:])
        ],
        "top": top,
        "moves": [float(a != b) for a, b in zip(top, top[1:])],
        "first": [f.received[0] / f.rows for f in frames],
        "first_uniform": [f.uniform[0] / f.rows for f in frames],
        "splits": splits,
        "spatial": float(np.var(spatial)),
    }


# Whole analyses


def parse_rule(rule="excess", unit=None, epsilon=None, z=None, count=None, fallback=False, window=16,
               causality="bidirectional"):
    default = {"excess": "window" if causality == "causal" else "sum", "deviation": "mean", "share": "mean",
               "top": "sum"}
    out = {"name": rule, "unit": unit or default[rule], "window": window}
    if rule in ("excess", "share"):
        out["epsilon"] = float((3 if rule == "excess" else 0.3) if epsilon is None else epsilon)
    if rule == "deviation":
        out["z"] = float(3 if z is None else z)
        out["fallback"] = fallback
    if rule == "top":
        out["count"] = 1 if count is None else count
    return out


def site_values(trace, layer, head, members, rule, gap, reach, unmatched_cost, null_permutations, null_seed):
    frames = received_frames(trace, members, rule["window"] if rule["unit"] == "window" else None)
    sets = sink_sets(frames, rule)
    found = presences(sets, gap)
    steps = len(frames)
    defined = [t for t, s in enumerate(sets) if s[0] is not None]
    placed = [p[2] for p in found]
    linked = trajectories(found, placed, reach, unmatched_cost)
    counts = {}
    for s, _, _ in sets:
        for j in s or []:
            counts[j] = counts.get(j, 0) + 1
    static = {j for j, c in counts.items() if 10 * c >= 9 * len(defined)}
    instances = [(t, j) for t in defined for j in sets[t][0]]
    strength = lambda t, j: frames[t].received[j] / frames[t].rows
    centroids = []
    for t in range(steps):
        s = sets[t][0] or []
        mass = sum(frames[t].received[j] for j in s)
        centroids.append(sum(frames[t].received[j] * j for j in s) / mass if s else NAN)
    turn = turnovers(sets)
    moved = flow(frames)
    values = {
        "sinks_per_step": mean(len(sets[t][0]) for t in defined),
        "attention_on_sinks": mean(sum(strength(t, j) for j in sets[t][0]) for t in defined),
        "strength": mean(strength(t, j) for t, j in instances),
        "strength_over_uniform": mean(frames[t].received[j] / frames[t].uniform[j] for t, j in instances),
        "sinks_above_30_percent": mean(sum(strength(t, j) > 0.3 for j in sets[t][0]) for t in defined),
        "static_share": mean(float(p[2] in static) for p in found),
        "presences": float(len(found)) if defined else NAN,
        "dwell": mean(p[1] - p[0] + 1 for p in found),
    }
    values.update(zip(TRAJECTORY_NAMES, trajectory_summary(linked, defined)))
    nulls = []
    for replicate in range(null_permutations):
        places = permutation(len(frames[-1].received) if trace.causality == "causal" else trace.received.shape[4],
                             null_seed, layer, head, replicate)
        permuted = trajectories(found, [places[j] for j in placed], reach, unmatched_cost)
        nulls.append(trajectory_summary(permuted, defined))
    for k, name in enumerate(TRAJECTORY_NAMES):
        values["null_" + name] = mean(n[k] for n in nulls)
    values.update(
        {
            "turnover": mean(turn),
            "floating_index": mean(moved["variations"]),
            "transport": mean(moved["transports"]),
            "top_key_moves": mean(moved["moves"]),
            "distinct_top_keys": float(len(set(moved["top"]))),
            "temporal_variance": variance(centroids),
            "spatial_variance": moved["spatial"],
            "first_key_share": mean(moved["first"]),
            "first_key_uniform": mean(moved["first_uniform"]),
            "split_share": mean(moved["splits"]),
        }
    )
    undefined = {"turnovers": sum(map(math.isnan, turn)), "centroids": sum(map(math.isnan, centroids)),
                 "splits": sum(map(math.isnan, moved["splits"]))}
    for reason in ("too_few_rows", "rows_not_recorded", "cannot_fire", "too_few_keys"):
        undefined["sink_sets_" + reason] = sum(s[1] == reason for s in sets)
    undefined["sink_sets"] = sum(s[0] is None for s in sets)
    details = {
        "sinks": [[t, j, float(sets[t][2][j]), float(strength(t, j))] for t, j in instances],
        "presences": [[p[0], p[1], p[2], float(np.mean(p[4])), float(max(p[4])), p[2] in static] for p in found],
        "trajectories": [
            [t["chain"], t["first"], t["last"], t["start"], t["end"], t["hops"], t["drift"], t["distinct"]]
            for t in linked
        ],
        "top_keys": moved["top"],
        "centroids": centroids,
    }
    return values, undefined, details


def like_rows(trace, sites, rule, window):
    answer_rule, window_rule = dict(rule), dict(rule, window=window)
    if rule["unit"] == "window" or (rule["name"], rule["unit"]) == ("excess", "sum"):
        answer_rule["unit"] = "ratio"
    if rule["unit"] == "window" or (rule["name"] == "excess" and rule["unit"] in ("sum", "ratio")):
        window_rule["unit"] = "window"
    parts = {"answer_rows": [], "windows": []}
    count = {"answer_rows": 0, "windows": 0}
    for _, _, members in sites:
        rows = answer_frames(trace, members)
        for name, frames, r in (
            ("answer_rows", rows, answer_rule),
            ("windows", window_frames(rows, window, trace.causality), window_rule),
        ):
            count[name] = len(frames)
            if not frames:
                continue
            sets = sink_sets(frames, r)
            turn = turnovers(sets)
            moved = flow(frames)
            parts[name].append(
                {
                    "floating_index": mean(moved["variations"]),
                    "turnover": mean(turn),
                    "transport": mean(moved["transports"]),
                    "top_key_moves": mean(moved["moves"]),
                    "distinct_top_keys": float(len(set(moved["top"]))),
                    "first_key_share": mean(moved["first"]),
                    "first_key_uniform": mean(moved["first_uniform"]),
                    "undefined_turnovers": sum(map(math.isnan, turn)),
                    "undefined_sink_sets": sum(s[0] is None for s in sets),
                }
            )
    out = {}
    names = ["floating_index", "turnover", "transport", "top_key_moves", "distinct_top_keys", "first_key_share",
             "first_key_uniform"]
    for name in parts:
        out[name] = {"count": count[name]}
        out[name].update({k: mean(p[k] for p in parts[name]) for k in names})
        out[name].update({k: sum(p[k] for p in parts[name]) for k in ("undefined_turnovers", "undefined_sink_sets")})
    return out


def metrics_of(trace, per="head", layers=None, heads=None, gap=0, reach=1, unmatched_cost=16, null_permutations=8,
               null_seed=0, like_rows_window=16, details=False, **rule):
    """Headline numbers of a trace: means over sites, NaN left out and counted."""
    rule = parse_rule(causality=trace.causality, **rule)
    sites = sites_of(trace, per, layers, heads)
    results = [
        site_values(trace, l, h, m, rule, gap, reach, unmatched_cost, null_permutations, null_seed)
        for l, h, m in sites
    ]
    headline = {}
    for name in results[0][0]:
        cumulative = trace.causality == "causal" and not (name in SET_MEASURES and rule["unit"] == "window")
        headline[("cumulative_" if cumulative else "") + name] = mean(values[name] for values, _, _ in results)
    out = {
        "headline": headline,
        "undefined": {name: int(sum(u[name] for _, u, _ in results)) for name in results[0][1]},
        "like_rows": like_rows(trace, sites, rule, like_rows_window) if trace.answer is not None else None,
    }
    if details:
        out["sites"] = [d for _, _, d in results]
    return out


def read_trace(path):
    """A captured file through h5py: only what was committed."""
    import h5py

    with h5py.File(path, "r") as f:
        causality = f.attrs["causality"]
        causality = causality.decode() if isinstance(causality, bytes) else str(causality)
        prompt = int(f.attrs["prompt_length"])
        steps = int(f["committed_steps"][()]) if "committed_steps" in f else f["step"].shape[0]
        causal = causality == "causal"
        keys = prompt + steps - 1 if causal else f["key"].shape[0]
        generated = min(f["generated"].shape[0], steps) if causal else f["generated"].shape[0]
        maps = None
        if causal and "maps" in f:
            maps = f["maps/attention"][0, :, :, :keys, :keys]
        complete = int(f["is_complete"][()]) == 1 if "is_complete" in f else True
        return TraceData(
            causality=causality,
            prompt=prompt,
            layers=[int(x) for x in f["layer"][:]],
            heads=[int(x) for x in f["head"][:]],
            received=f["received"][:steps, ..., :keys],
            answer=f["answer/attention"][:generated, ..., :keys],
            source_query=f["answer/source_query"][:generated],
            source_step=f["answer/source_step"][:generated],
            generated=f["generated"][:generated],
            order=f["unmask_order"][:] if complete else None,
            maps=maps,
            steps=[int(x) for x in f["step"][:steps]],
        )


def metrics_of_file(path, rule="excess", **options):
    """The headline numbers of a captured file, named as in the command's JSON. Options: `unit`, `epsilon`, `z`,
    `count`, `fallback`, `window`; `per`, `layers`, `heads`; `gap`, `reach`, `unmatched_cost`, `null_permutations`,
    `null_seed`; `like_rows_window`."""
    return metrics_of(read_trace(path), rule=rule, **options)


if __name__ == "__main__":
    import json
    import sys

    def plain(value):
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return None if isinstance(value, float) and math.isnan(value) else value

    print(json.dumps(plain(metrics_of_file(sys.argv[1])), indent=2))
