"""The one error that a user of this package meets."""

from __future__ import annotations

import os


class AttntraceError(Exception):
    """A file that cannot be read as what it should be, or a question that it cannot answer.

    `path` is the file, `object` the part of it (a dataset, an attribute, a selection; empty where it is the whole file),
    `rule` what does not hold.
    """

    def __init__(self, path: str | os.PathLike[str], object: str, rule: str) -> None:
        self.path = os.fspath(path)
        self.object = object
        self.rule = rule
        super().__init__(": ".join(part for part in (self.path, object, rule) if part))

    def __reduce__(self) -> tuple[type[AttntraceError], tuple[str, str, str]]:
        return type(self), (self.path, self.object, self.rule)
