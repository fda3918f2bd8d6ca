"""Reading a stranger's file where a crash of libhdf5 does no harm: in a process of its own, first."""

from __future__ import annotations

import os
import subprocess
import sys

import xarray as xr

from .errors import AttntraceError

# Slower than any disk that a trace is looked at from.
BYTES_A_SECOND = 20e6


def survive(path: str | os.PathLike[str]) -> None:
    """Reads all of a file in another process. AttntraceError where libhdf5 crashes or hangs on it.

    Damage that is met in order is no concern here: it is found, and named, when the file is read again.
    """
    longest = 60 + (os.path.getsize(path) / BYTES_A_SECOND if os.path.exists(path) else 0)
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "attntrace.guard", os.path.abspath(path)], timeout=longest, capture_output=True,
            env={**os.environ, "PYTHONPATH": paths})
    except subprocess.TimeoutExpired as error:
        raise AttntraceError(path, "", f"read.hang: reading it took more than {longest:.0f} s") from error
    if done.returncode < 0:
        raise AttntraceError(path, "", f"read.crash: libhdf5 crashed on it (signal {-done.returncode})")


def read_all(tree: xr.DataTree) -> None:
    """Reads every variable, a place of its first axis at a time."""
    for node in tree.subtree:
        for values in node.data_vars.values():
            if values.ndim == 0:
                values.load()
            for place in range(values.shape[0] if values.ndim else 0):
                _ = values[place].values


if __name__ == "__main__":
    from .trace import open

    try:
        with open(sys.argv[1]) as trace:
            read_all(trace)
    except AttntraceError:
        pass
