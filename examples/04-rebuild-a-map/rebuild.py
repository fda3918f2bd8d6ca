"""A map from the query and key vectors that were recorded in its place, in NumPy.

    python examples/04-rebuild-a-map/rebuild.py qk.h5
"""

import sys

import h5py
import numpy as np


def rebuilt_map(trace, step, layer, head):
    """(query, key) by places along the axes, for a trace whose rows are those of one step (diffusion) or of all (causal)."""
    is_causal = trace.attrs["causality"] == b"causal"
    group = trace.attrs["head_count"] // trace.attrs["kv_head_count"]
    kv_head = list(trace["kv_head"][:]).index(trace["head"][head] // group)
    place = 0 if is_causal else list(trace["map_step"][:]).index(step)
    q = trace["qk/query_vector"][place, layer, head].astype(np.float32)
    k = trace["qk/key_vector"][place, layer, kv_head].astype(np.float32)
    scores = q @ k.T / np.sqrt(np.float32(trace.attrs["head_dim"]))
    if is_causal:
        scores[trace["key"][:] > trace["query"][:][:, None]] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


with h5py.File(sys.argv[1]) as trace:
    step = trace["committed_steps"][()] - 1
    print("signals:", trace.attrs["signals"].decode().replace(",", " "))
    for place, label in enumerate(trace["layer"][:]):
        row = rebuilt_map(trace, step, place, 0)[-1]
        print(f"layer {label}: the last query gives most to key {row.argmax()}, {row.max():.3f}")
    print(f"no weight is off by more than {trace['qk/rebuild_error'][:].max():.1e}")
