"""Reads what main.swift wrote: when each token came, and its text.

    python examples/03-capture-from-swift/read.py a.h5
"""

import sys

import xarray as xr

trace = xr.open_dataset(sys.argv[1])
print("steps:", trace.sizes["step"])
print("ids:", *trace.final_id.values)
print("unmasked at:", *trace.unmask_step.values)
