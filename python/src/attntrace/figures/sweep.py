"""The epsilon sweep: how many tokens are left as the threshold rises."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd

from ..errors import AttntraceError
from ..result_files import Results
from .by_layer import bands_of, draw_lines, styles_of, table
from .sources import Source, as_results, collected, first_of
from .style import COLUMN, Drawing, styled


@styled
def epsilon_sweep(*sources: Source) -> Drawing:
    """Percent of keys that are no sinks of rule `excess` as epsilon goes from 0 to 10 (Rulli et al., arXiv 2510.15731, App. B).

    Of one trace the layers as well, light to dark; of several, and of cohorts, a line each.
    """
    found = [as_results(each) for each in sources]
    drawn = collected(found, "not_sinks_excess", "epsilon")
    if not drawn:
        raise AttntraceError(found[0].path if found else "", "epsilon_sweep", "no such numbers; run attntrace analyze")
    figure = Drawing(COLUMN, 2.3)
    axes = figure.subplots()
    tables = []
    one = found[0]
    if len(drawn) == 1 and isinstance(one, Results):
        name = first_of(one, "not_sinks_excess_by_layer")
        if name is not None:
            by_layer = one.array(name)
            layers = by_layer["layer"].values
            shades = matplotlib.colormaps["Blues"](np.linspace(0.3, 0.95, len(layers)))
            for layer, shade in zip(layers, shades):
                axes.plot(by_layer["epsilon"], by_layer.sel(layer=layer), color=shade, linewidth=0.8)
            norm = matplotlib.colors.Normalize(layers.min(), layers.max())
            scale = matplotlib.cm.ScalarMappable(
                norm, matplotlib.colors.ListedColormap(matplotlib.colormaps["Blues"](np.linspace(0.3, 0.95, 256))))
            bar = figure.colorbar(scale, ax=axes, pad=0.02, aspect=25)
            bar.set_label("layer")
            bar.outline.set_linewidth(0.6)
            bar.locator = matplotlib.ticker.MaxNLocator(nbins=6, integer=True)
            bar.update_ticks()
            long = by_layer.rename("mean").to_dataframe().reset_index()
            tables.append(long[["layer", "epsilon", "mean"]].assign(line="layer", quantity=name))
        draw_lines(axes, drawn, [1], ["mean of layers"])
    else:
        draw_lines(axes, drawn, styles_of(drawn, drawn))
    tables.append(table("", drawn, "epsilon").drop(columns="panel"))
    axes.set_xlabel("threshold ε of rule excess")
    axes.set_ylabel("keys that are no sinks (%)")
    axes.set_xticks(range(0, 11, 2))
    axes.legend(loc="lower right")
    figure.numbers = pd.concat(tables, ignore_index=True)
    figure.caption = "Percent of keys that are no sinks as the threshold of rule excess rises." + bands_of([drawn])
    return figure
