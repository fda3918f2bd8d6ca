"""Every signal beside maps and sums, computed again: from the file itself, and by a model in NumPy."""

import json

import h5py
import numpy as np
import pytest

import test_schema
from reference_model import Model, softmax, tensors
from support import MODELS, PROMPT, REPO, answer, attntrace, capture, read_all, root_attributes, same

LENGTH = ["--gen-length", 24]
DIFFUSION = [*LENGTH, "--block-length", 12]
GUIDED = [*DIFFUSION, "--steps", 6, "--cfg-scale", 1]
CAUSAL = ["--model", "tiny-ar", *LENGTH]
TRACES = {
    "diffusion": [*DIFFUSION, "--record", "maps"], "diffusion_qk": [*DIFFUSION, "--record", "qk"],
    "guided": [*GUIDED, "--record", "maps"], "guided_qk": [*GUIDED, "--record", "qk"],
    "causal": [*CAUSAL, "--record", "maps"], "causal_qk": [*CAUSAL, "--record", "qk"],
    "selected": [*DIFFUSION, "--record", "qk", "--queries", "0,5-7,30", "--map-steps", "3,20-23", "--layers", "1,6",
                 "--heads", "2,4-5"],
    "causal_selected": [*CAUSAL, "--record", "qk", "--queries", "2,13-16,30", "--layers", "7", "--heads", "0,3"],
}
HALF = 2.0**-11
PAIRS = ["diffusion", "guided", "causal"]


class Data:
    """A trace in memory."""

    def __init__(self, path, stderr):
        self.path, self.stderr = path, stderr
        self.all = read_all(path)
        self.attributes = root_attributes(path)
        self.steps, self.positions = self["token_id"].shape
        self.is_causal = self.attributes["causality"] == "causal"
        self.passes = ["", "unconditional/"] if self.attributes["is_guided"] == 1 else [""]

    def __getitem__(self, name):
        return self.all[name]

    def wide(self, name):
        return self[name].astype(np.float64)

    def fed(self, step, prefix):
        """Ids of the pass at a step."""
        ids = self["token_id"][step].copy()
        if prefix:
            # Guidance hides the prompt.
            ids[: int(self.attributes["prompt_length"])] = int(self.attributes["mask_token_id"])
        return ids[ids >= 0]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder, held = tmp_path_factory.mktemp("signals"), {}

    def get(name):
        if name not in held:
            path = folder / f"{name}.h5"
            done = attntrace("capture", "--prompt", PROMPT, "--signals", "all", "--output", path, *TRACES[name])
            assert done.returncode == 0, done.stderr
            held[name] = Data(path, done.stderr)
        return held[name]

    return get


@pytest.fixture(scope="module")
def model():
    held = {}
    return lambda name: held.setdefault(name, Model(MODELS / name))


def runs(d, model):
    """Every pass of a trace by the NumPy model: (place along row_step, prefix, rows it brought, numbers)."""
    reference = model(d.attributes["model_name"])
    if d.is_causal:
        # A row never changes: all of them at once.
        yield 0, "", slice(0, d.positions - 1), reference.forward(d["final_id"][:-1])
        return
    for step in range(0, d.steps, 5):
        for prefix in d.passes:
            yield step, prefix, slice(0, d.positions), reference.forward(d.fed(step, prefix))


def close(found, wanted, relative=2e-5, absolute=2e-5):
    assert found.shape == wanted.shape
    difference = np.abs(found - wanted)
    assert (difference <= absolute + relative * np.abs(wanted)).all(), difference.max()


@pytest.mark.parametrize("name", ["tiny-mdm", "tiny-ar"])
def test_the_model_in_numpy_is_pytorchs(model, name):
    expected = tensors(REPO / f"Tests/Fixtures/model/{name}.safetensors")
    found = model(name).forward(expected["ids"])
    largest = np.abs(expected["logits"]).max()
    assert np.abs(found["logits"][expected["rows"]] - expected["logits"]).max() < 2e-5 * largest
    maps = np.stack([found["attention"][layer, head] for layer, head in expected["maps"]])
    assert np.abs(maps - expected["attention"]).max() < 2e-5


