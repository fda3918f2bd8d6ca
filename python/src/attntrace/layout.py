"""What a trace holds: its attributes, how much of it is committed, and its datasets as lazy variables.

Everything is judged before anything is believed: a file that breaks a rule which a reader relies on is refused with the
rule, and nothing is read but attributes and coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from . import schema
from .errors import AttntraceError
from .storage import READ_ERRORS, StoredArray, TraceFile

NUMBERS = {"float16": "<f2", "float32": "<f4", "int32": "<i4", "uint8": "u1", "uint64": "<u8"}

# More than any run has of anything; beyond it a length is damage, and reading its coordinate would take all memory.
LONGEST_AXIS = 1 << 24

QUERY_CLASSES = ("prompt", "unmasked", "masked")


@dataclass(frozen=True)
class Layout:
    """An open trace's attributes, and its variables by path, cut to what is committed."""

    attributes: dict[str, Any]
    coordinates: dict[str, NDArray[np.int32]]
    variables: dict[str, xr.Variable]


def read_layout(file: TraceFile) -> Layout:
    """Judges a file and describes what it holds.

    Raises AttntraceError where it is no trace, is of a format that only newer readers can read, or is damaged.
    """
    attributes = _attributes(file)
    steps = _number(file, "committed_steps")
    attributes["committed_steps"] = steps
    attributes["is_complete"] = _number(file, "is_complete")
    attributes["content_sha256"] = _text(file, "content_sha256")

    signals = set(filter(None, attributes["signals"].split(",")))
    wanted = {
        path: entry for path, entry in schema.current().datasets.items() if entry.get("signal") in {*signals, None}}
    if attributes["is_guided"] == 1:
        wanted |= {schema.SECOND_PASS + path: wanted[path] for path in schema.current().guided if path in wanted}
    found = {path: dataset for path in wanted if (dataset := file.dataset(path)) is not None}
    for path, entry in wanted.items():
        if path not in found:
            rule = f"missing, though the signal '{entry['signal']}' was recorded" if "signal" in entry else "missing"
            raise AttntraceError(file.path, path, "damaged: " + rule)

    axes = sorted({name for entry in wanted.values() for name in entry["dimensions"]})
    coordinates = {name: _coordinate(file, name, steps, attributes) for name in axes}
    if file.is_partial:
        _cut_growing(coordinates, found, wanted)
    variables = {
        path: _variable(file, path, dataset, wanted[path], coordinates) for path, dataset in found.items()}
    if not attributes["is_complete"]:
        _forget_uncommitted(variables, attributes)
    return Layout(attributes, coordinates, variables)


# Attributes


def _attributes(file: TraceFile) -> dict[str, Any]:
    known = schema.current()
    try:
        stored = {name: _plain(file.handle.attrs[name]) for name in _readable(file, known)}
    except READ_ERRORS as error:
        raise AttntraceError(file.path, "", f"damaged: its attributes cannot be read ({error})") from error
    if stored.get("format") != known.format:
        raise AttntraceError(
            file.path, "@format", f"not an attention trace: HDF5 without the attribute format = {known.format}")
    _check_version(file, stored, known)
    for name, entry in known.attributes.items():
        if name not in stored:
            if entry["required"]:
                raise AttntraceError(file.path, "@" + name, "damaged: missing")
            continue
        value = stored[name]
        fits = isinstance(value, str) if entry["type"] == "utf8" else _is_integer(value)
        if not fits:
            raise AttntraceError(file.path, "@" + name, f"damaged: is not {entry['type']}")
    if stored["causality"] not in ("bidirectional", "causal"):
        raise AttntraceError(file.path, "@causality", "damaged: neither bidirectional nor causal")
    # A diffusion model may begin with nothing but masks.
    shortest_prompt = 1 if stored["causality"] == "causal" else 0
    for name in ("prompt_length", "layer_count", "head_count", "kv_head_count"):
        if not (shortest_prompt if name == "prompt_length" else 1) <= stored[name] <= LONGEST_AXIS:
            raise AttntraceError(file.path, "@" + name, f"damaged: {stored[name]} is out of range")
    if stored["head_count"] % stored["kv_head_count"]:
        raise AttntraceError(file.path, "@kv_head_count", "damaged: does not divide head_count")
    return stored


def _readable(file: TraceFile, known: schema.Schema) -> list[str]:
    """Names of attributes, without those of later versions that are no plain values: references do not outlive the file."""
    names = []
    for name in file.handle.attrs:
        if name not in known.attributes:
            try:
                value = file.handle.attrs[name]
            except READ_ERRORS:
                continue
            is_plain = isinstance(value, (str, bytes)) or (
                isinstance(value, (np.generic, np.ndarray)) and value.dtype.kind not in "OV")
            if not is_plain:
                continue
        names.append(name)
    return names


def _check_version(file: TraceFile, stored: dict[str, Any], known: schema.Schema) -> None:
    try:
        oldest = schema.version_key(str(stored.get("min_reader")))
    except ValueError as error:
        raise AttntraceError(file.path, "@min_reader", f"damaged: {error}") from error
    if oldest > schema.version_key(known.version):
        raise AttntraceError(
            file.path, "@min_reader",
            f"written in format {stored.get('format_version')}, which this reader (format {known.version}) cannot read")


def _plain(value: Any) -> Any:
    """Bytes as text, NumPy numbers as Python's."""
    if isinstance(value, np.generic):
        value = value.item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# Scalars


