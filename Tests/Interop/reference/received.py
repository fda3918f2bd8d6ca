"""The metrics of received sums, written from their formulas over whole arrays, to check Sources/Analysis against.

Each takes a `Received`, read with h5py, and gives {quantity: array}; axes as in docs/metrics.md. Made for whole
traces: all steps, layers, heads and keys.
"""

import sys
import unicodedata
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Fixtures/metrics"))
from reference_metrics import (  # noqa: E402
    answer_frames, flow, parse_rule, permutation, presences, read_trace, received_frames, sink_sets, sites_of,
    trajectories, trajectory_summary, turnovers)

CLASSES = ["mask", "special", "template", "newline", "whitespace", "punctuation", "content", "unknown"]


def nanmean(values, axis=None):
    values = np.asarray(values, dtype=float)
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=axis) / known.sum(axis=axis)


class Received:
    """A trace's received sums in double precision: s, v and uniform, NaN at keys that a step does not see."""

    def __init__(self, path):
        self.trace = trace = read_trace(path)
        self.causal = trace.causality == "causal"
        self.prefix = "cumulative_" if self.causal else ""
        parts = np.nan_to_num(trace.received.astype(np.float64))
        sums = parts.sum(axis=3)
        steps, layers, heads, keys = sums.shape
        self.n = np.full(steps, keys)
        if self.causal:
            sums = np.cumsum(sums, axis=0)
            self.n = trace.prompt + np.arange(steps)
        self.seen = np.arange(keys)[None, :] < (self.n[:, None] if self.causal else keys)
        self.s = np.where(self.seen[:, None, None], sums, np.nan)  # step, layer, head, key
        self.masked = None if self.causal else parts[..., 2, :]
        j = np.arange(keys)
        if self.causal:
            self.v = np.where(self.seen, self.n[:, None] - j, np.nan)
            self.uniform = np.array([[sum(1 / (i + 1) for i in range(k, n)) for k in j] for n in self.n])
            self.uniform = np.where(self.seen, self.uniform, np.nan)
        else:
            self.v = np.full((steps, keys), float(keys))
            self.uniform = np.ones((steps, keys))
        with h5py.File(path, "r") as f:
            self.ids = f["token_id"][:steps, :keys]
            self.is_masked = f["is_masked"][:steps, :keys]
            texts = [t.decode() if isinstance(t, bytes) else t for t in f["vocab_text"][()]]
            self.text = dict(zip(f["vocab_id"][()].tolist(), texts))
            self.mask_id = int(f.attrs["mask_token_id"])
            self.template = np.zeros(keys, bool)
            if "region" in f:
                kinds = [k.decode() if isinstance(k, bytes) else k for k in f["region_kind"][()]]
                region = f["region"][()]
                for position in range(min(keys, len(region))):
                    self.template[position] = region[position] >= 0 and kinds[region[position]] == "template"

    def scores(self, rule):
        """(step, layer, head, key) of sites that are heads, and (step, layer, 1, key) of their mean; NaN undefined."""
        s = {"head": self.s, "mean": self.s.mean(axis=2, keepdims=True)}
        unit = rule["unit"]
        if unit == "mean":
            return {k: x / self.v[:, None, None] for k, x in s.items()}
        if unit == "ratio":
            return {k: x / self.uniform[:, None, None] for k, x in s.items()}
        if unit == "window":
            out = np.full(self.s.shape, np.nan)
            for l in range(out.shape[1]):
                for h in range(out.shape[2]):
                    for t, frame in enumerate(received_frames(self.trace, [(l, h)], rule["window"])):
                        if frame.window is not None:
                            out[t, l, h, : len(frame.window)] = frame.window
            return {"head": out, "mean": out.mean(axis=2, keepdims=True)}
        return s

    def sinks(self, rule):
        """Whether a key is a sink (step, layer, head, key), and whether the set is defined (step, layer, head)."""
        return {k: judge(x, rule, self.n, self.seen.sum(1)) for k, x in self.scores(rule).items()}


