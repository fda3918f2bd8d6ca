"""What `attntrace analyze` wrote, as pandas frames and labelled arrays."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from .errors import AttntraceError
from .storage import READ_ERRORS

STATISTICS = ("n", "mean", "sd", "low", "high")
# A result of any size that a run can have; beyond it a file is damaged or made to do harm.
MOST_VALUES = 1 << 28
# Columns that are not called as the field they come from.
FIELDS = {"quantity": "name"}


@dataclass(frozen=True)
class Quantity:
    """One quantity of a metric: `values` along `axes`, whose labels are in order."""

    metric: str
    name: str
    unit: str
    meaning: str
    axes: dict[str, list[Any]]
    values: NDArray[np.float64]
    parameters: str = ""

    def array(self) -> xr.DataArray:
        """Labelled."""
        return xr.DataArray(
            self.values, dict(self.axes), tuple(self.axes), self.name,
            {"units": self.unit, "long_name": self.meaning, "metric": self.metric})

    def columns(self) -> dict[str, Any]:
        """A column an axis, a row a value."""
        places = np.indices(self.values.shape).reshape(self.values.ndim, self.values.size)
        return {name: _labels(labels)[place] for (name, labels), place in zip(self.axes.items(), places)}


@dataclass
class Results:
    """The results of one trace.

    `settings` is all that the analysis was told, `trace` what they are of (path, content hash, provenance), `parameters` and
    `undefined` what each metric was told and what it could not tell, `left_out` the metrics that the trace could not give.
    """

    path: str
    definitions: int
    settings: dict[str, Any]
    trace: dict[str, Any]
    verified: str
    left_out: dict[str, str]
    quantities: list[Quantity]
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    undefined: dict[str, dict[str, int]] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """By name: one row an item, such as a token that is a sink."""

    @property
    def is_causal(self) -> bool:
        """Whether they are of an autoregressive model's trace."""
        return bool(self.trace.get("provenance", {}).get("causality") == "causal")

    def __contains__(self, quantity: str) -> bool:
        return any(each.name == quantity for each in self.quantities)

    def frame(self, metric: str | None = None, quantity: str | None = None) -> pd.DataFrame:
        """Tidy: metric, quantity, unit, a column an axis, value. All of them, or those of a metric or quantity."""
        chosen = [
            each for each in self.quantities
            if metric in (None, each.metric) and quantity in (None, each.name)]
        if not chosen:
            raise AttntraceError(self.path, _asked(metric, quantity), "no such number here")
        return _frame(chosen, ["metric", "quantity", "unit"], [{"value": each.values} for each in chosen])

    def array(self, quantity: str) -> xr.DataArray:
        """One quantity, labelled; `attrs` has unit and meaning."""
        return self.find(quantity).array()

    def find(self, quantity: str) -> Quantity:
        """One quantity; AttntraceError where there is none of that name."""
        for each in self.quantities:
            if each.name == quantity:
                return each
        raise AttntraceError(self.path, quantity, "no such quantity; " + _alike(quantity, self.quantities))