@pytest.mark.parametrize("name", PAIRS)
def test_norms(data, model, name):
    d = data(name)
    for place, prefix, _, numbers in runs(d, model):
        for signal, vectors in [("query_norm", "q"), ("output_norm", "output"), ("key_norm", "k"), ("value_norm", "v")]:
            close(d[prefix + signal][place], np.linalg.norm(numbers[vectors], axis=-1))


@pytest.mark.parametrize("name", PAIRS)
def test_residual_stream(data, model, name):
    d = data(name)
    for place, prefix, rows, numbers in runs(d, model):
        stream = numbers["stream"]
        size = np.abs(stream)
        close(d[prefix + "hidden_norm"][place][:, rows], np.linalg.norm(stream, axis=-1))
        close(d[prefix + "hidden_max"][place][:, rows], size.max(-1))
        ordered = np.sort(size, -1)
        close(d[prefix + "hidden_median"][place][:, rows], ordered[..., (size.shape[-1] - 1) // 2])
        # The channel is that of the largest, but where float32 and float64 see two as large.
        channel = d[prefix + "hidden_max_channel"][place][:, rows]
        close(np.take_along_axis(size, channel[..., None].astype(int), -1)[..., 0], size.max(-1))


def test_what_was_not_fed_in_has_no_residual_stream(data):
    d = data("causal")
    assert (d["hidden_max_channel"][:, :, -1] == -1).all() and (d["hidden_max_channel"][:, :, :-1] >= 0).all()
    for signal in ["hidden_norm", "hidden_max", "hidden_median"]:
        assert np.isnan(d[signal][:, :, -1]).all() and not np.isnan(d[signal][:, :, :-1]).any()


@pytest.mark.parametrize("name", PAIRS)
def test_rows(data, model, name):
    """The same rows from maps of the same run in float16, and from the model."""
    d = data(name)
    for prefix in d.passes:
        maps = d.wide(prefix + "maps/attention")
        queries, keys = maps.shape[-2:]
        distance = np.abs(np.arange(queries)[:, None] - np.arange(keys))
        allowed = HALF * (maps * distance).sum(-1) + 2.0**-25 * distance.sum(-1)
        assert (np.abs(d[prefix + "attended_distance"] - (maps * distance).sum(-1)) <= allowed + 1e-6).all()
        # Of both passes, what the conditional one was fed.
        masked = d["is_masked"][:, None, None, None, :keys] if not d.is_causal else np.zeros(keys)
        mass = (maps * masked).sum(-1)
        assert (np.abs(d[prefix + "mask_mass"] - mass) <= HALF * mass + 2.0**-25 * keys + 1e-6).all()
    for place, prefix, _, numbers in runs(d, model):
        a = numbers["attention"]
        distance = np.abs(np.arange(a.shape[2])[:, None] - np.arange(a.shape[3]))
        close(d[prefix + "attended_distance"][place], (a * distance).sum(-1), absolute=1e-3)
        close(d[prefix + "logsumexp"][place], numbers["logsumexp"])
        close(d[prefix + "max_weight"][place], a.max(-1), absolute=5e-5)
        if d.is_causal:
            assert (d["mask_mass"] == 0).all()
        else:
            close(d[prefix + "mask_mass"][place], (a * (d["is_masked"][place] == 1)).sum(-1), absolute=1e-4)


@pytest.mark.parametrize("name", PAIRS)
def test_query_and_key_vectors(data, model, name):
    d = data(name + "_qk")
    for place, prefix, _, numbers in runs(d, model):
        for signal, vectors in [("qk/query_vector", "q"), ("qk/key_vector", "k")]:
            found, wanted = d.wide(prefix + signal)[place], numbers[vectors]
            # Rounded to float16 once, after float32's own noise.
            close(found, wanted, relative=HALF * 1.01, absolute=2e-5)
    # What else is measured of them agrees with them.
    for prefix in d.passes:
        for signal, norm in [("query_vector", "query_norm"), ("key_vector", "key_norm")]:
            close(np.linalg.norm(d.wide(f"{prefix}qk/{signal}"), axis=-1), d[prefix + norm], relative=HALF)
    if d.is_causal:
        return
    for prefix in d.passes:
        keys = d.wide(prefix + "qk/key_vector")
        norms = np.linalg.norm(keys, axis=-1)
        cosine = (keys[1:] * keys[:-1]).sum(-1) / (norms[1:] * norms[:-1])
        assert np.isnan(d[prefix + "key_cosine"][0]).all()
        close(d[prefix + "key_cosine"][1:], cosine, absolute=2 * HALF)


def test_cosines_of_values(data, model):
    d = data("guided")
    reference = model("tiny-mdm")
    for prefix in d.passes:
        assert np.isnan(d[prefix + "value_cosine"][0]).all()
        for step in [1, 4]:
            before, now = (reference.forward(d.fed(s, prefix)) for s in (step - 1, step))
            for signal, vectors in [("key_cosine", "k"), ("value_cosine", "v")]:
                a, b = before[vectors], now[vectors]
                cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
                close(d[prefix + signal][step], cosine)


@pytest.mark.parametrize("name", PAIRS)
def test_maps_are_rebuilt_within_the_error(data, name):
    """The same run kept as maps and as vectors: what is rebuilt differs by what rebuild_error says, and no more than
    the maps' own rounding on top."""
    maps_data, d = data(name), data(name + "_qk")
    assert same(maps_data["token_id"], d["token_id"])
    for prefix in d.passes:
        maps = maps_data.wide(prefix + "maps/attention")
        q, k = d.wide(prefix + "qk/query_vector"), d.wide(prefix + "qk/key_vector")
        rebuilt, _ = softmax(q, np.repeat(k, q.shape[2] // k.shape[2], 2), d.is_causal)
        difference = np.abs(rebuilt - maps)
        measured = d[prefix + "qk/rebuild_error"]
        assert measured.shape == difference.shape[:2]
        # Of the larger of the two, half a unit in the last place of a float16.
        error = difference.max((2, 3, 4))
        assert (np.abs(error - measured) <= HALF / 2 + 1e-6).all()
        assert (difference <= measured[..., None, None, None] + HALF * maps + 2e-6).all()
        # It is no bound that anything would keep: it is reached.
        close_to = np.abs(difference - HALF * maps).max((2, 3, 4))
        assert (close_to >= measured - HALF).all()
        print(f"{name} {prefix}rebuild_error: largest {measured.max():.2e}, median {np.median(measured):.2e}")


@pytest.mark.parametrize("name", PAIRS)
def test_the_rebuild_error_against_the_model(data, model, name):
    """Without the maps' rounding: weights of exact vectors against weights of rounded ones, in float64."""
    d = data(name + "_qk")
    worst = {}
    for place, prefix, _, numbers in runs(d, model):
        q, k = d.wide(prefix + "qk/query_vector")[place], d.wide(prefix + "qk/key_vector")[place]
        rebuilt, _ = softmax(q, np.repeat(k, q.shape[1] // k.shape[1], 1), d.is_causal)
        error = np.abs(rebuilt - numbers["attention"]).max((1, 2, 3))
        assert np.abs(error - d[prefix + "qk/rebuild_error"][place]).max() < 2e-5
        worst[place] = error.max()
    assert max(worst.values()) > 1e-5


def test_top(data, model):
    for name in PAIRS:
        d = data(name)
        ids, shares = d["top_id"], d["top_probability"]
        asked = d["predicted_id"] >= 0
        assert ids.shape == (d.steps, d.positions, 5) and (ids[~asked] == -1).all() and np.isnan(shares[~asked]).all()
        # Temperature 0 takes the likeliest.
        assert np.array_equal(ids[asked][:, 0], d["predicted_id"][asked])
        assert same(shares[asked][:, 0], d["confidence"][asked])
        assert (np.diff(shares[asked], axis=-1) <= 0).all() and (shares[asked].sum(-1) <= 1 + 1e-6).all()
        occurring = {int(i) for key in ["token_id", "predicted_id", "final_id", "top_id"] for i in d[key].flat} - {-1}
        assert set(d["vocab_id"].tolist()) == occurring
    d = data("guided")
    reference = model("tiny-mdm")
    scale = json.loads(d.attributes["sampler_parameters"])["cfg_scale"]
    for step in [0, 5]:
        c, u = (reference.forward(d.fed(step, prefix))["logits"] for prefix in d.passes)
        logits = u + (scale + 1) * (c - u)
        p = np.exp(logits - logits.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        asked = d["predicted_id"][step] >= 0
        close(d["top_probability"][step][asked], -np.sort(-p[asked], -1)[:, :5], relative=1e-4)
        close(np.take_along_axis(p[asked], d["top_id"][step][asked].astype(int), -1),
              d["top_probability"][step][asked], relative=1e-4)


def test_a_selection_is_the_same_run(data):
    """What is selected is what the whole trace has there; sums still count every query."""
    full, d = data("diffusion_qk"), data("selected")
    steps, queries, layers, heads = [3, *range(20, 24)], [0, 5, 6, 7, 30], [1, 6], [2, 4, 5]
    for axis, labels in [("map_step", steps), ("row_step", steps), ("query", queries), ("layer", layers),
                         ("head", heads), ("kv_head", heads)]:
        assert d[axis].tolist() == labels
    assert d.attributes["planned_queries"] == "0,5-7,30" and d.attributes["planned_map_steps"] == "3,20-23"
    for signal in ["entropy", "logsumexp", "max_weight", "attended_distance", "mask_mass", "query_norm", "output_norm"]:
        assert same(full[signal][np.ix_(steps, layers, heads, queries)], d[signal]), signal
    assert same(full["qk/query_vector"][np.ix_(steps, layers, heads, queries)], d["qk/query_vector"])
    for signal in ["key_norm", "value_norm", "qk/key_vector"]:
        assert same(full[signal][np.ix_(steps, layers, heads)], d[signal]), signal
    for signal in ["hidden_norm", "hidden_max", "hidden_max_channel", "hidden_median"]:
        assert same(full[signal][steps], d[signal]), signal
    every = range(full.steps)
    for signal in ["received", "key_cosine", "value_cosine"]:
        assert same(full[signal][np.ix_(every, layers, heads)], d[signal]), signal
    # Measured over the recorded heads alone, of every row.
    assert (d["qk/rebuild_error"] <= full["qk/rebuild_error"][np.ix_(steps, layers)]).all()

    full, d = data("causal_qk"), data("causal_selected")
    queries, layers, heads = [2, 13, 14, 15, 16, 30], [7], [0, 3]
    assert d["query"].tolist() == queries
    for signal in ["entropy", "query_norm", "qk/query_vector"]:
        assert same(full[signal][np.ix_([0], layers, heads, queries)], d[signal]), signal
    for signal in ["key_norm", "qk/key_vector"]:
        assert same(full[signal][np.ix_([0], layers, heads)], d[signal]), signal
    assert same(full["received"][:, layers][:, :, heads], d["received"])


@pytest.mark.parametrize("name", TRACES)
def test_the_schema_holds(data, name):
    path = data(name).path
    test_schema.test_datasets_are_those_of_the_schema(path)
    test_schema.test_a_scale_on_every_axis(path)
    test_schema.test_no_float16_in_the_root(path)
    test_schema.test_storage(path)


def test_a_signal_more_changes_nothing_else(data, tmp_path):
    d = data("diffusion")
    plain = read_all(capture(tmp_path / "plain.h5", *TRACES["diffusion"]))
    for name in set(plain) - {"content_sha256", "vocab", "vocab_id", "vocab_text"}:
        if not name.startswith(("content/", "leaf")):
            assert same(plain[name], d[name]), name


# The command


def sharpened(tmp_path, factor):
    """tiny-mdm with larger query weights: attention so sharp that float16 cannot say where it goes."""
    folder = tmp_path / "sharp"
    folder.mkdir()
    for name in ["config.json", "tokenizer.json"]:
        (folder / name).write_bytes((MODELS / "tiny-mdm" / name).read_bytes())
    raw = bytearray((MODELS / "tiny-mdm/model.safetensors").read_bytes())
    length = int.from_bytes(raw[:8], "little")
    for name, entry in json.loads(bytes(raw[8 : 8 + length])).items():
        if name.endswith("q_proj.weight"):
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            values = (np.frombuffer(bytes(raw[start:end]), "<u2").astype("<u4") << 16).view("<f4") * np.float32(factor)
            raw[start:end] = (values.view("<u4") >> 16).astype("<u2").tobytes()
    (folder / "model.safetensors").write_bytes(raw)
    return folder


def test_a_large_rebuild_error_is_said(tmp_path):
    done = attntrace(
        "capture", "--model", sharpened(tmp_path, 16), "--prompt", PROMPT, "--gen-length", 8, "--record", "qk",
        "--json", "--output", tmp_path / "a.h5")
    assert done.returncode == 0
    error = json.loads(done.stdout)["rebuild_error"]
    with h5py.File(tmp_path / "a.h5") as f:
        errors = f["qk/rebuild_error"][()]
    step, layer = np.unravel_index(errors.argmax(), errors.shape)
    assert (error["step"], error["layer"]) == (step, layer) and error["largest"] == pytest.approx(errors.max())
    assert error["largest"] > 2e-3
    assert f"step {step}, layer {layer}" in done.stderr and "--record maps" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_auto(tmp_path):
    def kept(*arguments, model):
        done = attntrace(
            "capture", "--model", model, "--prompt", PROMPT, "--json", "--force", "--output", tmp_path / "a.h5",
            *arguments)
        assert done.returncode == 0, done.stderr
        with h5py.File(tmp_path / "a.h5") as f:
            found = json.loads(done.stdout)
            assert ("maps" in f, "qk" in f) == (found["record"]["kept"] == "maps", found["record"]["kept"] == "qk")
        return found, done.stderr

    # Heads of 32 channels: up to 64 positions maps are smaller, and nothing is probed.
    found, stderr = kept("--gen-length", 16, model="tiny-mdm")
    assert found["record"]["kept"] == "maps" and found["record"]["probed_rebuild_error"] is None and stderr == ""
    found, stderr = kept("--gen-length", 80, "--steps", 2, model="tiny-mdm")
    probed = found["record"]["probed_rebuild_error"]
    assert found["record"]["kept"] == ("qk" if probed["largest"] <= 2e-3 else "maps")
    # Flat attention can be rebuilt, sharp attention cannot.
    flat = sharpened(tmp_path, 2**-4).rename(tmp_path / "flat")
    found, stderr = kept("--gen-length", 80, "--steps", 2, model=flat)
    assert found["record"]["kept"] == "qk" and found["record"]["probed_rebuild_error"]["largest"] < 2e-3
    assert stderr == "" and "smaller than maps" in found["record"]["reason"]
    sharp = sharpened(tmp_path, 16)
    found, stderr = kept("--gen-length", 80, "--steps", 2, model=sharp)
    assert found["record"]["kept"] == "maps" and found["record"]["probed_rebuild_error"]["largest"] > 2e-3
    found, stderr = kept("--gen-length", 80, "--steps", 2, "--size-limit", "1MB", "--signals", "top", model=flat)
    assert found["record"]["kept"] == "received" and found["signals"] == ["received", "top"]
    assert "--size-limit 1.0 MB" in stderr and "--record maps" in stderr and "--record qk" in stderr


@pytest.mark.parametrize("arguments, names", [
    (["--queries", "40"], ["query position 40", "0 ..< 38"]), (["--queries", "5,5"], ["query position 5", "twice"]),
    (["--map-steps", "24"], ["map step 24", "0 ..< 24"]), (["--signals", "norms,maps"], ["norms,maps"]),
    (["--signals", ""], ["--signals"]), (["--record", "everything"], ["everything"]),
    (["--size-limit", "lots"], ["lots"]), (["--size-limit", "-1"], ["--size-limit"]),
    (["--model", "tiny-ar", "--map-steps", "1"], ["--map-steps", "diffusion"]),
    (["--model", "tiny-ar", "--signals", "cosine"], ["cosine", "causal"]),
    (["--model", "tiny-ar", "--queries", "37"], ["query position 37", "0 ..< 37"]),
])
@pytest.mark.parametrize("command", ["capture", "plan"])
def test_options_that_cannot_be(tmp_path, command, arguments, names):
    done = attntrace(command, "--prompt", PROMPT, *LENGTH, "--output", tmp_path / "a.h5", *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert all(name in done.stderr for name in names), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_all_and_none(tmp_path):
    def signals(*arguments):
        plan = json.loads(answer("plan", "--prompt", PROMPT, *LENGTH, "--json", *arguments))
        return set(plan["signals"])

    extra = {"rows", "distance", "norms", "residual", "cosine", "top"}
    assert signals("--record", "received", "--signals", "all") == {"received"} | extra
    assert signals("--record", "received", "--signals", "none") == {"received"}
    assert signals("--record", "received", "--signals", "rows, top") == {"received", "rows", "top"}
    assert signals("--record", "qk") == {"received", "rows", "qk"}
    assert signals("--record", "maps", "--signals", "all", "--model", "tiny-ar") == {
        "received", "maps"} | extra - {"cosine"}