def judge(scores, rule, rows, keys):
    known = ~np.isnan(scores)
    m = known.sum(-1)
    filled = np.where(known, scores, 0)
    defined = m >= 1
    if rule["name"] == "top":
        order = np.argsort(np.where(known, -scores, np.inf), axis=-1, kind="stable")[..., : rule["count"]]
        found = np.zeros(scores.shape, bool)
        np.put_along_axis(found, order, True, -1)
        return found & known, defined
    reach = {"sum": rows, "mean": np.ones(len(rows)), "ratio": keys, "window": keys}[rule["unit"]][:, None, None]
    defined = defined & (rule["epsilon"] < reach)
    if rule["name"] == "share":
        return known & (scores > rule["epsilon"]) & defined[..., None], defined
    defined = defined & (m >= 2)
    with np.errstate(all="ignore"):
        others = (filled.sum(-1, keepdims=True) - filled) / (m - 1)[..., None]
        return known & (scores > others + rule["epsilon"]) & defined[..., None], defined


def grid(name, values):
    """Quantities of (step, layer, head), as every number by head has them."""
    by_head = nanmean(values, axis=0)
    return {
        name: by_head, name + "_by_layer": nanmean(by_head, axis=1), name + "_by_step": nanmean(values, axis=2).T,
        name + "_mean": nanmean(by_head)}


def of_mean_head(name, values):
    out = grid(name, values)
    del out[name]
    return out


def soft_sinks(r):
    m = r.s.sum(axis=(1, 2))
    mean, deviation = np.nanmean(m, axis=1), np.nanstd(m, axis=1)
    with np.errstate(over="ignore"):
        w = 1 / (1 + np.exp(-5 * (m - (mean + 2 * deviation)[:, None])))
    number = np.nansum(w, axis=1)
    share = np.nansum(w * r.s.mean(axis=(1, 2)) / r.n[:, None], axis=1)
    centroid = np.nansum(w * m * np.arange(m.shape[1]), axis=1) / np.nansum(w * m, axis=1)
    return {
        r.prefix + "soft_sinks_per_step": number.mean(), r.prefix + "attention_on_soft_sinks": share.mean(),
        r.prefix + "soft_temporal_variance": centroid.var(), r.prefix + "soft_sinks_by_step": number,
        r.prefix + "soft_centroid_by_step": centroid, r.prefix + "soft_weight": w}


def absorption(r, **rule):
    out = {}
    asked = parse_rule(causality=r.trace.causality, **rule)
    for name, each in [("top_key", parse_rule(rule="top", causality=r.trace.causality)), (asked["name"], asked)]:
        sinks = r.sinks(each)
        found, defined = sinks["head"]
        share = 100 * np.where(found, r.s, 0).sum(-1) / r.n[:, None, None]
        published = 100 * np.where(found, r.s / r.v[:, None, None], 0).sum(-1)
        out.update(grid(f"{r.prefix}absorption_{name}", np.where(defined, share, np.nan)))
        out.update(grid(f"{r.prefix}absorption_{name}_published", np.where(defined, published, np.nan)))
        found, defined = sinks["mean"]
        share = 100 * np.where(found, r.s.mean(axis=2, keepdims=True), 0).sum(-1) / r.n[:, None, None]
        out.update(of_mean_head(f"{r.prefix}absorption_{name}_of_mean_head", np.where(defined, share, np.nan)))
    out.update(grid(r.prefix + "absorption_first_token", 100 * r.s[..., 0] / r.n[:, None, None]))
    return out


def epsilon_sweep(r, **unit):
    out = {}
    base = parse_rule(causality=r.trace.causality, **unit)
    excess = [dict(base, epsilon=float(e)) for e in range(11)]
    share = [dict(parse_rule("share"), epsilon=e / 10) for e in range(1, 10)]
    for name, rules in [("excess", excess), ("share", share)]:
        scores = r.scores(rules[0])["head"]
        m = (~np.isnan(scores)).sum(-1)
        columns = []
        for rule in rules:
            found, defined = judge(scores, rule, r.n, r.seen.sum(1))
            percent = np.where(defined, 100 * (m - found.sum(-1)) / np.where(m == 0, 1, m), np.nan)
            columns.append(nanmean(percent.transpose(1, 0, 2).reshape(percent.shape[1], -1), axis=1))
        prefix = "" if rules[0]["unit"] == "window" else r.prefix
        out[f"{prefix}not_sinks_{name}_by_layer"] = np.array(columns).T
        out[f"{prefix}not_sinks_{name}"] = nanmean(np.array(columns).T, axis=0)
    return out


