"""The schema of the format: what a trace may hold, as `schemas/` of the project has it.

`schemas` beside this file is a link to that folder; an installed package has a copy of it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "schemas"
SECOND_PASS = "unconditional/"


@dataclass(frozen=True)
class Schema:
    """One version of the format. `text` is the file byte for byte: what a trace keeps as `schema_text`."""

    text: bytes
    format: str
    version: str
    min_reader: str
    attributes: dict[str, dict[str, Any]]
    """By name: `type`, `required`, `hashed`, `meaning`."""
    dimensions: dict[str, dict[str, Any]]
    """By name: `meaning`."""
    datasets: dict[str, dict[str, Any]]
    """By path: `dimensions`, `type`, `unit`, `meaning`, and `signal` where it is optional."""
    scalars: dict[str, dict[str, Any]]
    """By path: `type`, `meaning`."""
    signals: dict[str, dict[str, Any]]
    """By name."""
    guided: frozenset[str]
    """Datasets that a second pass repeats under `unconditional/`."""

    @property
    def sha256(self) -> str:
        """SHA-256 of `text`, in hex."""
        return hashlib.sha256(self.text).hexdigest()

    def dataset(self, path: str) -> dict[str, Any] | None:
        """What the schema says of a dataset, also of the second pass; None where it knows none of that path."""
        if path.startswith(SECOND_PASS):
            path = path[len(SECOND_PASS) :]
            return self.datasets.get(path) if path in self.guided else None
        return self.datasets.get(path)


def version_key(version: str) -> tuple[int, ...]:
    """Versions compare as numbers, part by part: 0.10 is newer than 0.9, and 1.0.0 is 1.0. ValueError where it is no version."""
    parts = version.split(".")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{version!r} is no version")
    numbers = [int(part) for part in parts]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


@functools.cache
def current() -> Schema:
    """The newest version that comes with this package."""
    newest = max(FOLDER.glob("attention-trace-*.json"), key=lambda path: version_key(path.stem.rsplit("-", 1)[1]))
    return parsed(newest.read_bytes())


def parsed(text: bytes) -> Schema:
    """A schema from its text."""
    content = json.loads(text)

    def by(key: str, entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {entry[key]: entry for entry in entries}

    return Schema(
        text=text,
        format=content["format"],
        version=content["version"],
        min_reader=content["min_reader"],
        attributes=by("name", content["attributes"]),
        dimensions=by("name", content["dimensions"]),
        datasets=by("path", content["datasets"]),
        scalars=by("path", content["scalars"]),
        signals=by("name", content["signals"]),
        guided=frozenset(content["guided"]),
    )
