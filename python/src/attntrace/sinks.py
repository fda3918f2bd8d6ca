"""Sink rules, as docs/metrics.md defines them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from .errors import AttntraceError
from .received import Floats, Frame, frames
from .selection import labels, places, source
from .tokens import ids_at, texts_of, vocabulary

UNITS = {"excess": "sum", "deviation": "mean", "share": "mean", "top": "sum"}
"""The unit of each rule unless another is asked for (`excess` in causal traces: window)."""

PARAMETERS = {"excess": {"epsilon"}, "deviation": {"z", "fallback"}, "share": {"epsilon"}, "top": {"count"}}
"""What each rule has besides its unit."""


@dataclass(frozen=True)
class Rule:
    """A rule with its unit and parameters."""

    name: str
    unit: str
    epsilon: float
    z: float
    count: int
    fallback: bool
    window: int

    def __str__(self) -> str:
        parts = [self.name, f"unit={self.unit}"]
        if self.unit == "window":
            parts.append(f"window={self.window}")
        if self.name in ("excess", "share"):
            parts.append(f"epsilon={self.epsilon:g}")
        if self.name == "deviation":
            parts.append(f"z={self.z:g}" + (" fallback=top" if self.fallback else ""))
        if self.name == "top":
            parts.append(f"count={self.count}")
        return " ".join(parts)

    def scores(self, frame: Frame) -> tuple[Floats | None, str]:
        """Scores of the visible keys in the rule's unit, (site, key); None where undefined, and why."""
        if self.unit == "window":
            return frame.window, frame.why
        if self.unit == "sum":
            return frame.received, ""
        if self.unit == "ratio":
            return frame.received / frame.uniform, ""
        return (100 if self.unit == "percent" else 1) * frame.received / frame.visible, ""

    def judge(self, scores: Floats, rows: int) -> tuple[NDArray[np.bool_], str]:
        """Which keys are sinks, (site, key); where the rule has no answer, why, and all False."""
        nothing = np.zeros(scores.shape, dtype=bool)
        known = ~np.isnan(scores[0]) if len(scores) else np.zeros(scores.shape[1], dtype=bool)
        m = int(known.sum())
        if m == 0 or (self.name == "excess" and m < 2):
            return nothing, "too_few_keys"
        keys = scores.shape[1]
        reach = {"sum": rows, "mean": 1, "percent": 100, "ratio": keys, "window": keys}[self.unit]
        found = nothing
        values = scores[:, known]
        if self.name in ("excess", "share") and self.epsilon >= reach:
            return nothing, "cannot_fire"
        if self.name == "excess":
            others = (values.sum(axis=1, keepdims=True) - values) / (m - 1)
            found[:, known] = values > others + self.epsilon
        elif self.name == "share":
            found[:, known] = values > self.epsilon
        elif self.name == "top":
            found[:, known] = _largest(values, self.count)
        else:
            can_fire = m - 1 > self.z**2
            if not can_fire and not self.fallback:
                return nothing, "cannot_fire"
            # Taken from the first, so that equal scores have a deviation of exactly 0.
            relative = values - values[:, :1]
            above = relative > relative.mean(axis=1, keepdims=True) + self.z * relative.std(axis=1, keepdims=True)
            if not can_fire:
                above[:] = False
            if self.fallback:
                above |= _largest(values, 1) & ~above.any(axis=1, keepdims=True)
            found[:, known] = above
        return found, ""


