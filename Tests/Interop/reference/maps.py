"""Metrics of full attention from their formulas, in NumPy, on maps read with h5py. Slow and plain."""

import h5py
import numpy as np

CLASSES = ["prompt", "unmasked", "masked"]
STATISTICS = ["row_sum", "entropy", "attended_distance", "mask_mass", "first_k_mass", "top_k_mass", "max_weight"]


class Maps:
    """The maps of a trace, A[step, layer, head, query, key] in float64, rebuilt from vectors where they are kept so."""

    def __init__(self, path, group=""):
        with h5py.File(path) as file:
            base = file[group] if group else file
            self.causal = file.attrs["causality"] in (b"causal", "causal")
            self.prompt = int(file.attrs["prompt_length"])
            self.steps = file["map_step"][()]
            self.layers, self.heads = file["layer"][()], file["head"][()]
            self.queries = file["query"][()]
            self.keys = len(file["key"])
            self.is_masked = (base if group and "is_masked" in base else file)["is_masked"][()].astype(bool)
            if group == "unconditional":
                self.is_masked[:, : self.prompt] = True
            self.regions = None
            if "region" in file:
                names = [name.decode() for name in file["region_name"][()]]
                self.regions = names, file["region"][: self.keys]
            if "maps/attention" in base:
                self.values = base["maps/attention"][()].astype(np.float64)
            else:
                self.values = self.rebuilt(base, file)

    def rebuilt(self, base, file):
        query, key = (base[f"qk/{name}_vector"][()].astype(np.float64) for name in ("query", "key"))
        groups = int(file.attrs["head_count"]) // int(file.attrs["kv_head_count"])
        places = [list(file["kv_head"][()]).index(head // groups) for head in self.heads]
        scores = query @ key[:, :, places].swapaxes(-1, -2) / np.sqrt(query.shape[-1])
        if self.causal:
            scores[..., self.queries[:, None] < np.arange(self.keys)] = -np.inf
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        return scores / scores.sum(-1, keepdims=True)

    def row_steps(self):
        """(map step, query): the step that computed the row."""
        if self.causal:
            return np.maximum(0, self.queries - self.prompt + 1)[None]
        return np.repeat(self.steps[:, None], len(self.queries), 1)

    def masks(self):
        """(map step, key): whether the key was fed in masked."""
        return self.is_masked[self.steps][:, : self.keys]

    def classes(self):
        """(map step, query): 0 prompt, 1 unmasked, 2 masked."""
        masked = self.masks()[:, self.queries]
        return np.where(self.queries < self.prompt, 0, np.where(masked, 2, 1))


def row_statistics(maps, top=5, first=4):
    """Each statistic of each row, (map step, layer, head, query)."""
    a = maps.values
    log = np.log(np.where(a > 0, a, 1))
    far = np.abs(maps.queries[:, None] - np.arange(maps.keys))
    return {
        "row_sum": a.sum(-1),
        "entropy": -(a * log).sum(-1),
        "attended_distance": (a * far).sum(-1),
        "mask_mass": (a * maps.masks()[:, None, None, None]).sum(-1),
        "first_k_mass": a[..., :first].sum(-1),
        "top_k_mass": np.sort(a, -1)[..., -top:].sum(-1),
        "max_weight": a.max(-1),
    }


def mean(values):
    return values.mean() if values.size else np.nan


def row_means(maps, rows):
    """A statistic by (layer, head), (layer, class), (step, layer)."""
    classes, steps = maps.classes(), maps.row_steps()
    by_layer = rows.transpose(1, 2, 0, 3)
    labels = np.unique(steps) if maps.causal else maps.steps
    return (
        rows.mean((0, 3)),
        np.array([[mean(layer[:, classes == kind]) for kind in range(3)] for layer in by_layer]),
        np.array([[mean(layer[:, steps == step]) for layer in by_layer] for step in labels]),
    )


def stability(maps, top=8):
    """Overlap of top keys with those of the step before, (map step - 1, layer, head); NaN across a hole."""
    top = min(top, maps.keys)
    keys = np.argsort(-maps.values, -1, kind="stable")[..., :top]
    picked = np.zeros(maps.values.shape, bool)
    np.put_along_axis(picked, keys, True, -1)
    shared = (picked[1:] & picked[:-1]).sum(-1).mean(-1) / top
    shared[np.diff(maps.steps) != 1] = np.nan
    return shared


def region_names(maps):
    """Names, and the region of each position, (map step, position)."""
    if maps.regions:
        names, places = maps.regions
        if (places < 0).any():
            names, places = [*names, "other"], np.where(places < 0, len(names), places)
        return names, np.repeat(places[None], len(maps.steps), 0)
    kinds = np.where(np.arange(maps.keys) < maps.prompt, 0, 1 + maps.masks())
    return (["prompt", "generated"] if maps.causal else CLASSES), kinds


def region_mass(maps):
    """(map step, layer, query region, key region); NaN where a region has no query or no key."""
    names, places = region_names(maps)
    mass = np.full((*maps.values.shape[:2], len(names), len(names)), np.nan)
    for step, regions in enumerate(places):
        for to in range(len(names)):
            received = maps.values[step][..., regions == to].sum(-1)
            for at in range(len(names)):
                rows = regions[maps.queries] == at
                if rows.any() and (regions == to).any():
                    mass[step, :, at, to] = received[..., rows].mean((1, 2))
    return mass


def region_flow(maps):
    """(map step, query region, key region); NaN where a region has no position, or is seen through unknown rows."""
    mass = region_mass(maps)
    _, places = region_names(maps)
    flow = np.full((len(mass), *mass.shape[2:]), np.nan)
    for step, layers in enumerate(mass):
        there = np.flatnonzero(np.bincount(places[step], minlength=mass.shape[2]))
        rolled = np.eye(len(there))
        for layer in layers:
            part = layer[np.ix_(there, there)]
            part = part / part.sum(-1, keepdims=True) + np.eye(len(there))
            rolled = part / part.sum(-1, keepdims=True) @ rolled
        flow[step][np.ix_(there, there)] = rolled
    return flow
