"""Judges everything but the values of datasets."""

import hashlib
import json

import h5py
import numpy as np

from .hashes import judge_table
from .schema import (
    ATTRIBUTES, COORDINATES, DIMENSIONS, NUMBERS, SCALARS, SCHEMA, SECOND, SIGNALS, TEXT, described, version, wanted)
from .trace import Trace, indices

FLAGS = {
    "is_masked": ("not_masked masked", [0, 1]),
    "suppressed": ("kept suppressed suppressed_for_other_queries", [0, 1, 2]), "region_gold": ("other gold", [0, 1]), "query_class": ("prompt unmasked masked", [0, 1, 2]),
}
INT32 = 2**31 - 1


def judge(file, log):
    """Judges; the trace, or None where its shape cannot be made out."""
    attributes = read_attributes(file, log)
    schema_text = scalar_text(file, "schema_text", log)
    total = scalar_text(file, "content_sha256", log)
    judge_attributes(attributes, schema_text, log)
    shaped = selections(file, attributes, log)
    committed = scalar_number(file, "committed_steps", log)
    complete = scalar_number(file, "is_complete", log)
    trace = None
    if complete is not None and complete not in (0, 1):
        log.add("commit.record", "is_complete", f"is {complete}")
    if committed is not None and committed < 0:
        log.add("commit.record", "committed_steps", f"is {committed}")
    elif committed is not None:
        if complete == 1 and committed == 0:
            log.add("commit.steps", "committed_steps", "is 0 at the end")
        if complete == 0:
            log.add("commit.unfinished", "is_complete", "cut short")
        if shaped:
            trace = Trace(file, attributes, committed, complete == 1, bool(total))
            if committed > trace.committed:
                log.add("commit.steps", "committed_steps", "more than planned")
    signals = set((attributes.get("signals") or "").split(",")) & SIGNALS
    datasets = wanted(signals, attributes.get("is_guided") == 1)
    outside = judge_links(file, set(datasets) | set(SCALARS), log)
    for path, entry in datasets.items():
        if not any(path == link or path.startswith(link + "/") for link in outside):
            try:
                judge_dataset(file, path, entry, attributes, trace, log)
            except (OSError, RuntimeError, KeyError, ValueError) as error:
                log.add("file.read", path, str(error))
    if trace is not None:
        judge_labels(trace, log)
        trace.total = total or b""
        if trace.complete:
            judge_table(trace, log)
    return trace


# Attributes


def read_attributes(file, log):
    """Those that are there and of their type."""
    found = {}
    for name, entry in ATTRIBUTES.items():
        if name not in file.attrs:
            if entry["required"]:
                log.add("attribute.missing", "@" + name, "missing")
            continue
        stored = file.attrs.get_id(name)
        if entry["type"] == "utf8":
            kind = h5py.check_string_dtype(stored.dtype)
            value = file.attrs[name] if kind is not None and kind.length is not None and stored.shape == () else None
            try:
                found[name] = value.decode() if isinstance(value, bytes) else str(value) if value is not None else None
            except UnicodeDecodeError:
                found[name] = None
        else:
            is_right = stored.dtype == np.dtype("<i4" if entry["type"] == "int32" else "<u8") and stored.shape == ()
            found[name] = int(file.attrs[name]) if is_right else None
        if found[name] is None:
            log.add("attribute.type", "@" + name, "not one " + entry["type"])
            del found[name]
    return found


def is_hash(text):
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def judge_attributes(found, schema_text, log):
    causality = found.get("causality")
    bounds = {name: (1, INT32) for name in [
        "planned_generated_length", "planned_steps", "layer_count", "head_count", "kv_head_count", "threads",
        "text_width"]}
    bounds |= {
        "prompt_length": (1 if causality == "causal" else 0, INT32), "head_dim": (0, INT32), "is_guided": (0, 1),
        "prediction_offset": (0, 1), "mask_token_id": (0 if causality == "bidirectional" and "origin" not in found else -1, INT32)}
    for name, (low, high) in bounds.items():
        if name in found and not low <= found[name] <= high:
            log.add("attribute.value", "@" + name, f"is {found[name]}")
    if causality not in (None, "bidirectional", "causal"):
        log.add("attribute.value", "@causality", "neither bidirectional nor causal")
    signals = (found.get("signals") or "").split(",")
    # A later version may have added to what this one knows.
    is_later = (version(found.get("format_version")) or []) > version(SCHEMA["version"])
    if signals != [""] and not (is_later or set(signals) <= SIGNALS) or len(set(signals)) < len(signals):
        log.add("attribute.value", "@signals", "names an unknown signal, or one twice")
    if "cosine" in signals and causality == "causal":
        log.add("attribute.value", "@signals", "cosine in a causal trace")
    if "qk" in signals and found.get("head_dim") == 0:
        log.add("attribute.value", "@head_dim", "is 0 with qk")
    heads, shared = found.get("head_count", 0), found.get("kv_head_count", 0)
    if heads > 0 and shared > 0 and heads % shared:
        log.add("attribute.heads", "@kv_head_count", "does not divide head_count")
    for name in ["weights_sha256", "tokenizer_sha256", "schema_sha256"]:
        may_be_empty = name == "tokenizer_sha256" or name == "weights_sha256" and "origin" in found
        if name in found and not is_hash(found[name]) and (found[name] or not may_be_empty):
            log.add("attribute.hash", "@" + name, "not 64 hexadecimal digits")
    for name in ["sampler_parameters", "model_configuration", "origin"]:
        if name in found:
            try:
                is_object = isinstance(json.loads(found[name]), dict)
            except ValueError:
                is_object = False
            if not is_object:
                log.add("attribute.json", "@" + name, "not a JSON object")
    if schema_text is not None:
        if found.get("schema_sha256") not in (None, hashlib.sha256(schema_text).hexdigest()):
            log.add("schema.hash", "@schema_sha256", "not the hash of schema_text")
        if found.get("format_version") == SCHEMA["version"] and schema_text != TEXT:
            log.add("schema.text", "schema_text", "not the published schema")