@dataclass
class Cohort:
    """The results of many traces, together: a folder that `attntrace analyze` or `merge` wrote.

    `members` is a row a trace, `groups` the names of groups (`--group-by`), `failures` what could not be counted.
    """

    path: str
    definitions: int
    settings: dict[str, Any]
    cohort: dict[str, Any]
    members: pd.DataFrame
    groups: list[str]
    failures: list[dict[str, Any]]
    quantities: list[Quantity]
    """Over all traces: values are the means."""
    _statistics: list[dict[str, dict[str, NDArray[np.float64]]]]

    def __contains__(self, quantity: str) -> bool:
        return any(each.name == quantity for each in self.quantities)

    def frame(
        self, metric: str | None = None, quantity: str | None = None, *, group: str | None = None,
    ) -> pd.DataFrame:
        """Tidy, as `cohort.csv` has it: metric, quantity, unit, parameters, a column an axis, n, mean, sd, low, high.

        Over all traces, or with `group` over those of one group.
        """
        key = "overall" if group is None else group
        if group is not None and group not in self.groups:
            raise AttntraceError(self.path, f"group = {group!r}", "groups are " + (", ".join(self.groups) or "none"))
        chosen = [
            (each, statistics[key]) for each, statistics in zip(self.quantities, self._statistics)
            if metric in (None, each.metric) and quantity in (None, each.name)]
        if not chosen:
            raise AttntraceError(self.path, _asked(metric, quantity), "no such number here")
        result = _frame(
            [each for each, _ in chosen], ["metric", "quantity", "unit", "parameters"],
            [statistics for _, statistics in chosen])
        return result.astype({"n": np.int64})

    def statistics(self, quantity: str, *, group: str | None = None) -> xr.Dataset:
        """One quantity as n, mean, sd, low and high along its own axes: over all traces, or over one group.

        Numbers made with other parameters are never averaged; where there are several of the name, that which most traces of
        the group have is taken, and `attrs["parameters"]` says which.
        """
        key = "overall" if group is None else group
        found = [
            (each, statistics[key]) for each, statistics in zip(self.quantities, self._statistics)
            if each.name == quantity and key in statistics]
        if not found:
            raise AttntraceError(self.path, quantity, "no such quantity; " + _alike(quantity, self.quantities))
        each, values = max(found, key=lambda item: float(item[1]["n"].max(initial=0)))
        return xr.Dataset(
            {name: (tuple(each.axes), values[name]) for name in STATISTICS}, dict(each.axes),
            {"units": each.unit, "long_name": each.meaning, "metric": each.metric, "parameters": each.parameters})

    def values(self) -> pd.DataFrame:
        """A row a trace and number that is single or along one axis, as `traces.csv` has it."""
        path = Path(self.path) / "traces.csv"
        try:
            return pd.read_csv(path, keep_default_na=False, na_values={"value": ["NaN"]}, low_memory=False)
        except (OSError, ValueError) as error:
            raise AttntraceError(path, "", f"cannot be read ({error})") from error

    def each(self, name: str) -> Results:
        """The whole result of one trace, by its name in `members`."""
        folder = Path(self.path) / "traces"
        if name not in set(self.members["name"]):
            raise AttntraceError(self.path, name, "no trace of that name")
        for ending in (".json", ".h5"):
            if (folder / (name + ending)).exists():
                found = results(folder / (name + ending))
                if isinstance(found, Results):
                    return found
        raise AttntraceError(folder, name, "its result is not there as JSON or HDF5")

    def array(self, quantity: str) -> xr.DataArray:
        """One quantity of every trace: along `trace` (its names) and its own axes; NaN where a trace has none.

        Where traces were told it with different parameters (a diffusion model's sums, an autoregressive one's windows), the
        coordinate `parameters` along `trace` says which, and there is a unit only if it is the same.
        """
        path = Path(self.path) / "results.h5"
        with _hdf5(path) as file:
            names = [_decoded(name) for name in _read(path, file, "trace")]
            parts = [
                (_stored_quantity(path, file, group, quantity), _decoded(file[group].attrs.get("parameters", b"")))
                for group in file
                if isinstance(file.get(group), h5py.Group) and group not in ("cohort", "groups")
                and quantity in file[group]]
        if not parts:
            raise AttntraceError(path, quantity, "no such quantity; " + _alike(quantity, self.quantities))
        # Traces told the number with different parameters lie in groups apart, each NaN where the other has values.
        result = parts[0][0].array()
        told = np.full(len(names), parts[0][1], object)
        for part, parameters in parts[1:]:
            other = part.array()
            if list(other.dims) != list(result.dims) or other.shape != result.shape:
                continue
            own = other.notnull().any([axis for axis in other.dims if axis != "trace"]).values
            told[own] = parameters
            result = result.fillna(other.values)
            if part.unit != result.attrs["units"]:
                result.attrs["units"] = ""
        result = result.assign_coords(trace=names)
        return result if len(parts) == 1 else result.assign_coords(parameters=("trace", told.astype(str)))


def results(path: str | os.PathLike[str]) -> Results | Cohort:
    """Reads what `attntrace analyze` wrote: a result as JSON or HDF5, or the folder of a cohort.

    AttntraceError where the file was not written by it, or was changed.
    """
    place = Path(path)
    if place.is_dir():
        if not (place / "analysis.json").exists():
            raise AttntraceError(path, "analysis.json", "missing: no folder that attntrace analyze wrote")
        return _cohort(place)
    if not place.exists():
        raise AttntraceError(path, "", "no such file")
    try:
        with place.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise AttntraceError(path, "", f"cannot be read ({error})") from error
    if start == b"\x89HDF\r\n\x1a\n":
        return _from_hdf5(place)
    return _from_json(place)


