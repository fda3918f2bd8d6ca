"""Judges an attention trace by docs/format.md, docs/verify.md and schemas/attention-trace-1.0.json alone.

Shares no code with the Swift verifier: two readings of one specification that must agree. Needs h5py and numpy.

    python -m checker [--deep] TRACE...          prints findings, a line each; exit 1 where there is an error
    checker.check(path, deep=True)               a list of Finding
"""

from .findings import CODES, WARNINGS, Finding
from .judge import check

__all__ = ["CODES", "WARNINGS", "Finding", "check"]
