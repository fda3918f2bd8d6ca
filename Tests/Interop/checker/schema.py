"""The schema as it is published, and what follows from it."""

import json
from pathlib import Path

import numpy as np

PATH = Path(__file__).resolve().parents[3] / "schemas/attention-trace-1.0.json"
TEXT = PATH.read_bytes()
SCHEMA = json.loads(TEXT)
ATTRIBUTES = {entry["name"]: entry for entry in SCHEMA["attributes"]}
DIMENSIONS = {entry["name"]: entry for entry in SCHEMA["dimensions"]}
SIGNALS = {entry["name"] for entry in SCHEMA["signals"]}
SCALARS = {entry["path"]: entry for entry in SCHEMA["scalars"]}
DATASETS = {entry["path"]: entry for entry in SCHEMA["datasets"]}
GUIDED = set(SCHEMA["guided"])
SECOND = "unconditional/"
NUMBERS = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4"), "int32": np.dtype("<i4"), "uint8": np.dtype("u1")}
COORDINATES = {
    name: {"path": name, "dimensions": [name], "type": "int32", "unit": "1", "meaning": entry["meaning"]}
    for name, entry in DIMENSIONS.items()
}


def version(text):
    try:
        parts = [int(part) for part in text.split(".") if part.isascii() and part.isdigit() or 1 / 0]
    except (ZeroDivisionError, AttributeError):
        return None
    return parts


def described(path):
    """What the schema says of a path; None where it knows none."""
    if path.startswith(SECOND):
        return DATASETS.get(path[len(SECOND) :]) if path[len(SECOND) :] in GUIDED else None
    return COORDINATES.get(path) or DATASETS.get(path)


def wanted(signals, guided):
    """The datasets of a trace with these signals: description by path, coordinates first."""
    present = {path: entry for path, entry in DATASETS.items() if entry.get("signal") in signals | {None}}
    axes = {name for entry in present.values() for name in entry["dimensions"]}
    result = {name: entry for name, entry in COORDINATES.items() if name in axes} | present
    if guided:
        result |= {SECOND + path: present[path] for path in GUIDED if path in present}
    return result


def is_hashed(path):
    return not path.startswith("content/") and path != "leaf"
