"""`sinks --explain` against NumPy, number by number, on captured traces; and what it says where it cannot."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from support import answer, answer_json, attntrace, capture

sys.path.insert(0, str(Path(__file__).parent / "reference"))
from explain import CLASSES, ExplainedTrace  # noqa: E402

KINDS = {
    "diffusion": ["--gen-length", 16, "--block-length", 8, "--record", "maps", "--signals", "all"],
    "causal": ["--model", "tiny-ar", "--max-new-tokens", 24, "--record", "maps", "--signals", "all"],
    "causal_vectors": ["--model", "tiny-ar", "--max-new-tokens", 10, "--record", "qk"],
    "diffusion_vectors": ["--gen-length", 8, "--record", "qk", "--layers", "0-2", "--heads", "1,4"],
    "chat": ["--gen-length", 8, "--record", "maps", "--chat", "--chat-template", "llada",
             "--map-steps", "0,3"],
}


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """The path of a trace and what NumPy reads in it, by kind."""
    folder = tmp_path_factory.mktemp("explained")
    done = {}

    def get(kind):
        if kind not in done:
            path = capture(folder / f"{kind}.h5", *KINDS[kind])
            done[kind] = (path, ExplainedTrace(path))
        return done[kind]

    return get


def near(value, rel=1e-6, abs=1e-12):
    return None if np.isnan(value) else pytest.approx(value, rel=rel, abs=abs)


def places(trace, rule, unit, threshold, count=4):
    """Keys to explain: sinks first, then others."""
    rng = np.random.default_rng(7)
    found = []
    for step in rng.permutation(trace.steps):
        sinks = trace.sinks(step, rule, unit, threshold)
        if sinks is not None and sinks.any():
            found.append((int(step), *map(int, rng.choice(np.argwhere(sinks)))))
        if len(found) == count:
            break
    assert found, "no sink to explain"
    for step in rng.choice(trace.steps, 2):
        keys = trace.keys(step)
        found.append((int(step), *(int(rng.integers(n)) for n in (*trace.received.shape[1:3], keys))))
    return found


RULES = {
    "diffusion": [("excess", "sum", 3), ("deviation", "mean", 2)],
    "causal": [("excess", "window", 3), ("excess", "ratio", 2)],
}


@pytest.mark.parametrize("kind, rule, unit, threshold", [(k, *r) for k, rules in RULES.items() for r in rules])
def test_numbers(explained, kind, rule, unit, threshold):
    path, trace = explained(kind)
    option = "--epsilon" if rule == "excess" else "--z"
    for step, layer, head, position in places(trace, rule, unit, threshold):
        said = answer_json(
            "sinks", path, "--json", "--rule", rule, "--unit", unit, option, threshold, "--explain", step, layer, head,
            position)
        assert [said[name] for name in ("step", "layer", "head", "position")] == [step, layer, head, position]
        check_verdict(said, trace, rule, unit, threshold, step, layer, head, position)
        check_attention(said, trace, step, layer, head, position)
        check_vectors(said, trace, step, layer, head, position)
        check_course(said, path, trace, rule, unit, threshold, step, layer, head, position)


def check_verdict(said, trace, rule, unit, threshold, step, layer, head, position):
    data, n = trace.data, trace.keys(step)
    token = said["token"]
    assert token["id"] == data["token_id"][step, position]
    texts = dict(zip(data["vocab_id"], data["vocab_text"]))
    assert token["text"] == texts[token["id"]].decode()
    assert token["class"] == CLASSES[trace.query_class(step, position)]
    unmasked = int(data["unmask_step"][position])
    assert token["unmask_step"] == (unmasked if unmasked >= 0 else None)
    assert token["age"] == (step - unmasked if unmasked >= 0 else None)
    assert token["final_text"] == data["token_text"][position].decode()

    verdict = said["verdict"]
    cumulative = "cumulative_" if trace.causal and unit != "window" else ""
    scores, sinks = trace.scores(step, unit), trace.sinks(step, rule, unit, threshold)
    if scores is None:
        assert verdict["undefined"] == "too_few_rows" and verdict["score"] is None and verdict["is_sink"] is None
    else:
        own = scores[layer, head]
        others = np.nanmean(np.delete(own, position))
        wanted = others + threshold if rule == "excess" else np.nanmean(own) + threshold * np.nanstd(own)
        assert verdict["is_sink"] == bool(sinks[layer, head, position])
        assert verdict[cumulative + "score"] == near(own[position])
        assert verdict[cumulative + "mean_of_others"] == near(others)
        assert verdict[cumulative + "threshold"] == near(wanted)
        rank = None if np.isnan(own[position]) else 1 + int((own > own[position]).sum())
        assert verdict[cumulative + "rank"] == rank
        assert verdict["scored_keys"] == np.isfinite(own).sum()
    cumulative = "cumulative_" if trace.causal else ""
    received, uniform = trace.received[step, layer, head, position], trace.uniform(step)[position]
    assert verdict[cumulative + "strength"] == near(received / n)
    assert verdict[cumulative + "uniform_strength"] == near(uniform / n)
    assert verdict[cumulative + "strength_over_uniform"] == near(received / uniform)
    for index, name in enumerate(CLASSES):
        part = trace.classes[step, layer, head, index, position]
        assert said[cumulative + "received"][f"from_{name}"] == near(part)
        assert said[cumulative + "received"][f"share_from_{name}"] == near(part / received)

    by_layer = said["elsewhere"]["by_layer"]
    for place, row in enumerate(by_layer):
        heads = [] if sinks is None else np.flatnonzero(sinks[place, :, position]).tolist()
        assert row["heads"] == " ".join(map(str, heads)) and row["count"] == len(heads)
    assert said["elsewhere"]["heads_with_it"] == (0 if sinks is None else sinks[:, :, position].sum())


def check_attention(said, trace, step, layer, head, position):
    queries, weights, top = trace.column(step, layer, head, position)
    attenders = said["attenders"]
    assert attenders["queries"] == len(queries) and attenders["top_key_of"] == top.sum()
    assert attenders["sum"] == near(weights.sum())
    order = [i for i in np.lexsort((queries, -weights))[:8] if weights[i] > 0]
    assert [row["query"] for row in attenders["top_queries"]] == queries[order].tolist()
    assert [row["weight"] for row in attenders["top_queries"]] == [near(weight) for weight in weights[order]]
    assert [row["class"] for row in attenders["top_queries"]] == [
        CLASSES[trace.query_class(step, query)] for query in queries[order]]


def check_vectors(said, trace, step, layer, head, position):
    data, n, kv_head = trace.data, trace.keys(step), head // trace.group

    def check(section, name, values):
        value, median = trace.against_others(values[:n], position)
        assert said[section][name] == near(value)
        assert said[section][name + "_median_of_others"] == near(median)
        assert said[section][name + "_ratio"] == near(value / median)

    row = trace.row_of("row_step", step)
    check("norms", "key_norm", data["key_norm"][row, layer, kv_head])
    check("norms", "value_norm", data["value_norm"][row, layer, kv_head])
    check("residual", "norm", data["hidden_norm"][row, layer])
    check("residual", "largest", data["hidden_max"][row, layer])
    assert said["residual"]["channel"] == data["hidden_max_channel"][row, layer, position]
    assert said["residual"]["median_of_channels"] == near(float(data["hidden_median"][row, layer, position]))
    if trace.causal:
        assert "never change" in said["cosines_with_step_before"]["missing"]
    else:
        check("cosines_with_step_before", "key_cosine", data["key_cosine"][step, layer, kv_head])
        check("cosines_with_step_before", "value_cosine", data["value_cosine"][step, layer, kv_head])
    assert said["alignment_with_queries"] == {"missing": "not recorded: capture with --record qk"}


def check_course(said, path, trace, rule, unit, threshold, step, layer, head, position):
    sets = [trace.sinks(t, rule, unit, threshold) for t in range(trace.steps)]
    is_sink = [s is not None and bool(s[layer, head, position]) if s is not None and position < s.shape[-1] else False
               for s in sets]
    course = said["course"]
    assert course["sink_steps"] == sum(is_sink)
    assert course["defined_steps"] == sum(s is not None for s in sets)
    runs, begin = [], None
    for t, now in enumerate([*is_sink, False]):
        if now and begin is None:
            begin = t
        elif not now and begin is not None:
            runs.append((begin, t - 1))
            begin = None
    assert [(run["first"], run["last"]) for run in course.get("presences", [])] == runs
    run = next(((a, b) for a, b in runs if a <= step <= b), None)
    if run is None:
        assert "first_step" not in course
        return
    first, last = run
    scores = [trace.scores(t, unit)[layer, head, position] for t in range(first, last + 1)]
    assert (course["first_step"], course["last_step"], course["dwell"]) == (first, last, last - first + 1)
    assert course["mean_score"] == near(np.mean(scores)) and course["peak_score"] == near(np.max(scores))
    assert course["kind"] == ("static" if 10 * sum(is_sink) >= 9 * course["defined_steps"] else "moving")

    option = "--epsilon" if rule == "excess" else "--z"
    hops = answer_json(
        "trajectories", path, "--json", "--table", "hops", "--rule", rule, "--unit", unit, option, threshold,
        "--layers", layer, "--heads", head)["hops"]["rows"]
    came, taken = course["passages"]
    [into] = [h for h in hops if h[4] == first and h[6] == position] or [None]
    [out] = [h for h in hops if h[3] == last and h[5] == position] or [None]
    for passage, hop, other, at in ((came, into, 5, first - 1), (taken, out, 6, last + 1)):
        if hop is not None:
            assert (passage["by"], passage["position"]) == ("hop", hop[other])
        elif 0 <= at < trace.steps and sets[at] is not None:
            top = int(trace.received[at, layer, head, :trace.keys(at)].argmax())
            assert (passage["by"], passage["step"], passage["position"]) == ("top_key", at, top)
        else:
            assert passage["by"] is None and passage["position"] is None


@pytest.mark.parametrize("kind", ["diffusion_vectors", "causal_vectors"])
def test_vectors(explained, kind):
    path, trace = explained(kind)
    for step, layer, head, position in [(0, 0, 1, 0), (3, 2, 1, 5), (trace.steps - 1, 1, 0, 9)]:
        labels = (trace.data["layer"][layer], trace.data["head"][head])
        said = answer_json("sinks", path, "--json", "--explain", step, *labels, position)
        cosine, others, rank = trace.alignment(step, layer, head, position)
        assert said["alignment_with_queries"]["mean_cosine"] == near(cosine)
        assert said["alignment_with_queries"]["mean_cosine_of_others"] == near(others)
        assert said["alignment_with_queries"]["rank"] == rank
        assert "--signals norms" in said["norms"]["missing"]
        assert said["attenders"]["queries"] == (trace.keys(step) - position if trace.causal else trace.keys(step))


def test_regions_and_steps_without_maps(explained):
    path, trace = explained("chat")
    said = answer_json("sinks", path, "--json", "--explain", 3, 2, 1, 0)
    names = [name.decode() for name in trace.data["region_name"]]
    region = trace.data["region"]
    rows = trace.data["maps/attention"][1, 2, 1].astype(np.float64)[:, 0]
    assert said["token"]["region"] == names[region[0]]
    by_region = {row["region"]: row for row in said["attenders"]["by_region"]}
    for index, name in enumerate(names):
        assert by_region[name]["sum"] == near(rows[region == index].sum())
        assert by_region[name]["queries"] == (region == index).sum()
    said = answer_json("sinks", path, "--json", "--explain", 2, 2, 1, 0)
    assert said["attenders"] == {"missing": "step 2 keeps no maps and rows: capture with it among --map-steps"}


def test_page(explained):
    path, _ = explained("diffusion")
    page = answer("sinks", path, "--explain", 7, 3, 1, 12)
    assert page.startswith("position 12, layer 3 head 1, step 7: ")
    for heading in ["token", "verdict", "received", "attenders", "norms", "residual", "course", "elsewhere"]:
        assert f"\n{heading}\n" in page, heading
    assert "alignment with queries: not recorded: capture with --record qk" in page


def test_output_file(explained, tmp_path):
    path, _ = explained("diffusion")
    answer("sinks", path, "--json", "--output", tmp_path / "e.json", "--explain", 0, 0, 0, 0)
    assert json.loads((tmp_path / "e.json").read_text())["position"] == 0


@pytest.mark.parametrize("words, code, message", [
    ([99, 0, 0, 0], 2, "step 99 is not among the 24"), ([0, 99, 0, 0], 2, "layer 99 was not recorded"),
    ([0, 0, 99, 0], 2, "head 99 was not recorded"), ([0, 0, 0, 13], 2, "position 13 is not among"),
    ([0, 0, 0], 2, "STEP LAYER HEAD POSITION"), ([0, 0, 0, 0, "--per", "layer"], 2, "leave out"),
    ([0, 0, 0, 0, "--format", "csv"], 2, "no CSV"),
])
def test_refused(explained, words, code, message):
    path, trace = explained("causal")
    if 13 in words:
        words[3] = trace.prompt
        message = f"position {trace.prompt} is not among"
    done = attntrace("sinks", path, "--explain", *words)
    assert done.returncode == code and message in done.stderr and done.stdout == ""
