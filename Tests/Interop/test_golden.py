"""The golden traces, read with h5py and xarray alone: what they hold is what expected.json says."""

import json
import shutil

import h5py
import numpy as np
import pytest

import checker
from broken.make_broken import set_text
from checker import hashes
from checker.schema import described, is_hashed
from support import REPO, answer, answer_json, attntrace, run_python, text

GOLDEN = REPO / "Tests/Golden"
# Every file of every version, as `1.0/causal.h5`.
EXPECTED = {
    f"{listing.parent.name}/{name}": entry
    for listing in sorted(GOLDEN.glob("*/expected.json"))
    for name, entry in json.loads(listing.read_text()).items()
}


@pytest.mark.parametrize("name", EXPECTED)
def test_values(name):
    expected = EXPECTED[name]
    with h5py.File(GOLDEN / name, "r", swmr=name.endswith(".partial")) as file:
        committed = int(file["committed_steps"][()])
        assert committed == expected["committedSteps"]
        assert file["is_complete"][()] == expected["isComplete"] == (not name.endswith(".partial"))
        causal = file.attrs["causality"] == b"causal"
        ids, steps = file["final_id"][()], file["unmask_step"][()]
        ids = np.where(steps >= committed, file.attrs["mask_token_id"], ids)
        count = file.attrs["prompt_length"] + committed if causal else len(ids)
        assert ids[:count].tolist() == expected["finalIDs"]
        answer = file["answer/attention"][0 if causal else 1, 1, 2]
        assert np.array_equal(answer[: len(expected["answer"])].astype("f4"), np.array(expected["answer"], "f4"))
        if "received" in expected:
            received = file["received"][1, 1, 2][:, : len(expected["answer"])]
            assert np.array_equal(received.ravel(), np.array(expected["received"], "f4"))
        else:
            assert "received" not in file


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.endswith(".h5")])
def test_content_hash(name):
    """From the specification alone, without the table in the file."""
    with h5py.File(GOLDEN / name, "r") as file:
        leaves = {("@", -1): hashes.attributes_leaf(file)}
        causal = file.attrs["causality"] == b"causal"

        def visit(path, item):
            entry = described(path)
            if isinstance(item, h5py.Dataset) and entry is not None and is_hashed(path):
                for index, value in hashes.leaves_of(item, path, entry, item.shape, causal):
                    leaves[path, index] = value

        file.visititems(visit)
        assert hashes.total(leaves) == EXPECTED[name]["contentHash"] == file["content_sha256"][()].decode()


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.endswith(".h5")])
def test_xarray_opens_it(name):
    """In a process of its own: netCDF4 crashes rather than complains."""
    code = """
import sys, xarray as xr
trace = xr.open_dataset(sys.argv[1])
print(dict(trace.sizes)["step"])
tree = xr.open_datatree(sys.argv[1], engine="h5netcdf")
print(tree["answer/attention"].dims)
"""
    lines = run_python(code, GOLDEN / name).splitlines()
    assert lines == ["4", "('generated', 'layer', 'head', 'key')"]


@pytest.mark.parametrize("name", ["bidirectional.h5", "causal.h5"])
def test_a_later_version_is_read(tmp_path, name):
    """A file as 1.1 may write it: a signal, a dataset with an axis, an attribute and hashes that 1.0 does not know."""
    path = tmp_path / name
    shutil.copy(GOLDEN / "1.0" / name, path)
    with h5py.File(path, "r+") as file:
        set_text(file, "format_version", "1.1")
        set_text(file, "signals", text(file.attrs["signals"]) + ",zeta")
        set_text(file, "temper", "even")
        file.create_dataset("zeta_place", data=np.arange(3, dtype="<i4")).make_scale("zeta_place")
        values = file.create_dataset("zeta/values", data=np.arange(3, dtype="<f4"))
        values.dims[0].attach_scale(file["zeta_place"])
    report = answer_json("verify", "--deep", "--json", path)
    assert report["valid"] and report["findings"] == []
    assert checker.check(path, deep=True) == []
    assert answer("sinks", path, "--format", "csv") == answer("sinks", GOLDEN / "1.0" / name, "--format", "csv")
    with h5py.File(path, "r+") as file:
        set_text(file, "min_reader", "1.1")
    refused = attntrace("info", path)
    assert refused.returncode == 1 and "written in format 1.1, which this reader (format 1.0) cannot read" in refused.stderr
