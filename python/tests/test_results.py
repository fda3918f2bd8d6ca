"""Results of `attntrace analyze` as frames: the same numbers in every form that they come in."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
from support import answer
from support import attntrace as run

import attntrace


@pytest.fixture(scope="session")
def result(traces, tmp_path_factory):
    """A trace's results as JSON, HDF5 and CSV."""
    folder = tmp_path_factory.mktemp("result")
    for ending in ("json", "h5", "csv"):
        run("analyze", traces["diffusion"], "--output", folder / f"r.{ending}")
    return folder


def test_json_and_hdf5_are_the_same(result):
    a, b = attntrace.results(result / "r.json"), attntrace.results(result / "r.h5")
    assert {each.name for each in a.quantities} == {each.name for each in b.quantities}
    assert len(a.quantities) > 100
    for each in a.quantities:
        assert a.array(each.name).identical(b.array(each.name)), each.name
    assert (a.trace, a.settings, a.parameters, a.undefined) == (b.trace, b.settings, b.parameters, b.undefined)
    for name, table in a.tables.items():
        left, right = (each[table.columns].astype(object).fillna("") for each in (table, b.tables[name]))
        assert left.values.tolist() == right.values.tolist(), name


def test_the_frame_is_tidy(result):
    found = attntrace.results(result / "r.json")
    headline = pd.read_csv(result / "r.csv", keep_default_na=False, na_values={"value": ["NaN"]})
    whole = found.frame()
    assert list(whole.columns[:3]) == ["metric", "quantity", "unit"] and whole.columns[-1] == "value"
    assert set(headline.columns) <= set(whole.columns)
    axes = [name for name in headline.columns if name not in ("metric", "quantity", "unit", "value")]
    for name in headline.quantity.unique():
        ours, theirs = found.frame(quantity=name), headline[headline.quantity == name]
        for axis in set(axes) & set(ours.columns):
            assert ours[axis].astype(str).tolist() == theirs[axis].astype(ours[axis].dtype).astype(str).tolist(), name
        np.testing.assert_allclose(ours.value, theirs.value.astype(float), rtol=1e-12, err_msg=name)
    one = found.frame(quantity="absorption_excess")
    assert one.layer.dtype == np.int64 and len(one) == 48
    assert found.frame(metric="absorption").quantity.nunique() > 5


def test_an_array_is_labelled(result):
    found = attntrace.results(result / "r.json")
    array = found.array("class_share_by_layer")
    assert array.dims == ("layer", "token_class") and "mask" in array.token_class
    assert array.attrs["units"] == "share" and array.attrs["metric"] == "structure_share"
    content = json.loads((result / "r.json").read_text())
    [raw] = [q for m in content["metrics"] for q in m["quantities"] if q["name"] == "class_share_by_layer"]
    assert array.values.ravel().tolist() == [np.nan if v is None else v for v in raw["values"]]
    assert "absorption_excess" in found and "nonsense" not in found and not found.is_causal


def test_cohort_frames_are_the_csv(cohort):
    found = attntrace.results(cohort)
    assert found.groups == ["tiny-ar", "tiny-mdm"] and len(found.members) == 4
    ours = found.frame()
    csv = pd.read_csv(cohort / "cohort.csv", keep_default_na=False)
    assert list(ours.columns) == list(csv.columns) and len(ours) == len(csv)
    for name in ours.columns:
        if ours[name].dtype.kind == "f":
            np.testing.assert_allclose(ours[name], pd.to_numeric(csv[name], errors="coerce"), rtol=1e-12)
        else:
            expected = csv[name].replace("", pd.NA) if name in ("layer", "head") else csv[name]
            assert ours[name].astype(str).tolist() == expected.astype(str).tolist(), name
    groups = pd.read_csv(cohort / "groups.csv", keep_default_na=False, na_values=["NaN"])
    for group in found.groups:
        ours = found.frame(group=group)
        for name in ("n", "mean", "sd", "low", "high"):
            np.testing.assert_allclose(ours[name].astype(float), groups[f"{group}: {name}"].astype(float), rtol=1e-12)


def test_cohort_by_quantity(cohort):
    found = attntrace.results(cohort)
    statistics = found.statistics("absorption_excess_by_layer", group="tiny-mdm")
    each = found.array("absorption_excess_by_layer")
    assert each.dims == ("trace", "layer")
    np.testing.assert_allclose(statistics["mean"], each.mean("trace"), rtol=1e-12)
    assert (statistics["n"] == 2).all()
    with h5py.File(cohort / "results.h5") as f:
        [stored] = [
            group["absorption_excess_by_layer_mean"][1] for group in f["groups"].values()
            if "absorption_excess_by_layer_mean" in group]
        np.testing.assert_array_equal(stored, statistics["mean"])
    # Two kinds of windows and sums: never averaged, and either is found.
    assert "window" in found.statistics("not_sinks_excess", group="tiny-ar").attrs["parameters"]
    assert found.statistics("not_sinks_excess", group="tiny-ar")["mean"].notnull().all()
    assert found.array("not_sinks_excess").notnull().all()
    scores = found.array("top_score")
    assert scores.attrs["units"] == ""
    for trace, model in zip(scores.trace.values, found.members.set_index("name").loc[scores.trace.values, "group"]):
        told = "unit=sum" if model == "tiny-mdm" else "unit=window window=16"
        assert scores.parameters.sel(trace=trace) == told
        np.testing.assert_array_equal(scores.sel(trace=trace), found.each(trace).array("top_score"))
    for name in found.members["name"]:
        one = found.each(name)
        if "absorption_excess_by_layer" in one:
            np.testing.assert_array_equal(one.array("absorption_excess_by_layer"), each.sel(trace=name))
    values = found.values()
    assert set(values.trace) == set(found.members["name"])


def test_strange_results(tmp_path, traces, result, cohort):
    def file(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    content = json.loads((result / "r.json").read_text())
    content["metrics"][0]["quantities"][0]["values"].pop()
    short = json.loads((result / "r.json").read_text())
    del short["metrics"][0]["quantities"]
    for path, message in [
        (file("a.json", "not JSON"), "not a result"), (file("b.json", "[]"), "not a result"),
        (file("c.json", "{}"), "not a result"), (file("d.json", '{"format": "attntrace failure"}'), "gave no result"),
        (file("e.json", json.dumps(content)), "do not fill its axes"), (file("f.json", json.dumps(short)), "not a result"),
        (file("g.json", "[" * 100000), "not a result"),
        (traces["diffusion"], "not a result"), (tmp_path, "analysis.json"), (tmp_path / "none", "no such file"),
        (cohort / "results.h5", "not a result"),
    ]:
        with pytest.raises(attntrace.AttntraceError, match=message):
            attntrace.results(path)
    found = attntrace.results(result / "r.json")
    with pytest.raises(attntrace.AttntraceError, match="there are absorption_"):
        found.array("absorption_none")
    with pytest.raises(attntrace.AttntraceError, match="no such number"):
        found.frame(metric="astrology")
    with pytest.raises(attntrace.AttntraceError, match="groups are tiny-ar, tiny-mdm"):
        attntrace.results(cohort).frame(group="huge")
    assert answer("--version")
