"""What the structure of a file has established, for the judges of values."""

import numpy as np

from .schema import SECOND


def indices(text, limit):
    """`0-3,7` as a list; None where it is none, does not ascend, or reaches the limit."""
    result = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            if not (first.isascii() and first.isdigit()) or last and not (last.isascii() and last.isdigit()):
                return None
            low, high = int(first), int(last or first)
            if high < low or high >= limit or "-" in part and not last:
                return None
            result += range(low, high + 1)
    except ValueError:
        return None
    return result if result and all(a < b for a, b in zip(result, result[1:])) else None


class Trace:
    """A trace whose shape is known. `data` has every dataset that is sound, cut to what was committed."""

    def __init__(self, file, attributes, committed, complete, hashed):
        self.file = file
        self.attributes = attributes
        self.causal = attributes["causality"] == "causal"
        self.prompt = attributes["prompt_length"]
        self.planned_generated = attributes["planned_generated_length"]
        self.planned_steps = attributes["planned_steps"]
        self.complete = complete
        self.committed = min(committed, max(self.planned_steps, self.planned_generated if self.causal else 0))
        self.layers, self.heads = (file[name][()].tolist() for name in ["layer", "head"])
        self.signals = set(filter(None, attributes["signals"].split(",")))
        self.guided = attributes.get("is_guided") == 1
        self.planned_positions = self.prompt + self.planned_generated
        self.planned_keys = self.planned_positions - 1 if self.causal else self.planned_positions
        self.queries_planned = attributes["planned_queries"]  # a list, or None for all
        self.map_steps_planned = attributes["planned_map_steps"]
        self.shapes = {}
        self.table = None
        self.total = ""
        self.hashed = hashed
        # Made of a file that does not tell everything.
        self.imported = "origin" in attributes

    def is_open(self, unmask_step):
        """Whether a step that was not committed may have written some of what is known of a position, and not all."""
        return ((unmask_step == -2) | (unmask_step >= self.committed)) & (not self.complete and not self.hashed)

    @property
    def passes(self):
        return ["", SECOND] if self.guided else [""]

    @property
    def keys(self):
        if not self.causal:
            return self.planned_keys
        return 0 if self.committed == 0 else min(self.planned_keys, self.prompt + self.committed - 1)

    @property
    def queries(self):
        if self.queries_planned is None:
            return list(range(self.keys))
        return [query for query in self.queries_planned if query < self.keys]

    @property
    def map_steps(self):
        if self.causal:
            return [self.committed - 1] if self.committed else []
        steps = range(self.committed)
        return [step for step in steps if self.map_steps_planned is None or step in self.map_steps_planned]

    def length(self, axis):
        """Length of an axis; None where the file alone knows."""
        if axis == "step":
            return self.committed
        if axis in ("row_step", "map_step"):
            return len(self.map_steps)
        if axis == "position":
            return min(self.planned_positions, self.prompt + self.committed) if self.causal else self.planned_positions
        if axis == "generated":
            return min(self.planned_generated, self.committed) if self.causal else self.planned_generated
        simple = {
            "layer": len(self.layers), "head": len(self.heads), "query": len(self.queries), "key": self.keys,
            "query_class": 3, "depth": self.attributes.get("layer_count", 0) + 1,
            "channel": self.attributes.get("head_dim", 0),
        }
        if axis in simple:
            return simple[axis]
        if axis in ("kv_head", "rank", "region_index"):
            return self.file[axis].shape[0] if axis in self.file else 0
        return None

    def __contains__(self, path):
        return path in self.shapes

    def read(self, path, *place):
        """Values at a place along the leading axes; None where the dataset is not sound or cannot be read."""
        if path not in self.shapes:
            return None
        cut = tuple(slice(0, length) for length in self.shapes[path])
        try:
            return self.file[path][tuple(place) + cut[len(place) :]]
        except OSError:
            return None

    def texts(self, path):
        """Texts as bytes up to their first zero."""
        values = self.raw_texts(path)
        return None if values is None else [value.split(b"\0")[0] for value in values]

    def raw_texts(self, path):
        """Texts as bytes with their padding."""
        values = self.read(path)
        if values is None:
            return None
        width = values.dtype.itemsize
        return [bytes(value).ljust(width, b"\0") for value in values]

    def classes(self, step):
        """0 prompt, 1 unmasked, 2 masked, of each position of a bidirectional step."""
        masked = self.read("is_masked", step)
        if masked is None:
            return None
        return np.where(np.arange(len(masked)) < self.prompt, 0, np.where(masked == 1, 2, 1))
