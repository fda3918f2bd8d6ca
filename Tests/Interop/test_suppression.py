"""Suppressed keys: chosen as the options say, and attention, tokens and logits what a model in NumPy gives without them."""

import csv
import json

import numpy as np
import pytest

from reference_model import Model
from support import MODELS, PROMPT, answer, answer_json, attntrace, capture, read_all, root_attributes

LENGTH = ["--gen-length", 16, "--record", "maps"]
DIFFUSION = [*LENGTH, "--block-length", 8]
GUIDED = [*DIFFUSION, "--steps", 4, "--cfg-scale", 1]
CAUSAL = ["--model", "tiny-ar", *LENGTH]
RUNS = {
    "sinks": [*DIFFUSION, "--suppress-sinks", 3],
    "keeps_self": [*DIFFUSION, "--suppress-sinks", 3, "--suppress-keeps-self"],
    "layer": [*DIFFUSION, "--suppress-sinks", 3, "--suppress-per", "layer", "--suppress-exempt", "first"],
    "overall": [*DIFFUSION, "--suppress-sinks", 2, "--suppress-per", "overall", "--suppress-exempt", "prompt"],
    "excess": [*DIFFUSION, "--suppress-sinks", 5, "--suppress-epsilon", 4],
    "random": [*DIFFUSION, "--suppress-random", 3, "--suppress-exempt", "first"],
    "guided": [*GUIDED, "--suppress-sinks", 3],
    "causal": [*CAUSAL, "--suppress-sinks", 2],
    "causal_all": [*CAUSAL, "--suppress-sinks", 100, "--suppress-keeps-self"],
    "causal_excess": [*CAUSAL, "--suppress-sinks", 5, "--suppress-epsilon", 2],
    "causal_random": [*CAUSAL, "--suppress-random", 2],
}


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder, held = tmp_path_factory.mktemp("suppression"), {}

    def get(name):
        if name not in held:
            path = capture(folder / f"{name}.h5", *RUNS[name])
            assert attntrace("verify", "--deep", path).returncode == 0, name
            held[name] = read_all(path), root_attributes(path)
        return held[name]

    return get


def passes(attributes):
    return ["", "unconditional/"] if attributes["is_guided"] == 1 else [""]


def hidden(flags, queries):
    """[layer, head, query, key] of flags [layer, head, key]."""
    own = np.asarray(queries)[:, None] == np.arange(flags.shape[-1])
    flags = flags[:, :, None]
    return (flags == 1) | ((flags == 2) & ~own)


@pytest.mark.parametrize("name", RUNS)
def test_attention_and_answers_are_those_of_the_changed_model(traces, name):
    data, attributes = traces(name)
    model = Model(MODELS / ("tiny-ar" if name.startswith("causal") else "tiny-mdm"))
    prompt, ids = int(attributes["prompt_length"]), data["token_id"]
    steps = len(ids)
    logits = {}
    for prefix in passes(attributes):
        flags = data[prefix + "suppressed"]
        assert not flags[0].any() and flags[1:].any()
        if model.is_causal:
            fed = ids[-1][ids[-1] >= 0]
            made_at = np.maximum(0, np.arange(len(fed)) - prompt + 1)
            # Each row without the keys that were suppressed when it was computed.
            cut = np.concatenate(
                [hidden(flags[step][..., : len(fed)], [row]) for row, step in enumerate(made_at)], axis=2)
            found = model.forward(fed, cut)
            np.testing.assert_allclose(
                data[prefix + "maps/attention"][0], found["attention"], rtol=2e-3, atol=2e-5)
            logits[prefix] = {step: found["logits"][prompt + step - 1] for step in range(steps)}
            continue
        logits[prefix] = {}
        for step in range(steps):
            fed = ids[step].copy()
            if prefix:
                fed[:prompt] = attributes["mask_token_id"]
            found = model.forward(fed, hidden(flags[step], np.arange(len(fed))))
            np.testing.assert_allclose(
                data[prefix + "maps/attention"][step], found["attention"], rtol=2e-3, atol=2e-5)
            np.testing.assert_allclose(
                data[prefix + "received"][step].sum(2), found["attention"].sum(2), rtol=1e-4, atol=1e-5)
            logits[prefix][step] = found["logits"]
    for step in range(steps):
        rows = logits[""][step]
        if len(logits) == 2:
            rows = 2 * rows - logits["unconditional/"][step]
        powers = np.exp(rows - rows.max(-1, keepdims=True))
        probability = powers / powers.sum(-1, keepdims=True)
        if model.is_causal:
            assert probability.argmax() == data["predicted_id"][step, prompt + step]
            assert probability.max() == pytest.approx(data["confidence"][step, prompt + step], rel=1e-3)
            continue
        asked = data["is_masked"][step] == 1
        assert (probability.argmax(-1)[asked] == data["predicted_id"][step][asked]).all()
        np.testing.assert_allclose(probability.max(-1)[asked], data["confidence"][step][asked], rtol=2e-3)


