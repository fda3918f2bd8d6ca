"""Nats per token of a text against a model in NumPy and float64, with the masks that the program says it used."""

import csv
import io
import json

import numpy as np
import pytest

from reference_model import Model
from support import MODELS, answer, answer_json, attntrace

TEXT = " And the earth was without form, and void; and darkness was upon the face of the deep."
PROMPT = "In the beginning God created the heaven and the earth."
COMMAND = ["score", "--prompt", PROMPT, "--text", TEXT]


def ids_of(model):
    """Prompt and text as token ids."""
    asked = lambda text, *options: [
        int(each) for each in answer("tokenize", "--model", model, *options, text).replace(",", " ").split()]
    return asked(PROMPT), asked(TEXT, "--no-special-tokens")


def nats(logits, ids):
    top = logits.max(-1)
    return top + np.log(np.exp(logits - top[:, None]).sum(-1)) - logits[np.arange(len(ids)), ids]


def top(scores, count):
    """The `count` largest of scores [..., key] as a mask."""
    return np.argsort(np.argsort(-scores, axis=-1, kind="stable"), axis=-1) < count


def variant(report, name, keys):
    [found] = [entry for entry in report["variants"] if (entry["suppressed"], entry["keys"]) == (name, keys)]
    return found


@pytest.mark.parametrize("scale", [0, 1.5])
def test_the_bound_is_that_of_the_masked_inputs(scale):
    prompt, text = ids_of("tiny-mdm")
    report = answer_json(
        *COMMAND, "--mc-num", 8, "--batch-size", 4, "--suppress-sinks", "0,5", "--cfg-scale", scale, "--json")
    model, mask = Model(MODELS / "tiny-mdm"), 2
    assert (report["prompt_length"], report["tokens"], len(report["masked"])) == (len(prompt), len(text), 8)
    ids, whole = np.array(prompt + text), {"none": [], "sinks": []}
    for masked in report["masked"]:
        assert masked == sorted(set(masked)) and len(prompt) <= masked[0] and masked[-1] < len(ids)
        inputs = [np.array(ids)]
        inputs[0][masked] = mask
        if scale:
            inputs.append(inputs[0].copy())
            inputs[1][: len(prompt)] = mask
        plain = [model.forward(each) for each in inputs]
        cut = [
            np.broadcast_to(top(found["attention"].sum(2), 5)[:, :, None], found["attention"].shape)
            for found in plain]
        changed = [model.forward(each, hidden) for each, hidden in zip(inputs, cut)]
        for name, found in [("none", plain), ("sinks", changed)]:
            logits = found[0]["logits"]
            if scale:
                logits = found[1]["logits"] + (scale + 1) * (logits - found[1]["logits"])
            whole[name].append(nats(logits[masked], ids[masked]).sum() * len(text) / len(masked))
    for name, keys in [("none", 0), ("sinks", 5)]:
        found = variant(report, name, keys)
        # Single precision may swap the fifth and the sixth sink of a head where they are all but equal.
        is_off = ~np.isclose(found["parts"], whole[name], rtol=2e-4)
        assert is_off.sum() <= (2 if name == "sinks" else 0)
        np.testing.assert_allclose(found["parts"], whole[name], rtol=5e-2)
        batches = np.array(found["parts"]).reshape(2, 4).mean(1) / len(text)
        assert found["nats_per_token"] == pytest.approx(batches.mean(), rel=1e-6)
        assert found["standard_error"] == pytest.approx(batches.std(ddof=1) / np.sqrt(2), rel=1e-6)
        paired = batches - np.array(variant(report, "none", 0)["parts"]).reshape(2, 4).mean(1) / len(text)
        assert found["difference"] == pytest.approx(paired.mean(), rel=1e-6, abs=1e-9)


def test_masks_are_stratified():
    """As published: over a batch the number masked is k, k + n / b, ... rounded to even and wrapped into 1 ... n."""
    report = answer_json(
        *COMMAND, "--mc-num", 64, "--batch-size", 8, "--suppress-sinks", 0, "--json")
    n, counts = report["tokens"], np.array([len(masked) for masked in report["masked"]]).reshape(8, 8)
    for row in counts:
        expected = (np.round(np.linspace(row[0], row[0] + 7 * n / 8, 8)).astype(int) - 1) % n + 1
        assert (row == expected).all()
    assert len(set(counts[:, 0])) > 4 and len({tuple(masked) for masked in report["masked"]}) > 60
    # Every token is masked about half the time.
    shares = np.bincount(np.concatenate(report["masked"]), minlength=report["prompt_length"] + n) / 64
    assert (shares[: report["prompt_length"]] == 0).all() and 0.3 < shares[report["prompt_length"] :].min()


