"""Writes one trace, step by step, as docs/format.md says: nothing here knows of PyTorch."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py._objects import phil
from numpy.typing import NDArray

from ..errors import AttntraceError
from ..schema import current
from .codec import encoded
from .content import LeafStream, attributes_leaf, content_bytes, leaf_header, total
from .pipeline import Pipeline
from .plan import PlacedDataset, TracePlan, placed_datasets

FLAGS: dict[str, tuple[str, str]] = {
    "is_masked": ("not_masked masked", "u1"), "suppressed": ("kept suppressed suppressed_for_other_queries", "u1"),
    "region_gold": ("other gold", "u1"), "query_class": ("prompt unmasked masked", "<i4")}
SMALLEST = -(2**31)
EncodedChunks = list[tuple[tuple[int, ...], bytes]]
"""Where each chunk begins, and its bytes as they are stored."""


class TraceWriter:
    """Makes the file, takes a step's values, commits the step, and in the end hashes and renames.

    The file is PATH.partial until `finish`, written so that readers can follow it (SWMR). A step's values are flushed
    before the counter of committed steps is raised, and the counter is flushed too: whatever kills the process, the steps
    committed until then can be read. Values are encoded and written on threads of the writer's own; `write` only waits
    when more than `budget` bytes are under way. An error of theirs is raised by the next call.
    """

    def __init__(
        self, path: str | os.PathLike[str], plan: TracePlan, attributes: Mapping[str, str | int], *,
        budget: int = 128 << 20, threads: int = 2,
    ) -> None:
        """Creates PATH.partial. `attributes` are those of the root group that do not follow from the plan.

        Errors: `FileExistsError` where PATH or PATH.partial is taken; `AttntraceError` where a required attribute is
        missing.
        """
        self.path = Path(path)
        self.plan = plan
        self.committed_steps = 0
        self._schema = current()
        self._attributes = self._all_attributes(attributes)
        check_free(self.path)
        self._partial = Path(f"{self.path}.partial")
        new = Path(f"{self.path}.partial.new")
        self._placed = {placed.path: placed for placed in placed_datasets(plan, self._schema)}
        # A husk: nothing is ever committed under this name.
        new.unlink(missing_ok=True)
        try:
            self._file = h5py.File(new, "w", libver=("v110", "v110"))
            try:
                self._datasets = {path: self._create(placed) for path, placed in self._placed.items()}
                self._label_fixed_axes()
                self._attach_scales()
                self._scalars = self._create_scalars()
                self._file.flush()
                self._file.swmr_mode = True
                os.rename(new, self._partial)
            except BaseException:
                self._file.close()
                new.unlink(missing_ok=True)
                raise
        except (OSError, RuntimeError) as error:
            raise _explained(error, self._partial) from error
        self._leaves: dict[tuple[str, int], str] = {}
        self._streams: dict[tuple[str, int], LeafStream] = {}
        self._vocabulary: dict[int, bytes] = {}
        self._pipeline = Pipeline(budget, threads)
        self._is_closed = False

    # Values

    def write(self, path: str, origin: Sequence[int], values: NDArray[Any]) -> None:
        """Takes a box of values of a dataset: `origin` has an index along each axis, `values` as many axes.

        Of a dataset with several axes whole chunks only, at full length: in a causal trace, too, all keys and positions
        that are planned. The array must not be changed afterwards.
        """
        placed = self._placed[path]
        if placed.dtype is not None and values.dtype != placed.dtype:
            values = values.astype(placed.dtype)
        place = tuple(origin)
        if len(placed.dimensions) == 1:
            self._give(lambda: self._assign(placed, place, values), values.nbytes)
            return
        pieces = self._pipeline.compute(functools.partial(_encoded_chunks, placed, place, values))
        self._give(lambda: self._place(placed, place, values, pieces), 2 * values.nbytes)

    def add_vocabulary(self, texts: Mapping[int, str]) -> None:
        """Notes the texts of token ids; those that are known are passed over."""
        fresh = sorted(set(texts) - set(self._vocabulary))
        if not fresh:
            return
        start = len(self._vocabulary)
        for number in fresh:
            self._vocabulary[number] = cut(texts[number], self.plan.text_width)
        columns = {
            "vocab": np.arange(start, start + len(fresh), dtype="<i4"), "vocab_id": np.array(fresh, "<i4"),
            "vocab_text": _texts([self._vocabulary[number] for number in fresh], self.plan.text_width)}

        def append() -> None:
            for path, values in columns.items():
                self._datasets[path].resize(start + len(fresh), axis=0)
                self._datasets[path][start:] = values

        self._give(append, 0)

    def begin_step(self) -> None:
        """Makes room for the next step. Its values can be written from here on."""
        steps = self.committed_steps + 1
        if steps > self.plan.step_count:
            raise AttntraceError(
                self.path, "", f"the run takes more than the {self.plan.step_count} steps that it was announced to take")
        self._give(lambda: self._extend(steps), 0)

    def commit_step(self) -> None:
        """Makes the step's values durable, then counts the step."""
        self.committed_steps += 1
        steps = self.committed_steps

        def commit() -> None:
            self._file.flush()
            self._scalars["committed_steps"][()] = steps
            self._scalars["committed_steps"].flush()

        self._give(commit, 0)

    def finish(self, texts: Sequence[str]) -> str:
        """Ends the run as planned: texts of the final tokens, content hashes, the final name. The content hash."""
        if not self.committed_steps:
            raise AttntraceError(self.path, "", "no step was committed: there is nothing to keep")
        try:
            self._pipeline.drain()
            # A step may have begun that was not committed.
            self._extend(self.committed_steps)
            self._forget_uncommitted()
            width = self.plan.text_width
            self._datasets["token_text"][:] = _texts([cut(text, width) for text in texts], width)
            self._hash_rest()
            leaves = dict(self._leaves)
            leaves["@", -1] = attributes_leaf(self._attributes, self._schema.attributes)
            table, digest = total(leaves)
            columns = {
                "leaf": np.arange(len(table), dtype="<i4"),
                "content/leaf_path": _texts([path.encode() for path, _, _ in table], 64),
                "content/leaf_index": np.array([index for _, index, _ in table], "<i4"),
                "content/leaf_sha256": _texts([value.encode() for _, _, value in table], 64)}
            for path, values in columns.items():
                self._datasets[path].resize(len(table), axis=0)
                self._datasets[path][:] = values
            self._scalars["content_sha256"][()] = _texts(digest.encode(), 64)
            self._file.flush()
            self._scalars["is_complete"][()] = 1
            self._file.flush()
        except (OSError, RuntimeError) as error:
            raise self._failed(error) from error
        self.close()
        self._publish()
        return digest

    def close(self) -> None:
        """Closes the file as it is: PATH.partial with the steps committed so far. After `finish` it does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._pipeline.close()
            try:
                self._file.close()
            except (OSError, RuntimeError) as error:
                raise _explained(error, self._partial) from error

    # On the pipeline's thread

    def _give(self, job: Any, size: int) -> None:
        try:
            self._pipeline.give(job, size)
        except (OSError, RuntimeError) as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError | RuntimeError) -> OSError | RuntimeError:
        """What the library's error means. The file is closed: more would only fail again."""
        try:
            self.close()
        except OSError:
            pass  # For the same reason, most likely; the first error says it.
        return _explained(error, self._partial)

    def _assign(self, placed: PlacedDataset, origin: tuple[int, ...], values: NDArray[Any]) -> None:
        box = tuple(slice(start, start + length) for start, length in zip(origin, values.shape))
        self._datasets[placed.path][box] = values
        self._hash(placed, origin, values)

    def _place(
        self, placed: PlacedDataset, origin: tuple[int, ...], values: NDArray[Any],
        pieces: Future[EncodedChunks],
    ) -> None:
        for at, piece in pieces.result():
            # Older h5py writes chunks without its lock (its pull request 2764), while others may use the library.
            with phil:
                self._datasets[placed.path].id.write_direct_chunk(at, piece)
        self._hash(placed, origin, values)

    def _extend(self, steps: int) -> None:
        for placed in self._placed.values():
            dataset = self._datasets[placed.path]
            shape = tuple(
                self.plan.length(axis, steps) or length for axis, length in zip(placed.dimensions, dataset.shape))
            if shape != dataset.shape:
                dataset.resize(shape)
            if placed.is_coordinate and shape and placed.path in _GROWING:
                labels = self.plan.labels(placed.path, steps)
                if labels:
                    dataset[:] = np.array(labels, "<i4")

    def _hash(self, placed: PlacedDataset, origin: tuple[int, ...], values: NDArray[Any]) -> None:
        """Hashes what is written once and whole; the rest is read again in the end."""
        # In a causal trace what a leaf covers depends on where the run ends.
        if self.plan.is_causal or placed.leaf_axis is None:
            return
        inner = [self.plan.length(axis, 0) for axis in placed.dimensions[1:]]
        for place in range(values.shape[0]):
            key = placed.path, origin[0] + place
            if key not in self._streams:
                shape = [1, *inner]
                header = leaf_header(placed.path, placed.dimensions, placed.entry["type"], key[1], shape)
                self._streams[key] = LeafStream(header, int(np.prod(shape)))
            digest = self._streams[key].add(values[place])
            if digest is not None:
                self._leaves[key] = digest
                del self._streams[key]

    # The end

    def _forget_uncommitted(self) -> None:
        for path, index in list(self._leaves):
            placed = self._placed[path]
            if index >= self.plan.length(placed.dimensions[0], self.committed_steps):
                del self._leaves[path, index]

    def _hash_rest(self) -> None:
        for placed in self._placed.values():
            if placed.path.startswith("content/") or placed.path == "leaf":
                continue
            for index, digest in self._read_leaves(placed):
                self._leaves[placed.path, index] = digest

    def _read_leaves(self, placed: PlacedDataset) -> Iterator[tuple[int, str]]:
        """Hashes those leaves of a dataset that were not hashed as they were written."""
        dataset = self._datasets[placed.path]
        axis = placed.leaf_axis
        if self.plan.is_causal and placed.dimensions[0] in ("row_step", "map_step"):
            axis = next((at for at, name in enumerate(placed.dimensions) if name in ("query", "key", "position")), 0)
        for place in [-1] if axis is None else range(dataset.shape[axis]):
            if (placed.path, place) in self._leaves:
                continue
            box = [slice(None)] * dataset.ndim
            if axis is not None:
                box[axis] = slice(place, place + 1)
            values = dataset[tuple(box)]
            digest = hashlib.sha256(
                leaf_header(placed.path, placed.dimensions, placed.entry["type"], place, values.shape))
            digest.update(content_bytes(values))
            yield place, digest.hexdigest()

    def _publish(self) -> None:
        try:
            # A link fails where the name is taken meanwhile, which a rename does not.
            os.link(self._partial, self.path)
            os.unlink(self._partial)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK):
                raise
            os.rename(self._partial, self.path)

    # Making the file

    def _all_attributes(self, given: Mapping[str, str | int]) -> dict[str, str | int]:
        plan, schema = self.plan, self._schema
        steps = "all" if plan.map_steps is None else ",".join(map(str, plan.map_steps))
        known: dict[str, str | int] = {
            **given, "format": schema.format, "format_version": schema.version, "min_reader": schema.min_reader,
            "schema_sha256": schema.sha256, "causality": plan.causality, "signals": ",".join(sorted(plan.signals)),
            "prompt_length": plan.prompt_length, "planned_generated_length": plan.generated_length,
            "planned_steps": plan.step_count, "planned_queries": "all", "planned_map_steps": steps,
            "is_guided": int(plan.is_guided), "text_width": plan.text_width, "layer_count": plan.layer_count,
            "head_count": plan.head_count, "kv_head_count": plan.kv_head_count, "head_dim": plan.head_dim}
        for name, entry in schema.attributes.items():
            if entry["required"] and name not in known:
                raise AttntraceError(self.path, f"@{name}", "a trace needs this attribute")
        for name in known:
            if name not in schema.attributes:
                raise AttntraceError(self.path, f"@{name}", "the format knows no such attribute")
        return known

    def _create(self, placed: PlacedDataset) -> h5py.Dataset:
        text = placed.dtype is None
        fill: Any = None
        if placed.entry["type"] == "float32":
            fill = np.float32(np.nan)
        elif placed.entry["type"] == "int32":
            fill = -1 if placed.path.startswith("answer/source_") or placed.path.endswith("hidden_max_channel") else SMALLEST
        elif placed.entry["type"] == "uint8":
            fill = 255
        filters: dict[str, Any] = {}
        if placed.is_compressed:
            filters = {"shuffle": True, "compression": "gzip", "compression_opts": 1, "fletcher32": True}
        dataset = self._file.create_dataset(
            placed.path, placed.shape, h5py.string_dtype("utf-8", placed.text_width) if text else placed.dtype,
            maxshape=placed.max_shape, chunks=placed.chunk, fillvalue=fill, track_times=False, **filters)
        _set_text(dataset, "long_name", placed.entry["meaning"])
        if not placed.is_coordinate and not text:
            _set_text(dataset, "units", placed.entry["unit"])
        if placed.entry["type"] == "float32":
            dataset.attrs["_FillValue"] = np.float32(np.nan)
        if placed.path in FLAGS:
            meanings, kind = FLAGS[placed.path]
            dataset.attrs["flag_values"] = np.arange(len(meanings.split()), dtype=kind)
            _set_text(dataset, "flag_meanings", meanings)
        return dataset

    def _label_fixed_axes(self) -> None:
        for path, placed in self._placed.items():
            if placed.is_coordinate and placed.shape[0]:
                self._datasets[path][:] = np.array(self.plan.labels(path, 0), "<i4")

    def _attach_scales(self) -> None:
        scales = [placed.path for placed in self._placed.values() if placed.is_coordinate]
        for number, name in enumerate(scales):
            self._datasets[name].make_scale(name)
            self._datasets[name].attrs["_Netcdf4Dimid"] = np.int32(number)
        for placed in self._placed.values():
            if not placed.is_coordinate:
                for axis, name in enumerate(placed.dimensions):
                    self._datasets[placed.path].dims[axis].attach_scale(self._datasets[name])

    def _create_scalars(self) -> dict[str, h5py.Dataset]:
        for name, value in self._attributes.items():
            if self._schema.attributes[name]["type"] == "utf8":
                _set_text(self._file, name, str(value))
            else:
                self._file.attrs[name] = np.dtype(self._schema.attributes[name]["type"]).newbyteorder("<").type(value)
        scalars = {}
        for path, entry in self._schema.scalars.items():
            data: Any = np.int32(0)
            dtype: Any = np.dtype("<i4")
            if entry["type"] == "utf8":
                data = self._schema.text if path == "schema_text" else b""
                dtype = h5py.string_dtype("utf-8", entry.get("text_width", len(data)))
                data = np.array(data, dtype)
            scalars[path] = self._file.create_dataset(path, (), dtype, data=data, track_times=False)
            _set_text(scalars[path], "long_name", entry["meaning"])
        return scalars


