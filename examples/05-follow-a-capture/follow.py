"""Watches a capture from another process while it runs: each committed step, as it comes.

    python examples/05-follow-a-capture/follow.py out.h5
"""

import sys
import time
from pathlib import Path

import h5py
import numpy as np

path = Path(sys.argv[1])
partial = Path(f"{path}.partial")
seen = 0
while True:
    is_done = path.exists()
    name = path if is_done else partial
    if name.exists():
        try:
            # A partial file is opened as a reader beside its writer, also when that was killed.
            with h5py.File(name, "r", **({} if is_done else {"libver": "latest", "swmr": True})) as trace:
                steps = int(trace["committed_steps"][()])
                for step in range(seen, steps):
                    masks, received = trace["mask_count"][step], trace["received"][step]
                    print(f"step {step}: {masks} masked, {np.nansum(received, dtype='f4'):.1f} received")
                seen = steps
            if is_done:
                break
        except FileNotFoundError:
            pass  # It got its final name just now.
    time.sleep(0.05)
print(f"done: {seen} steps")