# JSON


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise AttntraceError(path, "", f"not a result of an analysis ({error})") from error
    if not isinstance(content, dict):
        raise AttntraceError(path, "", "not a result of an analysis")
    return content


def _from_json(path: Path) -> Results | Cohort:
    content = _content(path)
    kind = content.get("format")
    if kind == "attntrace cohort":
        return _cohort(path.parent)
    if kind == "attntrace failure":
        raise AttntraceError(path, "", f"the trace gave no result: {content.get('reason', content.get('failure', ''))}")
    if kind != "attntrace result":
        raise AttntraceError(path, "", "not a result of an analysis")
    try:
        made = Results(
            str(path), int(content["definitions"]), dict(content["settings"]), dict(content["trace"]),
            str(content["verified"]), dict(content["left_out"]), [])
        for metric in content["metrics"]:
            name = str(metric["metric"])
            made.parameters[name] = dict(metric["parameters"])
            made.undefined[name] = dict(metric["undefined"])
            made.quantities += [_quantity(path, name, entry, entry["values"]) for entry in metric["quantities"]]
            for table in metric["tables"]:
                columns = [str(column["name"]) for column in table["columns"]]
                made.tables[str(table["name"])] = pd.DataFrame(table["rows"], columns=columns)
    except (KeyError, TypeError, ValueError) as error:
        raise AttntraceError(path, "", f"not a result of an analysis: {error!r}") from error
    return made


def _quantity(path: Path, metric: str, entry: Mapping[str, Any], values: Sequence[Any], parameters: str = "") -> Quantity:
    axes = {str(name): list(labels) for name, labels in entry["axes"].items()}
    shape = tuple(len(labels) for labels in axes.values())
    if math.prod(shape) != len(values):
        raise AttntraceError(path, str(entry["name"]), f"damaged: {len(values)} values do not fill its axes {shape}")
    return Quantity(
        metric, str(entry["name"]), str(entry["unit"]), str(entry["meaning"]), axes, _numbers(values).reshape(shape),
        parameters)


def _numbers(values: Sequence[Any]) -> NDArray[np.float64]:
    """Undefined is null, and the infinities, which JSON lacks, are texts."""
    return np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)


def _cohort(folder: Path) -> Cohort:
    path = folder / "analysis.json"
    content = _content(path)
    if content.get("format") != "attntrace cohort":
        raise AttntraceError(path, "", "not the results of a cohort")
    try:
        groups = [str(name) for name in content["groups"]]
        quantities, statistics = [], []
        for entry in content["quantities"]:
            named = {"overall": entry["overall"], **(entry.get("groups") or {})}
            each = _quantity(path, str(entry["metric"]), entry, entry["overall"]["mean"], str(entry["parameters"]))
            quantities.append(each)
            statistics.append({
                group: {name: _numbers(values[name]).reshape(each.values.shape) for name in STATISTICS}
                for group, values in named.items()})
        return Cohort(
            str(folder), int(content["definitions"]), dict(content["settings"]), dict(content["cohort"]),
            pd.DataFrame(content["traces"]), groups, list(content["failures"]), quantities, statistics)
    except (KeyError, TypeError, ValueError) as error:
        raise AttntraceError(path, "", f"not the results of a cohort: {error!r}") from error


# HDF5


def _hdf5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except READ_ERRORS as error:
        raise AttntraceError(path, "", f"cannot be read as HDF5 ({error})") from error


def _from_hdf5(path: Path) -> Results:
    with _hdf5(path) as file:
        try:
            attributes = {name: _decoded(value) for name, value in file.attrs.items()}
            if attributes.get("format") != "attntrace result":
                raise AttntraceError(path, "", "not a result of an analysis (a trace is opened with attntrace.open)")
            made = Results(
                str(path), int(attributes["definitions"]), json.loads(attributes["settings"]),
                json.loads(attributes["trace"]), attributes["verified"], json.loads(attributes["left_out"]), [])
            for metric, group in file.items():
                if metric == "tables" or not isinstance(group, h5py.Group):
                    continue
                made.parameters[metric] = json.loads(_decoded(group.attrs["parameters"]))
                made.undefined[metric] = json.loads(_decoded(group.attrs["undefined"]))
                made.quantities += [
                    _stored_quantity(path, file, metric, name) for name, item in group.items()
                    if isinstance(item, h5py.Dataset) and not item.is_scale]
            for name, group in file.get("tables", {}).items():
                made.tables[name.partition(".")[2]] = pd.DataFrame({
                    column: _table_column(path, file, f"tables/{name}/{column}") for column in group if column != "row"})
        except READ_ERRORS as error:
            raise AttntraceError(path, "", f"not a result of an analysis: {error}") from error
    return made


