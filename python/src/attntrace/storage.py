"""An HDF5 file, and datasets of it as lazy arrays for xarray."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from .errors import AttntraceError

# What h5py raises on files that are no HDF5, are cut short, or contradict themselves; libhdf5's messages become any of
# these.
READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, UnicodeDecodeError, OverflowError)

# With the SWMR flag libhdf5 reads metadata again where a checksum is wrong, in the hope that its writer is just at it:
# 100 times by itself, waiting twice as long each time, which is for ever. 20 times take some seconds at most.
METADATA_ATTEMPTS = 20


class TraceFile:
    """An open HDF5 file. A pickled one is opened again where it arrives, so that lazy arrays can go to other processes.

    `.partial` files are opened with the SWMR flag: their writer may be at work, or was killed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)
        self.is_partial = self.path.endswith(".partial")
        self._file: h5py.File | None = self._open()
        self._closed = False

    def _open(self) -> h5py.File:
        if not os.path.exists(self.path):
            raise AttntraceError(self.path, "", "no such file")
        if os.path.isdir(self.path):
            raise AttntraceError(self.path, "", "a folder, not a trace")
        try:
            if self.is_partial:
                return _open_partial(self.path)
            return h5py.File(self.path, "r")
        except READ_ERRORS as error:
            raise AttntraceError(self.path, "", f"not an attention trace: not readable as HDF5 ({error})") from error

    @property
    def handle(self) -> h5py.File:
        """The open file; an error once it was closed."""
        if self._closed:
            raise AttntraceError(self.path, "", "the file was closed; what is to be kept must be loaded before")
        if self._file is None:
            self._file = self._open()
        return self._file

    def close(self) -> None:
        """Closes the file; reading from arrays that were not loaded is an error from then on."""
        self._closed = True
        if self._file is not None:
            self._file.close()
            self._file = None

    def dataset(self, path: str) -> h5py.Dataset | None:
        """A dataset whose values lie in this file; None where there is none of that path."""
        parts = path.split("/")
        try:
            for depth in range(1, len(parts) + 1):
                # Links are looked at before they are followed: a strange file can name any file of this machine.
                link = self.handle.get("/".join(parts[:depth]), getlink=True)
                if link is None:
                    return None
                if not isinstance(link, h5py.HardLink):
                    raise AttntraceError(self.path, path, "is a link to somewhere else")
            item = self.handle[path]
            if not isinstance(item, h5py.Dataset):
                raise AttntraceError(self.path, path, "is not a dataset")
            if item.external or item.is_virtual:
                raise AttntraceError(self.path, path, "its values lie in other files")
            # Both are decoded when asked for, which fails where they are damaged.
            _ = item.shape, item.dtype
        except READ_ERRORS as error:
            raise AttntraceError(self.path, path, f"damaged: cannot be read ({error})") from error
        return item

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> TraceFile:
        return self


def _open_partial(path: str) -> h5py.File:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    library = _library()
    if library is not None:
        library.H5Pset_metadata_read_attempts(access.id, METADATA_ATTEMPTS)
    flags = h5py.h5f.ACC_RDONLY | h5py.h5f.ACC_SWMR_READ
    return h5py.File(h5py.h5f.open(os.fsencode(path), flags, fapl=access))


def _library() -> ctypes.CDLL | None:
    """libhdf5 as h5py loaded it, for the one call that h5py does not offer; None where it cannot be found."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    for line in maps.read_text().splitlines():
        path = line.split()[-1]
        name = os.path.basename(path)
        if name.startswith("libhdf5") and "_hl" not in name and ".so" in name:
            library = ctypes.CDLL(path)
            library.H5Pset_metadata_read_attempts.argtypes = [ctypes.c_int64, ctypes.c_uint]
            return library
    return None


class StoredArray(BackendArray):
    """The committed part of a dataset, read when it is indexed. Text arrives decoded."""

    def __init__(self, file: TraceFile, path: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.file = file
        self.path = path
        self.shape = shape
        self.is_text = dtype.kind == "S"
        self.dtype = np.dtype(f"<U{max(1, dtype.itemsize)}") if self.is_text else dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        # h5py takes slices by the dataset's own length, which can be larger than what counts.
        bounded = tuple(
            slice(*part.indices(length)) if isinstance(part, slice) else part
            for part, length in zip(key, self.shape))
        dataset = self.file.dataset(self.path)
        try:
            if dataset is None:
                raise KeyError("no longer there")
            values = np.asarray(dataset[bounded])
            return np.char.decode(values, "utf-8", "replace").astype(self.dtype) if self.is_text else values
        except READ_ERRORS as error:
            raise AttntraceError(self.file.path, self.path, f"damaged: cannot be read ({error})") from error
