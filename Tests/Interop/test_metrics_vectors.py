"""Metrics of vectors, norms, residual stream and answers against NumPy, on captured traces."""

import json
import sys

import h5py
import numpy as np
import pytest

from support import PROMPT, REPO, answer, answer_json, attntrace
from test_models import published  # noqa: F401

sys.path.insert(0, str(REPO / "Tests/Interop"))
from reference import vectors as reference  # noqa: E402

ALL = ["--signals", "all"]
DIFFUSION = [*ALL, "--gen-length", 16, "--block-length", 8]
CAUSAL = [*ALL, "--model", "tiny-ar", "--max-new-tokens", 24]
SELECTED = ["--queries", "0,5-7,25", "--map-steps", "3,12-15", "--layers", "1,6", "--heads", "2,4-5"]
CAUSAL_SELECTED = ["--queries", "2,13-16,30", "--layers", "0,7", "--heads", "0,3"]
DREAM = [*ALL, "--model", "Dream-v0-Instruct-7B", "--max-new-tokens", 12, "--seed", 5]
QWEN = [*ALL, "--model", "Qwen2.5-7B-Instruct", "--max-new-tokens", 12]
SUPPRESSED = ["--suppress-sinks", 2, "--suppress-keeps-self"]
RUNS = {
    "diffusion": DIFFUSION, "selected": [*DIFFUSION, *SELECTED], "guided": [*DIFFUSION, "--steps", 6, "--cfg-scale", 1],
    "suppressed": [*DIFFUSION, *SUPPRESSED], "random": [*DIFFUSION, "--suppress-random", 3],
    "causal": CAUSAL, "causal_selected": [*CAUSAL, *CAUSAL_SELECTED], "causal_suppressed": [*CAUSAL, *SUPPRESSED],
    # Query heads that share keys; Dream scores a position by the row before it.
    "dream": DREAM, "qwen": QWEN,
}
TRACES = {f"{name}_{how}": [*run, "--record", how] for name, run in RUNS.items() for how in ("maps", "qk")}
DIFFUSION_TRACES = [name for name in TRACES if not name.startswith(("causal", "qwen"))]
# As options of the command and as keywords of the reference.
RULES = {
    "default": ([], {}),
    "published": (["--rule", "deviation", "--fallback", "--per", "layer"], dict(rule="deviation", fallback=True, per="layer")),
    "top": (["--rule", "top", "--count", 3], dict(rule="top", count=3)),
}
# Every trace by one rule, some by all.
CASES = [(name, "top") for name in TRACES] + [
    (f"{name}_{how}", rule) for name in ("diffusion", "causal", "causal_selected", "dream") for how in ("maps", "qk")
    for rule in ("default", "published")]


@pytest.fixture(scope="module")
def data(tmp_path_factory, published):  # noqa: F811
    """A trace by its name, captured when first asked for."""
    folder, held = tmp_path_factory.mktemp("vectors"), {}

    def get(name, arguments=None, prompt=PROMPT):
        if name not in held:
            arguments = [published(a) if str(a).endswith("-7B") or "-Instruct" in str(a) else a
                         for a in arguments or TRACES[name]]
            done = attntrace("capture", "--prompt", prompt, "--output", folder / f"{name}.h5", *arguments)
            assert done.returncode == 0, done.stderr
            held[name] = reference.File(folder / f"{name}.h5")
        return held[name]

    return get


def analyze(f, metric, *options):
    """Quantities by name, NaN where undefined, and the rest of a metric's result."""
    [result] = answer_json("analyze", f.path, "--metrics", metric, "--json", *options)["metrics"]
    quantities = {}
    for q in result["quantities"]:
        shape = [len(labels) for labels in q["axes"].values()]
        quantities[q["name"]] = np.array([np.nan if v is None else v for v in q["values"]], float).reshape(shape)
    return quantities, result


