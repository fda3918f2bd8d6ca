"""Metrics of received sums against NumPy written from their formulas, on captured files."""

import math

import numpy as np
import pytest

from reference import received as reference
from support import answer_json

METRICS = ["soft_sinks", "epsilon_sweep", "sink_rate", "score_by_head", "structure_share", "masked_split", "drift_map",
           "answer_shares"]
RULES = {"excess": ({}, []), "share": ({"rule": "share", "epsilon": 0.1}, ["--rule", "share", "--epsilon", 0.1])}
KINDS = ["diffusion", "fewer_steps", "causal", "selected", "causal_selected"]


def analyze(trace, *metrics, options=()):
    said = answer_json("analyze", trace, "--metrics", ",".join(metrics), "--json", *options)
    found = said["metrics"]
    return {each["metric"]: each for each in found}


def numbers(result):
    out = {}
    for quantity in result["quantities"]:
        values = np.array([math.nan if v is None else v for v in quantity["values"]], dtype=float)
        out[quantity["name"]] = values.reshape([len(labels) for labels in quantity["axes"].values()])
    return out


def agree(found, expected):
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-12, err_msg=name)


UNITS = [("diffusion", "ratio", None), ("diffusion", "mean", None), ("causal", "window", 4), ("causal", "sum", None)]


@pytest.fixture(params=KINDS)
def trace(request, traces):
    return traces[request.param]


def test_numbers(trace):
    received = reference.Received(trace)
    said = analyze(trace, *METRICS)
    for name in METRICS:
        agree(numbers(said[name]), getattr(reference, name)(received))


@pytest.mark.parametrize("rule", RULES)
def test_numbers_by_rule(trace, rule):
    parameters, options = RULES[rule]
    received = reference.Received(trace)
    said = analyze(trace, "absorption", "sink_tokens", options=options)
    agree(numbers(said["absorption"]), reference.absorption(received, **parameters))
    quantities, counts = reference.sink_tokens(received, **parameters)
    agree(numbers(said["sink_tokens"]), quantities)
    [table] = said["sink_tokens"]["tables"]
    assert {-1 if row[0] is None else row[0]: row[2] for row in table["rows"]} == counts
    assert [row[2] for row in table["rows"]] == sorted(counts.values(), reverse=True)
    assert sum(row[3] for row in table["rows"]) == pytest.approx(1 if counts else 0)


@pytest.mark.parametrize("kind, unit, window", UNITS)
def test_numbers_in_units(traces, kind, unit, window):
    """A causal trace of this length has no window of 16 rows."""
    options = ["--unit", unit] + (["--window", window] if window else [])
    parameters = {"unit": unit, "window": window or 16}
    received = reference.Received(traces[kind])
    said = analyze(traces[kind], "absorption", "epsilon_sweep", "score_by_head", "sink_tokens", options=options)
    for name in ["absorption", "epsilon_sweep", "score_by_head"]:
        agree(numbers(said[name]), getattr(reference, name)(received, **parameters))
    agree(numbers(said["sink_tokens"]), reference.sink_tokens(received, **parameters)[0])
    assert not np.isnan(numbers(said["score_by_head"])["score_share" if window or kind == "diffusion" else
                                                       "cumulative_score_share"]).any()


@pytest.mark.parametrize("kind", ["selected", "causal_selected"])
def test_nulls(traces, kind):
    expected = reference.nulls(reference.Received(traces[kind]), draws=5)
    found = numbers(analyze(traces[kind], "nulls", options=["--null", 5])["nulls"])
    for name, values in expected.items():
        for place, suffix in enumerate(["observed", "null_mean", "null_sd", "z", "p"]):
            # Stored in Float while they wait: deviations between nearly equal draws keep fewer digits.
            np.testing.assert_allclose(
                found[f"{name}_{suffix}"], values[..., place], rtol=1e-4 if suffix in ("null_sd", "z") else 1e-6,
                atol=1e-7, err_msg=f"{name}_{suffix}")
    assert {name.rsplit("_p", 1)[0] for name in found if name.endswith("_p")} == set(expected)


