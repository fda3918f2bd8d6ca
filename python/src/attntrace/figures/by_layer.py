"""Figures of numbers along the layers: absorption, the contrast on like rows, the terms of q.k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..errors import AttntraceError
from ..result_files import Cohort, Results
from .sources import Line, Source, as_results, collected, first_of, lines
from .style import COLOURS, MARKERS, PAGE, Drawing, panel_title, styled


def draw_lines(axes: Axes, drawn: Sequence[Line], styles: Sequence[int], labels: Sequence[str] | None = None) -> None:
    """Lines with bands; each style has a colour, a marker and a dash of its own."""
    dashes = ("-", "--", "-.", ":")
    for place, (line, style) in enumerate(zip(drawn, styles)):
        colour = COLOURS[style % len(COLOURS)]
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(
            line.x, line.mean, color=colour, marker=MARKERS[style % len(MARKERS)], linestyle=dashes[style % len(dashes)],
            label=(labels or [each.label for each in drawn])[place])


def styles_of(drawn: Sequence[Line], everything: Sequence[Line]) -> list[int]:
    """A style a name, whatever the order: a model looks the same in all figures of the same models."""
    names = sorted({line.label for line in everything})
    return [names.index(line.label) for line in drawn]


def table(panel: str, drawn: Sequence[Line], axis: str = "layer") -> pd.DataFrame:
    """The numbers of a panel."""
    return pd.concat([
        pd.DataFrame({
            "panel": panel, "line": line.label, "quantity": line.quantity,
            axis: line.x.astype(np.int64) if axis == "layer" else line.x, "mean": line.mean, "low": line.low,
            "high": line.high})
        for line in drawn], ignore_index=True)


def whole_layers(axes: Axes) -> None:
    """Layers are counted."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=2))
    axes.set_xlabel("layer")


def bands_of(panels: Sequence[Sequence[Line]]) -> str:
    """What the bands of panels (a), (b), ... are, and which of them and of their lines have none, for a caption."""
    kinds = sorted({line.band for panel in panels for line in panel if line.band})
    if not kinds:
        return ""
    bare: list[str] = []
    for place, panel in enumerate(panels):
        without = [line.label for line in panel if not line.band]
        where = f"({chr(ord('a') + place)})" if len(panels) > 1 else ""
        if where and without and len(without) == len(panel):
            bare.append(where)
        else:
            bare += [f"{name} {where}".strip() for name in without]
    return " Bands: " + "; ".join(kinds) + ("; none: " + ", ".join(bare) if bare else "") + "."


@styled
def absorption(*sources: Source) -> Drawing:
    """How much of all attention sinks take, by layer (Dai et al., arXiv 2601.07894).

    Of traces (or their results) the mean over heads; of cohorts a line a group with the interval of the mean over traces.
    Panels: the key of the largest sum, the sinks of the rule, the first token. Autoregressive traces, whose numbers are of
    running sums, have a row of their own.
    """
    found = [as_results(each) for each in sources]
    rule = next((
        name for name in ("excess", "deviation", "share", "top")
        if any(first_of(each, f"absorption_{name}", f"absorption_{name}_by_layer") for each in found)), None)
    if rule is None:
        raise AttntraceError(found[0].path if found else "", "absorption", "no such numbers; run attntrace analyze")
    panels = {
        "top key": "absorption_top_key", f"sinks ({rule})": f"absorption_{rule}", "first token": "absorption_first_token"}
    drawn = {title: collected(found, quantity) for title, quantity in panels.items()}
    everything = [line for each in drawn.values() for line in each]
    kinds = [kind for kind in (False, True) if any(line.is_causal == kind for line in everything)]
    figure = Drawing(PAGE, 1.95 * len(kinds) + 0.1)
    grid = figure.subplots(len(kinds), len(panels), sharex="col", sharey="row", squeeze=False)
    tables, panels_drawn = [], []
    for row, kind in enumerate(kinds):
        for column, (title, all_lines) in enumerate(drawn.items()):
            axes, chosen = grid[row, column], [line for line in all_lines if line.is_causal == kind]
            draw_lines(axes, chosen, styles_of(chosen, everything))
            panels_drawn.append(chosen)
            if row == len(kinds) - 1:
                whole_layers(axes)
            if chosen:
                tables.append(table(title, chosen))
            panel_title(axes, row * len(panels) + column, title)
        grid[row, 0].set_ylabel("% of attention so far\n(running sums)" if kind else "% of all attention")
        grid[row, 0].set_ylim(bottom=0)
    if len({line.label for line in everything}) > 1:
        _legend_above(figure)
    figure.numbers = pd.concat(tables, ignore_index=True)
    figure.caption = "Absorption: share of all attention on sinks, by layer." + bands_of(panels_drawn)
    return figure


