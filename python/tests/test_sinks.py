"""Sinks in Python are those of `attntrace sinks`, for every rule, scope and kind of trace."""

import io

import numpy as np
import pandas as pd
import pytest
from support import answer

import attntrace

RULES = {
    "excess": [],
    "excess-2": ["--epsilon", 2, "--unit", "ratio"],
    "excess-percent": ["--epsilon", 10, "--unit", "percent"],
    "deviation": [],
    "deviation-fallback": ["--z", 9, "--fallback"],
    "share": [],
    "share-2": ["--epsilon", 0.1],
    "top": [],
    "top-3": ["--count", 3],
}


def keywords(options):
    """Options of the command as those of the method."""
    found = {}
    values = iter(options)
    for name in values:
        found[name[2:]] = True if name == "--fallback" else next(values)
    return found


def same_sinks(ours, csv):
    theirs = pd.read_csv(io.StringIO(csv), keep_default_na=False)
    assert list(ours.columns) == list(theirs.columns)
    assert len(ours) == len(theirs)
    for column in ours.columns:
        if ours[column].dtype.kind == "f":
            np.testing.assert_allclose(ours[column], theirs[column].astype(float), rtol=1e-9, err_msg=column)
        else:
            assert ours[column].tolist() == theirs[column].tolist(), column


@pytest.mark.parametrize("per", ["head", "layer", "overall"])
@pytest.mark.parametrize("name", ["diffusion", "causal"])
def test_rules_agree_with_the_command(traces, name, per):
    total = 0
    with attntrace.open(traces[name]) as trace:
        for rule, options in RULES.items():
            rule = rule.split("-")[0]
            ours = trace.sinks(rule, per=per, **keywords(options))
            same_sinks(ours, answer("sinks", traces[name], "--rule", rule, *options, "--per", per, "--format", "csv"))
            total += len(ours)
    assert total > 100


@pytest.mark.parametrize("name", ["causal_received", "causal_qk", "selected", "guided", "suppressed"])
def test_traces_agree_with_the_command(traces, name):
    with attntrace.open(traces[name]) as trace:
        same_sinks(trace.sinks(), answer("sinks", traces[name], "--format", "csv"))


def test_unfinished_and_golden_traces_agree(golden):
    with attntrace.open(golden) as trace:
        if "received" in trace.signals:
            ours = trace.sinks("deviation", z=1)
            same_sinks(ours, answer("sinks", golden, "--rule", "deviation", "--z", 1, "--format", "csv"))


def test_selected_layers_and_heads(traces):
    with attntrace.open(traces["causal"]) as trace:
        same_sinks(
            trace.sinks(layers=[1, 5], heads=[0, 2], per="layer"),
            answer("sinks", traces["causal"], "--layers", "1,5", "--heads", "0,2", "--per", "layer", "--format", "csv"))
        whole = trace.sinks()
        part = trace.sel(layer=[1, 5]).sinks()
        pd.testing.assert_frame_equal(whole[whole.layer.isin([1, 5])].reset_index(drop=True), part)


def test_what_is_undefined_is_counted(traces):
    with attntrace.open(traces["causal_received"]) as trace:
        found = trace.sinks()
        counts = found.attrs["undefined"]
        prompt = trace.attrs["prompt_length"]
        # The rows of the prompt were not recorded one by one, so that windows begin when 16 tokens were generated.
        assert counts == {"too_few_rows": (32 - prompt) * 48, "rows_not_recorded": (16 - (32 - prompt)) * 48}
        assert found.step.min() == 16
        assert "window=16" in found.attrs["rule"]


def test_questions_without_an_answer(traces):
    with attntrace.open(traces["diffusion"]) as trace:
        for options in [
            {"rule": "soft"}, {"unit": "furlong"}, {"unit": "window"}, {"per": "token"}, {"layers": [99]}, {"layers": []},
            {"count": 0, "rule": "top"}, {"epsilon": float("nan")},
        ]:
            with pytest.raises(attntrace.AttntraceError):
                trace.sinks(**options)
        with pytest.raises(attntrace.AttntraceError, match="selection of keys"):
            trace.isel(key=slice(3, 9)).sinks()
    with attntrace.open(traces["causal"]) as trace:
        with pytest.raises(attntrace.AttntraceError, match="every step"):
            trace.isel(step=slice(3, 9)).sinks()
