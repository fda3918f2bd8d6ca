"""What attntrace says of vectors, norms, residual stream and answers, computed again from the file with NumPy.

Whole arrays, and the definitions of docs/metrics.md written out. Nothing here is fast.
"""

import collections
import json
import re
import string
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Fixtures/metrics"))
from reference_metrics import parse_rule, read_trace, received_frames, sink_sets  # noqa: E402

TERMS = ["query_norm", "key_norm", "norm_product", "cosine", "logit"]


class File:
    """A finished trace in memory."""

    def __init__(self, path):
        self.path = path
        with h5py.File(path) as f:
            names = []
            f.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            self.data = {name: f[name][()] for name in names}
            self.attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in f.attrs.items()}
        self.is_causal = self.attributes["causality"] == "causal"
        self.prompt = int(self.attributes["prompt_length"])
        self.steps = len(self["step"])
        self.layers, self.heads = self["layer"], self["head"]
        self.channels = int(self.attributes["head_dim"])
        # By layer and head, the place of the head's keys and values.
        share = int(self.attributes["head_count"]) // int(self.attributes["kv_head_count"])
        kv = list(self.data.get("kv_head", sorted({h // share for h in self.heads})))
        self.kv = [kv.index(h // share) for h in self.heads]
        self.kv_heads = kv
        self.held = {}

    def __getitem__(self, name):
        return self.data[name]

    def __contains__(self, name):
        return name in self.data

    def kept(self):
        """(step, place along row_step)"""
        return [(int(step), place) for place, step in enumerate(self["row_step"])]

    def seen(self, step, head):
        """(query, key): whether the pair took part, of the recorded queries. `head` is (layer place, head place)."""
        if (step, head) in self.held:
            return self.held[step, head]
        queries, keys = self["query"], self["key"]
        seen = queries[:, None] >= keys[None, :] if self.is_causal else np.ones((len(queries), len(keys)), bool)
        if "suppressed" in self:
            for row, query in enumerate(queries):
                of = max(0, query - self.prompt + 1) if self.is_causal else step
                code = self["suppressed"][of][head][: len(keys)]
                left = seen[row] & ~((code == 1) | ((code == 2) & (keys != query)))
                if left.any():
                    seen[row] = left
        self.held[step, head] = seen
        return seen

    def sinks(self, per="head", **rule):
        """By step, layer place and head place: the positions of sinks and of the other keys with a score; or None."""
        known = ("sinks", per, *sorted(rule.items()))
        if known in self.held:
            return self.held[known]
        trace = read_trace(self.path)
        rule = parse_rule(causality=trace.causality, **rule)
        window = rule["window"] if rule["unit"] == "window" else None
        out = {}
        for l in range(len(self.layers)):
            every = range(len(self.heads))
            for heads in [[h] for h in every] if per == "head" else [list(every)]:
                frames = received_frames(trace, [(l, h) for h in heads], window)
                for step, (found, _, scores) in enumerate(sink_sets(frames, rule)):
                    others = [] if found is None else [
                        j for j in range(len(scores)) if j not in found and not np.isnan(scores[j])]
                    for h in heads:
                        out[step, l, h] = None if found is None else (found, others)
        self.held[known] = out
        return out

    def received(self, step, l, h):
        """s_j, in a causal trace of the rows so far."""
        sums = self["received"].astype(np.float64).sum(axis=3)[:, l, h]
        return sums[: step + 1].sum(axis=0) if self.is_causal else sums[step]


def mean(values, axis=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.nanmean(np.asarray(values, np.float64), axis=axis)


def logits_of_vectors(f, place, l, h):
    """(query, key): |q|, |k|, cosine, q.k / sqrt(d)."""
    q = f["qk/query_vector"][place, l, h].astype(np.float64)
    k = f["qk/key_vector"][place, l, f.kv[h]].astype(np.float64)
    nq, nk = np.linalg.norm(q, axis=1)[:, None], np.linalg.norm(k, axis=1)[None, :]
    product = q @ k.T
    ones = np.ones_like(product)
    return [nq * ones, nk * ones, nq * nk, product / (nq * nk), product / np.sqrt(f.channels)]


def logits_of_maps(f, place, l, h):
    """The same of the maps, and which weights are precise enough."""
    a = f["maps/attention"][place, l, h].astype(np.float64)
    covered = a >= 2.0**-14
    nq = f["query_norm"][place, l, h].astype(np.float64)[:, None]
    nk = f["key_norm"][place, l, f.kv[h]].astype(np.float64)[None, :]
    with np.errstate(divide="ignore"):
        logit = np.where(covered, np.log(a), 0) + f["logsumexp"][place, l, h].astype(np.float64)[:, None]
    ones = np.ones_like(a)
    return [nq * ones, nk * ones, nq * nk, logit * np.sqrt(f.channels) / (nq * nk), logit], covered, a


def qk_decomposition(f, route, **rule):
    """{term: (on sinks, on others, difference)} by layer and head; {term: difference} by step and layer; coverage."""
    sinks = f.sinks(**rule)
    shape = (len(f.layers), len(f.heads))
    sites = {term: np.full((3, len(f.kept()), *shape), np.nan) for term in TERMS}
    steps = {term: np.full((f.steps, *shape), np.nan) for term in TERMS}
    covered_pairs, pairs, covered_mass, mass = (np.zeros(shape) for _ in range(4))
    for index, (step, place) in enumerate(f.kept()):
        for l in range(shape[0]):
            for h in range(shape[1]):
                seen = f.seen(step, (l, h))
                if route == "vector":
                    terms = logits_of_vectors(f, place, l, h)
                else:
                    terms, covered, a = logits_of_maps(f, place, l, h)
                    pairs[l, h] += seen.sum()
                    mass[l, h] += a[seen].sum()
                    seen = seen & covered
                    covered_pairs[l, h] += seen.sum()
                    covered_mass[l, h] += a[seen].sum()
                if sinks[step, l, h] is None or not all(sinks[step, l, h]):
                    continue
                for name, values in zip(TERMS, terms):
                    columns = mean(np.where(seen, values, np.nan), axis=0)
                    on, off = (mean(columns[kind]) for kind in sinks[step, l, h])
                    if not np.isnan(on + off):
                        sites[name][:, index, l, h] = on, off, on - off
                        steps[name][step, l, h] = on - off
    return (
        {name: mean(values, axis=1) for name, values in sites.items()},
        {name: mean(values, axis=2) for name, values in steps.items()},
        {"map_pairs_covered": covered_pairs / np.maximum(pairs, 1), "map_attention_covered": covered_mass / np.maximum(mass, 1e-300)},
    )


def route_gaps(f):
    """Mean and largest absolute difference of the two routes' scores by layer and head, and what rounding allows."""
    shape = (len(f.layers), len(f.heads))
    gaps, bounds = [[[] for _ in range(shape[1])] for _ in range(shape[0])], np.zeros(shape)
    for step, place in f.kept():
        for l in range(shape[0]):
            for h in range(shape[1]):
                seen = f.seen(step, (l, h))
                nq, nk, _, _, first = logits_of_vectors(f, place, l, h)
                (*_, second), covered, _ = logits_of_maps(f, place, l, h)
                gaps[l][h].append(np.abs(first - second)[seen & covered])
                # Vectors are rounded by 2^-11 each, weights too.
                bound = (2.01 * 2.0**-11 * nq * nk / np.sqrt(f.channels) + 1.01 * 2.0**-11 + 1e-4)[seen & covered]
                bounds[l, h] = max(bounds[l, h], bound.max())
    joined = [[np.concatenate(cell) for cell in row] for row in gaps]
    return np.array([[c.mean() for c in r] for r in joined]), np.array([[c.max() for c in r] for r in joined]), bounds


def sink_norms(f, **rule):
    """{name: (on sinks, on others)} by layer and head."""
    sinks = f.sinks(**rule)
    shape = (len(f.layers), len(f.heads))
    out = {n: np.full((2, len(f.kept()), *shape), np.nan) for n in ("key", "value", "query", "output")}
    places = {int(q): i for i, q in enumerate(f["query"])}
    for index, (step, place) in enumerate(f.kept()):
        for l in range(shape[0]):
            for h in range(shape[1]):
                if sinks[step, l, h] is None or not all(sinks[step, l, h]):
                    continue
                for name, values in out.items():
                    shared = name in ("key", "value")
                    norms = f[f"{name}_norm"][place, l, f.kv[h] if shared else h].astype(np.float64)
                    pair = [
                        mean(norms[kind if shared else [places[j] for j in kind if j in places]])
                        for kind in sinks[step, l, h]]
                    if not np.isnan(sum(pair)):
                        values[:, index, l, h] = pair
    return {name: mean(values, axis=1) for name, values in out.items()}


def value_weighted(f, **rule):
    """By layer and head: share of the sinks of weighted sums, of plain sums, how often the top key agrees."""
    sinks = f.sinks(**rule)
    out = np.full((3, len(f.kept()), len(f.layers), len(f.heads)), np.nan)
    for index, (step, place) in enumerate(f.kept()):
        for l, h in np.ndindex(out.shape[2:]):
            s = f.received(step, l, h)
            w = s * f["value_norm"][place, l, f.kv[h]].astype(np.float64)
            out[2, index, l, h] = np.argmax(s) == np.argmax(w)
            if sinks[step, l, h] is not None:
                found = sinks[step, l, h][0]
                out[:2, index, l, h] = w[found].sum() / w.sum(), s[found].sum() / s.sum()
    return mean(out, axis=1)


def vector_stability(f):
    """{kind or "all": (layer, kv head)} of keys and values; by step and kind."""
    masked = f["is_masked"][:] == 1
    before = np.vstack([np.zeros_like(masked[:1]), masked[:-1]])
    prompt = np.arange(masked.shape[1])[None, :] < f.prompt
    kinds = {
        "prompt": prompt | np.zeros_like(masked), "masked": ~prompt & masked, "just_unmasked": ~prompt & ~masked & before,
        "unmasked": ~prompt & ~masked & ~before}
    out = {}
    for name in ("key", "value"):
        values = f[f"{name}_cosine"].astype(np.float64)
        by = {k: mean(np.where(v[:, None, None, :], values, np.nan), axis=(0, 3)) for k, v in kinds.items()}
        steps = [mean(np.where(v[:, None, None, :], values, np.nan), axis=(1, 2, 3)) for v in kinds.values()]
        out[name] = (mean(values, axis=(0, 3)), by, np.stack(steps, axis=1))
    return out


def massive_activations(f, size=100, ratio=1000):
    largest, median = f["hidden_max"].astype(np.float64), f["hidden_median"].astype(np.float64)
    there = ~np.isnan(largest)
    massive = there & (largest > size) & (largest >= ratio * median)
    channels = collections.Counter()
    for row, depth, position in np.argwhere(massive):
        channels[int(depth), int(f["hidden_max_channel"][row, depth, position])] += 1
    with np.errstate(invalid="ignore", divide="ignore"):
        over = np.where(there & (median > 0), largest / median, np.nan)
    return dict(
        massive_count=massive.sum(axis=(0, 2)) / len(massive), massive_share=massive.sum(axis=(0, 2)) / there.sum(axis=(0, 2)),
        max_over_median=mean(over, axis=(0, 2)), max_over_median_largest=np.nanmax(over, axis=(0, 2)),
        massive_steps_by_position=massive.sum(axis=0)), channels


# What was written


def texts(f):
    return {int(i): t.decode() for i, t in zip(f["vocab_id"], f["vocab_text"])}


def generated(f):
    """Ids of the answer and its text."""
    special = {int(f.attributes["mask_token_id"])}
    ends = set()
    for name in ("sampler_parameters", "model_configuration"):
        members = json.loads(f.attributes[name])
        for key in ("eos_token", "eot_token", "eos_token_ids", "eos_token_id", "bos_token_id", "pad_token_id"):
            value = members.get(key)
            ids = value if isinstance(value, list) else [] if value is None else [value]
            (ends if key.startswith("eo") else special).update(ids)
    known, out = texts(f), []
    for i in f["final_id"][f.prompt:].tolist():
        if i in ends or known[i] in ("<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "<|im_end|>", "</s>", "<eos>"):
            break
        if i not in special and not re.fullmatch(r"<\|.*\|>", known[i], re.DOTALL):
            out.append(i)
    escaped = "".join(known[i] for i in out).encode()
    data = re.sub(rb"<0x([0-9A-F]{2})>", lambda m: bytes([int(m[1], 16)]), escaped)
    return out, data.decode(errors="replace")


def normalise(text):
    """As SQuAD's evaluation does; lower case by character."""
    text = "".join(c.lower() for c in text)
    text = "".join(c for c in text if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def accuracy(text, answers):
    """(exact match, F1, substring), the best over the answers."""
    said, scores = normalise(text), []
    for gold in map(normalise, answers):
        a, b = collections.Counter(said.split()), collections.Counter(gold.split())
        common = sum((a & b).values())
        f1 = float(a == b) if not a or not b else 0.0 if not common else 2 / (sum(a.values()) / common + sum(b.values()) / common)
        scores.append((said == gold, f1, gold in said if gold else not said))
    return np.max(np.array(scores, float), axis=0) if scores else np.full(3, np.nan)


def retrieval_heads(f):
    """By layer and head: score, coverage, share of rows with the top key in the evidence; rows; recall."""
    gold = np.flatnonzero((f["region"][: f.prompt] >= 0) & (f["region_gold"][f["region"][: f.prompt]] == 1))
    ids = f["final_id"]
    shape = (len(f.layers), len(f.heads))
    copied, inside, keys, rows = np.zeros(shape), np.zeros(shape), {}, 0
    for place, position in enumerate(f["generated"]):
        query = f["answer/source_query"][place]
        if query < 0 or f["answer/source_step"][place] >= f.steps:
            continue
        assert query == max(0, position - int(f.attributes["prediction_offset"]))
        rows += 1
        attention = f["answer/attention"][place].astype(np.float64)
        if f.is_causal:
            attention = attention[..., : query + 1]
        for site in np.ndindex(shape):
            top = int(np.argmax(attention[site]))
            if top in gold:
                inside[site] += 1
                if ids[top] == ids[position]:
                    copied[site] += 1
                    keys.setdefault(site, set()).add(top)
    needle, said = collections.Counter(ids[gold].tolist()), collections.Counter(generated(f)[0])
    coverage = np.array([[len(keys.get((l, h), ())) for h in range(shape[1])] for l in range(shape[0])])
    return copied / len(gold), coverage / len(gold), inside / rows, rows, sum((needle & said).values()) / len(gold)
