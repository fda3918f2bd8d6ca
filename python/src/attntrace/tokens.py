"""Texts of tokens."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .selection import needed, place, variable


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
        ids[: tree.attrs["prompt_length"]] = tree.attrs["mask_token_id"]
    return ids


def fed_tokens(tree: xr.DataTree, step: int) -> xr.DataArray:
    """Texts that a step was fed, by position."""
    ids = fed_ids(tree, step)
    coordinates = {"position": tree["position"].values, "token_id": ("position", ids), "step": step}
    masked = variable(tree, "is_masked")
    if masked is not None:
        coordinates["is_masked"] = ("position", masked.isel(step=place(tree, "step", step)).values == 1)
    return xr.DataArray(texts_of(ids, vocabulary(tree)), coordinates, ("position",), "token")
