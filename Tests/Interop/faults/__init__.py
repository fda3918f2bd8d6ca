"""Libraries in C that let calls go wrong, loaded into the command before its own (LD_PRELOAD)."""

import os
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent


def build(name, into):
    """Compiles a library of this folder and returns its path."""
    compiler = next(filter(None, map(shutil.which, [os.environ.get("CC") or "cc", "clang", "gcc"])), None)
    assert compiler, "no C compiler: Swift's own clang is beside `swift`"
    library = Path(into) / f"{name}.so"
    subprocess.run(
        [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", "-o", str(library),
         str(FOLDER / f"{name}.c"), "-ldl"], check=True)
    return library
