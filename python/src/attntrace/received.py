"""Received sums: all at once, and step by step in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .errors import AttntraceError
from .layout import QUERY_CLASSES
from .schema import SECOND_PASS
from .selection import labels, needed, source, variable

Floats = NDArray[np.float64]


def received_sums(tree: xr.DataTree, *, running: bool) -> xr.DataArray:
    """(step, layer, head, key); see `Trace.received_sums`."""
    stored = needed(tree, "received", "received")
    _check_classes(tree)
    sums = stored.astype(np.float64).sum("query_class", skipna=False)
    if not running:
        result = sums
    else:
        _check_steps(tree)
        seen = rows_seen(tree)
        # A key that no row has seen yet has received nothing defined.
        result = sums.fillna(0).cumsum("step").where(tree["key"] < xr.DataArray(seen, dims="step"))
        result = result.transpose(*sums.dims).assign_coords(sums.coords)
    result.attrs = {"long_name": "received sum" + (" so far" if running else ""), "units": "1"}
    return result.rename("received_sum")


def rows_seen(tree: xr.DataTree) -> NDArray[np.int64]:
    """Rows that each key's sum is over, n, by step: all positions, or in a causal trace the rows so far."""
    steps = labels(tree, "step").astype(np.int64)
    if tree.attrs["causality"] == "causal":
        return np.asarray(tree.attrs["prompt_length"] + steps)
    return np.full(len(steps), len(labels(tree, "key")))


def _check_classes(tree: xr.DataTree) -> None:
    """A received sum is over the queries of all classes."""
    if labels(tree, "query_class").tolist() != list(range(len(QUERY_CLASSES))):
        raise AttntraceError(
            source(tree), "query_class", "a selection of classes leaves out queries; select from trace['received']")


def _check_steps(tree: xr.DataTree) -> None:
    """Running sums say nothing without every step before."""
    steps = labels(tree, "step")
    if tree.attrs["causality"] == "causal" and steps.tolist() != list(range(len(steps))):
        raise AttntraceError(source(tree), "step", "running sums need every step from the first on")


def _check_keys(tree: xr.DataTree) -> None:
    """Rules compare a key with all the others, and find them by their places."""
    keys = labels(tree, "key")
    if tree.attrs["causality"] == "causal":
        seen = int(rows_seen(tree).max(initial=0))
    else:
        seen = tree.attrs["prompt_length"] + tree.attrs["planned_generated_length"]
    if len(keys) < seen or keys.tolist() != list(range(len(keys))):
        raise AttntraceError(source(tree), "key", "a selection of keys leaves out what a rule compares with")


@dataclass(frozen=True)
class Frame:
    """One step: what the visible keys received. `received` and `window` are (site, key), over `rows` rows."""

    step: int
    rows: int
    received: Floats
    visible: Floats
    """(key): rows that may see the key."""
    uniform: Floats
    """(key): what uniform attention under the same visibility gives."""
    window: Floats | None
    """Scores in the unit window; NaN at keys in the window. None where undefined, for the reason `why`."""
    why: str


def frames(
    tree: xr.DataTree, layers: list[int], heads: list[int], per: str, window: int, second_pass: bool = False,
) -> Iterator[Frame]:
    """A trace's steps one after the other; sites are heads, layers or the whole (`per`), in that order."""
    prefix = SECOND_PASS if second_pass else ""
    stored = needed(tree, prefix + "received", "received").isel(layer=layers, head=heads)
    _check_classes(tree)
    _check_steps(tree)
    _check_keys(tree)
    steps, keys = labels(tree, "step"), len(labels(tree, "key"))
    is_causal = tree.attrs["causality"] == "causal"
    prompt = int(tree.attrs["prompt_length"])
    rows_by_step = rows_seen(tree)
    harmonic = np.cumsum(1 / np.arange(1, keys + 1, dtype=np.float64)) if keys else np.zeros(0)

    rows = RecentRows(window)
    if is_causal:
        rows.add_prompt(_prompt_rows(tree, prefix, layers, heads, per, window))
    running: Floats | None = None
    for place, step in enumerate(steps.tolist()):
        n = int(rows_by_step[place])
        sums = stored.isel(step=place).astype(np.float64).sum("query_class", skipna=False)
        new = _by_site(sums, per)
        if not is_causal:
            yield Frame(
                step, n, new, np.full(keys, float(n)), np.ones(keys), None, "not_causal")
            continue
        new[:, n:] = 0
        running = new if running is None else running + new
        if step > 0 or prompt == 1:
            rows.add(n - 1, new[:, :n])
        scores, why = rows.scores(n)
        before = np.concatenate([[0.0], harmonic[: n - 1]])
        yield Frame(
            step, n, running[:, :n], n - np.arange(n, dtype=np.float64), harmonic[n - 1] - before, scores, why)


class RecentRows:
    """The last rows of a causal trace one by one, for scores in the unit window."""

    def __init__(self, window: int) -> None:
        self.window = window
        self._rows: deque[tuple[int, Floats]] = deque(maxlen=window)

    def add(self, index: int, row: Floats) -> None:
        """Row `index`, (site, key)."""
        self._rows.append((index, row))

    def add_prompt(self, rows: list[tuple[int, Floats]]) -> None:
        """Rows of the prompt, where they were recorded."""
        self._rows.extend(rows)

    def scores(self, n: int) -> tuple[Floats | None, str]:
        """n times the mean over the last rows, for keys before the window; or None, and why."""
        if n < 2 * self.window:
            return None, "too_few_rows"
        if [index for index, _ in self._rows] != list(range(n - self.window, n)):
            return None, "rows_not_recorded"
        before = n - self.window
        first = self._rows[0][1]
        scores = np.full((first.shape[0], n), np.nan)
        scores[:, :before] = n * np.mean([row[:, :before] for _, row in self._rows], axis=0)
        return scores, ""


def _by_site(stored: xr.DataArray, per: str) -> Floats:
    """What has the axes layer, head and key as (site, key): averaging comes before the rule."""
    values = np.asarray(stored.transpose("layer", "head", "key").values, dtype=np.float64)
    if per == "layer":
        return np.asarray(values.mean(axis=1))
    if per == "overall":
        return np.asarray(values.mean(axis=(0, 1))[None])
    return values.reshape(-1, values.shape[-1])


def _prompt_rows(
    tree: xr.DataTree, prefix: str, layers: list[int], heads: list[int], per: str, window: int,
) -> list[tuple[int, Floats]]:
    """The last rows of a causal trace's prompt, where its maps are stored."""
    stored = variable(tree, prefix + "maps/attention")
    if stored is None or stored.sizes["map_step"] == 0:
        return []
    prompt = int(tree.attrs["prompt_length"])
    queries = labels(tree, "query")
    result = []
    for index in range(max(0, prompt - window), prompt):
        found = np.flatnonzero(queries == index)
        if len(found):
            row = stored.isel(map_step=0, layer=layers, head=heads, query=int(found[0]))
            result.append((index, _by_site(row, per)))
    return result
