"""Attention traces of language models, in Python.

    import attntrace

    trace = attntrace.open("a.h5")              # an xarray DataTree, labelled and lazy
    trace.map(step=3, layer=1, head=0)          # one map, query x key, however it is stored
    trace.sinks("excess", epsilon=3)            # a pandas frame, a row a sink

`attntrace.results` reads what `attntrace analyze` wrote, `attntrace.figures` draws, `attntrace.Recorder` (with PyTorch)
writes traces.
"""

from typing import TYPE_CHECKING

from .errors import AttntraceError
from .result_files import Cohort, Results, results
from .trace import Trace, open
from .version import __version__

if TYPE_CHECKING:
    from .recording import Recorder as Recorder

__all__ = ["AttntraceError", "Cohort", "Results", "Trace", "__version__", "open", "results"]


def __getattr__(name: str) -> object:
    """`Recorder` needs PyTorch, so it is imported when it is first asked for."""
    if name == "Recorder":
        from .recording import Recorder

        return Recorder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