def selections(file, found, log):
    """Turns the selections of queries and steps into lists; whether the shape of the trace can be made out."""
    numbers = ["prompt_length", "planned_generated_length", "planned_steps"]
    if not all(name in found for name in numbers + ["signals"]) or found.get("causality") not in ("bidirectional", "causal"):
        return False
    causal = found["causality"] == "causal"
    if found["prompt_length"] < (1 if causal else 0) or min(found[name] for name in numbers[1:]) < 1:
        return False
    for axis in ["layer", "head"]:
        item = file.get(axis, getlink=True) is not None and file.get(axis)
        if not isinstance(item, h5py.Dataset) or item.dtype != np.dtype("<i4") or item.ndim != 1:
            return False
        if item.shape[0] == 0:
            log.add("label.value", axis, "empty")
            return False
    positions = found["prompt_length"] + found["planned_generated_length"]
    limits = {
        "planned_queries": positions - 1 if causal else positions,
        "planned_map_steps": 0 if causal else found["planned_steps"]}
    is_clear = True
    for name, limit in limits.items():
        if found.get(name) == "all":
            found[name] = None
        elif name in found:
            found[name] = indices(found[name], limit)
            if found[name] is None:
                log.add("attribute.value", "@" + name, "not an ascending list of indices, nor all")
                is_clear = False
        else:
            is_clear = False
    return is_clear


# Scalars


def scalar_number(file, name, log):
    if name not in file:
        log.add("dataset.missing", name, "missing")
        return None
    item = file[name]
    if not isinstance(item, h5py.Dataset) or item.dtype != np.dtype("<i4") or item.shape != ():
        log.add("dataset.type", name, "not one int32")
        return None
    return int(item[()])


def scalar_text(file, name, log):
    if name not in file:
        log.add("dataset.missing", name, "missing")
        return None
    item = file[name]
    kind = h5py.check_string_dtype(item.dtype) if isinstance(item, h5py.Dataset) else None
    width = SCALARS[name].get("text_width")
    if kind is None or kind.length is None or item.shape != () or width not in (None, kind.length) or not is_utf8(item):
        log.add("dataset.type", name, "not one fixed-length UTF-8 text")
        return None
    return bytes(item[()])


def is_utf8(item):
    kind = item.id.get_type()
    return kind.get_cset() == h5py.h5t.CSET_UTF8 and kind.get_strpad() == h5py.h5t.STR_NULLPAD


# Objects


def judge_links(file, known, log):
    """Judges every link; returns those that are not to be followed."""
    outside = []

    def visit(group, prefix, depth):
        for name in group:
            path = prefix + name
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                if any(entry == path or entry.startswith(path + "/") for entry in known):
                    outside.append(path)
                    log.add("dataset.outside", path, "a link by name")
                continue
            try:
                item = group[name]
            except (KeyError, OSError, RuntimeError):
                continue
            if isinstance(item, h5py.Group):
                if depth < 8:
                    visit(item, path + "/", depth + 1)
            elif isinstance(item, h5py.Dataset):
                if not prefix and item.dtype == np.float16:
                    log.add("dataset.float16", path, "float16 in the root group")
                if prefix and name in DIMENSIONS:
                    log.add("dataset.name", path, "has the name of an axis")
                if path not in known and path not in DIMENSIONS and described(path) is not None:
                    log.add("dataset.unlisted", path, "of a signal that is not listed")

    visit(file, "", 0)
    return outside


