"""Every dataset and attribute of every trace is as schemas/attention-trace-1.0.json says, and nothing else is there."""

import hashlib
import json

import h5py
import numpy as np
import pytest

from support import REPO, dataset_paths, text

SCHEMA = json.loads((REPO / "schemas/attention-trace-1.0.json").read_text())
DATASETS = {entry["path"]: entry for entry in SCHEMA["datasets"]}
SCALARS = {entry["path"]: entry for entry in SCHEMA["scalars"]}
DIMENSIONS = {entry["name"]: entry for entry in SCHEMA["dimensions"]}
SCHEMA_BYTES = (REPO / "schemas/attention-trace-1.0.json").stat().st_size
NUMBERS = {"float16": "<f2", "float32": "<f4", "int32": "<i4", "uint8": "|u1"}


def expected_datasets(file):
    """What the schema wants in a file with its signals and passes, coordinates left out."""
    signals = set(filter(None, text(file.attrs["signals"]).split(",")))
    wanted = {path: entry for path, entry in DATASETS.items() if entry.get("signal", "") in signals | {""}}
    if file.attrs["is_guided"] == 1:
        wanted.update({"unconditional/" + path: wanted[path] for path in SCHEMA["guided"] if path in wanted})
    return wanted


def test_datasets_are_those_of_the_schema(any_trace):
    with h5py.File(any_trace, "r") as f:
        wanted = expected_datasets(f)
        axes = {name for entry in wanted.values() for name in entry["dimensions"]}
        found = set(dataset_paths(f))
        assert set(wanted) <= found
        assert axes <= found
        # A coordinate may be there without a dataset that needs it; anything else may not.
        assert found - set(wanted) - set(SCALARS) <= set(DIMENSIONS)
        assert set(SCALARS) <= found


def test_types_and_words(any_trace):
    with h5py.File(any_trace, "r") as f:
        for path, entry in expected_datasets(f).items():
            dataset = f[path]
            if entry["type"] == "utf8":
                kind = h5py.check_string_dtype(dataset.dtype)
                assert kind.encoding == "utf-8" and kind.length == entry.get("text_width", f.attrs["text_width"]), path
            else:
                assert dataset.dtype == np.dtype(NUMBERS[entry["type"]]), path
                assert text(dataset.attrs["units"]) == entry["unit"], path
            assert text(dataset.attrs["long_name"]) == entry["meaning"], path
            if entry["type"] == "float32":
                assert np.isnan(dataset.attrs["_FillValue"]), path
            else:
                # Integers have codes of their own; netCDF4 1.7.5 crashes on closing a float16 one with a fill value.
                assert "_FillValue" not in dataset.attrs, path
        for path, entry in SCALARS.items():
            assert f[path].shape == (), path
            if entry["type"] == "utf8":
                assert h5py.check_string_dtype(f[path].dtype).length == entry.get("text_width", SCHEMA_BYTES), path
            else:
                assert f[path].dtype == np.dtype("<i4"), path
            assert text(f[path].attrs["long_name"]) == entry["meaning"], path


def test_a_scale_on_every_axis(any_trace):
    with h5py.File(any_trace, "r") as f:
        for path, entry in expected_datasets(f).items():
            dataset = f[path]
            assert dataset.ndim == len(entry["dimensions"]), path
            for place, name in enumerate(entry["dimensions"]):
                scales = dataset.dims[place].values()
                assert [scale.name for scale in scales] == ["/" + name], f"{path}, axis {place}"
                assert scales[0].shape == (dataset.shape[place],), f"{path}: {name} is not as long as its axis"
        for name in set(f) & set(DIMENSIONS):
            scale = f[name]
            assert scale.is_scale, name
            assert scale.dtype == np.dtype("<i4") and scale.ndim == 1, name
            assert text(scale.attrs["long_name"]) == DIMENSIONS[name]["meaning"], name
            assert text(scale.attrs["NAME"]).rstrip("\0") == name


