"""What a trace holds, and two numbers of it. Nothing is read but what is asked for.

    python examples/01-read-a-trace/read.py a.h5
"""

import sys

import xarray as xr

trace = xr.open_dataset(sys.argv[1])
print(trace.attrs["model_name"], trace.attrs["causality"])

# (step, layer, head, query_class, key): one layer's sums over queries, of every step.
received = trace.received.isel(layer=[0])
print(f"received by layer {trace.layer[0].item()}:", list(received.shape))
print(f"all of it: {received.sum(dtype='float64').item():.3f}")

# The maps are float16, in a group of their own. One map, (query, key): what the last query gave each key.
maps = xr.open_dataset(sys.argv[1], group="maps", engine="h5netcdf")
row = maps.attention[-1, 0, 0, -1]
print(f"the last query gives its best key {row.max().item():.3f}")
