"""Temporal drift: where attention goes, step by step, with the sinks hatched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import PowerNorm
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from ..errors import AttntraceError
from ..received import Floats, frames
from ..selection import labels, needed, places, source
from ..trace import Trace
from .style import COLOURS, PAGE, SHADES, SINK, Drawing, panel_title, shown, styled


@styled
def drift(
    trace: Trace, *, layers: Iterable[int] | None = None, rule: str = "excess", tokens: int = 10, **options: Any,
) -> Drawing:
    """What each position receives, c_j, heads averaged: position across, step down, a panel a layer; the layer's sinks hatched
    (Dai et al., arXiv 2601.07894).

    Args:
        layers: at most 6; by default four spread over the recorded ones.
        rule, options: as of `Trace.sinks`, per layer.
        tokens: how many positions, those longest a sink, are named by their token above the first row.
    """
    known = labels(trace, "layer").tolist()
    chosen = sorted(set(layers)) if layers is not None else _spread(known, 4)
    if not 1 <= len(chosen) <= 6:
        raise AttntraceError(source(trace), "layers", f"{len(chosen)} of them: 1 to 6 fit one figure")
    steps = labels(trace, "step")
    if np.any(np.diff(steps) != 1):
        raise AttntraceError(source(trace), "step", "steps that follow one another are drawn; select them as slice(3, 9)")
    first_step = int(steps[0]) if len(steps) else 0
    received = received_mean(trace, chosen)
    sinks = trace.sinks(rule, per="layer", layers=chosen, **options)

    across = min(2, len(chosen))
    down = -(-len(chosen) // across)
    figure = Drawing(PAGE, 2.15 * down + 0.55, gap=0.05)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    brightest = float(np.nanmax(received)) if received.size and not np.isnan(received).all() else 1.0
    image = None
    for place, layer in enumerate(chosen):
        axes = grid[place // across, place % across]
        image = axes.imshow(
            received[place], cmap=SHADES, norm=PowerNorm(0.5, 0, brightest), aspect="auto", interpolation="nearest",
            extent=(-0.5, received.shape[2] - 0.5, first_step + received.shape[1] - 0.5, first_step - 0.5))
        of_layer = sinks[sinks["layer"] == layer]
        _hatch(axes, of_layer)
        _unmasked(axes, trace)
        panel_title(axes, place, f"layer {layer}", pad=34 if tokens else 4)
        _name_tokens(axes, trace, of_layer, tokens)
        axes.spines[["top", "right"]].set_visible(True)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        if place // across == down - 1 or place + across >= len(chosen):
            axes.set_xlabel("position")
        if place % across == 0:
            axes.set_ylabel("generated token" if trace.is_causal else "denoising step")
    for place in range(len(chosen), across * down):
        grid[place // across, place % across].remove()
    if image is not None:
        bar = figure.colorbar(image, ax=grid, pad=0.01, aspect=40)
        bar.set_label("received mean" + (" so far" if trace.is_causal else "") + " (√ scale)")
        bar.outline.set_linewidth(0.6)
    handles = [Patch(facecolor="none", edgecolor=SINK, hatch="//////", linewidth=0.6, label=f"sink ({sinks.attrs['rule']})")]
    if not trace.is_causal:
        handles.append(Patch(facecolor=COLOURS[6], label="unmasked at this step"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)

    figure.numbers = _numbers(trace, chosen, received, sinks)
    so_far = " of the rows so far" if trace.is_causal else ""
    figure.caption = (
        f"Received mean{so_far} by position and step, heads averaged. Hatched: sinks of the layer, {sinks.attrs['rule']}."
        + ("" if trace.is_causal else " Black: the step that unmasked the position.")
        + " The dashed line ends the prompt.")
    return figure


def received_mean(trace: Trace, layers: Sequence[int]) -> Floats:
    """c_j = s_j / v(j), heads averaged, (layer, step, key): the metric `drift_map`. NaN at keys not yet seen."""
    steps, keys = labels(trace, "step"), labels(trace, "key")
    result = np.full((len(layers), len(steps), len(keys)), np.nan)
    heads = list(range(len(labels(trace, "head"))))
    for place, frame in enumerate(frames(trace, places(trace, "layer", layers), heads, "layer", window=1)):
        result[:, place, : frame.received.shape[1]] = frame.received / frame.visible
    return result


def _spread(values: list[int], count: int) -> list[int]:
    if len(values) <= count:
        return values
    return sorted({values[round(place)] for place in np.linspace(0, len(values) - 1, count)})


def _hatch(axes: Axes, sinks: pd.DataFrame) -> None:
    """A hatched bar for each run of steps in which a position is a sink."""
    bars = []
    for position, steps in sinks.groupby("position")["step"]:
        sorted_steps = np.sort(steps.to_numpy())
        for run in np.split(sorted_steps, np.flatnonzero(np.diff(sorted_steps) > 1) + 1):
            bars.append(Rectangle((float(position) - 0.5, run[0] - 0.5), 1, run[-1] - run[0] + 1))
    axes.add_collection(
        PatchCollection(bars, facecolor="none", edgecolor=SINK, hatch="//////", linewidth=0.5), autolim=False)


def _unmasked(axes: Axes, trace: Trace) -> None:
    """Where the prompt ends, and of a diffusion trace the step that unmasked each position."""
    axes.axvline(trace.attrs["prompt_length"] - 0.5, color="black", linewidth=0.6, linestyle=(0, (3, 2)))
    if trace.is_causal:
        return
    step = np.asarray(needed(trace, "unmask_step", "timeline").values)
    position = labels(trace, "position")
    bars = [Rectangle((x - 0.5, y - 0.5), 1, 1) for x, y in zip(position[step >= 0], step[step >= 0])]
    axes.add_collection(PatchCollection(bars, facecolor=COLOURS[6], edgecolor="none"), autolim=False)


def _name_tokens(axes: Axes, trace: Trace, sinks: pd.DataFrame, count: int) -> None:
    """Names the positions that are longest a sink above the panel, as far apart as letters need."""
    if sinks.empty or count == 0:
        return
    apart = max(2.0, trace.sizes["key"] / 26)
    named: list[int] = []
    for position in sinks["position"].value_counts(sort=True).index:
        if len(named) < count and all(abs(position - other) >= apart for other in named):
            named.append(int(position))
    text = {int(row.position): shown(str(row.token), 9) for row in sinks.itertuples()}
    top = axes.secondary_xaxis("top")
    top.set_xticks(sorted(named), [text[position] for position in sorted(named)], rotation=60, ha="left", fontsize=6,
                   rotation_mode="anchor")
    top.tick_params(length=2, pad=1)


def _numbers(trace: Trace, layers: Sequence[int], received: Floats, sinks: pd.DataFrame) -> pd.DataFrame:
    index = pd.MultiIndex.from_product(
        [layers, labels(trace, "step").tolist(), labels(trace, "key").tolist()], names=["layer", "step", "position"])
    table = pd.DataFrame({"received_mean": received.ravel()}, index=index)
    is_sink = pd.MultiIndex.from_frame(sinks[["layer", "step", "position"]].astype(int))
    table["is_sink"] = table.index.isin(is_sink)
    return table.reset_index().dropna(subset=["received_mean"]).reset_index(drop=True)
