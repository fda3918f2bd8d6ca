"""The excess rule, step by step: a key is a sink where its received sum is above the mean of the others + 3.

    python examples/02-sinks-by-hand/sinks.py a.h5

For a diffusion trace. (A causal trace stores increments: np.cumsum them over the steps first.)
"""

import sys
from collections import Counter

import h5py
import numpy as np

with h5py.File(sys.argv[1]) as trace:
    sums = trace["received"][:].sum(axis=3, dtype=np.float64)  # (step, layer, head, key)

others = (sums.sum(axis=3, keepdims=True) - sums) / (sums.shape[3] - 1)
is_sink = sums > others + 3

for step in range(len(sums)):
    strongest = sums[step][is_sink[step]].max(initial=0)
    print(f"step {step}: {is_sink[step].sum()} sinks, the strongest receives {strongest:.3f}")
for position, times in sorted(Counter(np.nonzero(is_sink)[3].tolist()).items()):
    print(f"position {position}: {times} times")