def _scalar(file: TraceFile, path: str) -> Any:
    dataset = file.dataset(path)
    if dataset is None:
        raise AttntraceError(file.path, path, "damaged: missing")
    if dataset.shape != ():
        raise AttntraceError(file.path, path, "damaged: is not one value")
    try:
        return _plain(dataset[()])
    except READ_ERRORS as error:
        raise AttntraceError(file.path, path, f"damaged: cannot be read ({error})") from error


def _number(file: TraceFile, path: str) -> int:
    value = _scalar(file, path)
    if not _is_integer(value) or not 0 <= value <= LONGEST_AXIS:
        raise AttntraceError(file.path, path, "damaged: is no count")
    return int(value)


def _text(file: TraceFile, path: str) -> str:
    value = _scalar(file, path)
    if not isinstance(value, str):
        raise AttntraceError(file.path, path, "damaged: is not text")
    return value


# Axes and datasets


def _coordinate(file: TraceFile, name: str, steps: int, attributes: dict[str, Any]) -> NDArray[np.int32]:
    """Recorded indices along an axis, as many as are committed."""
    dataset = file.dataset(name)
    if dataset is None:
        raise AttntraceError(file.path, name, "damaged: missing")
    if dataset.ndim != 1 or dataset.dtype != np.dtype("<i4"):
        raise AttntraceError(file.path, name, "damaged: is not one axis of int32")
    if dataset.shape[0] > LONGEST_AXIS:
        raise AttntraceError(file.path, name, f"damaged: {dataset.shape[0]} is longer than any axis")
    try:
        stored = np.asarray(dataset[:], dtype=np.int32)
    except READ_ERRORS as error:
        raise AttntraceError(file.path, name, f"damaged: cannot be read ({error})") from error

    is_causal = attributes["causality"] == "causal"
    prompt = attributes["prompt_length"]
    if name == "step":
        length = steps
    elif name in ("row_step", "map_step"):
        # The one place of a causal trace is its last step, whatever a step that was not committed wrote there.
        if is_causal:
            return np.full(min(steps, 1), steps - 1, dtype=np.int32)
        length = int(np.count_nonzero(stored < steps))
    elif is_causal and name in ("key", "query"):
        length = int(np.count_nonzero(stored < (prompt + steps - 1 if steps else 0)))
    elif is_causal and name == "position":
        length = min(len(stored), prompt + steps)
    elif is_causal and name == "generated":
        length = min(len(stored), steps)
    else:
        length = len(stored)
    if length > len(stored):
        raise AttntraceError(
            file.path, name, f"damaged: has {len(stored)} places, and {length} are committed")
    values = stored[:length]
    if len(values) and (values[0] < 0 or np.any(np.diff(values) <= 0)):
        raise AttntraceError(file.path, name, "damaged: is no ascending list of indices")
    return values


def _cut_growing(
    coordinates: dict[str, NDArray[np.int32]], found: dict[str, h5py.Dataset], wanted: dict[str, dict[str, Any]],
) -> None:
    """Cuts axes that grow at other times than steps are committed to what all of their datasets have by now."""
    for axis in {"vocab", "leaf"} & coordinates.keys():
        lengths = [
            dataset.shape[place] for path, dataset in found.items()
            for place, name in enumerate(wanted[path]["dimensions"][: dataset.ndim]) if name == axis]
        coordinates[axis] = coordinates[axis][: min(lengths, default=0)]


def _forget_uncommitted(variables: dict[str, xr.Variable], attributes: dict[str, Any]) -> None:
    """A step that was cut off may have written tokens and answer rows already: they never happened."""
    steps = attributes["committed_steps"]
    unmasked = variables["unmask_step"].values
    still_masked = (unmasked >= steps) | (unmasked == -2)
    emitted = variables["answer/source_step"].values
    never_emitted = (emitted >= steps) | (emitted < 0)
    for path, is_void, value in [
        ("unmask_step", still_masked, -2), ("unmask_order", still_masked, -2),
        ("final_id", still_masked, attributes["mask_token_id"]),
        ("answer/source_step", never_emitted, -1), ("answer/source_query", never_emitted, -1),
    ]:
        variable = variables[path]
        variables[path] = variable.copy(data=np.where(is_void, value, variable.values).astype(np.int32))


def _variable(
    file: TraceFile, path: str, dataset: h5py.Dataset, entry: dict[str, Any], coordinates: dict[str, NDArray[np.int32]],
) -> xr.Variable:
    """A lazy variable of a dataset's committed part."""
    if entry["type"] == "utf8":
        is_right = dataset.dtype.kind == "S"
    else:
        is_right = dataset.dtype == np.dtype(NUMBERS[entry["type"]])
    if not is_right:
        raise AttntraceError(file.path, path, f"damaged: holds {dataset.dtype}, not {entry['type']}")
    axes = tuple(entry["dimensions"])
    if dataset.ndim != len(axes):
        raise AttntraceError(file.path, path, f"damaged: has {dataset.ndim} axes, not {len(axes)}")
    shape = tuple(len(coordinates[axis]) for axis in axes)
    for axis, stored, committed in zip(axes, dataset.shape, shape):
        if stored < committed:
            raise AttntraceError(
                file.path, path, f"damaged: has {stored} places along {axis}, and {committed} are committed")
    attributes = {"long_name": entry["meaning"]}
    if entry["type"] != "utf8":
        attributes["units"] = entry["unit"]
    values = indexing.LazilyIndexedArray(StoredArray(file, path, shape, dataset.dtype))
    return xr.Variable(axes, values, attributes)