_GROWING = frozenset({"step", "row_step", "map_step", "position", "query", "key", "generated"})
"""Coordinates that steps make longer, or whose labels they change."""


def check_free(path: Path) -> None:
    """Refuses a name that is taken. Errors: `FileExistsError`."""
    if path.exists() or path.is_symlink():
        raise FileExistsError(errno.EEXIST, "already exists; choose another name", str(path))
    partial = Path(f"{path}.partial")
    if partial.exists():
        raise FileExistsError(
            errno.EEXIST, "already exists and may hold committed steps; `attntrace recover` keeps them", str(partial))


def cut(text: str, width: int) -> bytes:
    """A text as so many bytes of UTF-8 at most, cut between characters."""
    # Zeros are the format's padding.
    data = text.replace("\0", "\ufffd").encode("utf-8", "replace")
    return data if len(data) <= width else data[:width].decode("utf-8", "ignore").encode()


def _chunks(
    placed: PlacedDataset, origin: tuple[int, ...], values: NDArray[Any]
) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """The chunks that a box covers: where each begins, and what it holds, with zeros where the dataset ends."""
    counts = [-(-length // size) for length, size in zip(values.shape, placed.chunk)]
    for grid in np.ndindex(*counts):
        box = tuple(slice(at * size, (at + 1) * size) for at, size in zip(grid, placed.chunk))
        piece = values[box]
        if piece.shape != placed.chunk:
            whole = np.zeros(placed.chunk, values.dtype)
            whole[tuple(slice(0, length) for length in piece.shape)] = piece
            piece = whole
        yield tuple(start + at * size for start, at, size in zip(origin, grid, placed.chunk)), piece


def _encoded_chunks(placed: PlacedDataset, origin: tuple[int, ...], values: NDArray[Any]) -> EncodedChunks:
    return [
        (at, encoded(chunk) if placed.is_compressed else np.ascontiguousarray(chunk).tobytes())
        for at, chunk in _chunks(placed, origin, values)]


def _texts(values: bytes | list[bytes], width: int) -> NDArray[Any]:
    """Texts as the format has them: the library converts no ASCII to UTF-8."""
    return np.array(values, h5py.string_dtype("utf-8", width))


def _set_text(item: Any, name: str, text: str) -> None:
    """An attribute as one fixed-length UTF-8 text, padded with zeros."""
    data = text.encode()
    item.attrs.create(name, _texts(data, max(1, len(data))))


def _explained(error: OSError | RuntimeError, partial: Path) -> OSError | RuntimeError:
    """The library's error, which may be a RuntimeError, with the file and the reason in plain words; others as they are."""
    text = str(error)
    if isinstance(error, FileExistsError) or isinstance(error, RuntimeError) and not _is_of_library(error):
        return error
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        number = next(
            (code for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.ENOENT)
             if f"errno = {code}" in text or os.strerror(code) in text), errno.EIO)
    return OSError(number, f"{os.strerror(number)}; the steps committed until then are in it", str(partial))


def _is_of_library(error: BaseException) -> bool:
    """Whether it was raised inside h5py: other code's RuntimeErrors say nothing about the file."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and "h5py" in frames[-1].f_code.co_filename