def _largest(values: Floats, count: int) -> NDArray[np.bool_]:
    """The largest of each row, ties to the smaller position."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    found = np.zeros(values.shape, dtype=bool)
    np.put_along_axis(found, order, True, axis=1)
    return found


def checked_rule(
    tree: xr.DataTree, name: str, *, epsilon: float | None = None, z: float | None = None, count: int | None = None,
    fallback: bool = False, unit: str | None = None, window: int | None = None,
) -> Rule:
    """A rule for a trace; None takes its default. AttntraceError where there is none of that name, it has no meaning here, or
    it does not have a parameter that is given."""

    def refuse(object: str, rule: str) -> AttntraceError:
        return AttntraceError(source(tree), object, rule)

    if name not in UNITS:
        raise refuse(f"rule = {name!r}", "rules are " + ", ".join(UNITS))
    given = {"epsilon": epsilon, "z": z, "count": count, "fallback": fallback or None}
    for parameter, value in given.items():
        if value is not None and parameter not in PARAMETERS[name]:
            raise refuse(f"{parameter} = {value}", f"the rule {name!r} does not have it")
    is_causal = tree.attrs["causality"] == "causal"
    chosen = unit if unit is not None else "window" if name == "excess" and is_causal else UNITS[name]
    if chosen not in ("sum", "mean", "percent", "ratio", "window"):
        raise refuse(f"unit = {chosen!r}", "units are sum, mean, percent, ratio, window")
    if chosen == "window" and not is_causal:
        raise refuse("unit = 'window'", "needs a causal trace: a diffusion step sees all its rows at once")
    if window is not None and chosen != "window":
        raise refuse(f"window = {window}", "it belongs to the unit 'window'")
    count, window = 1 if count is None else count, 16 if window is None else window
    if count < 1:
        raise refuse(f"count = {count}", "at least 1")
    if window < 1:
        raise refuse(f"window = {window}", "at least 1 row")
    threshold = (0.3 if name == "share" else 3.0) if epsilon is None else float(epsilon)
    deviations = 3.0 if z is None else float(z)
    if not np.isfinite(threshold):
        raise refuse(f"epsilon = {epsilon}", "a finite number")
    if not np.isfinite(deviations) or deviations < 0:
        raise refuse(f"z = {z}", "a finite number of at least 0")
    return Rule(name, chosen, threshold, deviations, count, fallback, window)


def sink_frame(
    tree: xr.DataTree, rule: str, *, epsilon: float | None, z: float | None, count: int | None, fallback: bool,
    unit: str | None, window: int | None, per: str, layers: Iterable[int] | None, heads: Iterable[int] | None, second_pass: bool,
) -> pd.DataFrame:
    """A row a sink; see `Trace.sinks`."""
    chosen = checked_rule(
        tree, rule, epsilon=epsilon, z=z, count=count, fallback=fallback, unit=unit, window=window)
    if per not in ("head", "layer", "overall"):
        raise AttntraceError(source(tree), f"per = {per!r}", "one of head, layer, overall")
    layer_places, head_places = places(tree, "layer", layers), places(tree, "head", heads)
    layer_labels = labels(tree, "layer")[layer_places]
    head_labels = labels(tree, "head")[head_places]
    texts = vocabulary(tree)
    site_columns: dict[str, NDArray[np.int32]] = {}
    if per == "head":
        site_columns["layer"] = np.repeat(layer_labels, len(head_labels))
        site_columns["head"] = np.tile(head_labels, len(layer_labels))
    elif per == "layer":
        site_columns["layer"] = layer_labels

    # A causal trace's sums are running sums: what is made of them says so.
    strength = "cumulative_strength" if tree.attrs["causality"] == "causal" else "strength"
    undefined: Counter[str] = Counter()
    parts: list[pd.DataFrame] = []
    for frame in frames(tree, layer_places, head_places, per, chosen.window, second_pass):
        scores, why = chosen.scores(frame)
        if scores is not None:
            found, why = chosen.judge(scores, frame.rows)
        if why or scores is None:
            undefined[why] += len(frame.received)
            continue
        site, position = np.nonzero(found)
        received = frame.received[site, position]
        ids = ids_at(tree, frame.step, np.arange(scores.shape[1], dtype=np.int32), second_pass)
        parts.append(pd.DataFrame({
            "step": np.full(len(site), frame.step, dtype=np.int32),
            **{name: values[site] for name, values in site_columns.items()},
            "position": position.astype(np.int32),
            "score": scores[site, position],
            strength: received / frame.rows,
            strength + "_over_uniform": received / frame.uniform[position],
            "token": texts_of(ids[position], texts).astype(object),
        }))
    columns = ["step", *site_columns, "position", "score", strength, strength + "_over_uniform", "token"]
    result = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    result.attrs = {"rule": str(chosen), "per": per, "undefined": dict(undefined)}
    return result