@pytest.mark.parametrize("kind", ["diffusion", "causal"])
def test_steps_with_a_hole_between_them_are_no_pair(traces, kind):
    """Of some steps: means over the pairs that follow each other, presences and hops in the trace's steps."""
    steps, pairs = [0, 1, 3, 4, 5, 9], [(0, 1), (3, 4), (4, 5)]
    trace = reference.Received(traces[kind]).trace
    rule = reference.parse_rule(rule="top", count=2, causality=trace.causality)
    found = numbers(analyze(traces[kind], "sinks", options=["--steps", "0,1,3-5,9", "--rule", "top", "--count", 2])["sinks"])
    expected = {name: [] for name in ["floating_index", "transport", "top_key_moves", "turnover", "presences", "dwell",
                                      "lifetime", "hops", "hops_per_step", "drift", "static_share"]}
    for layer, head, members in reference.sites_of(trace, "head", None, None):
        frames = reference.received_frames(trace, members, None)
        keys = max(len(frame.received) for frame in frames)
        p = np.array([frame.p(keys) for frame in frames])
        top = [int(np.argmax(frame.received)) for frame in frames]
        every = reference.sink_sets(frames, rule)
        # A step that is not looked at has no set.
        sets = [every[t] if t in steps else (None, None, None) for t in range(steps[-1] + 1)]
        change = [p[b] - p[a] for a, b in pairs]
        runs = reference.presences(sets, 0)
        linked = reference.trajectories(runs, [run[2] for run in runs], 1, 16)
        counts = np.bincount([j for t in steps for j in sets[t][0]], minlength=keys)
        turned = [reference.turnovers([sets[a], sets[b]])[0] for a, b in pairs]
        hops = sum(len(each["hops"]) for each in linked)
        values = [np.mean([np.abs(c).sum() / 2 for c in change]), np.mean([np.abs(np.cumsum(c)).sum() for c in change]),
                  np.mean([top[a] != top[b] for a, b in pairs]), np.mean(turned), len(runs),
                  np.mean([run[1] - run[0] + 1 for run in runs]),
                  np.mean([each["last"] - each["first"] + 1 for each in linked]), hops, hops / len(pairs),
                  reference.nanmean([each["drift"] for each in linked]),
                  np.mean([10 * counts[run[2]] >= 9 * len(steps) for run in runs])]
        for name, value in zip(expected, values):
            expected[name].append(value)
    prefix = "cumulative_" if kind == "causal" else ""
    for name, values in expected.items():
        np.testing.assert_allclose(found[prefix + name].ravel(), values, rtol=1e-6, atol=1e-12, err_msg=name)
    assert max(expected["hops"]) > 0 and 0 < max(expected["turnover"])


@pytest.mark.parametrize("kind", ["diffusion", "causal"])
@pytest.mark.parametrize("scope", ["head", "layer", "overall"])
def test_metrics_say_what_the_commands_say(traces, kind, scope):
    """`sinks` and `like_rows` share their arithmetic with the commands, which test_metrics.py checks."""
    said = analyze(traces[kind], "sinks", "like_rows", options=["--per", scope])
    headline = answer_json("sinks", traces[kind], "--json", "--per", scope)["headline"]
    [rows] = answer_json("compare", traces[kind], "--json", "--per", scope)["traces"]
    suffix = "" if scope == "overall" else "_mean"
    found = numbers(said["sinks"])
    for name, value in headline.items():
        np.testing.assert_allclose(found[name + suffix], math.nan if value is None else value, rtol=1e-12)
    found = numbers(said["like_rows"])
    for prefix, part in [("answer_", "answer_rows"), ("window_", "windows")]:
        assert found[prefix + "count"] == rows["like_rows"][part]["count"]
        for name in ["floating_index", "turnover", "transport", "first_key_share"]:
            value = rows["like_rows"][part][name]
            np.testing.assert_allclose(
                found[prefix + name + "_mean"], math.nan if value is None else value, rtol=1e-12)
