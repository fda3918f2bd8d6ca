"""Mutations of a file, each decided by its seed alone."""

import random
import struct

from fuzzing.structure import blocks, chunks, fletcher32, messages

EXTREMES = [0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
SECTOR = 512


class Original:
    """A real trace, and where its metadata is."""

    def __init__(self, data):
        self.data = data
        self.blocks = blocks(data)
        self.headers = [block for block in self.blocks if block.signature == b"OHDR"]
        # Where the address of a block is written: the places to make a structure point elsewhere.
        self.pointers = []
        for target in self.blocks[1:]:
            address = struct.pack("<Q", target.start)
            for block in self.blocks:
                place = data.find(address, block.start + 4, block.end)
                if place >= 0:
                    self.pointers.append((block, place))
        # Where a compressed chunk is, its checksum the last four bytes.
        self.chunks = chunks(data)


def mutated(originals, seed):
    """A mutated copy, and the name of the mutation."""
    draw = random.Random(seed)
    original = draw.choice(originals)
    data = bytearray(original.data)
    mutation = draw.choices(list(MUTATIONS), list(MUTATIONS.values()))[0]
    name = mutation.__name__
    if mutation is splice:
        mutation(data, original, draw, draw.choice(originals))
    else:
        mutation(data, original, draw)
    return bytes(data), name


def flip_bytes(data, original, draw):
    for _ in range(draw.choice([1, 1, 2, 8, 64])):
        data[draw.randrange(len(data))] = draw.randrange(256)


def flip_bits_of_structure(data, original, draw):
    for _ in range(draw.choice([1, 1, 2, 4])):
        block = draw.choice(original.blocks)
        data[draw.randrange(block.start, block.end)] ^= 1 << draw.randrange(8)


def truncate(data, original, draw):
    del data[draw.randrange(len(data)) :]


def extend(data, original, draw):
    more = draw.choice([1, 7, SECTOR, 100_000])
    data += bytes(more) if draw.random() < 0.5 else draw.randbytes(more)


def change_sectors(data, original, draw):
    """Blocks of a disk: zeroed, written twice, swapped."""
    for _ in range(draw.choice([1, 1, 2, 4])):
        first, second = (SECTOR * draw.randrange(len(data) // SECTOR) for _ in range(2))
        one, other = bytes(data[first : first + SECTOR]), bytes(data[second : second + SECTOR])
        match draw.choice(["zero", "duplicate", "swap"]):
            case "zero":
                data[first : first + len(one)] = bytes(len(one))
            case "duplicate":
                data[second : second + len(other)] = one[: len(other)]
            case "swap" if len(one) == len(other):
                data[first : first + SECTOR], data[second : second + SECTOR] = other, one


def splice(data, original, draw, donor):
    """A block of the same kind, from another place or another trace, with its checksum right."""
    for _ in range(draw.choice([1, 1, 2, 4])):
        block = draw.choice(original.blocks[1:])
        others = [other for other in donor.blocks if other.signature == block.signature]
        if not others:
            continue
        other = draw.choice(others)
        part = donor.data[other.start : min(other.end, other.start + block.end - block.start)]
        data[block.start : block.start + len(part)] = part
        if draw.random() < 0.7:
            block.seal(data)


def value_of(draw, width, old):
    """A value that is likely to matter."""
    kind = draw.random()
    if kind < 0.6:
        value = draw.choice(EXTREMES)
    elif kind < 0.85:
        value = old + draw.choice([-8, -2, -1, 1, 2, 8, 256])
    else:
        value = draw.getrandbits(8 * width)
    return value % (1 << (8 * width))


def put(data, draw, place, width):
    if place + width <= len(data):
        old = int.from_bytes(data[place : place + width], "little")
        data[place : place + width] = value_of(draw, width, old).to_bytes(width, "little")


def edit_fields(data, original, draw):
    """Fields anywhere in metadata, with the checksum right again."""
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        block = draw.choice(original.blocks)
        put(data, draw, draw.randrange(block.start + 4, block.end), draw.choice([1, 2, 4, 8]))
        block.seal(data)


def edit_header(data, original, draw):
    """The first fields of a block: versions, sizes, counts and addresses of the structure itself."""
    block = draw.choice([block for block in original.blocks if block.signature != b"OHDR"])
    put(data, draw, draw.randrange(block.start + 4, min(block.start + 40, block.end)), draw.choice([1, 2, 4, 8]))
    block.seal(data)


def edit_message(data, original, draw):
    """A message of an object header (dataspace, type, layout, filters, attribute): its type, its size, its first fields."""
    for _ in range(draw.choice([1, 1, 2])):
        header = draw.choice(original.headers)
        found = messages(original.data, header)
        if not found:
            continue
        place, prefix, size = draw.choice(found)
        match draw.choice(["type", "size", "flags", "body", "body", "body", "body"]):
            case "type":
                data[place] = draw.randrange(0x1A)
            case "size":
                put(data, draw, place + 1, 2)
            case "flags":
                data[place + 3] = draw.randrange(256)
            case "body" if size:
                put(data, draw, place + prefix + draw.randrange(min(size, 48)), draw.choice([1, 2, 4, 8]))
        header.seal(data)


def exchange_messages(data, original, draw):
    """A message over another, of this header or of another one."""
    header, other = draw.choice(original.headers), draw.choice(original.headers)
    into, source = messages(original.data, header), messages(original.data, other)
    if into and source:
        place, prefix, size = draw.choice(into)
        start, other_prefix, other_size = draw.choice(source)
        data[place] = original.data[start]
        part = original.data[start + other_prefix : start + other_prefix + min(size, other_size)]
        data[place + prefix : place + prefix + len(part)] = part
        header.seal(data)


def redirect(data, original, draw):
    """An address that leads to another block: into a circle, often."""
    for _ in range(draw.choice([1, 1, 2])):
        block, place = draw.choice(original.pointers)
        target = block if draw.random() < 0.4 else draw.choice(original.blocks)
        data[place : place + 8] = struct.pack("<Q", target.start)
        block.seal(data)


def edit_chunk(data, original, draw):
    """Compressed bytes that their checksum vouches for: what decodes them sees what was done to them."""
    for _ in range(draw.choice([1, 1, 4])):
        # Of large chunks, which have a decoder of their own, there are few.
        start, end = draw.choice(original.chunks) if draw.random() < 0.5 else max(
            original.chunks, key=lambda chunk: chunk[1] - chunk[0])
        stream = bytearray(data[start : end - 4])
        # Blocks and codes begin at the beginning.
        first = draw.choice([0, 0, draw.randrange(len(stream))])
        match draw.choice(["bits", "bytes", "extremes", "copy", "shift"]):
            case "bits":
                for _ in range(draw.choice([1, 1, 4, 32])):
                    stream[min(len(stream) - 1, first + draw.randrange(200))] ^= 1 << draw.randrange(8)
            case "bytes":
                for _ in range(draw.choice([1, 4, 32])):
                    stream[draw.randrange(len(stream))] = draw.randrange(256)
            case "extremes":
                size = draw.choice([1, 2, 8, 64])
                stream[first : first + size] = draw.choice([b"\0", b"\xff"]) * min(size, len(stream) - first)
            case "copy":
                size, source = draw.choice([4, 64, 1024]), draw.randrange(len(stream))
                part = bytes(stream[source : source + size])[: len(stream) - first]
                stream[first : first + len(part)] = part
            case "shift":
                size = draw.randrange(1, 9)
                stream = stream[:first] + stream[first + size :] + bytes(min(size, len(stream) - first))
        data[start : end - 4] = stream
        struct.pack_into("<I", data, end - 4, fletcher32(stream))


# Each with its share.
MUTATIONS = {
    flip_bytes: 6, flip_bits_of_structure: 4, truncate: 5, extend: 3, change_sectors: 6, splice: 10, edit_fields: 26,
    edit_header: 12, edit_message: 18, exchange_messages: 4, redirect: 6, edit_chunk: 14}
