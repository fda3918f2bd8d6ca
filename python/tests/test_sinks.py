"""Sinks in Python are those of `attntrace sinks`, for every rule, scope and kind of trace."""

import io

import numpy as np
import pandas as pd
import pytest
from support import answer
from support import attntrace as run

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
            {"count": 0, "rule": "top"}, {"epsilon": float("nan")}, {"rule": "deviation", "z": -1}, {"unit": ""},
        ]:
            with pytest.raises(attntrace.AttntraceError):
                trace.sinks(**options)


@pytest.mark.parametrize("options", [
    ["--z", 2], ["--count", 2], ["--fallback"], ["--window", 4], ["--unit", "mean", "--window", 4],
    ["--rule", "deviation", "--epsilon", 3], ["--rule", "deviation", "--count", 2],
    ["--rule", "share", "--z", 3], ["--rule", "share", "--count", 1], ["--rule", "share", "--fallback"],
    ["--rule", "top", "--epsilon", 3], ["--rule", "top", "--z", 3], ["--rule", "top", "--fallback"],
], ids=lambda options: " ".join(map(str, options)))
def test_what_a_rule_does_not_have_is_refused(traces, options):
    """Here as by the command, rather than ignored."""
    assert run("sinks", traces["diffusion"], *options).returncode != 0
    with attntrace.open(traces["diffusion"]) as trace:
        with pytest.raises(attntrace.AttntraceError, match="does not have it|belongs to the unit"):
            trace.sinks(**keywords(options))


def test_a_window_is_given_to_its_unit(traces):
    with attntrace.open(traces["causal"]) as trace:
        same_sinks(
            trace.sinks(window=8),
            answer("sinks", traces["causal"], "--unit", "window", "--window", 8, "--format", "csv"))


SELECTIONS = {
    "first keys": ({"key": slice(0, 20)}, "selection of keys"),
    "last keys": ({"key": slice(3, 90)}, "selection of keys"),
    "turned keys": ({"key": slice(None, None, -1)}, "selection of keys"),
    "one key": ({"key": 3}, "no such axis"),
    "one class": ({"query_class": 0}, "no such axis"),
    "a list of classes": ({"query_class": [2]}, "selection of classes"),
    "turned classes": ({"query_class": [2, 1, 0]}, "selection of classes"),
    "first positions": ({"position": slice(0, 20)}, "selection of positions"),
    "one position": ({"position": 3}, "no such axis"),
}


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("kind", ["diffusion", "causal"])
def test_selections_that_a_rule_cannot_do_without_are_refused(traces, kind, name):
    selection, message = SELECTIONS[name]
    with attntrace.open(traces[kind]) as trace:
        part = trace.sel(selection)
        for rule in ("top", "excess"):
            with pytest.raises(attntrace.AttntraceError, match=message):
                part.sinks(rule)
        if "query_class" in selection:
            with pytest.raises(attntrace.AttntraceError, match=message):
                part.received_sums()


@pytest.mark.parametrize("steps", [slice(3, 9), [1, 0, 2], [0, 2]])
def test_running_sums_need_every_step_in_order(traces, steps):
    with attntrace.open(traces["causal"]) as trace:
        for ask in (attntrace.Trace.sinks, attntrace.Trace.received_sums):
            with pytest.raises(attntrace.AttntraceError, match="every step"):
                ask(trace.isel(step=steps))


def test_selections_that_leave_nothing_out(traces):
    """Steps of a diffusion trace, first steps of a causal one, and keys that no row has seen."""
    with attntrace.open(traces["diffusion"]) as trace:
        whole = trace.sinks()
        part = trace.sel(step=[9, 3], key=slice(0, None), query_class=[0, 1, 2]).sinks()
        order = {3: 1, 9: 0}
        expected = whole[whole.step.isin(order)].sort_values("step", key=lambda s: s.map(order), kind="stable")
        pd.testing.assert_frame_equal(expected.reset_index(drop=True), part)
        sums = trace.received_sums()
        np.testing.assert_array_equal(trace.sel(key=[5, 2]).received_sums(), sums.sel(key=[5, 2]))
    with attntrace.open(traces["causal"]) as trace:
        whole, seen = trace.sinks(), trace.attrs["prompt_length"] + 30
        part = trace.sel(step=slice(0, 30), key=slice(0, seen - 1)).sinks()
        pd.testing.assert_frame_equal(whole[whole.step <= 30].reset_index(drop=True), part)
        assert len(part)
        np.testing.assert_array_equal(
            trace.sel(key=slice(4, 9)).received_sums(), trace.received_sums().sel(key=slice(4, 9)))
