"""Writes traces from Python: `TraceWriter`, which needs h5py alone, and `Recorder`, which needs PyTorch."""

from .plan import TracePlan
from .writer import TraceWriter

__all__ = ["Recorder", "TracePlan", "TraceWriter"]


def __getattr__(name: str) -> object:
    """`Recorder` needs PyTorch, so it is imported when it is first asked for."""
    if name == "Recorder":
        from .recorder import Recorder

        return Recorder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