def judge_dataset(file, path, entry, attributes, trace, log):
    """Judges a dataset, and notes its shape where it is sound."""
    if path not in file:
        log.add("dataset.missing", path, "missing")
        return
    item = file[path]
    if not isinstance(item, h5py.Dataset):
        log.add("file.read", path, "not a dataset")
        return
    plist = item.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or item.external:
        log.add("dataset.outside", path, "values are elsewhere")
        return
    is_sound = judge_type(item, path, entry, attributes, log)
    judge_words(item, path, entry, attributes, log)
    if item.ndim != len(entry["dimensions"]):
        log.add("dataset.axes", path, f"has {item.ndim} axes")
        return
    filters = [plist.get_filter(place)[0] for place in range(plist.get_nfilters())]
    if set(filters) - {1, 2, 3}:
        log.add("dataset.filters", path, str(filters))
    if filters and 3 not in filters:
        log.add("dataset.checksum", path, "no fletcher32")
    shape = list(item.shape)
    if trace is not None:
        for axis, name in enumerate(entry["dimensions"]):
            expected = trace.length(name)
            if expected is None:
                continue
            if shape[axis] < expected:
                log.add("dataset.length", path, f"{shape[axis]} on {name}, not {expected}")
                is_sound = False
                break
            if shape[axis] > expected and trace.complete:
                log.add("dataset.longer", path, f"{shape[axis]} on {name}, of which {expected} count")
            shape[axis] = expected
    judge_scales(file, item, path, entry, trace, log)
    if is_sound and trace is not None:
        trace.shapes[path] = tuple(shape)


def judge_type(item, path, entry, attributes, log):
    if entry["type"] == "utf8":
        kind = h5py.check_string_dtype(item.dtype)
        width = entry.get("text_width", attributes.get("text_width"))
        is_right = kind is not None and kind.length is not None and is_utf8(item) and width in (None, kind.length)
    else:
        is_right = item.dtype == NUMBERS[entry["type"]]
    if not is_right:
        log.add("dataset.type", path, f"not {entry['type']}")
    return is_right


def judge_words(item, path, entry, attributes, log):
    knows = attributes.get("format_version") == SCHEMA["version"]

    def word(name, expected):
        if name not in item.attrs:
            log.add("dataset.words", path, "no " + name)
            return
        value = item.attrs[name]
        value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if knows and not (isinstance(value, str) and value == expected):
            log.add("dataset.words", path, f"{name} is not {expected!r}")

    word("long_name", entry["meaning"])
    if entry["type"] != "utf8" and path not in COORDINATES:
        word("units", entry["unit"])
    if path in FLAGS:
        word("flag_meanings", FLAGS[path][0])
        if np.asarray(item.attrs.get("flag_values", [])).tolist() != FLAGS[path][1]:
            log.add("dataset.words", path, "flag_values")
    fill = item.attrs.get("_FillValue")
    if entry["type"] == "float32":
        if fill is None or np.asarray(fill).dtype != np.float32 or not np.isnan(fill).all():
            log.add("dataset.fill", path, "_FillValue is not NaN")
    elif fill is not None:
        log.add("dataset.fill", path, "has a _FillValue")


def judge_scales(file, item, path, entry, trace, log):
    if path in COORDINATES:
        if not h5py.h5ds.is_scale(item.id):
            log.add("scale.missing", path, "not a scale")
        return
    for axis, name in enumerate(entry["dimensions"]):
        if h5py.h5ds.get_num_scales(item.id, axis) == 0:
            log.add("scale.missing", path, f"axis {axis}")
        elif name in file and isinstance(file[name], h5py.Dataset):
            scale = file[name]
            if not h5py.h5ds.is_attached(item.id, scale.id, axis):
                log.add("scale.name", path, f"axis {axis} has another scale than {name}")
            elif (
                trace is not None and trace.complete and trace.length(name) in (None, item.shape[axis])
                and scale.shape[:1] != item.shape[axis : axis + 1]
            ):
                log.add("scale.length", path, f"axis {axis}: {name} is {scale.shape}")


def judge_labels(trace, log):
    attributes = trace.attributes
    heads, shared = attributes.get("head_count", 0), attributes.get("kv_head_count", 0)
    for axis in DIMENSIONS:
        values = trace.read(axis)
        if values is None:
            continue
        values = values.tolist()
        expected = list(range(len(values)))
        if axis in ("layer", "head"):
            count = attributes.get(axis + "_count", INT32)
            if values != sorted(set(values)) or values and not 0 <= values[0] <= values[-1] < count:
                log.add("label.value", axis, str(values))
            continue
        if axis == "kv_head":
            if heads <= 0 or shared <= 0 or heads % shared:
                continue
            expected = sorted({head // (heads // shared) for head in trace.heads})
        elif axis in ("vocab", "leaf") and not trace.complete and not trace.hashed:
            continue
        elif axis == "position" and trace.causal and trace.committed == 0:
            continue
        elif axis == "query":
            expected = trace.queries
        elif axis == "generated":
            expected = [trace.prompt + place for place in expected]
        elif axis in ("row_step", "map_step"):
            if trace.causal and not trace.complete:
                continue
            expected = trace.map_steps
        if values != expected[: len(values)] or len(values) > len(expected):
            log.add("label.value", axis, f"{values[:8]} where {expected[:8]}")