def check_choice(flags, scores, count, exempt, epsilon, slack):
    """Whether flags [..., key] mark the `count` keys of the largest scores that are not exempt (with epsilon, sinks
    only); keys whose scores differ by less than `slack` may stand for each other."""
    mask = np.arange(scores.shape[-1]) >= exempt
    if epsilon is not None:
        others = (scores.sum(-1, keepdims=True) - scores) / (scores.shape[-1] - 1)
        sure, possible = (mask & (scores - others > epsilon + sign * slack) for sign in (1, -1))
    else:
        sure = possible = mask & (scores > 0)
    assert (flags <= possible).all()
    number = flags.sum(-1)
    assert (number >= np.minimum(count, sure.sum(-1))).all() and (number <= np.minimum(count, possible.sum(-1))).all()
    least = np.where(flags, scores, np.inf).min(-1, keepdims=True)
    assert (flags | ~sure | (scores <= least + slack)).all()


@pytest.mark.parametrize("name", [name for name in RUNS if "random" not in name])
def test_the_keys_are_the_sinks_of_the_step_before(traces, name):
    data, attributes = traces(name)
    options = dict(zip(RUNS[name], RUNS[name][1:]))
    count, scope = options["--suppress-sinks"], options.get("--suppress-per", "head")
    prompt = int(attributes["prompt_length"])
    exempt = {"first": 1, "prompt": prompt}.get(options.get("--suppress-exempt"), 0)
    epsilon = options.get("--suppress-epsilon")
    value = 2 if "--suppress-keeps-self" in RUNS[name] else 1
    for prefix in passes(attributes):
        flags = data[prefix + "suppressed"]
        assert set(np.unique(flags)) <= {0, value}
        for step in range(1, len(flags)):
            if name.startswith("causal"):
                # In float16.
                row = prompt + step - 2
                scores = data["answer/attention"][step - 1].astype(np.float64)[..., : row + 1]
                assert data["answer/source_query"][step - 1] == row
                if epsilon is not None:
                    scores *= row + 1
            else:
                scores = data[prefix + "received"][step - 1].astype(np.float64).sum(2)
            if scope != "head":
                axes = 1 if scope == "layer" else (0, 1)
                scores = np.broadcast_to(scores.mean(axes, keepdims=True), scores.shape)
            assert not flags[step, ..., scores.shape[-1] :].any()
            found = flags[step, ..., : scores.shape[-1]] > 0
            if scope != "head":
                assert (found == found[:, :1]).all() and (scope == "layer" or (found == found[:1]).all())
            check_choice(found, scores, count, exempt, epsilon, 1e-3 if name.startswith("causal") else 1e-5)


def test_random_keys_are_as_many_and_anew_in_each_step(traces):
    for name, first in [("random", 1), ("causal_random", 0)]:
        data, attributes = traces(name)
        flags = data["suppressed"]
        assert (flags[1:].sum(-1) == (3 if first else 2)).all() and not flags[..., :first].any()
        assert len(np.unique(flags[1:].reshape(len(flags) - 1, -1), axis=0)) == len(flags) - 1
        keys = int(attributes["prompt_length"]) if not first else flags.shape[-1]
        # Uniform: no key is drawn three times as often as expected.
        draws = flags[1:, ..., first:keys].sum((0, 1, 2))
        assert draws.min() > 0 and draws.max() < 3 * draws.mean()


def test_the_trace_says_what_was_done(traces):
    said = json.loads(traces("excess")[1]["intervention"])
    assert said == {
        "suppress": "sinks", "count": 5, "per": "head", "from": "previous_step", "rule": "excess", "epsilon": 4,
        "unit": "sum", "exempt": "none", "keeps_self": False}
    assert json.loads(traces("random")[1]["intervention"]) == {
        "suppress": "random", "count": 3, "per": "head", "exempt": "first", "keeps_self": False}


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_list_of_sinks(tmp_path, form):
    plain = capture(tmp_path / "plain.h5", *DIFFUSION)
    listed = tmp_path / f"sinks.{form}"
    answer("sinks", plain, "--format", form, "--output", listed)
    path = capture(tmp_path / "listed.h5", *DIFFUSION, "--suppress", listed, "--suppress-delay", 1)
    flags = read_all(path)["suppressed"]
    expected = np.zeros_like(flags)
    rows = list(csv.DictReader(answer("sinks", plain, "--format", "csv").splitlines()))
    for row in rows:
        if int(row["step"]) + 1 < len(flags):
            expected[int(row["step"]) + 1, int(row["layer"]), int(row["head"]), int(row["position"])] = 1
    assert expected.any() and (flags == expected).all()
    assert attntrace("verify", "--deep", path).returncode == 0
    said = json.loads(root_attributes(path)["intervention"])
    assert said["delay"] == 1 and said["count"] == len(rows)


@pytest.mark.parametrize("text", [
    'step,token,position\n0,"a ""b"", c",4\n2,x,0\n', "\ufeffstep,position\r\n0,4\r\n2,0.0\r\n",
    '{"columns": [{"name": "step"}, {"name": "position"}], "rows": [[0.0, 4.0], [2, 0]]}',
])
def test_a_list_without_heads_means_all(tmp_path, text):
    listed = tmp_path / "keys.csv"
    listed.write_text(text)
    path = capture(tmp_path / "a.h5", *DIFFUSION, "--suppress", listed)
    flags = read_all(path)["suppressed"]
    assert flags[0, :, :, 4].all() and flags[2, :, :, 0].all() and flags.sum() == 2 * flags[0, :, :, 0].size


