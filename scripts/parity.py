"""Recomputes every committed fixture of numbers with the installed PyTorch, NumPy and tokenizers, and compares.

Each fixture's script has a --check mode; this runs them all. Run by `make parity`.
"""

import subprocess
import sys
from pathlib import Path

fixtures = Path(__file__).resolve().parent.parent / "Tests" / "Fixtures"
failed = []
for script in sorted(fixtures.glob("*/make_*.py")):
    print(f"== {script.relative_to(fixtures.parent.parent)} --check", flush=True)
    if subprocess.run([sys.executable, script, "--check"]).returncode != 0:
        failed.append(f"{script.parent.name}/{script.stem}")
print(f"parity: {', '.join(failed)} differ" if failed else "parity: everything agrees")
sys.exit(1 if failed else 0)