def sink_rate(r, epsilon=0.3):
    c = r.s / r.v[:, None, None]
    fires = np.array([c[..., 0] > e / 10 for e in range(1, 10)])  # epsilon, step, layer, head
    with np.errstate(invalid="ignore"):
        every = np.where(np.isnan(c), np.nan, c > epsilon)
    return {
        r.prefix + "first_key_sink_rate": 100 * fires.mean(axis=(1, 2, 3)),
        r.prefix + "first_key_sink_rate_last_step": 100 * fires[:, -1].mean(axis=(1, 2)),
        r.prefix + "first_key_sink_rate_by_layer": 100 * fires.mean(axis=(1, 3)).T,
        r.prefix + "sink_rate_by_key": 100 * np.nanmean(every, axis=(0, 1, 2))}


def score_by_head(r, **unit):
    rule = parse_rule(causality=r.trace.causality, **unit)
    scores = r.scores(rule)["head"]
    prefix = "" if rule["unit"] == "window" else r.prefix
    known = ~np.isnan(scores)
    top = np.where(known.any(-1), np.where(known, scores, -np.inf).max(-1), np.nan)
    edges = [0.0] + ([2.0**k for k in range(-10, 0)] if rule["unit"] == "mean" else [2.0**k for k in range(-3, 10)])
    counts = np.array([
        np.histogram(layer[~np.isnan(layer)], bins=edges + [np.inf])[0] for layer in scores.transpose(1, 0, 2, 3)])
    with np.errstate(invalid="ignore"):
        return {
            **grid(prefix + "top_score", top), prefix + "score_share_by_layer": counts / counts.sum(1, keepdims=True),
            prefix + "score_share": counts.sum(0) / counts.sum()}


def class_of(text):
    if text is None:
        return "unknown"
    if text == "" or (len(text) > 4 and text.startswith("<|") and text.endswith("|>")):
        return "special"
    word = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
    if text[0] == "<" and text[-1] == ">":
        name = text[2:-1] if text[1:2] == "/" else text[1:-1]
        if name and all(c in word for c in name):
            return "special"
    if text[0] == "[" and text[-1] == "]" and len(text) > 3 and all(c in word[:26] + "_" for c in text[1:-1]):
        return "special"
    if text.isspace():
        return "newline" if any(c in "\n\r\v\f\x85\u2028\u2029" for c in text) else "whitespace"
    if all(c.isspace() or unicodedata.category(c).startswith("P") for c in text):
        return "punctuation"
    return "content"


def classes(r):
    """Index of the class, (step, position)."""
    out = np.zeros(r.ids.shape, int)
    for t, j in np.ndindex(*out.shape):
        token = int(r.ids[t, j])
        name = class_of(r.text.get(token) if token >= 0 else None)
        if token >= 0 and (token == r.mask_id or r.is_masked[t, j] == 1):
            name = "mask"
        elif r.template[j] and name != "special" and token >= 0:
            name = "template"
        out[t, j] = CLASSES.index(name)
    return out


def structure_share(r):
    one = np.eye(len(CLASSES))[classes(r)]  # step, key, class
    p = np.nan_to_num(r.s).mean(axis=2) / r.n[:, None, None]
    by_step = np.einsum("tlj,tjc->ltc", p, one)
    uniform = np.einsum("tj,tjc->tc", np.nan_to_num(r.uniform) / r.n[:, None], one)
    by_layer, expected = by_step.mean(axis=1), uniform.mean(axis=0)
    with np.errstate(all="ignore"):
        ratio = np.where(expected > 0, by_layer / expected, np.nan)
    structure = by_layer[:, :6].sum(1)
    q = r.prefix
    return {
        q + "structural_share_by_layer": structure,
        q + "structural_over_uniform_by_layer": structure / expected[:6].sum(),
        q + "structural_share_mean": structure.mean(), q + "class_share_by_layer": by_layer,
        q + "class_over_uniform_by_layer": ratio, q + "class_share_mean": by_layer.mean(0),
        q + "class_uniform": expected, q + "class_share_by_step": by_step, q + "class_uniform_by_step": uniform}


