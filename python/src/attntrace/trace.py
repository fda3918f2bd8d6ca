"""`open`, and the trace that it returns."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal

import pandas as pd
import xarray as xr

from .errors import AttntraceError
from .guard import survive
from .layout import QUERY_CLASSES, read_layout
from .maps import attention_map
from .received import received_sums
from .sinks import sink_frame
from .storage import TraceFile
from .tokens import fed_tokens

Scope = Literal["head", "layer", "overall"]


class Trace(xr.DataTree):  # type: ignore[no-untyped-call]  # xarray's own __init_subclass__
    """An attention trace as an xarray DataTree: what `attntrace.open` returns.

    Variables and coordinates have the names, axes and units of the format's specification (docs/format.md). Nothing but
    coordinates is read before it is asked for, and nothing is kept: `load()` keeps. Selections made with lists or slices
    (`trace.sel(layer=[3, 5])`) are traces as well, and answer the same questions of what they hold; a question that needs
    what was left out is refused.

    `trace.attrs` has what the file says of the run, and `committed_steps`, `is_complete` and `content_sha256`.
    """

    __slots__ = ()

    @property
    def is_causal(self) -> bool:
        """Whether the trace is of an autoregressive model: a query sees the keys up to its own position."""
        return bool(self._attribute("causality") == "causal")

    @property
    def signals(self) -> tuple[str, ...]:
        """The optional parts that were recorded."""
        return tuple(filter(None, str(self._attribute("signals")).split(",")))

    def map(self, step: int, layer: int, head: int, *, second_pass: bool = False) -> xr.DataArray:
        """One map of attention, (query, key), float32; each row sums to 1 over all keys.

        Stored as it is (`--record maps`) or rebuilt from query and key vectors (`--record qk`); `attrs["source"]` says
        which, and of a rebuilt one `attrs["rebuild_error"]` how far a weight can be off. Of a causal trace the rows so
        far: queries and keys 0 ... prompt_length + step - 1. The coordinates `query_token` and `key_token` are the texts
        that the step was fed. Step, layer and head are recorded indices. AttntraceError where that was not recorded, and where a
        map is to be rebuilt from a selection of keys.
        """
        return attention_map(self, step, layer, head, second_pass=second_pass)

    def tokens(self, step: int) -> xr.DataArray:
        """The text at each position as step `step` was fed it; empty where a causal run had not come yet."""
        return fed_tokens(self, step)

    def received_sums(self, *, running: bool | None = None) -> xr.DataArray:
        """What each key receives, (step, layer, head, key), float64: `received` summed over classes of queries.

        Of a causal trace, whose file holds the rows new at each step, `running` (the default there) adds up what was
        received so far; NaN at keys that no row has seen yet. Reads all steps, layers and heads of this trace: select first
        where that is too much. AttntraceError where classes are selected, or `running` lacks a step.
        """
        return received_sums(self, running=self.is_causal if running is None else running)

    def sinks(
        self, rule: str = "excess", *, epsilon: float | None = None, z: float | None = None, count: int | None = None,
        fallback: bool = False, unit: str | None = None, window: int | None = None, per: Scope = "head",
        layers: Iterable[int] | None = None, heads: Iterable[int] | None = None, second_pass: bool = False,
    ) -> pd.DataFrame:
        """Every sink of every step: step, layer, head, position, score, strength, strength_over_uniform, token.

        The same numbers as `attntrace sinks --format csv`; rules, units and scopes as docs/metrics.md defines them. Of a
        causal trace the strengths, made of running sums, are called `cumulative_...`. What the rule does not have is refused
        (AttntraceError), and so is a selection that leaves out keys, or classes of queries.

        Args:
            rule: `excess` (Rulli et al.), `deviation` (Dai et al.), `share` (Gu et al.) or `top`.
            epsilon: threshold of `excess` (3) and `share` (0.3).
            z: standard deviations, for `deviation` (3).
            count: how many keys, for `top` (1).
            fallback: `deviation` takes the largest score where none is above the threshold.
            unit: of scores: `sum`, `mean`, `percent`, `ratio`, `window`; by default the rule's own, and `window` for
                `excess` in causal traces.
            window: rows of the unit `window` (16).
            per: `head`, or `layer` and `overall`, where heads (and layers) are averaged first.
            layers, heads: which to look at; all recorded ones by default.
            second_pass: of guidance's second pass.

        `attrs["rule"]` says the rule with its unit and parameters; `attrs["undefined"]` how many sets of sinks (a step of
        a head, or of what `per` says) have no answer, by reason.
        """
        return sink_frame(
            self, rule, epsilon=epsilon, z=z, count=count, fallback=fallback, unit=unit, window=window, per=per,
            layers=layers, heads=heads, second_pass=second_pass)

    def __enter__(self) -> Trace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _attribute(self, name: str) -> Any:
        if name not in self.attrs:
            raise AttntraceError(str(self.encoding.get("source", "")), self.path, "not the root of a trace")
        return self.attrs[name]


def open(path: str | os.PathLike[str], *, untrusted: bool = False) -> Trace:
    """Opens a trace. Reads its attributes and coordinates, and no values.

    What is beyond the committed steps is cut away. A `.partial` file, of a capture that still runs or was killed, gives the
    steps committed when it is opened; open it again for later ones.

    Structure made to do harm can crash libhdf5, and Python with it. With `untrusted` all of the file is first read in a process
    of its own, which costs seconds and a pass over it.

    AttntraceError where the file is no trace, can only be read by newer versions, or is damaged.
    """
    if untrusted:
        survive(path)
    file = TraceFile(path)
    try:
        layout = read_layout(file)
    except BaseException:
        file.close()
        raise
    groups: dict[str, dict[str, xr.Variable]] = {"": {}}
    for name, variable in layout.variables.items():
        group, _, last = name.rpartition("/")
        groups.setdefault(group, {})[last] = variable
    labels = {name: xr.Variable((name,), values) for name, values in layout.coordinates.items()}
    for text in ("token_text", "region_name"):
        if text in groups[""]:
            labels[text] = groups[""].pop(text)
    if "query_class" in labels and len(labels["query_class"]) == len(QUERY_CLASSES):
        labels["query_class_name"] = xr.Variable(("query_class",), list(QUERY_CLASSES))
    root = xr.Dataset(groups.pop(""), labels, layout.attributes)
    root.encoding["source"] = file.path
    tree: dict[str, xr.Dataset | xr.DataTree | None] = {"/": root}
    tree |= {"/" + group: xr.Dataset(variables) for group, variables in groups.items()}
    trace = Trace.from_dict(tree)
    trace.set_close(file.close)
    return trace
