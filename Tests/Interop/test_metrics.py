"""The command's headline numbers against an independent implementation, on captured files."""

import math
import sys

import pytest

from support import REPO, answer_json

sys.path.insert(0, str(REPO / "Tests/Fixtures/metrics"))
from reference_metrics import metrics_of_file  # noqa: E402

RULES = {
    "excess": ({}, []),
    "excess_by_layer": ({"per": "layer", "epsilon": 1}, ["--per", "layer", "--epsilon", 1]),
    "deviation": ({"rule": "deviation", "z": 2}, ["--rule", "deviation", "--z", 2]),
    "share": ({"rule": "share", "epsilon": 0.1}, ["--rule", "share", "--epsilon", 0.1]),
    "top": ({"rule": "top", "count": 2, "per": "overall"}, ["--rule", "top", "--count", 2, "--per", "overall"]),
    "ratio": ({"unit": "ratio", "epsilon": 2}, ["--unit", "ratio", "--epsilon", 2]),
}


def check(found, expected, what):
    assert set(found) == set(expected), what
    for name, value in expected.items():
        if math.isnan(value):
            assert found[name] is None, f"{what}: {name}"
        else:
            assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-12), f"{what}: {name}"


@pytest.mark.parametrize("rule", RULES)
def test_headlines(any_trace, rule):
    parameters, options = RULES[rule]
    expected = metrics_of_file(any_trace, **parameters)
    for command in ["sinks", "trajectories"]:
        said = answer_json(command, any_trace, "--json", *options)
        check(said["headline"], expected["headline"], command)
        assert said["undefined"] == expected["undefined"]


def test_selected_layers_and_heads(traces):
    expected = metrics_of_file(traces["selected"], layers={3, 4}, heads={5})
    said = answer_json("sinks", traces["selected"], "--json", "--layers", "3-4", "--heads", "5")
    check(said["headline"], expected["headline"], "selected")
    assert said["analysis"]["layers"] == [3, 4] and said["analysis"]["heads"] == [5]


def test_linking(diffusion):
    expected = metrics_of_file(diffusion, rule="top", gap=1, reach=2, unmatched_cost=4)
    said = answer_json(
        "trajectories", diffusion, "--json", "--rule", "top", "--gap", 1, "--reach", 2, "--unmatched-cost", 4)
    check(said["headline"], expected["headline"], "linking")
