"""Maps of either encoding, against h5py and against each other."""

import h5py
import numpy as np
import pytest

import attntrace
from attntrace.tokens import fed_ids


def test_stored_maps_are_the_files(traces):
    with attntrace.open(traces["diffusion"]) as trace, h5py.File(traces["diffusion"]) as f:
        found = trace.map(step=5, layer=3, head=2)
        assert found.dims == ("query", "key") and found.dtype == np.float32
        assert np.array_equal(found.values, f["maps/attention"][5, 3, 2].astype(np.float32))
        texts = dict(zip(f["vocab_id"][()], f["vocab_text"][()]))
        assert found.key_token.values.tolist() == [texts[i].decode() for i in f["token_id"][5]]
        masks = trace.tokens(5).is_masked.values
        assert masks.any() and len(set(found.key_token.values[masks])) == 1
        assert [int(found[name]) for name in ("step", "layer", "head")] == [5, 3, 2]
        assert found.attrs["source"] == "maps"


@pytest.mark.parametrize(("stored", "rebuilt"), [
    ("diffusion", "diffusion_qk"), ("causal", "causal_qk"), ("suppressed", "suppressed_qk"),
    ("causal_suppressed", "causal_suppressed_qk")])
def test_both_encodings_agree(traces, stored, rebuilt):
    """The same run, recorded either way: maps differ by float16's rounding and the measured error of rebuilding."""
    with attntrace.open(traces[stored]) as a, attntrace.open(traces[rebuilt]) as b:
        assert np.array_equal(a["token_id"], b["token_id"])
        for step in (0, 1, 7, int(a["step"][-1])):
            for layer, head in [(0, 0), (3, 5), (7, 1)]:
                x, y = a.map(step, layer, head), b.map(step, layer, head)
                assert y.attrs["source"] == "qk" and 0 < y.attrs["rebuild_error"] < 0.02
                np.testing.assert_allclose(x, y, atol=y.attrs["rebuild_error"] + 2**-11)
                assert x.coords.equals(y.coords)
                np.testing.assert_allclose(y.sum("key"), 1, atol=1e-5)
        if "suppressed" in stored:
            assert a["suppressed"].values.any()


def test_causal_maps_are_the_rows_so_far(traces):
    with attntrace.open(traces["causal"]) as trace, h5py.File(traces["causal"]) as f:
        prompt = int(f.attrs["prompt_length"])
        whole = f["maps/attention"][0]
        for step in (0, 9, 39):
            found = trace.map(step, 2, 1)
            rows = prompt + step
            assert found.shape == (rows, rows)
            assert np.array_equal(found.values, whole[2, 1, :rows, :rows].astype(np.float32))
            assert np.all(np.triu(found.values, 1) == 0)
            assert "" not in found.key_token


def test_golden_maps(golden):
    """Grouped heads, selections, second passes: every map that a golden file holds is a map."""
    with attntrace.open(golden) as trace:
        if not {"maps", "qk"} & set(trace.signals):
            with pytest.raises(attntrace.AttntraceError, match="not recorded"):
                trace.map(0, int(trace["layer"][0]), int(trace["head"][0]))
            return
        passes = [False, True] if trace.attrs["is_guided"] else [False]
        steps = trace["step"].values if trace.is_causal else trace["map_step"].values
        for second in passes:
            for step in steps:
                for layer in trace["layer"].values:
                    for head in trace["head"].values:
                        found = trace.map(step, layer, head, second_pass=second)
                        np.testing.assert_allclose(found.sum("key"), 1, atol=2e-3)
                        if {"maps", "qk"} <= set(trace.signals):
                            dropped = attntrace.Trace.from_dict(
                                {k: v for k, v in trace.to_dict().items() if not k.endswith("/maps")})
                            again = dropped.map(step, layer, head, second_pass=second)
                            assert again.attrs["source"] == "qk"
                            np.testing.assert_allclose(again, found, atol=2e-3)


