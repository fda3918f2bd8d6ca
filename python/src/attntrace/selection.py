"""Finding things in a trace by their labels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .errors import AttntraceError


def source(tree: xr.DataTree) -> str:
    """The file that a trace was opened from, for messages."""
    return str(tree.encoding.get("source", "trace"))


def variable(tree: xr.DataTree, path: str) -> xr.DataArray | None:
    """A variable by its path; None where the trace does not hold it."""
    try:
        found = tree[path]
    except KeyError:
        return None
    return found if isinstance(found, xr.DataArray) else None


def needed(tree: xr.DataTree, path: str, signal: str) -> xr.DataArray:
    """A variable that a question cannot do without."""
    found = variable(tree, path)
    if found is None:
        raise AttntraceError(source(tree), path, f"not recorded (the signal '{signal}')")
    return found


def labels(tree: xr.DataTree, axis: str) -> NDArray[np.int32]:
    """Recorded indices along an axis."""
    found = variable(tree, axis)
    if found is None or found.ndim != 1:
        raise AttntraceError(source(tree), axis, "no such axis here; select with lists, as in trace.sel(layer=[3])")
    return np.asarray(found.values, dtype=np.int32)


def place(tree: xr.DataTree, axis: str, label: int) -> int:
    """Where a recorded index stands along its axis."""
    known = labels(tree, axis)
    found = np.flatnonzero(known == label)
    if len(found) == 0:
        raise AttntraceError(source(tree), axis, f"{label} was not recorded; there are {_listed(known)}")
    return int(found[0])


def places(tree: xr.DataTree, axis: str, chosen: Iterable[int] | None) -> list[int]:
    """Where recorded indices stand; all of them by default, in ascending order."""
    if chosen is None:
        return list(range(len(labels(tree, axis))))
    found = sorted({place(tree, axis, label) for label in chosen})
    if not found:
        raise AttntraceError(source(tree), axis, "none is chosen")
    return found


def _listed(values: NDArray[np.int32]) -> str:
    if len(values) == 0:
        return "none"
    if len(values) > 12 and values[-1] - values[0] == len(values) - 1:
        return f"{values[0]} to {values[-1]}"
    return ", ".join(map(str, values[:24])) + (" ..." if len(values) > 24 else "")
