"""A cohort: one number a trace, and over all traces its mean with a 95 % interval.

    python examples/07-cohort/cohort.py a.h5 b.h5 c.h5

For diffusion traces. (A causal trace stores increments: np.cumsum them over the steps, and divide by v(j).)
"""

import sys

import h5py
import numpy as np

if len(sys.argv) < 3:
    sys.exit("usage: cohort.py TRACE TRACE ...")
masses = []
for number, path in enumerate(sys.argv[1:], 1):
    with h5py.File(path) as trace:
        if trace.attrs["causality"] != b"bidirectional":
            sys.exit(f"{path}: not a diffusion trace")
        sums = trace["received"][:].sum(axis=3, dtype=np.float64)  # (step, layer, head, key)
    masses.append((sums[..., :4].sum(axis=-1) / sums.shape[-1]).mean())
    print(f"trace {number}: {masses[-1]:.6f}")

mean = np.mean(masses)
reach = 1.96 * np.std(masses, ddof=1) / np.sqrt(len(masses))
print(f"mean {mean:.6f}, 95 % interval {mean - reach:.6f} ... {mean + reach:.6f}")
