"""`python -m attntrace figures ...`: the only command of the package; all others are the program's."""

from __future__ import annotations

import sys


def main() -> int:
    """The command; its exit code."""
    if len(sys.argv) < 2 or sys.argv[1] != "figures":
        asked = len(sys.argv) > 1 and sys.argv[1] in ("-h", "--help")
        print("usage: python -m attntrace figures TRACE_OR_RESULTS ... --output DIR", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    from .figures.__main__ import main as figures

    return figures(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
