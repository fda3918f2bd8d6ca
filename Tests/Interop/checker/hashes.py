"""Content hashes, as docs/format.md specifies them."""

import hashlib

import numpy as np

from .schema import ATTRIBUTES, described, is_hashed


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def total(leaves):
    """The hash over a table: {(path, index): hash}."""
    ordered = sorted(leaves.items(), key=lambda item: (item[0][0].encode(), item[0][1]))
    return sha256("".join(f"{path} {index} {value}\n" for (path, index), value in ordered).encode())


def attributes_leaf(file):
    """The leaf of the attributes."""
    data = b""
    for name in sorted(ATTRIBUTES):
        if not ATTRIBUTES[name]["hashed"] or name not in file.attrs:
            continue
        value = file.attrs[name]
        if ATTRIBUTES[name]["type"] == "utf8":
            value = value.encode() if isinstance(value, str) else bytes(value)
            value = value.rstrip(b"\0")
        else:
            value = str(int(value)).encode()
        data += f"{name}={len(value)}:".encode() + value + b"\n"
    return sha256(data)


def leaf_axis(dimensions, causal):
    """The axis whose places have a leaf each; None where the dataset is one."""
    if dimensions[0] in ("step", "generated"):
        return 0
    if dimensions[0] in ("row_step", "map_step"):
        if causal:
            for axis, name in enumerate(dimensions):
                if name in ("query", "key", "position"):
                    return axis
        return 0
    return None


def content(values, width=None):
    """The bytes of values: little-endian, one NaN for all, texts with their length."""
    if values.dtype.kind == "S":
        texts = [bytes(value).rstrip(b"\0") for value in values.ravel()]
        return b"".join(str(len(text)).encode() + b":" + text for text in texts)
    values = np.ascontiguousarray(values)
    if values.dtype.kind == "f":
        bits = values.view("<u4" if values.dtype.itemsize == 4 else "<u2").copy()
        bits[np.isnan(values)] = 0x7FC00000 if values.dtype.itemsize == 4 else 0x7E00
        return bits.tobytes()
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def leaf(path, entry, index, values):
    header = "\n".join([
        path, ",".join(entry["dimensions"]), entry["type"], str(index), ",".join(map(str, values.shape))]) + "\n"
    return sha256(header.encode() + content(values))


def leaves_of(dataset, path, entry, shape, causal):
    """The leaves of a dataset, cut to a shape: pairs of index and hash, or of index and None where it cannot be read."""
    axis = leaf_axis(entry["dimensions"], causal)
    cut = [slice(0, length) for length in shape]
    places = [(-1, cut)] if axis is None else [
        (place, cut[:axis] + [slice(place, place + 1)] + cut[axis + 1 :]) for place in range(shape[axis])]
    for index, box in places:
        try:
            yield index, leaf(path, entry, index, dataset[tuple(box)])
        except OSError:
            yield index, None


def table_of(trace):
    """Every leaf of a trace: {(path, index): hash}, None where it cannot be read."""
    leaves = {("@", -1): attributes_leaf(trace.file)}
    for path, shape in trace.shapes.items():
        if is_hashed(path):
            for index, value in leaves_of(trace.file[path], path, described(path), shape, trace.causal):
                leaves[path, index] = value
    return leaves


def judge_table(trace, log):
    """Judges the table in the file by itself."""
    paths, hashes = trace.texts("content/leaf_path"), trace.texts("content/leaf_sha256")
    indices = trace.read("content/leaf_index")
    if paths is None or hashes is None or indices is None:
        return
    if not paths or not trace.total:
        log.add("content.missing", "content", "empty at the end")
        return
    labels = trace.read("leaf")
    if not len(paths) == len(hashes) == len(indices) == (len(paths) if labels is None else len(labels)):
        log.add("content.table", "content", "columns of different lengths")
        return
    table = {}
    for path, index, value in zip(paths, indices.tolist(), hashes):
        try:
            path, value = path.decode(), value.decode()
        except UnicodeDecodeError:
            path = ""
        is_hash = len(value) == 64 and set(value) <= set("0123456789abcdef")
        if not path or not is_hash or index < -1 or (path, index) in table:
            log.add("content.table", "content", f"a bad entry of {path}")
            return
        table[path, index] = value
    trace.table = table
    expected = {("@", -1)}
    for path, shape in trace.shapes.items():
        if is_hashed(path):
            axis = leaf_axis(described(path)["dimensions"], trace.causal)
            expected |= {(path, place) for place in ([-1] if axis is None else range(shape[axis]))}
    known = {path for path, _ in expected}
    extra = {entry for entry in set(table) - expected if entry[0] in known or entry[0] not in trace.file}
    for path, index in (expected - set(table)) | extra:
        log.add("content.coverage", path, f"hash at {index} is missing or too much")
    if total(table).encode() != trace.total:
        log.add("content.hash", "content_sha256", "not the hash of the table")


def judge_hashes(trace, log):
    """Hashes every value again."""
    for (path, index), value in table_of(trace).items():
        if value is None:
            log.add("chunk.damaged", path, f"cannot be read at {index}")
        elif trace.table is not None and trace.table.get((path, index), value) != value:
            log.add("content.leaf", path, f"differs at {index}")
