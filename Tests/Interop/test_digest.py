"""What `analyze` prints for people: one trace and a cohort, held against the JSON; and that docs/metrics.md names it all."""

import json
import math
import re

import numpy as np
import pytest

from support import REPO, answer, answer_json, attntrace, capture
from test_terminal import in_terminal, shell

FULL = ["--gen-length", 24, "--block-length", 12, "--record", "maps", "--signals", "all", "--temperature", 1]
CAUSAL = ["--model", "tiny-ar", "--max-new-tokens", 40, "--record", "maps", "--signals", "all", "--temperature", 1]
DOCUMENTS = [f"And the king of {place} went up." for place in ("Israel", "Judah", "Egypt")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two diffusion traces and two causal ones, with all signals."""
    folder = tmp_path_factory.mktemp("digest") / "traces"
    for name, options in (("mdm", FULL), ("ar", CAUSAL)):
        (folder / name).mkdir(parents=True)
        for seed in range(2):
            capture(folder / name / f"{seed}.h5", *options, "--seed", seed)
    return folder


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """Prompts with three documents, of which the first, the second, the third, or none holds the evidence."""
    folder = tmp_path_factory.mktemp("batch")
    lines = []
    for number, gold in enumerate([0, 1, 1, 2, None]):
        documents = [{"text": text, "gold": place == gold} for place, text in enumerate(DOCUMENTS)]
        lines.append({"id": f"p{number}", "prompt": "Who went up?", "documents": documents, "answers": ["the", "king"]})
    (folder / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    answer_of = attntrace(
        "capture", "--prompts", folder / "prompts.jsonl", "--output", folder / "traces", "--gen-length", 16,
        "--block-length", 8, "--record", "received", "--temperature", 1)
    assert answer_of.returncode == 0, answer_of.stderr
    return folder / "traces"


def sections(text):
    """Lines by the metric that they stand under, by the quantity's name."""
    found, metric = {}, None
    for line in text.split("\n\n")[0].splitlines()[1:]:
        if line.startswith("#"):
            break
        if not line.startswith(" "):
            metric = found.setdefault(line.split(":")[0], {})
        elif not line.startswith("    "):
            metric[line.split()[0]] = line
    return found


def values(metric, name):
    [found] = [q for q in metric["quantities"] if q["name"] == name]
    shape = [len(labels) for labels in found["axes"].values()]
    return np.array([math.nan if v is None else v for v in found["values"]], float).reshape(shape)


def numbers(line):
    return [float(word) for word in re.findall(r"(?<![\w.-])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])", line)]


def near(shown, wanted):
    """As close as three digits are."""
    return math.isclose(shown, wanted, rel_tol=6e-3, abs_tol=1e-5)


@pytest.mark.parametrize("name", ["mdm", "ar"])
def test_a_line_a_quantity(folder, name):
    path = folder / name / "0.h5"
    done = attntrace("analyze", path)
    assert done.returncode == 0
    shown = sections(done.stdout)
    metrics = {m["metric"]: m for m in answer_json("analyze", path, "--json")["metrics"]}
    assert len(shown) >= len(metrics) - 2 and max(map(len, done.stdout.splitlines())) <= 120
    assert len(done.stdout.splitlines()) <= 130
    prefix = "" if name == "mdm" else "cumulative_"
    # The mean, the lowest and the highest layer, the highest head.
    line = shown["rows"]["entropy"]
    entropy = values(metrics["rows"], "entropy")
    layers = entropy.mean(1)
    highest = np.unravel_index(entropy.argmax(), entropy.shape)
    wanted = [entropy.mean(), layers.min(), layers.max(), entropy.max()]
    assert len(numbers(line)) == 4 and all(map(near, numbers(line), wanted)), line
    assert re.findall(r"L\d+(?:H\d+)?", line) == [
        f"L{layers.argmin()}", f"L{layers.argmax()}", f"L{highest[0]}H{highest[1]}"]
    # A null stands beside what it is of.
    line = shown["sinks"]["hops_per_step"]
    assert near(numbers(line)[0], values(metrics["sinks"], "hops_per_step_mean"))
    assert near(float(line.split("null ")[1].split()[0]), values(metrics["sinks"], "null_hops_per_step_mean"))
    line = shown["norms"]["key_norm_on_sinks"]
    assert near(float(line.split("others ")[1].split()[0]), np.nanmean(values(metrics["norms"], "key_norm_on_others")))
    line = shown["sinks"][prefix + "first_key_share"]
    assert near(
        float(line.split("uniform ")[1].split()[0]), np.nanmean(values(metrics["sinks"], prefix + "first_key_uniform")))
    assert not any(n.startswith("null_") or n.endswith(("_by_layer", "_on_others")) for part in shown.values() for n in part)
    # What is undefined is said in a line of its own.
    [undefined] = re.findall(r"^# undefined here: ((?:.*\n)(?:#   .*\n)*)", done.stdout, re.M)
    assert "exact_match" in undefined and "answer_accuracy" not in shown
    # All of it.
    whole = answer("analyze", path, "--full", "--metrics", "sinks,rows")
    assert whole == answer("analyze", path, "--rows", 0, "--metrics", "sinks,rows")
    assert "null_hops_per_step_by_layer" in whole and "lowest_at" in whole


def test_names_asked_for_are_told_in_full(folder):
    path = folder / "mdm" / "0.h5"
    assert "births" not in sections(attntrace("analyze", path).stdout)["sinks"]
    assert "births" in sections(answer("analyze", path, "--metrics", "sinks"))["sinks"]
    kinds = sections(answer("analyze", path, "--metrics", "vector_stability"))["vector_stability"]["key_cosine_by_kind"]
    assert "just_unmasked" in kinds


def test_fits_a_terminal(folder):
    for columns in (100, 120):
        said = in_terminal(shell("analyze", folder / "mdm" / "0.h5") + " 2> /dev/null", columns)
        assert max(map(len, said.replace("\r\n", "\n").splitlines())) <= 120


def test_groups_side_by_side(folder, tmp_path):
    done = attntrace("analyze", folder, "--output", tmp_path / "out", "--group-by", "model")
    assert done.returncode == 0, done.stderr
    shown = sections(done.stdout)
    assert done.stdout.split()[:3] == ["tiny-ar", "tiny-mdm", "unit"]
    found = json.loads((tmp_path / "out" / "analysis.json").read_text())
    by_name = {(q["metric"], q["name"]): q for q in found["quantities"]}
    # A single number: as in the files, its interval included.
    line = shown["like_rows"]["answer_turnover"]
    groups = by_name["like_rows", "answer_turnover_mean"]["groups"]
    wanted = [groups[name][part][0] for name in ("tiny-ar", "tiny-mdm") for part in ("mean", "low", "high")]
    assert all(map(near, numbers(line), wanted)) and len(numbers(line)) == 6
    # By head only: each trace's mean.
    line = shown["rows"]["entropy"]
    groups = by_name["rows", "entropy"]["groups"]
    assert all(map(near, numbers(line)[::3], [np.mean(groups[n]["mean"]) for n in ("tiny-ar", "tiny-mdm")]))
    # Shared ones come first, what one group has alone after it.
    assert max(map(len, done.stdout.splitlines())) <= 125
    shared, causal, diffusion = done.stdout.split("\n\n")
    assert "cumulative_" not in shared and " entropy " in shared and " hops_per_step " not in shared
    assert causal.splitlines()[0].split() == ["in", "this", "group", "only", "tiny-ar", "unit"]
    assert " cumulative_floating_index " in causal and " floating_index " in diffusion
    assert re.search(r" hops_per_step .* null 0\.\d+ +hops/step", diffusion)
    again = ["merge", tmp_path / "out", "--output", tmp_path / "merged", "--group-by", "model"]
    assert attntrace(*again).stdout == done.stdout
    assert "tiny-ar: sd" in attntrace(*again, "--full").stdout


def test_accuracy_by_place_of_the_gold_document(batch, tmp_path):
    options = ["--metrics", "answer_accuracy,retrieval_heads", "--group-by", "gold_document"]
    found = answer_of_cohort(batch, tmp_path / "out", *options)
    assert found["groups"] == ["0", "1", "2", "none"]
    assert [sum(t["group"] == g for t in found["traces"]) for g in found["groups"]] == [1, 2, 1, 1]
    by_name = {q["name"]: q for q in found["quantities"]}
    texts = {}
    for trace in found["traces"]:
        [metric] = [m for m in answer_json(
            "analyze", trace["path"], "--metrics", "answer_accuracy", "--json")["metrics"]]
        texts.setdefault(trace["group"], []).append(float(values(metric, "substring_match")))
    for group, scores in texts.items():
        assert by_name["substring_match"]["groups"][group]["mean"] == [np.mean(scores)]
    assert len({s for scores in texts.values() for s in scores}) >= 1
    done = attntrace("analyze", batch, "--output", tmp_path / "other", "--metrics", "first_tokens", *options[2:])
    assert done.returncode == 2 and "gold_document: the metric answer_accuracy" in done.stderr


def answer_of_cohort(paths, output, *options):
    done = attntrace("analyze", paths, "--output", output, "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_answer_rows_are_of_the_conditional_pass(tmp_path):
    """The format keeps no answer rows of guidance's second pass."""
    path = capture(
        tmp_path / "g.h5", "--gen-length", 8, "--cfg-scale", 1, "--record", "maps",
        prompt="[[document a gold]]And the king went up.[[/document]] Who?")
    done = attntrace("analyze", path, "--metrics", "retrieval_heads", "--pass", "unconditional")
    assert done.returncode == 1 and done.stdout == "" and "retrieval_heads needs answer rows" in done.stderr
    result = answer_json("analyze", path, "--pass", "unconditional", "--json")
    computed = {m["metric"] for m in result["metrics"]}
    assert not computed & {"like_rows", "answer_shares", "retrieval_heads"} and "sinks" in computed
    assert result["left_out"]["like_rows"] == "lacks answer rows"


def test_options_of_metrics(folder):
    path = folder / "mdm" / "0.h5"
    options = ["--top-keys", 3, "--stable-keys", 2, "--answer-window", 6]
    told = {m["metric"]: m["parameters"] for m in answer_json(
        "analyze", path, "--metrics", "rows,step_stability,like_rows", "--json", *options)["metrics"]}
    assert told["rows"]["top_k"] == 3 and told["step_stability"]["k"] == 2 and told["like_rows"]["window"] == 6
    done = attntrace("analyze", path, "--metrics", "rows", "--top-keys", 0)
    assert done.returncode == 2 and "top_k = 0" in done.stderr


def test_the_list_says_what_each_metric_is(folder):
    text = answer("analyze", "--list-metrics")
    rows = answer_json("analyze", "--list-metrics", "--json")["rows"]
    assert len(rows) > 20 and all(len(what) > 30 for _, _, what in rows)
    assert {name for name, by_name, _ in rows if by_name} == {"drift_map", "nulls"}
    for name, by_name, what in rows:
        assert f"{name}{'  (only where --metrics names it)' if by_name else ''}\n    {what}\n" in text
    assert "LACKS regions" in answer("analyze", folder / "mdm" / "0.h5", "--list-metrics")
    assert max(map(len, text.splitlines())) <= 120


def expanded(text):
    """`{a,b}_c` is a_c and b_c."""
    found = re.search(r"\{([^{}]*)\}", text)
    if not found:
        return {text}
    return {name for part in found[1].split(",") for name in expanded(text[:found.start()] + part + text[found.end():])}


@pytest.fixture(scope="module")
def documented():
    spans = re.findall(r"`([a-z_0-9{},]+)`", (REPO / "docs/metrics.md").read_text())
    return {name for span in spans for name in expanded(span)}


@pytest.mark.parametrize("name, options", [
    ("mdm", []), ("ar", []), ("mdm", ["--metrics", "nulls,drift_map", "--null", 2]), ("ar", ["--metrics", "nulls", "--null", 2]),
    ("mdm", ["--rule", "deviation", "--metrics", "absorption,sinks"]),
    ("ar", ["--rule", "share", "--metrics", "absorption,sinks"]), ("mdm", ["--rule", "top", "--metrics", "absorption"]),
    ("batch", []),
])
def test_every_quantity_is_documented(folder, batch, documented, name, options):
    path = batch / "p0.h5" if name == "batch" else folder / name / "0.h5"
    result = answer_json("analyze", path, "--json", *options)
    missing = set()
    for metric in result["metrics"]:
        assert metric["metric"] in documented
        for quantity in metric["quantities"]:
            name = quantity["name"].removeprefix("cumulative_")
            short = re.sub("_(by_layer|by_step|mean)$", "", name)
            missing |= {name} if not {name, short} & documented else set()
    assert not missing and result["metrics"]
