"""Metrics of full attention against NumPy's reading of their formulas."""

import json
import warnings

import numpy as np
import pytest

from reference import maps as reference
from support import PROMPT, answer_json, attntrace

TRACES = {
    "selected_queries": ["--gen-length", 16, "--block-length", 8, "--record", "maps", "--queries", "0-3,9,14-20",
                         "--map-steps", "0,3-6,15"],
    "guided": ["--gen-length", 16, "--block-length", 8, "--steps", 6, "--cfg-scale", 1, "--record", "maps"],
    "vectors": ["--gen-length", 16, "--block-length", 8, "--record", "qk"],
    "causal_vectors": ["--model", "tiny-ar", "--max-new-tokens", 16, "--record", "qk"],
    "long": ["--gen-length", 72, "--block-length", 24, "--steps", 9, "--record", "maps", "--layers", "0,5"],
    "regions": ["--gen-length", 16, "--block-length", 8, "--record", "maps"],
    "recorded": ["--gen-length", 16, "--block-length", 8, "--record", "received", "--signals", "rows,distance"],
    "causal_recorded": ["--model", "tiny-ar", "--max-new-tokens", 16, "--record", "received", "--signals", "rows,distance"],
}
REGIONS = [{"name": "first", "start": 0, "end": 16}, {"name": "second", "start": 30, "end": 45, "gold": True}]
NAMES = "rows,region_flow,step_stability"


@pytest.fixture(scope="module")
def map_traces(tmp_path_factory, traces):
    folder = tmp_path_factory.mktemp("maps")

    def path(name):
        if name not in TRACES:
            return traces[name]
        file = folder / f"{name}.h5"
        if not file.exists():
            arguments = TRACES[name]
            if "regions" in name:
                (folder / "regions.json").write_text(json.dumps(REGIONS))
                arguments = [*arguments, "--regions", folder / "regions.json"]
            # It may say that maps rebuilt from these vectors are off by more than it likes.
            done = attntrace("capture", "--prompt", PROMPT, "--output", file, *arguments)
            assert done.returncode == 0, done.stderr
        return file

    return path


def analyze(path, names, *arguments):
    """Every quantity by name, as an array with NaN."""
    results = answer_json("analyze", path, "--metrics", names, "--json", *arguments)["metrics"]
    return {
        quantity["name"]: np.array(quantity["values"], float).reshape([len(labels) for labels in quantity["axes"].values()])
        for result in results for quantity in result["quantities"]
    }, results


def nan_mean(values, axis):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis)


def check_rows(found, maps, rows, tolerance, absolute=1e-12):
    for name, values in rows.items():
        if maps.causal and name == "mask_mass":
            assert name not in found
            continue
        for suffix, expected in zip(["", "_by_class", "_by_step"], reference.row_means(maps, values)):
            np.testing.assert_allclose(
                found[name + suffix], expected, rtol=tolerance, atol=absolute, err_msg=name + suffix)


@pytest.mark.parametrize("name", ["diffusion", "long", "selected", "selected_queries", "regions", "causal", "vectors", "causal_vectors"])
def test_maps(map_traces, name):
    path = map_traces(name)
    maps = reference.Maps(path)
    names = "rows,region_flow" if maps.causal else NAMES
    found, results = analyze(path, names)
    # Weights that are rebuilt in single precision, from vectors in half: the trace's own bound is 1e-3 of a weight.
    tolerance = 1e-6 if "vectors" not in name else 2e-5
    assert results[0]["parameters"]["source"] == "maps"
    check_rows(found, maps, reference.row_statistics(maps), tolerance)

    mass, flow = reference.region_mass(maps), reference.region_flow(maps)
    np.testing.assert_allclose(found["region_mass"], nan_mean(mass, 0), rtol=tolerance)
    np.testing.assert_allclose(found["region_flow_by_step"], flow, rtol=tolerance)
    np.testing.assert_allclose(found["region_flow"], nan_mean(flow, 0), rtol=tolerance)
    assert np.isfinite(mass).any()
    assert (found["region_flow"].shape[0] >= 4) == (name == "regions")
    if not maps.causal:
        overlap = reference.stability(maps)
        # A tie or a rounding may fall the other way where weights were rebuilt.
        tolerance = 1e-12 if "vectors" not in name else 5e-3
        np.testing.assert_allclose(found["top_k_overlap"], np.nanmean(overlap, 0), atol=tolerance)
        np.testing.assert_allclose(found["top_k_overlap_by_step"], overlap.mean(2), atol=tolerance)
        assert 0.05 < np.nanmean(overlap) < 1


def test_the_second_pass_of_guidance_had_its_prompt_masked(map_traces):
    path = map_traces("guided")
    maps = reference.Maps(path, "unconditional")
    found, _ = analyze(path, "rows,step_stability", "--pass", "unconditional")
    check_rows(found, maps, reference.row_statistics(maps), 1e-6)
    np.testing.assert_allclose(found["top_k_overlap"], reference.stability(maps).mean(0), atol=1e-12)
    assert not np.allclose(found["mask_mass"], analyze(path, "rows")[0]["mask_mass"])


@pytest.mark.parametrize("name", ["recorded", "causal_recorded"])
def test_rows_recorded_while_capturing_agree_with_maps(map_traces, name):
    found, results = analyze(map_traces(name), "rows")
    assert results[0]["parameters"] == {"source": "recorded"}
    maps = reference.Maps(map_traces("causal" if "causal" in name else "diffusion"))
    rows = reference.row_statistics(maps)
    assert "top_k_mass" not in found
    recorded = {key: rows[key] for key in ("entropy", "attended_distance", "mask_mass", "max_weight")}
    # Maps hold float16, 2^-11 of a weight: near 1 the entropy is off by as much.
    check_rows(found, maps, recorded, 2**-10, 2**-11)


def test_a_selection_is_its_part_of_the_whole(map_traces):
    path = map_traces("diffusion")
    whole, _ = analyze(path, NAMES)
    part, _ = analyze(path, NAMES, "--layers", "2,5", "--heads", "1,3-4")
    for name in ("entropy", "top_k_mass", "mask_mass", "top_k_overlap"):
        assert np.array_equal(part[name], whole[name][np.ix_([2, 5], [1, 3, 4])]), name