def test_second_pass(traces):
    with attntrace.open(traces["guided"]) as trace, h5py.File(traces["guided"]) as f:
        found = trace.map(4, 1, 3, second_pass=True)
        assert np.array_equal(found.values, f["unconditional/maps/attention"][4, 1, 3].astype(np.float32))
        assert set(found.key_token.values[: trace.attrs["prompt_length"]]) == {found.key_token.values[0]}
        np.testing.assert_allclose(
            trace.sinks("top", second_pass=True).score.iloc[0],
            f["unconditional/received"][0, 0, 0].sum(axis=0, dtype=float).max())


def test_selections(traces):
    with attntrace.open(traces["selected"]) as trace, h5py.File(traces["selected"]) as f:
        found = trace.map(3, 4, 5)
        assert found["query"].values.tolist() == [*range(8), 20]
        if "maps" in trace.signals:
            assert np.array_equal(found.values, f["maps/attention"][1, 2, 1].astype(np.float32))
        for step, layer, head in [(1, 4, 5), (3, 2, 5), (3, 4, 1), (99, 4, 5), (-1, 4, 5)]:
            with pytest.raises(attntrace.AttntraceError, match="not recorded"):
                trace.map(step, layer, head)
        part = trace.sel(layer=[3, 4])
        assert isinstance(part, attntrace.Trace)
        assert part.map(3, 4, 5).equals(found)
        with pytest.raises(attntrace.AttntraceError, match="select with lists"):
            trace.sel(layer=4).map(3, 4, 5)


@pytest.mark.parametrize("name", ["diffusion", "diffusion_qk", "causal", "causal_qk", "causal_suppressed_qk"])
def test_selected_queries_and_keys(traces, name):
    """Weights are those of the whole map, or there is no answer: a softmax is over every key."""
    with attntrace.open(traces[name]) as trace:
        whole = trace.map(7, 3, 2)
        part = trace.sel(query=[2, 9, 20]).map(7, 3, 2)
        np.testing.assert_allclose(part, whole.sel(query=[2, 9, 20]), atol=1e-6)
        turned = trace.sel(key=slice(None, None, -1)).map(7, 3, 2)
        np.testing.assert_allclose(turned, whole.sel(key=turned["key"]), atol=1e-6)
        assert turned.key_token.values.tolist() == whole.key_token.values[::-1].tolist()
        for keys in (slice(0, 9), slice(9, 90), [3, 5], [*range(trace.sizes["key"]), 4]):
            few = trace.sel(key=keys)
            if "qk" in trace.signals:
                with pytest.raises(attntrace.AttntraceError, match="selection of keys"):
                    few.map(7, 3, 2)
            else:
                found = few.map(7, 3, 2)
                np.testing.assert_array_equal(found, whole.sel(key=found["key"]))
        if trace.is_causal:
            # These queries see no other keys.
            found = trace.sel(query=slice(0, 8), key=slice(0, 8)).map(7, 3, 2)
            np.testing.assert_allclose(found, whole[:9, :9], atol=1e-6)
        if "qk" in trace.signals:
            with pytest.raises(attntrace.AttntraceError, match="every channel"):
                trace.sel(channel=slice(0, 7)).map(7, 3, 2)
        with pytest.raises(attntrace.AttntraceError, match="selection of positions"):
            trace.sel(position=slice(0, 9)).map(7, 3, 2)
        with pytest.raises(attntrace.AttntraceError, match="map_step"):
            trace.sel(map_step=[]).map(7, 3, 2)


def test_selected_positions_of_a_second_pass(traces):
    with attntrace.open(traces["guided"]) as trace:
        prompt, mask = trace.attrs["prompt_length"], trace.attrs["mask_token_id"]
        ids = fed_ids(trace.sel(position=slice(prompt - 2, None)), 20, second_pass=True)
        expected = trace["token_id"].sel(step=20).values[prompt - 2 :]
        expected[:2] = mask
        assert ids.tolist() == expected.tolist() and set(ids[2:]) != {mask}


def test_received_alone_has_no_map(traces):
    with attntrace.open(traces["causal_received"]) as trace:
        with pytest.raises(attntrace.AttntraceError, match="'maps' or 'qk'"):
            trace.map(3, 4, 5)
    with attntrace.open(traces["diffusion"]) as trace:
        with pytest.raises(attntrace.AttntraceError, match="no second pass"):
            trace.map(3, 4, 5, second_pass=True)
