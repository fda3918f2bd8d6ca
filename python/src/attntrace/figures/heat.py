"""Figures by layer and head, and one map of attention."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..errors import AttntraceError
from ..result_files import Cohort, Results
from ..trace import Trace
from .sources import Source, as_results, first_of
from .style import COLOURS, COLUMN, PAGE, SHADES, SINK, Drawing, panel_title, shown, styled

UNITS = {
    "sum": "received sum", "mean": "received mean", "percent": "received mean (%)", "ratio": "received over uniform",
    "window": "window score"}


def by_head(found: Results | Cohort, quantity: str, group: str | None = None) -> xr.DataArray:
    """A quantity by layer and head: of a trace, or the mean over a cohort's traces."""
    if isinstance(found, Results):
        return found.array(quantity)
    statistics = found.statistics(quantity, group=group)
    return statistics["mean"].assign_attrs(statistics.attrs)


def draw_grid(axes: Axes, values: xr.DataArray, label: str, figure: Drawing) -> None:
    """Layers up, heads across; white where undefined."""
    # Where all is 0, or undefined, it is shown as that and not as the middle of the scale.
    largest = float(values.max())
    image = axes.imshow(
        values.transpose("layer", "head").values, cmap=SHADES, vmin=0, vmax=largest if largest > 0 else 1, origin="lower",
        aspect="auto", interpolation="nearest")
    for axis, name in ((axes.xaxis, "head"), (axes.yaxis, "layer")):
        names = values[name].values
        every = max(1, int(np.ceil(len(names) / 16)))
        axis.set_ticks(range(0, len(names), every), [str(each) for each in names[::every]])
    axes.set_xlabel("head")
    axes.set_ylabel("layer")
    axes.spines[["top", "right"]].set_visible(True)
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=25)
    bar.set_label(label)
    bar.outline.set_linewidth(0.6)


def long_form(values: xr.DataArray, name: str) -> pd.DataFrame:
    """A row a value."""
    return values.rename(name).to_dataframe().reset_index()[[*values.dims, name]]


@styled
def head_scores(source: Source, *, group: str | None = None) -> Drawing:
    """The largest score of any key, mean over steps, by layer and head (Rulli et al., arXiv 2510.15731, Fig. 3)."""
    found = as_results(source)
    name = first_of(found, "top_score")
    if name is None:
        raise AttntraceError(found.path, "top_score", "not in these results; run attntrace analyze")
    values = by_head(found, name, group)
    figure = Drawing(COLUMN, 2.5)
    unit = str(values.attrs["units"])
    label = "top score: " + UNITS.get(unit, unit)
    draw_grid(figure.subplots(), values, label, figure)
    figure.numbers = long_form(values, name)
    figure.caption = (
        f"Largest score of any key ({UNITS.get(unit, unit)}), mean over steps, by layer and head{_of(found, name, group)}.")
    return figure


def _of(found: Results | Cohort, quantity: str, group: str | None) -> str:
    """Whose numbers a cohort's figure shows; nothing for one trace."""
    if isinstance(found, Results):
        return ""
    count = int(found.statistics(quantity, group=group)["n"].max())
    return f", mean over {count} traces" + (f" of {group}" if group else "")


