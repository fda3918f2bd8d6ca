"""What a trace is to hold, and how each dataset of it is laid out in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..schema import SECOND_PASS, Schema, current

RANK_COUNT = 5
CHUNK_LIMIT = 2 << 20
"""Bytes that a chunk of maps must not exceed."""
VECTOR_CHUNK = 1024
"""Elements in a chunk of a dataset along one axis alone."""
TEXT_CHUNK = 128
"""The same for what grows with the vocabulary or the table of hashes."""

NUMBERS: dict[str, np.dtype[Any]] = {
    "float16": np.dtype("<f2"), "float32": np.dtype("<f4"), "int32": np.dtype("<i4"), "uint8": np.dtype("u1")}


@dataclass(frozen=True)
class TracePlan:
    """The shape of one trace. Lengths are the most that the run may reach; a run may end earlier."""

    causality: str
    """`bidirectional` (diffusion) or `causal`."""
    prompt_length: int
    generated_length: int
    step_count: int
    layer_count: int
    head_count: int
    kv_head_count: int
    head_dim: int
    signals: frozenset[str]
    """Of the schema: `received`, `rows`, `norms`, `top`, `maps`."""
    text_width: int
    """Bytes of one token's text."""
    layers: tuple[int, ...] | None = None
    """Layers to record; None for all."""
    map_steps: tuple[int, ...] | None = None
    """Steps that keep maps and per-query signals (diffusion); None for all."""
    rank_count: int = RANK_COUNT
    """Likeliest tokens kept of each position, with the signal `top`."""
    is_guided: bool = False
    """Whether each step has a second pass, under `unconditional/`."""

    def __post_init__(self) -> None:
        if self.causality not in ("bidirectional", "causal"):
            raise ValueError(f"causality {self.causality!r} is neither bidirectional nor causal")
        least = {
            "prompt_length": 1 if self.is_causal else 0, "generated_length": 1, "step_count": 1, "layer_count": 1,
            "head_count": 1, "kv_head_count": 1, "head_dim": 0, "text_width": 1, "rank_count": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} is {getattr(self, name)}, below {low}")
        if self.head_count % self.kv_head_count:
            raise ValueError(f"{self.head_count} heads are no multiple of {self.kv_head_count} key-value heads")
        if self.is_guided and self.is_causal:
            raise ValueError("a causal trace has no second pass")
        unknown = self.signals - set(current().signals)
        if unknown:
            raise ValueError(f"no signal is called {', '.join(sorted(unknown))}")
        for name, chosen, limit in (
            ("layers", self.layers, self.layer_count), ("map_steps", self.map_steps, self.step_count)):
            if chosen is None:
                continue
            if not chosen or list(chosen) != sorted(set(chosen)) or not 0 <= chosen[0] <= chosen[-1] < limit:
                raise ValueError(f"{name} are not ascending indices below {limit}: {chosen}")
        if self.map_steps is not None and self.is_causal:
            raise ValueError("in a causal trace, rows never change, and every one is kept: map_steps must be None")

    @property
    def is_causal(self) -> bool:
        """Whether every query sees the keys up to its own position only."""
        return self.causality == "causal"

    @property
    def recorded_layers(self) -> tuple[int, ...]:
        """The layers along the axis `layer`."""
        return tuple(range(self.layer_count)) if self.layers is None else self.layers

    @property
    def passes(self) -> tuple[str, ...]:
        """Prefixes of the datasets of each pass."""
        return ("", SECOND_PASS) if self.is_guided else ("",)

    @property
    def position_count(self) -> int:
        """Positions, at full length."""
        return self.prompt_length + self.generated_length

    @property
    def key_count(self) -> int:
        """Keys, at full length: in a causal trace the last token is never fed in."""
        return self.position_count - 1 if self.is_causal else self.position_count

    def map_place(self, step: int) -> int | None:
        """Where a step is along `map_step` and `row_step`; None where it keeps no maps."""
        if self.is_causal:
            return 0
        if self.map_steps is None:
            return step
        return self.map_steps.index(step) if step in self.map_steps else None

    def kept_steps(self, steps: int) -> list[int]:
        """The labels along `map_step` and `row_step` once so many steps are over."""
        if self.is_causal:
            return [steps - 1] if steps else []
        return [step for step in (range(steps) if self.map_steps is None else self.map_steps) if step < steps]

    def length(self, axis: str, steps: int) -> int:
        """Length of an axis once so many steps are over; 0 of those that grow on their own (`vocab`, `leaf`)."""
        causal = self.is_causal
        if axis == "step":
            return steps
        if axis in ("row_step", "map_step"):
            return len(self.kept_steps(steps))
        if axis == "position":
            return min(self.position_count, self.prompt_length + steps) if causal else self.position_count
        if axis in ("query", "key"):
            return min(self.key_count, self.prompt_length + steps - 1) if causal and steps else 0 if causal else self.key_count
        if axis == "generated":
            return min(self.generated_length, steps) if causal else self.generated_length
        return {
            "layer": len(self.recorded_layers), "head": self.head_count, "kv_head": self.kv_head_count,
            "query_class": 3, "depth": self.layer_count + 1, "channel": self.head_dim, "rank": self.rank_count,
        }.get(axis, 0)

    def full_length(self, axis: str) -> int:
        """Length of an axis at the end of the planned run."""
        if axis == "step":
            return self.step_count
        if self.is_causal and axis in ("position", "query", "key", "generated"):
            return self.length(axis, self.generated_length)
        return self.length(axis, self.step_count)

    def labels(self, axis: str, steps: int) -> list[int]:
        """What the coordinate of an axis holds once so many steps are over."""
        if axis == "layer":
            return list(self.recorded_layers)
        if axis in ("row_step", "map_step"):
            return self.kept_steps(steps)
        first = self.prompt_length if axis == "generated" else 0
        return [first + place for place in range(self.length(axis, steps))]