def sink_tokens(r, **rule):
    """Quantities, and the table's counts by id."""
    rule = parse_rule(causality=r.trace.causality, **rule)
    prefix = "" if rule["unit"] == "window" else r.prefix
    found = r.sinks(rule)["head"][0].sum(axis=2)  # step, layer, key
    by_class = np.einsum("tlj,tjc->lc", found, np.eye(len(CLASSES))[classes(r)])
    with np.errstate(invalid="ignore"):
        quantities = {
            prefix + "sink_class_share_by_layer": by_class / by_class.sum(1, keepdims=True),
            prefix + "sink_class_share": by_class.sum(0) / by_class.sum()}
    counts = {}
    for (t, j), number in np.ndenumerate(found.sum(axis=1)):
        if number:
            counts[int(r.ids[t, j])] = counts.get(int(r.ids[t, j]), 0) + int(number)
    return quantities, counts


def masked_split(r):
    shape = r.s.shape
    if r.causal:
        nothing = np.full(shape[:3], np.nan)
        by_key = np.full((shape[1], shape[3]), np.nan)
        return {
            **grid("masked_split_variation", nothing), **grid("masked_split_top_differs", nothing),
            "received_from_masked": by_key, "received_from_others": by_key}
    a, b = r.masked, r.s - r.masked
    both = (a.sum(-1) > 0.5) & (b.sum(-1) > 0.5)
    with np.errstate(all="ignore"):
        p, q = a / a.sum(-1, keepdims=True), b / b.sum(-1, keepdims=True)
    mean = lambda x: np.array([x[:, l][both[:, l]].mean(axis=0) for l in range(shape[1])])
    return {
        **grid("masked_split_variation", np.where(both, np.abs(p - q).sum(-1) / 2, np.nan)),
        **grid("masked_split_top_differs", np.where(both, (a.argmax(-1) != b.argmax(-1)).astype(float), np.nan)),
        "received_from_masked": mean(p), "received_from_others": mean(q)}


def drift_map(r):
    return {r.prefix + "received_mean": (r.s / r.v[:, None, None]).mean(axis=2).transpose(1, 0, 2)}


