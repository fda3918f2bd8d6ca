"""Chunks as HDF5 stores them: shuffle, deflate, fletcher32, made here so that other threads than the model's do it.

h5py would compress inside the library, under its lock, on the thread that asks. What is made here is what the library's
own filters make: any HDF5 reads it.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 1
PROBE = 4096
"""Bytes in the middle of a plane by which it is judged whether compressing it pays."""
NOISE = 0.97
"""A plane whose probe stays above this share of its size is stored as it is."""
STORED_LIMIT = 0xFFFF
"""Bytes of one stored block of deflate."""


def encoded(chunk: NDArray[Any]) -> bytes:
    """A chunk through the three filters. The array is whole, contiguous and little-endian."""
    data = deflated(np.ascontiguousarray(chunk).reshape(-1).view(np.uint8).reshape(-1, chunk.dtype.itemsize))
    return data + struct.pack("<I", fletcher32(data))


def deflated(elements: NDArray[np.uint8]) -> bytes:
    """One zlib stream of the byte planes of elements (element, byte): *shuffle* and *deflate*.

    Each plane is written on its own: the low bytes of probabilities are noise that deflate would spend its time on for
    nothing, so such a plane is stored.
    """
    planes = np.ascontiguousarray(elements.T)
    parts = [b"\x78\x01"]
    for number, plane in enumerate(planes):
        is_last = number == len(planes) - 1
        parts.append(_stored(plane, is_last) if _is_noise(plane) else _squeezed(plane, is_last))
    parts.append(struct.pack(">I", zlib.adler32(planes.data)))
    return b"".join(parts)


def _is_noise(plane: NDArray[np.uint8]) -> bool:
    middle = max(0, (plane.size - PROBE) // 2)
    probe = plane[middle : middle + PROBE].tobytes()
    return len(zlib.compress(probe, LEVEL)) > NOISE * len(probe)


def _squeezed(plane: NDArray[np.uint8], is_last: bool) -> bytes:
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, -15, 9, zlib.Z_RLE)
    return stream.compress(plane.data) + stream.flush(zlib.Z_FINISH if is_last else zlib.Z_FULL_FLUSH)


def _stored(plane: NDArray[np.uint8], is_last: bool) -> bytes:
    data = plane.tobytes()
    parts = []
    for start in range(0, len(data), STORED_LIMIT):
        block = data[start : start + STORED_LIMIT]
        is_final = is_last and start + STORED_LIMIT >= len(data)
        parts.append(struct.pack("<BHH", is_final, len(block), len(block) ^ 0xFFFF) + block)
    return b"".join(parts)


def fletcher32(data: bytes) -> int:
    """HDF5's checksum: sums of big-endian 16-bit words in ones' complement."""
    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype(np.uint64)
    low = high = 0
    # 2^16 words at a time, so that no product of a word and its weight overflows.
    for start in range(0, words.size, 1 << 16):
        part = words[start : start + (1 << 16)]
        total = int(part.sum())
        high += low * part.size + int((part * np.arange(part.size, 0, -1, dtype=np.uint64)).sum())
        low += total
    return _folded(high) << 16 | _folded(low)


def _folded(total: int) -> int:
    """A sum modulo 65535, where what is not 0 stays so."""
    return (total - 1) % 0xFFFF + 1 if total else 0
