"""The papers' figures, ready for print.

    from attntrace import figures, open, results

    trace, found = open("a.h5"), results("a.json")     # attntrace analyze a.h5 --output a.json
    figures.save(figures.drift(trace), "drift.pdf")    # and drift.csv, the numbers behind it

Each function takes a trace (`attntrace.open`), results of `attntrace analyze` (`attntrace.results`), or both kinds, and
returns a matplotlib figure that knows its `numbers` and a `caption`. Where the program defines a number its results are what
is drawn; what is measured from a trace here is defined the same and tested to be equal. All of them at once:
`python -m attntrace figures TRACE [RESULTS] --output DIR`.
"""

from .by_layer import absorption, contrast, triptych
from .drift import drift
from .flow import region_flow
from .heat import attention_map, head_scores, retrieval
from .style import COLUMN, PAGE, Drawing, save
from .sweep import epsilon_sweep

__all__ = [
    "COLUMN", "PAGE", "Drawing", "absorption", "attention_map", "contrast", "drift", "epsilon_sweep", "head_scores",
    "region_flow", "retrieval", "save", "triptych",
]