def close(found, wanted, what, absolute=1e-9):
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=absolute, err_msg=what)


@pytest.mark.parametrize("name, rule", CASES)
def test_qk_decomposition(data, name, rule):
    f, (options, keywords) = data(name), RULES[rule]
    found, result = analyze(f, "qk_decomposition", *options)
    route = "vector" if name.endswith("qk") else "map"
    assert all(n.removeprefix(judged(f, rule)).startswith((route + "_", "route_")) for n in found)
    sites, steps, coverage = reference.qk_decomposition(f, route, **keywords)
    for term in reference.TERMS:
        for kind, wanted in zip(["on_sinks", "on_others", "difference"], sites[term]):
            close(found[f"{judged(f, rule)}{route}_{term}_{kind}"], wanted, f"{term} {kind}")
        if not f.is_causal:
            close(found[f"{route}_{term}_difference_by_step"], steps[term], f"{term} by step")
    if route == "map":
        for what, wanted in coverage.items():
            close(found[what], wanted, what)
    if rule == "top":
        # Three sinks and many others in every map: everything is defined, and the terms are no noise.
        assert not np.isnan(sites["logit"]).any() and np.abs(sites["logit"][2]).min() > 1e-4
        assert route == "map" or result["undefined"] == {}


def judged(f, rule):
    """What names begin with that sinks of running sums decide: only `excess` is in windows of rows."""
    return "cumulative_" if f.is_causal and rule != "default" else ""


def with_both(maps, qk, path):
    """A trace that holds its full attention twice, of two captures of the same run."""
    with h5py.File(maps) as a, h5py.File(qk) as b, h5py.File(path, "w") as out:
        for name, value in a.attrs.items():
            if name not in ("_NCProperties",):
                out.attrs.create(name, value, dtype=a.attrs.get_id(name).dtype)
        for name in ("signals",):
            text = a.attrs[name].decode() if isinstance(a.attrs[name], bytes) else a.attrs[name]
            out.attrs[name] = np.bytes_(text + ",qk")

        def copy(source, prefix=""):
            def visit(name, item):
                if isinstance(item, h5py.Dataset) and name not in out and name.startswith(prefix):
                    out.create_dataset(name, data=item[()])

            source.visititems(visit)

        copy(a)
        copy(b, "qk")
        copy(b, "channel")
        np.testing.assert_array_equal(a["token_id"], b["token_id"])
    return path


@pytest.mark.parametrize("name", ["diffusion", "selected", "causal", "suppressed", "dream", "qwen"])
def test_the_routes_agree(data, tmp_path, name):
    """What is left of the scores in float16 weights is what the vectors give, to float16's rounding."""
    f = reference.File(with_both(data(name + "_maps").path, data(name + "_qk").path, tmp_path / "both.h5"))
    found, _ = analyze(f, "qk_decomposition", "--rule", "top", "--verify", "none")
    mean, largest, bound = reference.route_gaps(f)
    # The differences are small differences of large numbers.
    np.testing.assert_allclose(found["route_gap_mean"], mean, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found["route_gap_max"], largest, rtol=1e-5, atol=1e-9)
    assert (found["route_gap_max"] <= bound).all() and (found["route_gap_max"] > 0).all()
    for route in ("vector", "map"):
        sites, *_ = reference.qk_decomposition(f, route, rule="top")
        close(found[f"{judged(f, 'top')}{route}_logit_difference"], sites["logit"][2], route)


def test_vectors_or_maps_with_norms_are_needed(data, tmp_path):
    path = tmp_path / "a.h5"
    answer("capture", "--prompt", PROMPT, "--gen-length", 4, "--block-length", 4, "--record", "maps", "--output", path)
    done = attntrace("analyze", path, "--metrics", "qk_decomposition", "--json")
    assert done.returncode != 0 and "qk/query_vector" in done.stderr
    done = attntrace("analyze", data("diffusion_qk").path, "--metrics", "norms", "--per", "overall", "--json")
    assert done.returncode != 0 and "scope = overall" in done.stderr