@styled
def contrast(*sources: Results | Cohort) -> Drawing:
    """A diffusion and an autoregressive model on like rows: what the top key, and the first, take of windows of rows that
    scored emitted tokens (`answer_shares`)."""
    panels = {"top key": "window_absorption", "first key": "window_first_key_share"}
    drawn = {title: collected(sources, quantity) for title, quantity in panels.items()}
    if not all(drawn.values()):
        raise AttntraceError(sources[0].path if sources else "", "answer_shares", "not in these results")
    everything = [line for each in drawn.values() for line in each]
    figure = Drawing(PAGE * 0.7, 2.05)
    grid = figure.subplots(1, 2, sharey=True)
    for place, (title, chosen) in enumerate(drawn.items()):
        draw_lines(grid[place], chosen, styles_of(chosen, everything))
        whole_layers(grid[place])
        panel_title(grid[place], place, title)
    grid[0].set_ylim(bottom=0)
    grid[0].set_ylabel("share of a window's attention")
    _legend_above(figure)
    figure.numbers = pd.concat([table(title, chosen) for title, chosen in drawn.items()], ignore_index=True)
    figure.caption = (
        "Windows of rows that scored emitted tokens: what the top key and the first key take, by layer."
        + bands_of(list(drawn.values())))
    return figure


@styled
def triptych(found: Results | Cohort, *, group: str | None = None) -> Drawing:
    """The score q.k / sqrt(d), its cosine and the product of norms, on sinks and on other keys, by layer (Dai et al., arXiv
    2601.07894). From recorded vectors where there are, else from maps, log-sum-exp and norms."""
    route = next((route for route in ("vector", "map")
                  if first_of(found, f"{route}_cosine_on_sinks", f"{route}_cosine_on_sinks_by_layer")), None)
    if route is None:
        raise AttntraceError(
            found.path, "qk_decomposition",
            "not in these results: it takes a trace with --record qk, or with maps and --signals norms")
    panels = {
        "score": ("logit", "q·k / √d (nat)"), "cosine": ("cosine", "cos(q, k)"),
        "norms": ("norm_product", "|q| |k|")}
    figure = Drawing(PAGE, 2.05)
    grid = figure.subplots(1, 3)
    tables, panels_drawn = [], []
    for place, (title, (term, label)) in enumerate(panels.items()):
        pair, names = [], []
        for side, name in (("on_sinks", "sinks"), ("on_others", "other keys")):
            chosen = lines(found, f"{route}_{term}_{side}")
            if isinstance(found, Cohort) and group is not None:
                chosen = [line for line in chosen if line.label == group]
            pair += chosen[:1]
            names += [name] * len(chosen[:1])
        # Sinks have the colour that they have in all figures.
        draw_lines(grid[place], pair, [1 if name == "sinks" else 0 for name in names], names)
        grid[place].set_ylabel(label)
        whole_layers(grid[place])
        panel_title(grid[place], place, title)
        panels_drawn.append([replace(line, label=name) for line, name in zip(pair, names)])
        for line, name in zip(pair, names):
            tables.append(table(title, [line]).assign(line=name))
    _legend_above(figure)
    figure.numbers = pd.concat(tables, ignore_index=True)
    covered = (
        "" if route == "vector" else
        " From stored maps: only pairs whose weight is at least 2^-14, which leaves out the small scores.")
    figure.caption = "Terms of q·k on sinks and on other keys, by layer." + covered + bands_of(panels_drawn)
    return figure


def _legend_above(figure: Drawing) -> None:
    """One legend above all panels, where it covers nothing; each line once."""
    named = {
        name: handle for axes in figure.axes for handle, name in zip(*axes.get_legend_handles_labels())}
    figure.legend(list(named.values()), list(named), loc="outside upper center", ncols=min(4, len(named)))
