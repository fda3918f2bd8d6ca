"""Maps of attention, stored or rebuilt."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .errors import AttntraceError
from .schema import SECOND_PASS
from .selection import labels, needed, place, source, variable
from .tokens import ids_at, texts_of, vocabulary


def attention_map(tree: xr.DataTree, step: int, layer: int, head: int, *, second_pass: bool = False) -> xr.DataArray:
    """The map of one step, layer and head, (query, key); see `Trace.map`."""
    prefix = SECOND_PASS if second_pass else ""
    step_place = place(tree, "step", step)
    layer_place, head_place = place(tree, "layer", layer), place(tree, "head", head)
    is_causal = tree.attrs["causality"] == "causal"
    stored = variable(tree, prefix + "maps/attention")
    is_stored = stored is not None
    if not is_stored and variable(tree, prefix + "qk/query_vector") is None:
        if second_pass and tree.attrs["is_guided"] != 1:
            raise AttntraceError(source(tree), "unconditional", "the run had no second pass")
        raise AttntraceError(
            source(tree), prefix + "maps/attention", "full attention was not recorded (the signals 'maps' or 'qk')")
    # A causal trace stores each row once, at the place of its last step.
    map_place = place(tree, "map_step", tree.attrs["committed_steps"] - 1 if is_causal else step)
    rows = tree.attrs["prompt_length"] + step if is_causal else None
    query_places, queries = _below(labels(tree, "query"), rows)
    key_places, keys = _below(labels(tree, "key"), rows)

    attributes: dict[str, str | float] = {"long_name": "attention of each query to each key", "units": "1"}
    if stored is not None:
        attributes["source"] = "maps"
        kept = stored.isel(
            map_step=map_place, layer=layer_place, head=head_place, query=query_places, key=key_places)
        weights = np.asarray(kept.transpose("query", "key").values, dtype=np.float32)
    else:
        attributes["source"] = "qk"
        weights = _rebuilt(
            tree, prefix, map_place, step_place, layer_place, head_place, query_places, key_places, queries, keys)
        error = variable(tree, prefix + "qk/rebuild_error")
        if error is not None:
            attributes["rebuild_error"] = float(error.isel(map_step=map_place, layer=layer_place))

    texts = vocabulary(tree)

    def tokens(positions: NDArray[np.int32]) -> NDArray[np.str_]:
        return texts_of(ids_at(tree, step, positions, second_pass), texts)

    coordinates = {
        "query": queries, "key": keys, "query_token": ("query", tokens(queries)), "key_token": ("key", tokens(keys)),
        "step": step, "layer": layer, "head": head}
    return xr.DataArray(weights, coordinates, ("query", "key"), "attention", attributes)


def _below(positions: NDArray[np.int32], rows: int | None) -> tuple[slice | NDArray[np.intp], NDArray[np.int32]]:
    """Which places hold positions below `rows` (all, where that is None), and those positions."""
    if rows is None:
        return slice(None), positions
    places = np.flatnonzero(positions < rows)
    # Nearly always the first so many, and a slice reads faster.
    is_first = len(places) == 0 or places[-1] == len(places) - 1
    return (slice(len(places)) if is_first else places), positions[places]


def _check_rebuilding(tree: xr.DataTree, queries: NDArray[np.int32], keys: NDArray[np.int32]) -> None:
    """A softmax is over all keys that a query sees, each once, and a score over all channels."""
    if tree.attrs["causality"] == "causal":
        seen = int(queries.max(initial=-1)) + 1
    else:
        seen = tree.attrs["prompt_length"] + tree.attrs["planned_generated_length"]
    if len(set(keys.tolist())) != len(keys) or not np.isin(np.arange(seen), keys).all():
        raise AttntraceError(
            source(tree), "key", "a selection of keys leaves out what a rebuilt map needs; select from the map")
    if len(labels(tree, "channel")) != tree.attrs["head_dim"]:
        raise AttntraceError(source(tree), "channel", "a rebuilt map needs every channel")


def _rebuilt(
    tree: xr.DataTree, prefix: str, map_place: int, step_place: int, layer_place: int, head_place: int,
    query_places: slice | NDArray[np.intp], key_places: slice | NDArray[np.intp], queries: NDArray[np.int32],
    keys: NDArray[np.int32],
) -> NDArray[np.float32]:
    """softmax(q k^T / sqrt(head_dim)) over the keys that each query sees, in float32."""
    _check_rebuilding(tree, queries, keys)
    head = int(labels(tree, "head")[head_place])
    sharing = tree.attrs["head_count"] // tree.attrs["kv_head_count"]
    kv_place = place(tree, "kv_head", head // sharing)
    q = needed(tree, prefix + "qk/query_vector", "qk").isel(
        map_step=map_place, layer=layer_place, head=head_place, query=query_places).transpose("query", "channel")
    k = needed(tree, prefix + "qk/key_vector", "qk").isel(
        map_step=map_place, layer=layer_place, kv_head=kv_place, key=key_places).transpose("key", "channel")
    query_vectors, key_vectors = np.asarray(q.values, dtype=np.float32), np.asarray(k.values, dtype=np.float32)
    scores = query_vectors @ key_vectors.T / np.sqrt(np.float32(query_vectors.shape[-1]))

    hidden = np.zeros(scores.shape, dtype=bool)
    is_causal = tree.attrs["causality"] == "causal"
    if is_causal:
        hidden = keys[None, :] > queries[:, None]
    hidden = _suppressed(tree, prefix, step_place, layer_place, head_place, key_places, queries, keys, hidden)
    scores[hidden] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _suppressed(
    tree: xr.DataTree, prefix: str, step_place: int, layer_place: int, head_place: int,
    key_places: slice | NDArray[np.intp], queries: NDArray[np.int32], keys: NDArray[np.int32], hidden: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Adds to `hidden` what was taken out of the softmax at the step that computed each row."""
    flags = variable(tree, prefix + "suppressed")
    if flags is None:
        return hidden
    flags = flags.isel(layer=layer_place, head=head_place, key=key_places)
    if tree.attrs["causality"] == "causal":
        steps = labels(tree, "step")
        row_steps = np.maximum(0, queries - tree.attrs["prompt_length"] + 1)
        if not np.isin(row_steps, steps).all():
            raise AttntraceError(
                source(tree), prefix + "suppressed", "rows were computed at steps that this selection leaves out")
        order = np.argsort(steps)
        of_rows = flags.values[order[np.searchsorted(steps, row_steps, sorter=order)]]
    else:
        of_rows = flags.isel(step=step_place).values[None, :]
    taken = hidden | (of_rows == 1) | ((of_rows == 2) & (keys[None, :] != queries[:, None]))
    # A query none of whose keys is left keeps them all.
    return np.asarray(np.where(taken.all(axis=1, keepdims=True), hidden, taken))
