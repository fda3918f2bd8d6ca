"""The command: python -m checker [--deep] TRACE..."""

import argparse
import sys

from . import WARNINGS, check

parser = argparse.ArgumentParser(prog="checker", description="Judges attention traces.")
parser.add_argument("--deep", action="store_true", help="read every value")
parser.add_argument("traces", nargs="+")
options = parser.parse_args()
failed = False
for path in options.traces:
    findings = check(path, deep=options.deep)
    for finding in findings:
        print(f"{path}: {'warning' if finding.code in WARNINGS else 'error'} {finding}")
    errors = sum(finding.code not in WARNINGS for finding in findings)
    print(f"{path}: {'valid' if errors == 0 else 'NOT valid'}")
    failed |= errors > 0
sys.exit(1 if failed else 0)
