"""The numbers of a trace agree with each other, with the model, and with the published sampler."""

import json

import h5py
import numpy as np
import pytest
from tokenizers import Tokenizer

from conftest import TRACES
from support import MODELS, PROMPT, capture, read_all, root_attributes, same, text

WITH_MAPS = [name for name in TRACES if name != "received"]
DENOISING = [name for name in TRACES if not name.startswith("causal")]
CAUSAL = [name for name in TRACES if name.startswith("causal")]
# Of a value between 0 and 1 that was rounded to float16.
RELATIVE, ABSOLUTE = 2.0**-11, 2.0**-25


class Data:
    """A trace in memory."""

    def __init__(self, path):
        self.path = path
        self.all = read_all(path)
        self.attributes = root_attributes(path)
        self.prompt = int(self.attributes["prompt_length"])
        self.steps, self.positions = self["token_id"].shape
        self.is_causal = self.attributes["causality"] == "causal"

    def __getitem__(self, name):
        return self.all[name]

    def maps(self, prefix=""):
        return self[prefix + "maps/attention"].astype(np.float64)

    @property
    def passes(self):
        return ["", "unconditional/"] if self.attributes["is_guided"] == 1 else [""]

    def query_classes(self, step):
        """0 prompt, 1 unmasked, 2 masked, of each position as fed in at a step."""
        classes = np.where(np.arange(self.positions) < self.prompt, 0, 1)
        return np.where(self["is_masked"][step] == 1, 2, classes)


@pytest.fixture(scope="module")
def data(traces):
    held = {}

    def get(name):
        if name not in held:
            held[name] = Data(traces[name])
        return held[name]

    return get


# Attention


@pytest.mark.parametrize("name", WITH_MAPS)
def test_rows_of_maps_sum_to_one(data, name):
    d = data(name)
    for prefix in d.passes:
        maps = d.maps(prefix)
        assert maps.min() >= 0 and maps.max() <= 1
        # Each of T weights was rounded by at most half a unit in its last place.
        tolerance = RELATIVE + ABSOLUTE * maps.shape[-1]
        assert np.abs(maps.sum(-1) - 1).max() <= tolerance


@pytest.mark.parametrize("name", CAUSAL)
def test_causal_maps_are_zero_above_the_diagonal(data, name):
    maps = data(name).maps()
    queries, keys = maps.shape[-2:]
    above = np.triu(np.ones((queries, keys), bool), 1)
    assert (maps[..., above] == 0).all()
    assert (maps[..., 0, 0] == 1).all()


@pytest.mark.parametrize("name", WITH_MAPS)
def test_maps_sum_to_received(data, name):
    d = data(name)
    for prefix in d.passes:
        maps, received = d.maps(prefix), d[prefix + "received"].astype(np.float64)
        for step in range(d.steps):
            if d.is_causal:
                # Of the rows new at the step: the prompt's, then one more at a time.
                new = np.arange(maps.shape[3]) < d.prompt if step == 0 else np.arange(maps.shape[3]) == d.prompt + step - 1
                classes = np.where(new, np.where(np.arange(maps.shape[3]) < d.prompt, 0, 1), -1)
                rows = maps[0]
            else:
                classes, rows = d.query_classes(step), maps[step]
            for query_class in range(3):
                expected = rows[:, :, classes == query_class].sum(axis=2)
                found = received[step, :, :, query_class]
                allowed = RELATIVE * expected + 3e-8 * d.positions
                assert (np.abs(found - expected) <= allowed).all(), f"{prefix}step {step}, class {query_class}"


