"""Where figures take numbers from: results of `attntrace analyze`, or a trace measured here by the same definitions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..received import Floats, Frame, frames
from ..result_files import Cohort, Quantity, Results
from ..selection import labels, source
from ..sinks import Rule, checked_rule
from ..trace import Trace

Source = Trace | Results | Cohort

EVERYTHING = "all traces"
"""The name of a cohort without groups."""

SWEEP = tuple(float(epsilon) for epsilon in range(11))


@dataclass(frozen=True)
class Line:
    """A number along an axis with its band."""

    label: str
    x: NDArray[np.float64]
    mean: Floats
    low: Floats
    high: Floats
    band: str
    """What the band is; empty where there is none."""
    is_causal: bool
    quantity: str


def as_results(given: Source) -> Results | Cohort:
    """Results as they are; a trace measured."""
    return measured(given) if isinstance(given, Trace) else given


def model_name(found: Results) -> str:
    """The model that a result is of."""
    return str(found.trace.get("provenance", {}).get("model", found.path))


def first_of(found: Results | Cohort, *names: str) -> str | None:
    """The first of some quantities that is there, in its own name or that of running sums."""
    for name in names:
        for each in (name, "cumulative_" + name):
            if each in found:
                return each
    return None


def lines(found: Results | Cohort, quantity: str, axis: str = "layer") -> list[Line]:
    """A quantity along an axis: of one trace the mean over heads, and how far heads spread; of a cohort the mean over
    traces of each group with its interval. Quantities of running sums are lines of their own."""
    result: list[Line] = []
    for name in (quantity, "cumulative_" + quantity):
        if isinstance(found, Results):
            if name in found:
                result.append(_of_one(found, name, axis))
            elif f"{name}_by_{axis}" in found:
                result.append(_of_one(found, f"{name}_by_{axis}", axis))
            continue
        whole = f"{name}_by_{axis}" if f"{name}_by_{axis}" in found else name
        if whole not in found:
            continue
        for group in _groups(found):
            statistics = found.statistics(whole, group=group)
            if statistics.sizes.keys() != {axis} or not statistics["mean"].notnull().any():
                continue
            few = bool((statistics["n"] < 2).all())
            percent = 100 * float(found.cohort.get("confidence", 0.95))
            result.append(Line(
                group or EVERYTHING, _along(statistics[axis].values), statistics["mean"].values,
                statistics["low"].values, statistics["high"].values,
                "" if few else f"{percent:g} % interval of the mean over traces", name.startswith("cumulative_"), whole))
    return result


def collected(sources: Sequence[Source], quantity: str, axis: str = "layer") -> list[Line]:
    """The lines of several sources; a name that two of them have says which of them it is, in all panels alike."""
    found = [as_results(each) for each in sources]
    names = Counter(name for each in found for name in _names(each))
    return [
        replace(line, label=f"{line.label} ({told})") if names[line.label] > 1 else line
        for each, told in zip(found, told_apart([each.path for each in found])) for line in lines(each, quantity, axis)]


def told_apart(paths: Sequence[str]) -> list[str]:
    """The name of each file, with as many folders before it as tell it from the others; what is given twice is numbered."""
    parts = [Path(os.path.abspath(path)).parts for path in paths]
    result = []
    for place, own in enumerate(parts):
        others = {other for other in parts if other != own}
        length = next((n for n in range(1, len(own)) if all(other[-n:] != own[-n:] for other in others)), len(own))
        name = str(Path(*own[-length:]))
        result.append(f"{name}, {parts[:place].count(own) + 1}" if parts.count(own) > 1 else name)
    return result


def _names(found: Results | Cohort) -> list[str]:
    """What the lines of a source are called."""
    return [model_name(found)] if isinstance(found, Results) else [group or EVERYTHING for group in _groups(found)]


def _groups(found: Cohort) -> list[str | None]:
    """The groups, or None for all traces together."""
    return [*found.groups] if found.groups else [None]


def _of_one(found: Results, name: str, axis: str) -> Line:
    values = found.array(name)
    is_causal = name.startswith("cumulative_")
    if "head" not in values.dims:
        mean = values.values
        return Line(
            model_name(found), _along(values[axis].values), mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan), "",
            is_causal, name)
    over_heads = values.transpose(axis, "head").values
    known = np.sum(~np.isnan(over_heads), axis=1)
    mean, spread = mean_of_known(over_heads), np.full(len(over_heads), np.nan)
    spread[known > 1] = np.nanstd(over_heads[known > 1], axis=1, ddof=1)
    return Line(
        model_name(found), _along(values[axis].values), mean, mean - spread, mean + spread,
        "± 1 s.d. over heads" if np.any(known > 1) else "", is_causal, name)


def mean_of_known(rows: Floats) -> Floats:
    """The mean of each row over the values that are defined; NaN where none is."""
    known = ~np.isnan(rows)
    count = known.sum(axis=1)
    sums = np.where(known, rows, 0).sum(axis=1)
    return np.asarray(np.divide(sums, count, out=np.full(len(rows), np.nan), where=count > 0))


def _along(values: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def measured(trace: Trace, rule: str = "excess") -> Results:
    """The numbers behind the figures, of received sums, in NumPy: absorption, top scores and the sweep of epsilon.

    Named and defined as in docs/metrics.md, and tested to equal `attntrace analyze`. One pass in bounded memory.
    """
    layers, heads = labels(trace, "layer").tolist(), labels(trace, "head").tolist()
    shape = (len(layers), len(heads))
    asked = checked_rule(trace, rule)
    top = checked_rule(trace, "top")
    sweep = [checked_rule(trace, "excess", epsilon=epsilon) for epsilon in SWEEP]
    named = {"top_key": top, asked.name: asked}
    absorbed = {name: _Mean(shape) for name in named}
    first, scored = _Mean(shape), _Mean(shape)
    spared = [_Mean(shape) for _ in sweep]
    for frame in frames(trace, list(range(shape[0])), list(range(shape[1])), "head", asked.window):
        for name, each in named.items():
            found = _judged(each, frame)
            if found is not None:
                share = 100 * np.where(found[1], frame.received, 0).sum(axis=1) / frame.rows
                absorbed[name].add(share.reshape(shape))
        first.add((100 * frame.received[:, 0] / frame.rows).reshape(shape))
        scores, _ = sweep[0].scores(frame)
        if scores is not None and not np.isnan(scores).all():
            scored.add(np.nanmax(scores, axis=1).reshape(shape))
        for mean, each in zip(spared, sweep):
            found = _judged(each, frame)
            if found is not None:
                known = np.count_nonzero(~np.isnan(found[0]), axis=1)
                mean.add((100 * (known - found[1].sum(axis=1)) / known).reshape(shape))

    prefix = "cumulative_" if trace.is_causal else ""
    of_scores = "" if sweep[0].unit == "window" else prefix
    axes = {"layer": layers, "head": heads}
    quantities = [
        Quantity("absorption", f"{prefix}absorption_{name}", "percent", f"share of all attention on sinks of {named[name]}",
                 axes, mean.value())
        for name, mean in absorbed.items()]
    quantities.append(Quantity(
        "absorption", prefix + "absorption_first_token", "percent", "share of all attention on the first token", axes,
        first.value()))
    quantities.append(Quantity(
        "score_by_head", of_scores + "top_score", sweep[0].unit, "largest score of any key, mean over steps", axes,
        scored.value()))
    by_layer = np.stack([mean.by_layer() for mean in spared], axis=1)
    meaning = "percent of visible keys with a score that are no sinks, mean over heads and steps"
    quantities.append(Quantity(
        "epsilon_sweep", of_scores + "not_sinks_excess_by_layer", "percent", meaning,
        {"layer": layers, "epsilon": list(SWEEP)}, by_layer))
    quantities.append(Quantity(
        "epsilon_sweep", of_scores + "not_sinks_excess", "percent", meaning + ", mean over layers",
        {"epsilon": list(SWEEP)}, mean_of_known(by_layer.T)))
    provenance = {"model": trace.attrs["model_name"], "causality": trace.attrs["causality"]}
    of = {"path": source(trace), "content_sha256": trace.attrs["content_sha256"] or None, "provenance": provenance}
    parameters: dict[str, dict[str, Any]] = {
        "absorption": {"rules": [str(top), str(asked)]},
        "epsilon_sweep": {"excess_unit": sweep[0].unit}}
    return Results(source(trace), 0, {}, of, "none", {}, quantities, parameters)


def _judged(rule: Rule, frame: Frame) -> tuple[Floats, NDArray[np.bool_]] | None:
    """Scores and which keys are sinks; None where undefined."""
    scores, _ = rule.scores(frame)
    if scores is None:
        return None
    found, why = rule.judge(scores, frame.rows)
    return None if why else (scores, found)


class _Mean:
    """A mean over the steps that have a value."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.sum = np.zeros(shape)
        self.count = 0

    def add(self, values: Floats) -> None:
        self.sum += values
        self.count += 1

    def value(self) -> Floats:
        return self.sum / self.count if self.count else np.full(self.sum.shape, np.nan)

    def by_layer(self) -> Floats:
        return np.asarray(self.value().mean(axis=1))