def test_labels(any_trace):
    """Axes are labelled by what was recorded."""
    with h5py.File(any_trace, "r") as f:
        steps, positions = f["token_id"].shape
        prompt, planned = int(f.attrs["prompt_length"]), int(f.attrs["planned_generated_length"])
        is_causal = text(f.attrs["causality"]) == "causal"
        labels = {name: f[name][()].tolist() for name in set(f) & set(DIMENSIONS)}
        assert labels["step"] == list(range(steps))
        assert labels["query_class"] == [0, 1, 2]
        assert labels["vocab"] == list(range(len(f["vocab_id"])))
        assert f["committed_steps"][()] == steps and f["is_complete"][()] == 1
        for name in {"row_step", "map_step"} & set(labels):
            assert labels[name] == ([steps - 1] if is_causal else labels["step"])
        fed = positions - 1 if is_causal else positions
        for name in {"query", "key"} & set(labels):
            assert labels[name] == list(range(fed))
        assert labels["generated"] == list(range(prompt, positions))
        assert positions == prompt + (steps if is_causal else planned)
        if any_trace.name == "selected.h5":
            assert (labels["layer"], labels["head"]) == ([1, 3, 4], [0, 5])
        elif any_trace.name == "causal_selected.h5":
            assert (labels["layer"], labels["head"]) == ([7], [2, 3])
        else:
            assert labels["layer"] == list(range(f.attrs["layer_count"]))
            assert labels["head"] == list(range(f.attrs["head_count"]))


def test_position_labels(any_trace):
    with h5py.File(any_trace, "r") as f:
        assert f["position"][()].tolist() == list(range(len(f["final_id"])))


def test_root_attributes(any_trace):
    with h5py.File(any_trace, "r") as f:
        required = {entry["name"] for entry in SCHEMA["attributes"] if entry["required"]}
        assert set(f.attrs) == required and required < {entry["name"] for entry in SCHEMA["attributes"]}
        for entry in [entry for entry in SCHEMA["attributes"] if entry["required"]]:
            stored = f.attrs.get_id(entry["name"])
            assert stored.shape == (), entry["name"]
            if entry["type"] == "utf8":
                kind = h5py.check_string_dtype(stored.dtype)
                assert kind.encoding == "utf-8" and kind.length is not None, entry["name"]
            else:
                assert stored.dtype == np.dtype(entry["type"]), entry["name"]
        assert text(f.attrs["format"]) == SCHEMA["format"]
        assert text(f.attrs["format_version"]) == text(f.attrs["min_reader"]) == SCHEMA["version"]
        parameters = json.loads(text(f.attrs["sampler_parameters"]))
        assert parameters["seed"] == f.attrs["seed"]
        assert json.loads(text(f.attrs["model_configuration"]))["vocab_size"] > 0


def test_the_schema_travels_along(any_trace):
    schema = (REPO / "schemas/attention-trace-1.0.json").read_bytes()
    with h5py.File(any_trace, "r") as f:
        assert f["schema_text"][()] == schema
        assert text(f.attrs["schema_sha256"]) == hashlib.sha256(schema).hexdigest()


def test_no_float16_in_the_root(any_trace):
    # netCDF4 1.7.5, the default reader of xarray, segfaults on opening a file that has one there.
    with h5py.File(any_trace, "r") as f:
        for name, item in f.items():
            assert isinstance(item, h5py.Group) or item.dtype != np.float16, name
        # xarray loses a child's variable that has the name of a dimension.
        for path in dataset_paths(f):
            if "/" in path:
                assert path.rpartition("/")[2] not in DIMENSIONS, path


def test_storage(any_trace):
    """One step a chunk; filters that every HDF5 has; a checksum on what is filtered; no times in object headers."""
    with h5py.File(any_trace, "r") as f:
        for path, entry in expected_datasets(f).items():
            dataset = f[path]
            plist = dataset.id.get_create_plist()
            filters = [plist.get_filter(place)[0] for place in range(plist.get_nfilters())]
            assert set(filters) <= {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
            if filters:
                assert h5py.h5z.FILTER_FLETCHER32 in filters, path
            # A number a layer is as good as a scalar of the step: small, unfiltered, written through libhdf5's cache.
            is_scalar = dataset.ndim == 1 or entry["dimensions"] == ["map_step", "layer"]
            if not is_scalar and entry["dimensions"][0] in {"step", "row_step", "map_step"}:
                assert dataset.chunks[0] == 1, path
            assert not plist.get_obj_track_times(), path


@pytest.mark.parametrize("name, parts", [
    ("diffusion", {"maps", "received", "rows"}), ("received", {"received"}), ("causal", {"maps", "received", "rows"}),
])
def test_signals(traces, name, parts):
    with h5py.File(traces[name], "r") as f:
        assert set(text(f.attrs["signals"]).split(",")) == parts
        assert ("maps" in f) == ("maps" in parts)
        assert ("entropy" in f) == ("rows" in parts)
