"""A question in words: which sinks of the deeper layers stay, and where.

    python examples/08-query/query.py a.h5

For a diffusion trace.
"""

import csv
import sys

import h5py
import numpy as np

with h5py.File(sys.argv[1]) as trace:
    sums = trace["received"][:].sum(axis=3, dtype=np.float64)  # (step, layer, head, key)
    layers, heads = trace["layer"][:], trace["head"][:]

others = (sums.sum(axis=3, keepdims=True) - sums) / (sums.shape[3] - 1)
is_sink = sums > others + 3

presences = []
for layer, head, position in np.ndindex(is_sink.shape[1:]):
    # Where a run of steps begins and ends.
    changes = np.diff(np.concatenate([[False], is_sink[:, layer, head, position], [False]]).astype(int))
    for first, end in zip(np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)):
        presences.append((layers[layer], heads[head], position, first, end - 1, end - first))

out = csv.writer(sys.stdout)
out.writerow(["layer", "head", "position", "first_step", "last_step", "dwell"])
for row in sorted(presences, key=lambda row: (-row[5], *row[:4])):
    layer, _, position, _, _, dwell = row
    if layer >= 2 and dwell > 3 and position not in (0, 1):
        out.writerow(row)
