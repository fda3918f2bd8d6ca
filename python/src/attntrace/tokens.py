"""Texts of tokens."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .errors import AttntraceError
from .selection import labels, needed, place, source, variable


def vocabulary(tree: xr.DataTree) -> dict[int, str]:
    """Text of every id that occurs in the trace."""
    ids = needed(tree, "vocab_id", "timeline")
    texts = needed(tree, "vocab_text", "timeline")
    return dict(zip(ids.values.tolist(), texts.values.tolist()))


def texts_of(ids: NDArray[np.int32], texts: dict[int, str]) -> NDArray[np.str_]:
    """Texts of ids; empty where there is none."""
    return np.array([texts.get(int(token), "") for token in ids], dtype=np.str_)


def fed_ids(tree: xr.DataTree, step: int, second_pass: bool = False) -> NDArray[np.int32]:
    """Ids that a step was fed, by position; guidance's second pass is fed the mask in place of the prompt."""
    ids = np.array(needed(tree, "token_id", "timeline").isel(step=place(tree, "step", step)).values, dtype=np.int32)
    if second_pass:
        ids[labels(tree, "position") < tree.attrs["prompt_length"]] = tree.attrs["mask_token_id"]
    return ids


def ids_at(tree: xr.DataTree, step: int, positions: NDArray[np.int32], second_pass: bool = False) -> NDArray[np.int32]:
    """Ids that a step was fed at some positions; AttntraceError where one of them is left out of the selection."""
    ids = dict(zip(labels(tree, "position").tolist(), fed_ids(tree, step, second_pass).tolist()))
    wanted = positions.tolist()
    if not ids.keys() >= set(wanted):
        raise AttntraceError(
            source(tree), "position", "a selection of positions leaves out the tokens of keys or queries")
    return np.array([ids[each] for each in wanted], dtype=np.int32)


def fed_tokens(tree: xr.DataTree, step: int) -> xr.DataArray:
    """Texts that a step was fed, by position."""
    ids = fed_ids(tree, step)
    coordinates = {"position": tree["position"].values, "token_id": ("position", ids), "step": step}
    masked = variable(tree, "is_masked")
    if masked is not None:
        coordinates["is_masked"] = ("position", masked.isel(step=place(tree, "step", step)).values == 1)
    return xr.DataArray(texts_of(ids, vocabulary(tree)), coordinates, ("position",), "token")