@pytest.mark.parametrize("name", list(TRACES))
def test_received_counts_every_row(data, name):
    """A row gives 1 in all: the sums over keys are the number of queries of each class."""
    d = data(name)
    for prefix in d.passes:
        total = d[prefix + "received"].astype(np.float64).sum(-1)
        for step in range(d.steps):
            if d.is_causal:
                counts = [d.prompt, 0, 0] if step == 0 else [0, 1, 0]
            else:
                counts = np.bincount(d.query_classes(step), minlength=3)
            assert np.allclose(total[step], counts, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", list(TRACES))
def test_visible_queries(data, name):
    d = data(name)
    visible = d["visible_queries"]
    if not d.is_causal:
        assert (visible == d.positions).all()
        return
    steps, keys = np.mgrid[: d.steps, : visible.shape[1]]
    assert np.array_equal(visible, np.maximum(0, d.prompt + steps - keys))


@pytest.mark.parametrize("name", WITH_MAPS)
def test_rows_against_maps(data, name):
    d = data(name)
    for prefix in d.passes:
        maps = d.maps(prefix)
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.where(maps > 0, maps * np.log(maps), 0).sum(-1)
        # Rounding moves a row's entropy by up to 2^-11 of sum w |log w + 1|, and tiny weights are lost.
        allowed = RELATIVE * (np.abs(entropy) + 1) + 2e-6 * maps.shape[-1]
        assert (np.abs(d[prefix + "entropy"] - entropy) <= allowed).all()
        largest = maps.max(-1)
        assert (np.abs(d[prefix + "max_weight"] - largest) <= RELATIVE * largest + ABSOLUTE).all()
        assert np.isfinite(d[prefix + "logsumexp"]).all()


def tensors(folder):
    """Tensors of a safetensors file in float64, by name."""
    raw = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        piece = raw[8 + length + start : 8 + length + end]
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(piece, "<u2").astype("<u4") << 16).view("<f4")
        else:
            values = np.frombuffer(piece, {"F32": "<f4", "F16": "<f2"}[entry["dtype"]])
        found[name] = values.reshape(entry["shape"]).astype(np.float64)
    return found