def nulls(r, draws, gap=0, reach=1, unmatched=16, **rule):
    """{number: (layer, head, [observed, mean, sd, z, p])}"""
    trace = r.trace
    rule = parse_rule(causality=trace.causality, **rule)
    on_rows = dict(rule, unit="ratio") if rule["unit"] in ("sum", "window") and rule["name"] == "excess" else rule
    kinds = [("answer_", lambda members: answer_frames(trace, members), on_rows)]
    if not r.causal:
        kinds.append(("", lambda members: received_frames(trace, members, None), rule))
    out = {}
    shape = (len(trace.layers), len(trace.heads))
    for prefix, frames_of, each in kinds:
        for place, (layer, head, members) in enumerate(sites_of(trace, "head", None, None)):
            frames = frames_of(members)
            sets = sink_sets(frames, each)
            keys = max(len(f.received) for f in frames)
            p = np.array([f.p(keys) for f in frames])

            def hops(sets, places=None):
                found = presences(sets, gap)
                placed = [f[2] if places is None else places[f[2]] for f in found]
                defined = [t for t, s in enumerate(sets) if s[0] is not None]
                return trajectory_summary(trajectories(found, placed, reach, unmatched), defined)[5]

            def steps(order):
                q = p[order]
                ordered = [sets[t] for t in order]
                return [
                    np.abs(np.diff(q, axis=0)).sum(1).mean() / 2, nanmean(turnovers(ordered)),
                    np.abs(np.cumsum(np.diff(q, axis=0), axis=1)).sum(1).mean(), hops(ordered)]

            def positions(places):
                moved = np.zeros_like(p)
                moved[:, places] = p
                return [np.abs(np.cumsum(np.diff(moved, axis=0), axis=1)).sum(1).mean(), hops(sets, places)]

            observed = steps(list(range(len(frames))))
            observed += [observed[2], observed[3]]
            drawn = [
                steps(permutation(len(frames), 0, layer, head, k)) + positions(permutation(keys, 0, layer, head, k))
                for k in range(draws)]
            names = ["shuffled_floating_index", "shuffled_turnover", "shuffled_transport", "shuffled_hops_per_step",
                     "permuted_transport", "permuted_hops_per_step"]
            for name, value, column in zip(names, observed, np.array(drawn).T):
                column = column[~np.isnan(column)]
                sd = column.std() if len(column) else np.nan
                z = (value - column.mean()) / sd if sd > 0 else np.nan
                low = (column <= value + 1e-12 * abs(value)).sum()
                p_value = np.nan if np.isnan(value) or not len(column) else (1 + low) / (len(column) + 1)
                entry = [value, column.mean() if len(column) else np.nan, sd, z, p_value]
                out.setdefault(prefix + name, np.zeros((*shape, 5))).reshape(-1, 5)[place] = entry
    return out


def answer_shares(r):
    """Absorption and token classes on the rows that scored each emitted token."""
    trace = r.trace
    where, one = classes(r), np.eye(len(CLASSES))
    structural = np.array([name not in ("content", "unknown") for name in CLASSES])
    tops, firsts, shares, uniform = [], [], [], []
    for place in np.flatnonzero((trace.source_step >= 0) & (trace.source_query >= 0)):
        row = trace.answer[place].astype(np.float64)
        row = row[..., : trace.source_query[place] + 1] if r.causal else row
        row = row / row.sum(-1, keepdims=True)
        kinds = one[where[trace.source_step[place], : row.shape[-1]]]
        tops.append(row.max(-1))
        firsts.append(row[..., 0])
        shares.append((row @ kinds).mean(1))
        uniform.append(kinds.mean(0))
    # Windows: 16 rows in the order of emission, heads averaged.
    emitted = np.flatnonzero((trace.source_step >= 0) & (trace.source_query >= 0))
    rank = [0] * len(emitted) if trace.order is None else trace.order[trace.prompt + emitted]
    emitted = emitted[np.lexsort((emitted, rank, trace.source_step[emitted]))]
    heads = np.zeros((len(emitted), *trace.answer.shape[1::2]))
    for place, g in enumerate(emitted):
        seen = trace.source_query[g] + 1 if r.causal else trace.answer.shape[3]
        row = trace.answer[g, ..., :seen].astype(np.float64)
        heads[place, :, :seen] = (row / row.sum(-1, keepdims=True)).mean(1)
    windows = heads[: len(heads) // 16 * 16].reshape(-1, 16, *heads.shape[1:]).mean(1)
    with np.errstate(invalid="ignore"):
        window_top, window_first = windows.max(-1).sum(0) / len(windows), windows[..., 0].sum(0) / len(windows)
    top, first, share = np.mean(tops, 0), np.mean(firsts, 0), np.mean(shares, 0)
    even = np.tile(np.mean(uniform, 0), (len(share), 1))
    return {
        "window_absorption_by_layer": window_top, "window_absorption_mean": window_top.mean(),
        "window_first_key_share_by_layer": window_first,
        "answer_absorption": top, "answer_absorption_by_layer": top.mean(1),
        "answer_absorption_mean": top.mean(1).mean(), "answer_first_key_share_by_layer": first.mean(1),
        "answer_structural_share_by_layer": share[:, structural].sum(1),
        "answer_structural_over_uniform_by_layer": share[:, structural].sum(1) / even[:, structural].sum(1),
        "answer_class_share_by_layer": share, "answer_class_uniform_by_layer": even}
