"""Content hashes, as docs/format.md defines them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CANONICAL_NAN = {2: 0x7E00, 4: 0x7FC00000}


def content_bytes(values: NDArray[Any]) -> bytes | memoryview:
    """What is hashed of values: little-endian, one NaN for all, texts with their lengths."""
    if values.dtype.kind == "S":
        texts = [bytes(value).rstrip(b"\0") for value in values.ravel()]
        return b"".join(b"%d:" % len(text) + text for text in texts)
    values = np.ascontiguousarray(values)
    if values.dtype.kind == "f":
        undefined = np.isnan(values)
        if undefined.any():
            values = values.copy()
            values.view(f"<u{values.itemsize}")[undefined] = CANONICAL_NAN[values.itemsize]
    return values.reshape(-1).view(np.uint8).data


def leaf_header(path: str, dimensions: Sequence[str], type_name: str, index: int, shape: Sequence[int]) -> bytes:
    """The five lines before a leaf's values."""
    return f"{path}\n{','.join(dimensions)}\n{type_name}\n{index}\n{','.join(map(str, shape))}\n".encode()


def attributes_leaf(attributes: Mapping[str, str | int], schema: Mapping[str, Mapping[str, Any]]) -> str:
    """The leaf of the attributes."""
    digest = hashlib.sha256()
    for name in sorted(attributes):
        if name in schema and schema[name]["hashed"]:
            value = str(attributes[name]).encode().rstrip(b"\0")
            digest.update(f"{name}={len(value)}:".encode() + value + b"\n")
    return digest.hexdigest()


def total(leaves: Mapping[tuple[str, int], str]) -> tuple[list[tuple[str, int, str]], str]:
    """The table in its order, and the hash over it."""
    table = sorted(
        ((path, index, value) for (path, index), value in leaves.items()), key=lambda row: (row[0].encode(), row[1]))
    text = "".join(f"{path} {index} {value}\n" for path, index, value in table)
    return table, hashlib.sha256(text.encode()).hexdigest()


class LeafStream:
    """Hashes a leaf whose values come piece by piece, in row-major order."""

    def __init__(self, header: bytes, size: int) -> None:
        self._digest = hashlib.sha256(header)
        self._left = size

    def add(self, values: NDArray[Any]) -> str | None:
        """Takes the next values; the hash, once they are all there."""
        self._digest.update(content_bytes(values))
        self._left -= values.size
        return self._digest.hexdigest() if self._left == 0 else None