@styled
def retrieval(found: Results | Cohort, *, group: str | None = None) -> Drawing:
    """Retrieval score by layer and head, and the heads in order of it (Wu et al., arXiv 2404.15574)."""
    if "retrieval_score" not in found:
        raise AttntraceError(
            found.path, "retrieval_heads", "not in these results: it takes a prompt with a document marked gold")
    values = by_head(found, "retrieval_score", group)
    if not bool(values.notnull().any()):
        raise AttntraceError(found.path, "retrieval_score", "undefined: no document of the prompt is marked gold")
    figure = Drawing(PAGE * 0.8, 2.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    draw_grid(left, values, "retrieval score", figure)
    panel_title(left, 0, "by head")
    table = long_form(values, "retrieval_score").dropna().sort_values(
        ["retrieval_score", "layer", "head"], ascending=[False, True, True], ignore_index=True)
    table["rank"] = np.arange(1, len(table) + 1)
    right.plot(table["rank"], table["retrieval_score"], color=COLOURS[0])
    right.fill_between(table["rank"], 0, table["retrieval_score"], color=COLOURS[0], alpha=0.18, linewidth=0)
    best = [f"L{row.layer}H{row.head}" for row in table.head(3).itertuples() if row.retrieval_score > 0]
    if best:
        right.annotate(
            "first: " + ", ".join(best), (0.97, 0.93), xycoords="axes fraction", ha="right", va="top", fontsize=7)
    right.set_xlabel("head, in order")
    right.set_ylabel("retrieval score")
    right.set_ylim(0, None if table["retrieval_score"].max() > 0 else 1)
    right.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    panel_title(right, 1, "in order")
    figure.numbers = table
    figure.caption = "Retrieval score: copies of evidence tokens over tokens of the evidence, by layer and head"
    figure.caption += f"{_of(found, 'retrieval_score', group)}."
    return figure


@styled
def attention_map(
    trace: Trace, step: int, layer: int, head: int, *, queries: slice | None = None, keys: slice | None = None,
    second_pass: bool = False,
) -> Drawing:
    """One map with the tokens that the step was fed on both axes; the sinks of the step (rule `excess`) are hatched.

    `queries` and `keys` cut out a part, by position.
    """
    whole = trace.map(step, layer, head, second_pass=second_pass)
    weights = whole.sel(query=queries or slice(None), key=keys or slice(None))
    if weights.size == 0:
        raise AttntraceError(str(trace.encoding.get("source", "")), "queries, keys", "nothing is left of the map")
    figure = Drawing(PAGE * 0.75, PAGE * 0.75 * min(1.0, weights.shape[0] / weights.shape[1] + 0.15))
    axes = figure.subplots()
    image = axes.imshow(
        weights.values, cmap=SHADES, norm=PowerNorm(0.5, 0, max(float(weights.max()), 1e-6)), interpolation="nearest",
        aspect="auto")
    _token_axis(axes, "x", weights["key"].values, weights["key_token"].values)
    _token_axis(axes, "y", weights["query"].values, weights["query_token"].values)
    axes.set_xlabel("key")
    axes.set_ylabel("query")
    axes.spines[["top", "right"]].set_visible(True)
    sinks = _sinks_at(trace, step, layer, head, second_pass)
    for place, key in enumerate(weights["key"].values.tolist()):
        if key in sinks:
            axes.axvspan(place - 0.5, place + 0.5, facecolor="none", edgecolor=SINK, hatch="////", linewidth=0, alpha=0.55)
            axes.plot(place, -0.5, marker="v", color=SINK, markersize=4, clip_on=False)
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
    bar.set_label("attention (square-root scale)")
    bar.outline.set_linewidth(0.6)
    axes.set_title(f"step {step}, layer {layer}, head {head}", pad=7)
    axes.set_ylim(weights.shape[0] - 0.5, -0.5)
    figure.numbers = weights.drop_vars(["step", "layer", "head"]).to_dataframe().reset_index()
    figure.numbers["key_is_sink"] = figure.numbers["key"].isin(sinks)
    figure.caption = f"Attention at step {step}, layer {layer}, head {head}. Hatched, and marked above: sinks (excess)."
    return figure


def _sinks_at(trace: Trace, step: int, layer: int, head: int, second_pass: bool) -> set[int]:
    if "received" not in trace.signals:
        return set()
    until = trace if not trace.is_causal else trace.sel(step=slice(None, step))
    part = until if trace.is_causal else trace.sel(step=[step])
    assert isinstance(part, Trace)
    found = part.sinks(layers=[layer], heads=[head], second_pass=second_pass)
    return set(found.loc[found["step"] == step, "position"].astype(int).tolist())


def _token_axis(axes: Axes, which: str, positions: NDArray[np.int32], tokens: NDArray[np.str_]) -> None:
    """A tick a token where they fit, else every so many positions."""
    every = max(1, int(np.ceil(len(positions) / 52)))
    places = range(0, len(positions), every)
    size = 6.5 if len(positions) / every <= 36 else 5
    axis = axes.xaxis if which == "x" else axes.yaxis
    if every == 1:
        names = [shown(tokens[place]) for place in places]
    else:
        names = [f"{positions[place]} {shown(tokens[place], 7)}" for place in places]
    axis.set_ticks(list(places), names, fontsize=size)
    if which == "x":
        axes.tick_params(axis="x", rotation=90)
