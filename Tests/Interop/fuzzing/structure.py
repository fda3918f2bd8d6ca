"""The metadata blocks of an HDF5 file of version 1.10, found well enough to break them: where each begins and ends, with
the checksum that it ends with."""

import ctypes
import io
import re
import struct
from dataclasses import dataclass

import h5py

from support import loaded_library

BLOCK = re.compile(rb"OHDR|OCHK|FRHP|FHDB|FHIB|FSHD|FSSE|BTHD|BTIN|BTLF|EAHD|EAIB|EASB|EADB|FAHD|FADB")
SUPERBLOCK = b"\x89HDF\r\n\x1a\n"
LONGEST = 2048


LIBRARY = loaded_library()
LIBRARY.H5_checksum_lookup3.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32]
LIBRARY.H5_checksum_lookup3.restype = ctypes.c_uint32
LIBRARY.H5_checksum_fletcher32.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
LIBRARY.H5_checksum_fletcher32.restype = ctypes.c_uint32


def checksum(data):
    """Bob Jenkins's lookup3, as libhdf5 has it for metadata."""
    return LIBRARY.H5_checksum_lookup3(bytes(data), len(data), 0)


def fletcher32(data):
    """What the filter of that name appends to a chunk."""
    return LIBRARY.H5_checksum_fletcher32(bytes(data), len(data))


@dataclass(frozen=True)
class Block:
    """A metadata block: data[start:end]."""
    signature: bytes
    start: int
    end: int
    checksum: int  # its place: the last four bytes, except in the blocks of a heap

    def seal(self, data):
        """Writes the checksum that its bytes have now."""
        if self.end > len(data):
            return
        content = data[self.start : self.checksum]
        if self.checksum + 4 < self.end:
            # A heap's block has it in the middle, and is summed with zeros there.
            content = content + bytes(4) + data[self.checksum + 4 : self.end]
        struct.pack_into("<I", data, self.checksum, checksum(content))

    def is_sealed(self, data):
        copy = bytearray(data)
        self.seal(copy)
        return copy == data


def blocks(data):
    """Every metadata block of a file."""
    found = [Block(SUPERBLOCK, 0, 48, 44)] if data.startswith(SUPERBLOCK) else []
    for match in BLOCK.finditer(data):
        signature, start = match[0], match.start()
        if signature == b"FHDB":
            found += _heap_block(data, start)
            continue
        end = _object_header_end(data, start) if signature == b"OHDR" else _end(data, start)
        if end:
            found.append(Block(signature, start, end, end - 4))
    return found


def _heap_block(data, start):
    for width in (4, 5, 2, 8):
        for size in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536):
            block = Block(b"FHDB", start, start + size, start + 13 + width)
            if block.end <= len(data) and block.is_sealed(data):
                return [block]
    return []


def _object_header_end(data, start):
    flags = data[start + 5]
    place = start + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    end = place + width + int.from_bytes(data[place : place + width], "little") + 4
    return end if end <= len(data) else None


def _end(data, start):
    """Where the bytes since `start` are followed by their checksum."""
    for end in range(start + 12, min(len(data), start + LONGEST)):
        if _is_plausible(data, end) and checksum(data[start:end]) == struct.unpack_from("<I", data, end)[0]:
            return end + 4
    return None


def _is_plausible(data, end):
    return end + 4 <= len(data) and data[end : end + 4] not in (b"\0\0\0\0", b"\xff\xff\xff\xff")


def messages(data, header):
    """Places of the messages of an object header: (place of the message's own header, length of its body)."""
    flags = data[header.start + 5]
    place = header.start + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0) + (1 << (flags & 3))
    prefix = 6 if flags & 4 else 4
    found = []
    while place + prefix <= header.end - 4:
        size = int.from_bytes(data[place + 1 : place + 3], "little")
        if place + prefix + size > header.end - 4:
            break
        found.append((place, prefix, size))
        place += prefix + size
    return found


def chunks(data):
    """Places of all compressed chunks, with their checksum: (start, end)."""
    copy = bytearray(data)
    # No writer has it: a killed one's mark would keep it from being opened.
    copy[11] = 0
    Block(SUPERBLOCK, 0, 48, 44).seal(copy)
    found = []

    def add(name, item):
        if isinstance(item, h5py.Dataset) and item.compression == "gzip":
            for index in range(item.id.get_num_chunks()):
                chunk = item.id.get_chunk_info(index)
                found.append((chunk.byte_offset, chunk.byte_offset + chunk.size))

    with h5py.File(io.BytesIO(copy), "r") as f:
        f.visititems(add)
    return found