@dataclass(frozen=True)
class PlacedDataset:
    """One dataset as it is created."""

    path: str
    entry: Mapping[str, Any]
    dimensions: tuple[str, ...]
    dtype: np.dtype[Any] | None
    """None for text."""
    text_width: int
    shape: tuple[int, ...]
    max_shape: tuple[int | None, ...]
    chunk: tuple[int, ...]
    is_compressed: bool

    @property
    def is_coordinate(self) -> bool:
        """Whether it holds the labels of an axis."""
        return self.dimensions == (self.path,)

    @property
    def leaf_axis(self) -> int | None:
        """The axis whose places have a content hash each in a diffusion trace; None where the dataset is one."""
        return 0 if self.dimensions[0] in ("step", "row_step", "map_step", "generated") else None


def placed_datasets(plan: TracePlan, schema: Schema) -> list[PlacedDataset]:
    """Every dataset of a trace, coordinates first."""
    present = {path: entry for path, entry in schema.datasets.items() if entry.get("signal", "") in plan.signals | {""}}
    axes = {axis for entry in present.values() for axis in entry["dimensions"]}
    coordinates = {
        name: {"dimensions": [name], "type": "int32", "unit": "1", "meaning": entry["meaning"]}
        for name, entry in schema.dimensions.items() if name in axes}
    second = {SECOND_PASS + path: present[path] for path in present if plan.is_guided and path in schema.guided}
    return [_placed(plan, path, entry) for path, entry in {**coordinates, **present, **second}.items()]


def _placed(plan: TracePlan, path: str, entry: Mapping[str, Any]) -> PlacedDataset:
    dimensions = tuple(entry["dimensions"])
    full = [max(1, plan.full_length(axis)) for axis in dimensions]
    endless = {"step", "vocab", "leaf"} | (set() if plan.is_causal else {"row_step", "map_step"})
    chunk, is_compressed = _chunk(plan, entry, dimensions, full)
    return PlacedDataset(
        path=path, entry=entry, dimensions=dimensions, dtype=NUMBERS.get(entry["type"]),
        text_width=entry.get("text_width", plan.text_width),
        shape=tuple(plan.length(axis, 0) for axis in dimensions),
        max_shape=tuple(None if axis in endless else length for axis, length in zip(dimensions, full)),
        chunk=chunk, is_compressed=is_compressed)


def _chunk(
    plan: TracePlan, entry: Mapping[str, Any], dimensions: tuple[str, ...], full: list[int]
) -> tuple[tuple[int, ...], bool]:
    """Chunks as docs/format.md has them under Storage, and whether they are compressed."""
    first = dimensions[0]
    if len(dimensions) == 1:
        grows = first in ("vocab", "leaf")
        return ((TEXT_CHUNK if grows else min(full[0], TEXT_CHUNK if entry["type"] == "utf8" else VECTOR_CHUNK)),), False
    chunk = list(full)
    if plan.is_causal and first in ("row_step", "map_step"):
        # Rows come one by one, and what is written is never written again: a chunk a row.
        for axis, name in enumerate(dimensions):
            if name in ("query", "key", "position"):
                chunk[axis] = 1
                break
        if entry["type"] != "float16":
            return tuple(chunk), False
        chunk[1] = 1
        return tuple(chunk), True
    chunk[0] = 1
    if dimensions[1] == "layer":
        chunk[1] = 1
    if len(dimensions) == 5 and entry["type"] == "float16":
        chunk[2] = 1
        chunk[3] = max(1, min(full[3], CHUNK_LIMIT // (2 * full[4])))
    is_timeline = dimensions[:2] in (("step", "position"), ("step", "key"))
    return tuple(chunk), not is_timeline
