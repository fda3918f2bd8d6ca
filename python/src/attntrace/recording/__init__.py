"""Writes traces from Python: `TraceWriter`, which needs h5py alone, and `Recorder`, which needs PyTorch."""

from typing import TYPE_CHECKING

from .plan import TracePlan
from .writer import TraceWriter

if TYPE_CHECKING:
    from .recorder import Recorder as Recorder

__all__ = ["Recorder", "TracePlan", "TraceWriter"]


def __getattr__(name: str) -> object:
    """`Recorder` needs PyTorch, so it is imported when it is first asked for."""
    if name == "Recorder":
        from . import recorder

        return recorder.Recorder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