@pytest.mark.parametrize("name, model, embedding, prefix, norm", [
    ("diffusion", "tiny-mdm", "wte.weight", "blocks.0.", "attn_norm.weight"),
    ("causal", "tiny-ar", "embed_tokens.weight", "layers.0.", "input_layernorm.weight"),
])
def test_first_layer_against_the_weights(data, name, model, embedding, prefix, norm):
    """Maps and logsumexp of layer 0, computed again from the file of weights: embedding, norm, q and k, RoPE, softmax."""
    d = data(name)
    config = json.loads((MODELS / model / "config.json").read_text())
    heads = config.get("n_heads") or config["num_attention_heads"]
    kv_heads = config.get("n_kv_heads") or config.get("num_key_value_heads") or heads
    weights = tensors(MODELS / model)

    def weight(ending):
        [match] = [value for key, value in weights.items() if key.endswith(ending)]
        return match

    if d.is_causal:
        step, ids = 0, d["final_id"][:-1]
    else:
        step = d.steps // 2
        ids = d["token_id"][step]
    x = weight(embedding)[ids]
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weight(prefix + norm)
    length = len(ids)

    def project(which, count):
        return (x @ weight(prefix + which).T).reshape(length, count, -1).transpose(1, 0, 2)

    query_name = "q_proj.weight" if model == "tiny-mdm" else "self_attn.q_proj.weight"
    q, k = project(query_name, heads), project(query_name.replace("q_", "k_"), kv_heads)
    half = q.shape[-1] // 2
    angle = np.arange(length)[:, None] * config["rope_theta"] ** (-np.arange(half) / half)
    cos, sin = np.cos(angle), np.sin(angle)

    def rotate(v):
        a, b = v[..., :half], v[..., half:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    k = np.repeat(rotate(k), heads // kv_heads, axis=0)
    scores = rotate(q) @ k.transpose(0, 2, 1) / np.sqrt(2 * half)
    if d.is_causal:
        scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    logsumexp = np.log(np.exp(scores - top).sum(-1)) + top[..., 0]
    expected = np.exp(scores - logsumexp[..., None])

    assert np.abs(d.maps()[step, 0] - expected).max() < 1e-3
    assert np.abs(d["logsumexp"][step, 0] - logsumexp).max() < 1e-3


@pytest.mark.parametrize("name", WITH_MAPS)
def test_answer_rows_are_rows_of_maps(data, name):
    d = data(name)
    generated = d["generated"]
    offset = int(d.attributes["prediction_offset"])
    assert offset == (1 if d.is_causal else 0)
    for place, position in enumerate(generated):
        step, query = int(d["answer/source_step"][place]), int(d["answer/source_query"][place])
        assert step == d["unmask_step"][position]
        assert query == (position - offset if step >= 0 else -1)
        if step >= 0:
            row = d["maps/attention"][0 if d.is_causal else step][:, :, query]
            assert same(d["answer/attention"][place], row)


def test_received_only_is_the_same_run(data):
    """What is recorded does not change what is computed."""
    full, sparse, selected = data("diffusion"), data("received"), data("selected")
    for name in sparse.all:
        # Their tables of hashes are of what each holds.
        if not name.startswith("content") and name != "leaf":
            assert same(full[name], sparse[name]), name
    hashes = [dict(zip(zip(d["content/leaf_path"], d["content/leaf_index"]), d["content/leaf_sha256"]))
              for d in (full, sparse)]
    assert len(hashes[1]) > 100 and all(hashes[0][leaf] == hashes[1][leaf] for leaf in hashes[1])
    layers, heads = [1, 3, 4], [0, 5]
    assert same(full["received"][:, layers][:, :, heads], selected["received"])
    assert same(full["maps/attention"][:, layers][:, :, heads], selected["maps/attention"])
    assert same(full["answer/attention"][:, layers][:, :, heads], selected["answer/attention"])
    assert same(full["final_id"], selected["final_id"])


# The timeline


@pytest.mark.parametrize("name", DENOISING)
def test_timeline_of_denoising(data, name):
    """Each step writes the best-scored candidates up to its quota, and nothing else changes."""
    d = data(name)
    options = json.loads(d.attributes["sampler_parameters"])
    mask = int(d.attributes["mask_token_id"])
    blocks = options["gen_length"] // options["block_length"]
    per_block = options["steps"] // blocks
    assert d.steps == options["steps"]
    ids = np.vstack([d["token_id"], d["final_id"]])
    assert np.array_equal(d["is_masked"] == 1, d["token_id"] == mask)
    assert np.array_equal(d["mask_count"], d["is_masked"].sum(1))
    assert np.allclose(d["time"], d["is_masked"][:, d.prompt :].mean(1))
    assert (ids[0, d.prompt :] == mask).all()
    order, unmask_step, unmask_order = 0, np.full(d.positions, -2), np.full(d.positions, -2)
    unmask_step[: d.prompt] = unmask_order[: d.prompt] = -1
    for step in range(d.steps):
        block, within = divmod(step, per_block)
        assert d["block"][step] == block
        masked = ids[step] == mask
        end = d.prompt + (block + 1) * options["block_length"]
        candidates = np.flatnonzero(masked[:end])
        score = d["transfer_score"][step]
        assert np.array_equal(np.flatnonzero(~np.isnan(score)), candidates)
        assert np.array_equal(d["predicted_id"][step] >= 0, masked)
        if options["remasking"] == "low_confidence":
            assert np.array_equal(score[candidates], d["confidence"][step][candidates])
        quota = options["block_length"] // per_block + (within < options["block_length"] % per_block)
        best = sorted(candidates, key=lambda position: (-score[position], position))[:quota]
        after = ids[step].copy()
        for position in best:
            after[position] = d["predicted_id"][step, position]
            if after[position] != mask:
                unmask_step[position], unmask_order[position] = step, order
                order += 1
        assert np.array_equal(ids[step + 1], after), f"step {step}"
    assert np.array_equal(d["unmask_step"], unmask_step)
    assert np.array_equal(d["unmask_order"], unmask_order)
    written = unmask_order[unmask_order >= 0]
    assert sorted(written) == list(range(len(written)))


@pytest.mark.parametrize("name", CAUSAL)
def test_timeline_of_autoregression(data, name):
    d = data(name)
    ids, final = d["token_id"], d["final_id"]
    positions = np.arange(d.positions)
    for step in range(d.steps):
        known = positions < d.prompt + step
        assert np.array_equal(ids[step], np.where(known, final, -1))
        asked = positions == d.prompt + step
        assert np.array_equal(d["predicted_id"][step], np.where(asked, final, -1))
        assert np.array_equal(~np.isnan(d["confidence"][step]), asked)
    assert (d["is_masked"] == 0).all() and (d["mask_count"] == 0).all() and (d["block"] == -1).all()
    assert np.isnan(d["time"]).all()
    steps = np.maximum(-1, positions - d.prompt)
    assert np.array_equal(d["unmask_step"], steps) and np.array_equal(d["unmask_order"], steps)
    assert int(d.attributes["mask_token_id"]) == -1


@pytest.mark.parametrize("name", list(TRACES))
def test_probabilities(data, name):
    d = data(name)
    asked = d["predicted_id"] >= 0
    for signal in ["confidence", "prediction_entropy"]:
        assert np.array_equal(~np.isnan(d[signal]), asked), signal
    confidence, entropy = d["confidence"][asked], d["prediction_entropy"][asked]
    assert ((confidence > 0) & (confidence <= 1)).all()
    size = json.loads(d.attributes["model_configuration"])["vocab_size"]
    assert ((entropy >= 0) & (entropy <= np.log(size) + 1e-5)).all()
    # p of one token and 1 - p for all the others bound the entropy from below.
    p = confidence.astype(np.float64)
    assert (entropy >= -p * np.log(p) - 1e-4).all()
    score = d["transfer_score"][~np.isnan(d["transfer_score"])]
    assert ((score >= 0) & (score <= 1)).all()


@pytest.mark.parametrize("name", ["diffusion", "causal", "fewer_steps"])
def test_text_against_tokenizers(data, name):
    d = data(name)
    tokenizer = Tokenizer.from_file(str(MODELS / d.attributes["model_name"] / "tokenizer.json"))
    assert d["token_id"][0, : d.prompt].tolist() == tokenizer.encode(PROMPT).ids
    expected = [tokenizer.decode([token], skip_special_tokens=False) for token in d["final_id"]]
    assert text(d["token_text"]).tolist() == expected
    # In order of their first appearance, those of one step ascending.
    occurring = []
    for step in range(len(d["token_id"])):
        ids = set(d["token_id"][step].tolist()) | set(d["predicted_id"][step].tolist())
        occurring += sorted(ids - {-1} - set(occurring))
    assert set(d["final_id"].tolist()) <= set(occurring)
    assert d["vocab_id"].tolist() == occurring
    assert text(d["vocab_text"]).tolist() == [
        tokenizer.decode([token], skip_special_tokens=False) for token in occurring]
    assert d.attributes["prompt"] == PROMPT


# The same again


@pytest.mark.parametrize("options", [
    ["--temperature", 1, "--seed", 7], ["--temperature", 1, "--seed", 7, "--remasking", "random", "--cfg-scale", 0.5],
    ["--temperature", 1, "--seed", 7, "--model", "tiny-ar"],
], ids=["diffusion", "guided", "causal"])
def test_the_same_seed_gives_the_same_trace(tmp_path, options):
    first, again = (capture(tmp_path / f"{place}.h5", "--gen-length", 8, *options) for place in "ab")
    first_data, again_data = read_all(first), read_all(again)
    assert first_data.keys() == again_data.keys()
    for name in first_data:
        assert same(first_data[name], again_data[name]), name
    a, b = root_attributes(first), root_attributes(again)
    for run in (a, b):
        assert run.pop("created_at") and run.pop("command_line")
    assert a == b


@pytest.mark.parametrize("model", ["tiny-mdm", "tiny-ar"])
def test_another_seed_gives_another_trace(tmp_path, model):
    runs = []
    for seed in range(3):
        path = capture(
            tmp_path / f"{seed}.h5", "--model", model, "--gen-length", 16, "--temperature", 1, "--seed", seed,
            "--record", "received")
        with h5py.File(path, "r") as f:
            assert f.attrs["seed"] == seed
            runs.append(f["final_id"][()].tolist())
    assert runs[0] != runs[1] or runs[0] != runs[2]
