"""What `sinks --explain` says of a key, computed from the file in NumPy."""

import h5py
import numpy as np

PROMPT, UNMASKED, MASKED = range(3)
CLASSES = ["prompt", "unmasked", "masked"]


class ExplainedTrace:
    """A trace read whole, and its scores."""

    def __init__(self, path):
        with h5py.File(path) as f:
            names = []
            f.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            self.data = {name: f[name][()] for name in names if f[name].ndim}
            self.causal = f.attrs["causality"] in (b"causal", "causal")
            self.prompt = int(f.attrs["prompt_length"])
            self.group = int(f.attrs["head_count"]) // int(f.attrs["kv_head_count"])
        received = self.data["received"].astype(np.float64)
        if self.causal:
            received = np.nancumsum(received, axis=0)
        self.classes = received  # (step, layer, head, class, key)
        self.received = received.sum(axis=3)
        self.steps = len(received)

    def keys(self, step):
        """Keys that exist at a step; as many rows are behind the sums."""
        return self.prompt + step if self.causal else self.received.shape[-1]

    def uniform(self, step):
        n = self.keys(step)
        if not self.causal:
            return np.ones(n)
        return np.array([sum(1 / (i + 1) for i in range(j, n)) for j in range(n)])

    def scores(self, step, unit, window=16):
        """(layer, head, key); None where the unit has none."""
        n = self.keys(step)
        sums = self.received[step, ..., :n]
        if unit == "sum":
            return sums
        if unit == "mean":
            return sums / (n - np.arange(n) if self.causal else n)
        if unit == "ratio":
            return sums / self.uniform(step)
        if n < 2 * window:
            return None
        # The rows of the prompt are stored as maps alone; those of later steps are their increments, in float32.
        rows = self.data["maps/attention"][0].astype(np.float64)[:, :, :n, :n]
        for later in range(1, step + 1):
            rows[:, :, self.prompt + later - 1] = self.data["received"][later].astype(np.float64).sum(axis=2)[..., :n]
        rows = rows[:, :, n - window:]
        scores = n * rows.mean(axis=2)
        scores[..., n - window:] = np.nan
        return scores

    def sinks(self, step, rule, unit, threshold):
        """A boolean (layer, head, key); None where undefined everywhere."""
        scores = self.scores(step, unit)
        if scores is None:
            return None
        if rule == "excess":
            count = np.isfinite(scores).sum(axis=-1, keepdims=True)
            others = (np.nansum(scores, axis=-1, keepdims=True) - scores) / (count - 1)
            return scores > others + threshold
        assert rule == "deviation"
        return scores > np.nanmean(scores, -1, keepdims=True) + threshold * np.nanstd(scores, -1, keepdims=True)

    def row_of(self, name, step):
        """Place of a step along row_step and map_step."""
        if self.causal:
            return 0
        return list(self.data[name]).index(step)

    def query_class(self, step, position):
        if position < self.prompt:
            return PROMPT
        return MASKED if self.data["is_masked"][step, position] == 1 else UNMASKED

    def column(self, step, layer, head, position):
        """Queries that see the key, what they give it, and whether it is their top key."""
        n = self.keys(step)
        rows = self.data["maps/attention"][self.row_of("map_step", step), layer, head].astype(np.float64)[:n, :n]
        queries = np.arange(position if self.causal else 0, n)
        top = rows[queries].argmax(axis=1) == position
        return queries, rows[queries, position], top

    def against_others(self, values, position):
        others = np.delete(values.astype(np.float64), position)
        return float(values[position]), float(np.nanmedian(others)) if np.isfinite(others).any() else np.nan

    def alignment(self, step, layer, head, position):
        """Mean cosine of queries with the key; mean over the other keys of theirs; rank. Layer and head by place."""
        n = self.keys(step)
        place = self.row_of("map_step", step)
        q = self.data["qk/query_vector"][place, layer, head, :n].astype(np.float64)
        kv_head = list(self.data["kv_head"]).index(self.data["head"][head] // self.group)
        k = self.data["qk/key_vector"][place, layer, kv_head, :n].astype(np.float64)
        cosines = (q @ k.T) / np.outer(np.linalg.norm(q, axis=1), np.linalg.norm(k, axis=1))
        if self.causal:
            cosines[np.triu_indices(n, 1)] = np.nan
        means = np.nanmean(cosines, axis=0)
        return means[position], np.delete(means, position).mean(), 1 + int((means > means[position]).sum())
