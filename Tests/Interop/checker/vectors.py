"""Judges query and key vectors: attention computed from them, in double precision, against everything beside it."""

import numpy as np

from .attention import Tolerance, suppress


def judge(trace, log):
    for prefix in trace.passes:
        names = [prefix + "qk/" + name for name in ("query_vector", "key_vector", "rebuild_error")]
        if not all(name in trace for name in names) or not trace.keys or not trace.queries:
            continue
        shared = trace.read("kv_head")
        lacks = "suppressed" in trace.signals and prefix + "suppressed" not in trace
        if shared is None or lacks:
            continue
        heads, kv_heads = (trace.attributes.get(name, 0) for name in ("head_count", "kv_head_count"))
        if kv_heads <= 0 or heads <= 0 or heads % kv_heads:
            continue
        shared, wanted = shared.tolist(), [head // (heads // kv_heads) for head in trace.heads]
        if not set(wanted) <= set(shared):
            continue
        of_head = [shared.index(head) for head in wanted]
        for place, step in enumerate(trace.map_steps):
            for layer in range(len(trace.layers)):
                q, k, error = (trace.read(name, place, layer) for name in names)
                if q is None or k is None or error is None or not (np.isfinite(error) and error >= 0):
                    continue
                maps = Layer(trace, prefix, step, layer, q, k[of_head], error)
                if maps.is_known:
                    judge_layer(trace, prefix, (place, step, layer), maps, log)


class Layer:
    """The maps of one layer and step, and how far they may be off."""

    def __init__(self, trace, prefix, step, layer, q, k, error):
        q, k = q.astype(np.float64), k.astype(np.float64)
        sound = np.isfinite(q).all((1, 2)) & np.isfinite(k).all((1, 2))
        q[~sound] = k[~sound] = np.nan
        self.queries = np.array(trace.queries)
        self.steps = np.maximum(0, self.queries - trace.prompt + 1) if trace.causal else np.full(len(self.queries), step)
        self.error, self.channels = float(error), q.shape[-1]
        self.query_norm = np.linalg.norm(q, axis=-1)
        self.key_norm = np.linalg.norm(k, axis=-1).max(-1)[:, None]
        root = np.sqrt(self.channels)
        scores = np.einsum("hqc,hkc->hqk", q, k) / root
        self.is_known = True
        hidden = np.zeros(scores.shape, bool)
        if trace.causal:
            hidden |= np.arange(trace.keys)[None] > self.queries[:, None]
        if prefix + "suppressed" in trace:
            hidden, self.is_known = suppress(trace, prefix, layer, hidden, self.queries, self.steps)
            if not self.is_known:
                return
        scores[hidden] = -np.inf
        peak = scores.max(-1, keepdims=True)
        powers = np.exp(scores - peak)
        total = powers.sum(-1, keepdims=True)
        self.maps = powers / total
        self.logsumexp = (peak + np.log(total))[..., 0]
        # Of another order of additions, in single precision.
        self.slack = (2.0**-24 * root * self.query_norm.max(-1, keepdims=True) * self.key_norm)[..., None]

    def of_weights(self, weights, kept):
        return self.error + self.slack + (1e-5 + kept.relative) * weights + kept.absolute

    def of_sums(self, sums, keys):
        return len(self.queries) * (self.error + self.slack[..., 0]) + 1e-5 * sums + 3e-8 * keys

    def of_logsumexp(self):
        largest = self.query_norm * self.key_norm / np.sqrt(self.channels)
        rounding = 1.00390625 * 2.0**-10 + self.channels * 2.0**-22
        return (
            largest * rounding + 2.0**-25 * (self.query_norm + self.key_norm) + 1e-5 * (1 + np.abs(self.logsumexp)))


def judge_layer(trace, prefix, where, layer, log):
    place, step, index = where
    text = f"map_step {place}, layer {index}"
    with np.errstate(invalid="ignore"):
        path = prefix + "maps/attention"
        maps = trace.read(path, place, index)
        if maps is not None and differs(layer, maps, layer.maps, Tolerance(trace.file[path])):
            log.add("qk.maps", path, text)
        found = trace.read(prefix + "logsumexp", place, index)
        if found is not None and (np.abs(np.where(np.isfinite(found), found, np.nan) - layer.logsumexp) > layer.of_logsumexp()).any():
            log.add("qk.rows", prefix + "logsumexp", text)
        if not prefix:
            judge_answers(trace, index, layer, text, log)
        received = received_so_far(trace, prefix, step, index)
        if received is not None:
            sums = layer.maps.sum(1)
            allowed = layer.of_sums(np.maximum(sums, received), trace.keys)
            whole = len(layer.queries) == trace.keys
            if (received < sums - allowed).any() or whole and (received > sums + allowed).any():
                log.add("qk.received", prefix + "received", text)


def differs(layer, kept, rebuilt, tolerance):
    kept = kept.astype(np.float64)
    return (np.abs(kept - rebuilt) > layer.of_weights(np.maximum(kept, rebuilt), tolerance)).any()


def judge_answers(trace, index, layer, text, log):
    steps, sources = trace.read("answer/source_step"), trace.read("answer/source_query")
    if steps is None or sources is None or "answer/attention" not in trace:
        return
    tolerance = Tolerance(trace.file["answer/attention"])
    for answer in range(len(steps)):
        for row in np.flatnonzero((layer.queries == sources[answer]) & (layer.steps == steps[answer])):
            found = trace.read("answer/attention", answer, index)
            if found is not None and differs(layer, found[:, None], layer.maps[:, row : row + 1], tolerance):
                log.add("qk.answer", "answer/attention", f"generated {answer}, {text}")


def received_so_far(trace, prefix, step, index):
    """What keys have received of the rows of the map, (head, key): in a causal trace, over all steps."""
    total = None
    for at in range(trace.committed) if trace.causal else [step]:
        found = trace.read(prefix + "received", at, index)
        if found is None:
            return None
        found = found.astype(np.float64).sum(1)
        total = found if total is None else total + found
    return total
