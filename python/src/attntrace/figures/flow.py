"""Region flow: what the output of each region is made of after all layers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from ..errors import AttntraceError
from ..result_files import Results
from .style import COLOURS, MARKERS, PAGE, SHADES, Drawing, panel_title, shown, styled


@styled
def region_flow(found: Results) -> Drawing:
    """Attention rollout by region (Abnar and Zuidema 2020; Dai et al., arXiv 2601.07894): the mean over steps, and for each
    region step by step."""
    if "region_flow" not in found:
        raise AttntraceError(found.path, "region_flow", "not in these results: it takes a trace with maps or vectors")
    flow = found.array("region_flow")
    by_step = found.array("region_flow_by_step")
    regions = [str(name) for name in flow["query_region"].values]
    moves = by_step.sizes["step"] > 1
    shown_regions = regions[-3:] if moves else []  # the answer comes last
    figure = Drawing(PAGE, 2.3)
    grid = figure.subplots(1, 1 + len(shown_regions), width_ratios=[1.25] + [1] * len(shown_regions), squeeze=False)[0]
    axes = grid[0]
    image = axes.imshow(flow.values, cmap=SHADES, vmin=0, vmax=1, interpolation="nearest")
    small = len(regions) <= 6
    for (row, column), value in np.ndenumerate(flow.values):
        if small and not np.isnan(value):
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7,
                      color="white" if value > 0.7 else "black")
    names = [shown(name, 12) for name in regions]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("comes from")
    axes.set_ylabel("output of")
    axes.spines[["top", "right"]].set_visible(True)
    panel_title(axes, 0, "mean over steps" if moves else "after all layers")
    if not small:
        figure.colorbar(image, ax=axes, pad=0.02).set_label("share")
    for place, region in enumerate(shown_regions, 1):
        axes = grid[place]
        for which, name in enumerate(regions):
            values = by_step.sel(query_region=region, key_region=name)
            axes.plot(
                values["step"], values, color=COLOURS[which % len(COLOURS)], label=shown(name, 12),
                marker=MARKERS[which % len(MARKERS)], markevery=max(1, values.sizes["step"] // 6))
        axes.set_ylim(0, 1)
        axes.set_xlabel("denoising step")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.set_ylabel("share of the region's output" if place == 1 else "")
        if place > 1:
            axes.tick_params(labelleft=False)
        panel_title(axes, place, shown(region, 14))
    if shown_regions:
        handles, labels = grid[1].get_legend_handles_labels()
        figure.legend(handles, [f"from {label}" for label in labels], loc="outside upper right", ncols=len(labels))
    whole = flow.rename("share").to_dataframe().reset_index().assign(step=pd.NA)
    steps = by_step.rename("share").to_dataframe().reset_index()
    columns = ["step", "query_region", "key_region", "share"]
    figure.numbers = pd.concat([whole[columns].astype({"step": "Int64"}), steps[columns].astype({"step": "Int64"})],
                               ignore_index=True)
    figure.caption = (
        "Attention rollout by region: the share of a region's output after the last layer that comes from each region's input."
        " A line ends where a region has no position left. Rows without a step: the mean over steps.")
    return figure
