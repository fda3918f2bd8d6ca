"""The way through a file: may it be judged, is it built right, are its values right."""

import h5py

from . import attention, structure, timeline, tokens, vectors
from .findings import Log
from .hashes import judge_hashes
from .schema import SCHEMA, version


def check(path, deep=False):
    """Judges a file. OSError where there is none."""
    log = Log()
    with open(path, "rb") as plain:
        start = plain.read(12)
    if start[:8] != b"\x89HDF\r\n\x1a\n":
        log.add("file.open", "", "not an HDF5 file")
        return log
    # Byte 11 says that a writer has it, or had it when it was killed. Opening a damaged file so takes for ever.
    written = len(start) == 12 and start[8] == 3 and start[11] != 0
    try:
        file = h5py.File(path, "r", swmr=written, locking=False)
    except (OSError, ValueError) as error:
        log.add("file.open", "", str(error))
        return log
    with file:
        if not may_be_judged(file, log):
            return log
        trace = structure.judge(file, log)
        if deep and trace is not None and trace.committed > 0:
            judge_hashes(trace, log)
            tokens.judge(trace, log)
            timeline.judge(trace, log)
            attention.judge(trace, log)
            vectors.judge(trace, log)
    return log


def text_attribute(file, name):
    try:
        value = file.attrs.get(name)
    except OSError:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def may_be_judged(file, log):
    if text_attribute(file, "format") != SCHEMA["format"]:
        log.add("root.format", "@format", "not a trace")
        return False
    versions = {}
    for name in ["format_version", "min_reader"]:
        if name in file.attrs:
            versions[name] = version(text_attribute(file, name))
            if versions[name] is None:
                log.add("root.version", "@" + name, "not a version")
    minimum, written = versions.get("min_reader"), versions.get("format_version")
    if "min_reader" in versions and minimum is None:
        return False
    if minimum and written and minimum > written:
        log.add("root.version", "@min_reader", "newer than format_version")
    if minimum and minimum > version(SCHEMA["version"]):
        log.add("root.version", "@min_reader", "asks for a newer reader")
        return False
    return True
