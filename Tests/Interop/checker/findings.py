"""Findings, and the codes that they may have: those of docs/verify.md."""

import re
from collections import namedtuple
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/verify.md"


class Finding(namedtuple("Finding", "code object message")):
    def __str__(self):
        return f"{self.code}: /{self.object}: {self.message}"


def documented():
    """Each code with its severity, as docs/verify.md heads them: `### code (severity)`."""
    return dict(re.findall(r"^### `([a-z0-9_.]+)` \((error|warning)\)$", DOCUMENT.read_text(), re.M))


SEVERITIES = documented()
CODES = set(SEVERITIES)
WARNINGS = {code for code, severity in SEVERITIES.items() if severity == "warning"}


class Log(list):
    """A list that refuses codes that are not documented, and keeps each finding once."""

    def add(self, code, object, message):
        assert code in CODES, code
        finding = Finding(code, object, message)
        if finding not in self:
            self.append(finding)