@pytest.mark.parametrize("name, rule", [case for case in CASES if case[0].endswith("maps")])
def test_norms_and_value_weights(data, name, rule):
    f, (options, keywords) = data(name), RULES[rule]
    found, _ = analyze(f, "norms", *options)
    for norm, (sinks, others) in reference.sink_norms(f, **keywords).items():
        close(found[f"{judged(f, rule)}{norm}_norm_on_sinks"], sinks, norm)
        close(found[f"{judged(f, rule)}{norm}_norm_on_others"], others, norm)
    found, _ = analyze(f, "value_weighted", *options)
    # A causal trace keeps norms once, with its last step.
    prefix = "cumulative_" if f.is_causal else ""
    names = ["value_weighted_sink_share", "sink_share", "value_weighted_top_key_agreement"]
    for what, wanted in zip(names, reference.value_weighted(f, **keywords)):
        close(found[prefix + what], wanted, what)


@pytest.mark.parametrize("name", DIFFUSION_TRACES)
def test_vector_stability(data, name):
    f = data(name)
    found, result = analyze(f, "vector_stability")
    for vector, (whole, kinds, steps) in reference.vector_stability(f).items():
        close(found[f"{vector}_cosine"], whole, vector)
        close(found[f"{vector}_cosine_by_kind"], np.stack(list(kinds.values())), vector)
        close(found[f"{vector}_cosine_by_step"], steps, vector)
    assert result["undefined"]["first_step"] == f["key_cosine"][0].size * 2


def test_a_causal_trace_has_no_stability(data):
    done = attntrace("analyze", data("causal_qk").path, "--metrics", "vector_stability", "--json")
    assert done.returncode != 0 and "key_cosine" in done.stderr


@pytest.mark.parametrize("name", ["diffusion_maps", "selected_qk", "causal_maps", "dream_maps"])
@pytest.mark.parametrize("size, ratio", [(None, None), (0.5, 4)])
def test_massive_activations(data, name, size, ratio):
    f = data(name)
    options = [] if size is None else ["--massive-size", size, "--massive-ratio", ratio]
    found, result = analyze(f, "massive_activations", *options)
    wanted, channels = reference.massive_activations(f, *([] if size is None else [size, ratio]))
    for what, values in wanted.items():
        close(found[what], values, what)
    [table] = result["tables"]
    assert {(row[0], row[1]): row[2] for row in table["rows"]} == channels
    if size is not None:
        # Some are massive, and some are not.
        assert 0 < wanted["massive_count"].sum() < wanted["massive_steps_by_position"].size * f.steps


# The evidence is words that the models go on with, so that there is something to copy.
GOLD = "[[document a]]A town in Iowa.[[/document]] [[document b gold]]the children of the earth and the heavens[[/document]] "
RETRIEVAL = {
    "diffusion": [*DIFFUSION, "--record", "received", "--markers"],
    "causal": [*CAUSAL, "--record", "received", "--markers", "--heads", "1-4"],
    "dream": [*DREAM, "--record", "received", "--markers"],
    "qwen": [*QWEN, "--record", "received", "--markers"],
}


@pytest.mark.parametrize("name", RETRIEVAL)
def test_retrieval_heads(data, name):
    f = data("retrieval_" + name, RETRIEVAL[name], prompt=GOLD + PROMPT)
    found, result = analyze(f, "retrieval_heads")
    names = ["retrieval_score", "retrieval_coverage", "top_key_in_evidence", "answer_rows", "needle_recall"]
    wanted = dict(zip(names, reference.retrieval_heads(f)))
    for what, values in wanted.items():
        close(found[what], values, what)
    assert wanted["top_key_in_evidence"].max() > 0 and found["answer_rows"] > 0
    if name in ("diffusion", "causal"):
        assert wanted["retrieval_score"].max() > 0
    # An answer that holds too little of the evidence.
    recall = float(wanted["needle_recall"])
    found, result = analyze(f, "retrieval_heads", "--required-recall", recall)
    assert np.isnan(found["retrieval_score"]).all() and result["undefined"] == {"needle_recall_too_low": 1}
    if recall > 0:
        found, _ = analyze(f, "retrieval_heads", "--required-recall", recall / 2)
        close(found["retrieval_score"], wanted["retrieval_score"], "required")


