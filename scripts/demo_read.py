"""Opens a trace as any xarray user would, and looks at one map."""

import sys

import xarray as xr

path = sys.argv[1]
with xr.open_dataset(path) as trace:
    print(trace)
    received = trace.received.sum("query_class")
    top = received.isel(step=-1, layer=0, head=0).argmax("key").item()
    print(f"\nlast step, layer 0, head 0: position {top} receives most, {received.isel(step=-1, layer=0, head=0).max().item():.2f}")
# The maps are float16, in a group of their own, which the h5netcdf engine reads.
with xr.open_datatree(path, engine="h5netcdf") as tree:
    maps = tree["maps/attention"]
    row = maps.isel(map_step=-1, layer=0, head=0, query=0).astype("float32")
    print(f"maps: {dict(maps.sizes)}, {maps.dtype}; its first row sums to {row.sum().item():.4f}")