@pytest.mark.parametrize("text, said", [
    ("step,layer\n1,2\n", "has no columns step and position"), ("step,position\n1,x\n", 'row 1 position is "x"'),
    ("step,position,layer\n1,2,99\n", "names layer 99"), ("{", "is not JSON"), ("step,position\n1,400\n", "position 400"),
])
def test_what_is_no_list_is_refused(tmp_path, text, said):
    listed = tmp_path / "keys"
    listed.write_text(text)
    done = attntrace("capture", "--prompt", PROMPT, *DIFFUSION, "--suppress", listed, "--output", tmp_path / "a.h5")
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize("options, said", [
    (["--suppress-sinks", 0], "must be 1 or more"), (["--suppress-sinks", 1, "--suppress-random", 1], "give one of"),
    (["--suppress-sinks", 99], "can be suppressed"), (["--suppress-random", 99], "can be suppressed"),
    (["--suppress-epsilon", 1], "goes with --suppress-sinks"), (["--suppress-exempt", "first"], "goes with"),
    (["--suppress", "/nowhere"], "No such file"),
])
def test_options_that_do_not_go_together(tmp_path, options, said):
    for command in ["capture", "plan"]:
        check_refused(tmp_path, command, options, said)


def check_refused(tmp_path, command, options, said):
    done = attntrace(command, "--prompt", PROMPT, *DIFFUSION, *options, "--output", tmp_path / "a.h5")
    assert done.returncode == (3 if "--suppress" in options else 2) and said in done.stderr, done.stderr


def test_without_suppression_nothing_changes(tmp_path):
    """A list that is empty leaves every bit as it was."""
    listed = tmp_path / "keys.csv"
    listed.write_text("step,position\n")
    plain = read_all(capture(tmp_path / "plain.h5", *DIFFUSION))
    same = read_all(capture(tmp_path / "same.h5", *DIFFUSION, "--suppress", listed))
    assert not same["suppressed"].any()
    for name in ["maps/attention", "received", "confidence", "token_id"]:
        assert plain[name].tobytes() == same[name].tobytes(), name


def test_compare_says_what_suppression_did(tmp_path):
    paths = [
        capture(tmp_path / f"{name}.h5", *base, *options) for name, base, options in [
            ("plain", DIFFUSION, []), ("same", DIFFUSION, []), ("sinks", DIFFUSION, ["--suppress-sinks", 5]),
            ("other", CAUSAL, [])]]
    rows = list(csv.DictReader(answer("compare", *paths, "--format", "csv").splitlines()))
    data = [read_all(path) for path in paths]
    prompt = int(root_attributes(paths[0])["prompt_length"])

    def emitted(each):
        steps, tokens = each["unmask_step"][prompt:], each["final_id"][prompt:]
        return steps, tokens, each["confidence"][steps, np.arange(prompt, prompt + len(steps))].astype(float)

    for place, row in enumerate(rows[:3]):
        steps, tokens, confidence = emitted(data[place])
        assert float(row["emitted_confidence"]) == pytest.approx(confidence.mean())
        assert float(row["emitted_nats"]) == pytest.approx(-np.log(confidence).mean())
        if place == 0:
            assert row["same_tokens"] == row["first_difference"] == row["intervention"] == ""
            continue
        old = emitted(data[0])
        same = tokens == old[1]
        assert float(row["same_tokens"]) == pytest.approx(same.mean())
        assert float(row["same_step"]) == pytest.approx((steps == old[0]).mean())
        assert float(row["confidence_change"]) == pytest.approx(confidence.mean() - old[2].mean())
        shift = np.abs(data[place]["unmask_order"][prompt:] - data[0]["unmask_order"][prompt:]).mean()
        assert float(row["order_shift"]) == pytest.approx(shift)
        assert row["first_difference"] == ("" if same.all() else str(prompt + int(np.argmin(same))))
    assert float(rows[1]["same_tokens"]) == 1 and float(rows[2]["same_tokens"]) < 1
    assert json.loads(rows[2]["intervention"])["count"] == 5
    # Another tokenizer, or the same one; what is compared are ids.
    assert (rows[3]["same_tokens"] == "") == (
        root_attributes(paths[3])["tokenizer_sha256"] != root_attributes(paths[0])["tokenizer_sha256"])
    assert "was changed" in answer("compare", *paths[:3])
    said = answer("compare", *paths[:3])
    assert "same.h5 was told what" in said and "differ in" not in said
    hot = capture(tmp_path / "hot.h5", *DIFFUSION, "--temperature", 0.5)
    assert "differ in temperature (0, 0.5) as well" in answer("compare", paths[0], hot)
    entry = answer_json("compare", paths[0], hot, "--json")["traces"][1]
    assert entry["differs_in"] == {"temperature": ["0", "0.5"]}