def _stored_quantity(path: Path, file: h5py.File, group: str, name: str) -> Quantity:
    item = file[group][name]
    axes: dict[str, list[Any]] = {}
    for axis in _decoded(item.attrs.get("axes", b"")).split():
        # The axis of traces is the root's, all others are the group's.
        place = f"{group}/{axis}" if axis in file[group] else axis
        labels = [_decoded(label) for label in np.asarray(_read(path, file, place)).tolist()]
        # Axes of one name and other labels are numbered within a group.
        axes[re.sub(r"_\d+$", "", axis)] = labels
    values = np.asarray(_read(path, file, f"{group}/{name}"), dtype=np.float64)
    if values.shape != tuple(len(labels) for labels in axes.values()):
        raise AttntraceError(path, f"{group}/{name}", "damaged: its values do not fill its axes")
    return Quantity(
        re.sub(r"_\d+$", "", group), name, _decoded(item.attrs.get("units", b"")),
        _decoded(item.attrs.get("long_name", b"")), axes, values)


def _table_column(path: Path, file: h5py.File, name: str) -> Any:
    values = _read(path, file, name)
    if values.dtype.kind == "O":
        return [_decoded(value) for value in values]
    fill = file[name].attrs.get("_FillValue")
    if values.dtype.kind == "i" and fill is not None:
        return [None if value == fill else int(value) for value in values]
    return values


def _read(path: Path, file: h5py.File, name: str) -> Any:
    try:
        item = file[name]
        if not isinstance(item, h5py.Dataset) or item.size is None or item.size > MOST_VALUES:
            raise AttntraceError(path, name, "damaged: is no array of a result's size")
        return item[()]
    except READ_ERRORS as error:
        raise AttntraceError(path, name, f"damaged: cannot be read ({error})") from error


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


# Frames


def _labels(labels: list[Any]) -> NDArray[Any]:
    if all(isinstance(label, str) for label in labels):
        return np.array(labels, dtype=object)
    return np.array(labels)


def _frame(quantities: list[Quantity], first: list[str], last: list[dict[str, NDArray[np.float64]]]) -> pd.DataFrame:
    """Quantities below one another: the fields `first` of each, a column an axis (missing where a number has no such axis),
    and of each its columns `last`."""
    sizes = [each.values.size for each in quantities]
    columns: dict[str, Any] = {
        name: np.repeat(np.array([getattr(each, FIELDS.get(name, name)) for each in quantities], dtype=object), sizes)
        for name in first}
    of_axes = [each.columns() for each in quantities]
    for axis in dict.fromkeys(name for each in quantities for name in each.axes):
        parts = [part.get(axis) for part in of_axes]
        kinds = {part.dtype.kind for part in parts if part is not None}
        if kinds <= set("if"):
            numbers = np.concatenate([
                np.full(size, np.nan) if part is None else part.astype(np.float64) for part, size in zip(parts, sizes)])
            is_whole = kinds == {"i"}
            if is_whole and not any(part is None for part in parts):
                columns[axis] = numbers.astype(np.int64)
            else:
                columns[axis] = pd.array(numbers, dtype="Int64") if is_whole else numbers
        else:
            columns[axis] = np.concatenate([
                np.full(size, None, dtype=object) if part is None else part.astype(object)
                for part, size in zip(parts, sizes)])
    for name in last[0]:
        columns[name] = np.concatenate([values[name].ravel() for values in last])
    return pd.DataFrame(columns)


def _asked(metric: str | None, quantity: str | None) -> str:
    return ", ".join(f"{kind} = {name!r}" for kind, name in [("metric", metric), ("quantity", quantity)] if name)


def _alike(name: str, quantities: Iterable[Quantity]) -> str:
    """Names that share a word with one that is not there."""
    words = set(name.split("_"))
    names = sorted({each.name for each in quantities}, key=lambda each: (-len(words & set(each.split("_"))), each))
    return "there are " + ", ".join(names[:6]) + (" ..." if len(names) > 6 else "") if names else "there are none"
