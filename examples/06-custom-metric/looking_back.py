"""How much each layer looks back: the attention that queries give to earlier positions.

    python examples/06-custom-metric/looking_back.py a.h5
"""

import sys

import h5py
import numpy as np

with h5py.File(sys.argv[1]) as trace:
    if "maps/attention" not in trace:
        sys.exit(f"{sys.argv[1]}: holds no maps; capture with --record maps")
    maps = trace["maps/attention"]  # (step, layer, head, query, key)
    queries, keys = trace["query"][:], trace["key"][:]
    earlier = keys < queries[:, None]
    for place, layer in enumerate(trace["layer"][:]):
        weights = maps[:, place].astype(np.float64)
        share = (weights * earlier).sum() / weights[..., 0].size
        print(f"layer {layer}: {share:.6f} of the attention looks back")