def test_an_autoregressive_likelihood_is_exact():
    prompt, text = ids_of("tiny-ar")
    text = text[:12]
    report = answer_json(
        "score", "--model", "tiny-ar", "--prompt", PROMPT, "--text-ids", ",".join(map(str, text)), "--suppress-sinks",
        "0,3", "--json")
    assert report["is_exact"] and report["masked"] == []
    model, ids = Model(MODELS / "tiny-ar"), np.array(prompt + text)
    first, fed = len(prompt), len(prompt) + len(text) - 1
    for keys in [0, 3]:
        hidden = np.zeros((model.layers, model.heads, fed, fed), bool)
        for row in range(first, fed) if keys else []:
            # Row by row: the keys that the row before attended to most, as it was with its own suppressed.
            before = model.forward(ids[:row], hidden[:, :, :row, :row])["attention"][:, :, -1]
            hidden[:, :, row, :row] = top(before, keys) & (before > 0)
        logits = model.forward(ids[:fed], hidden)["logits"][first - 1 :]
        expected = nats(logits, ids[first:])
        found = variant(report, "sinks" if keys else "none", keys)
        np.testing.assert_allclose(found["parts"], expected, rtol=1e-3, atol=1e-4)
        assert found["nats_per_token"] == pytest.approx(expected.mean(), rel=1e-4)
        assert found["standard_error"] is None
    assert variant(report, "sinks", 3)["difference"] > 0 and variant(report, "random", 3)["keys"] == 3


def test_tables_and_seeds():
    options = ["--mc-num", 8, "--batch-size", 4, "--suppress-sinks", "0,2"]
    rows = list(csv.DictReader(io.StringIO(answer(*COMMAND, *options, "--format", "csv"))))
    assert [(row["suppressed"], row["keys"]) for row in rows] == [("none", "0"), ("sinks", "2"), ("random", "2")]
    assert rows == list(csv.DictReader(io.StringIO(answer(*COMMAND, *options, "--format", "csv", "--threads", 1))))
    other = list(csv.DictReader(io.StringIO(answer(*COMMAND, *options, "--format", "csv", "--seed", 1))))
    assert all(a["nats_per_token"] != b["nats_per_token"] for a, b in zip(rows, other))
    assert "upper bound" in answer(*COMMAND, *options)
    assert "exact" in answer("score", "--model", "tiny-ar", "--text", TEXT, "--no-random")


@pytest.mark.parametrize("options, said", [
    ([], "give the text once"), (["--text", ""], "no token"), (["--text", "a", "--text-ids", "1"], "give the text once"),
    (["--text", "a", "--mc-num", 10], "multiple of batch_size"), (["--text", "a", "--mc-num", 0], "mc_num must be"),
    (["--text", "a", "--model", "tiny-ar", "--cfg-scale", 1], "cfg_scale is an option of diffusion"),
    (["--text-ids", "1,99999"], "outside the vocabulary"), (["--text", "word " * 400], "longer than the model takes"),
])
def test_what_cannot_be_scored(options, said):
    done = attntrace("score", *options)
    assert done.returncode == 2 and said in done.stderr and done.stdout == "", done.stderr


@pytest.mark.parametrize("options", [
    ["--chat"], ["--system", "Be brief."], ["--chat-template", "llada"], ["--markers"], ["--regions", "/dev/null"]])
def test_options_of_a_prompt_take_one(options):
    done = attntrace("score", "--text", TEXT, *options)
    assert done.returncode == 2 and "are about a prompt" in done.stderr and done.stdout == "", done.stderr


def test_without_a_prompt_special_tokens_stand_first():
    few = ["score", "--text", TEXT, "--mc-num", 4, "--batch-size", 4, "--suppress-sinks", 0, "--json"]
    assert answer_json(*few)["prompt_length"] == 1
    assert answer_json(*few, "--no-special-tokens")["prompt_length"] == 0


def test_memory_is_kept_to():
    few = ["score", "--text", TEXT, "--mc-num", 4, "--batch-size", 4, "--suppress-sinks", 0]
    assert attntrace(*few, "--memory", "1GB").returncode == 0
    done = attntrace(*few, "--memory", "1MB")
    assert done.returncode == 2 and "of memory, weights included" in done.stderr


def test_not_all_keys_can_be_suppressed():
    """A row without a key would be the plain model's."""
    few = ["score", "--text-ids", "5,6,7,8", "--no-special-tokens", "--mc-num", 4, "--batch-size", 4]
    done = attntrace(*few, "--suppress-sinks", 4)
    assert done.returncode == 2 and "3 or fewer can be suppressed" in done.stderr
    assert attntrace(*few, "--suppress-sinks", 3).returncode == 0
    # Of those by default, the ones that are too many are left out.
    done = attntrace(*few, "--json")
    assert {variant["keys"] for variant in json.loads(done.stdout)["variants"]} == {0, 1}
    assert done.stderr == "attntrace: of 4 positions fewer can be suppressed: left out 5,10\n"