def test_without_evidence_retrieval_is_undefined(data):
    f = data("no_gold", [*DIFFUSION, "--record", "received", "--markers"], "[[document a]]A town.[[/document]] Why?")
    found, result = analyze(f, "retrieval_heads")
    assert np.isnan(found["retrieval_score"]).all() and result["undefined"] == {"no_gold_region": 1}


def capture_prompts(prompts, output):
    done = attntrace(
        "capture", "--prompts", prompts, "--model", "tiny-ar", "--max-new-tokens", 24, "--record", "received", "--output",
        output)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """Traces of prompts with right answers, by id; what the model says is among them, and is not."""
    folder = tmp_path_factory.mktemp("answers")
    document = lambda i: [{"text": f"Document {j}.", "gold": j == i} for j in range(3)]  # noqa: E731
    lines = [
        dict(id="plain", prompt=PROMPT), dict(id="wrong", prompt=PROMPT, answers=["Jane Austen", "An Austen."]),
        dict(id="empty", prompt=PROMPT, answers=["the", "..."], documents=document(1)),
        dict(id="words", prompt=PROMPT, answers=["Earth, and heaven! of THE heavens", "x"], documents=document(2)),
        dict(id="within", prompt=PROMPT, answers=["the earth"], documents=document(5)),
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    capture_prompts(folder / "prompts.jsonl", folder / "out")
    return {line["id"]: (reference.File(folder / "out" / f"{line['id']}.h5"), line) for line in lines}


@pytest.mark.parametrize("name, place", [("plain", None), ("wrong", None), ("empty", 1), ("words", 2), ("within", None)])
def test_answer_accuracy(answered, name, place):
    f, line = answered[name]
    found, result = analyze(f, "answer_accuracy")
    _, text = reference.generated(f)
    for what, wanted in zip(["exact_match", "f1", "substring_match"], reference.accuracy(text, line.get("answers", []))):
        close(found[what], wanted, what)
    [table] = result["tables"]
    row = dict(zip([c["name"] for c in table["columns"]], table["rows"][0]))
    assert row["prompt_id"] == name and row["text"] == text and row["gold_document"] == place
    assert row["documents"] == len(line.get("documents", []))
    if name == "words":
        assert 0 < found["f1"] < 1 and found["exact_match"] == 0


def test_what_the_model_says_is_right(answered, tmp_path):
    f, _ = answered["plain"]
    _, text = reference.generated(f)
    assert len(text) > 20
    said = " An " + text.upper().replace(",", " ;")
    (tmp_path / "p.jsonl").write_text(json.dumps(dict(id="a", prompt=PROMPT, answers=["no", said])))
    capture_prompts(tmp_path / "p.jsonl", tmp_path)
    found, _ = analyze(reference.File(tmp_path / "a.h5"), "answer_accuracy")
    assert found["exact_match"] == found["f1"] == found["substring_match"] == 1


@pytest.mark.parametrize("name", ["dream_maps", "qwen_maps", "diffusion_maps"])
def test_the_text_is_put_together_of_bytes(data, name):
    """Tokens of random models are parts of characters, most of which fit nothing."""
    f = data(name)
    _, text = reference.generated(f)
    _, result = analyze(f, "answer_accuracy")
    [[*_, said]] = result["tables"][0]["rows"]
    assert said == text and result["undefined"] == {"no_right_answers": 1}
