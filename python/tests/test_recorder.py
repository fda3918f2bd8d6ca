"""The Recorder: what it writes is what the Swift program captures of the same model, both judges accept it, and it
changes nothing. Runs where PyTorch is: the oldest supported versions."""

import json
import sys
import threading
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch")

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "Tests/Interop"), str(Path(__file__).parent)]

from checker import check  # noqa: E402
from reference_models import MaskedDiffusionModel, generate  # noqa: E402
from support import attntrace as run  # noqa: E402

import attntrace  # noqa: E402
from attntrace.recording.interception import SDPA  # noqa: E402

MODELS = REPO / "models"
PROMPT = "In the beginning"
LLADA = {"name": "llada", "steps": 16, "gen_length": 32, "block_length": 16, "temperature": 0.0}
SMALL = {"name": "llada", "steps": 4, "gen_length": 8, "block_length": 4, "temperature": 0.0}
IDS = torch.tensor([[3, 7, 1]])
# How far a number may be from the Swift program's, which adds in another order: several times what was seen.
TOLERANCE = {
    "confidence": 1e-5, "transfer_score": 1e-5, "top_probability": 1e-5, "prediction_entropy": 5e-5, "entropy": 1e-4,
    "max_weight": 1e-4, "logsumexp": 1e-3, "received": 1e-3, "query_norm": 1e-3, "key_norm": 1e-3, "value_norm": 1e-3,
    "output_norm": 2e-3, "maps/attention": 2e-3, "answer/attention": 2e-3, "time": 0}


def assert_valid(path):
    assert [str(finding) for finding in check(str(path), deep=True)] == []
    done = run("verify", "--deep", path)
    assert done.returncode == 0 and "warning" not in done.stdout, done.stdout + done.stderr


def assert_agree(ours, theirs, leave_out=()):
    """Every dataset: numbers within TOLERANCE, all else equal."""
    with h5py.File(ours) as a, h5py.File(theirs) as b:
        paths = []
        b.visititems(lambda path, item: paths.append(path) if isinstance(item, h5py.Dataset) else None)
        for path in paths:
            if path.startswith("content") or path in ("schema_text", "content_sha256", "leaf", *leave_out):
                continue
            x, y = a[path][()], b[path][()]
            assert np.shape(x) == np.shape(y), path
            if y.dtype.kind == "f":
                np.testing.assert_allclose(
                    x.astype("f8"), y.astype("f8"), rtol=0, atol=TOLERANCE[path.removeprefix("unconditional/")],
                    equal_nan=True, err_msg=path)
            else:
                np.testing.assert_array_equal(x, y, path)
        for name in [
            "causality", "signals", "prompt_length", "planned_generated_length", "planned_steps", "layer_count", "head_count",
            "kv_head_count", "head_dim", "prediction_offset", "mask_token_id", "sampler", "model_name", "architecture",
            "weights_sha256", "tokenizer_sha256", "numeric_type", "seed", "prompt", "is_guided"]:
            assert a.attrs[name] == b.attrs[name], name
        assert "origin" not in a.attrs


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    """Captures with the Swift program: the path, the prompt's ids, and a tokenizer of the ids that occur.

    The oldest tokenizers cannot read the embedded models' file.
    """

    def captured(*options):
        path = tmp_path_factory.mktemp("swift") / "a.h5"
        done = run("capture", "--prompt", PROMPT, "--temperature", 0, "--output", path, *options)
        assert done.returncode == 0, done.stderr
        with h5py.File(path) as f:
            texts = {int(i): t.decode() for i, t in zip(f["vocab_id"][()], f["vocab_text"][()])}
            return path, torch.tensor(f["token_id"][0, : f.attrs["prompt_length"]]).long()[None], texts.__getitem__

    return captured


@pytest.fixture(scope="module")
def tiny():
    return MaskedDiffusionModel.load(MODELS / "tiny-mdm")


@pytest.mark.parametrize("cfg_scale", [0, 1.5])
def test_agrees_with_the_swift_program_on_diffusion(tmp_path, capture, tiny, cfg_scale):
    options = ["--gen-length", 32, "--steps", 16, "--block-length", 16, "--record", "maps", "--signals", "norms,top"]
    swift, ids, text = capture(*options, *(["--cfg-scale", cfg_scale] if cfg_scale else []))
    with attntrace.Recorder(
        tiny, text, tmp_path / "a.h5", prompt_ids=ids, sampler=LLADA | {"cfg_scale": cfg_scale}, record="maps",
        signals=["norms", "top"], weights=MODELS / "tiny-mdm", model_name="tiny-mdm", prompt=PROMPT,
    ) as recorder:
        final = generate(tiny, ids, 16, 32, 16, cfg_scale=cfg_scale)
        recorder.finish(final)
    assert_valid(tmp_path / "a.h5")
    # Texts have the width of the longest of a tokenizer's.
    assert_agree(tmp_path / "a.h5", swift)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_agrees_with_the_swift_program_on_transformers_llama(tmp_path, capture, attention):
    transformers = pytest.importorskip("transformers")
    if attention == "sdpa" and SDPA is None:
        pytest.skip("this PyTorch has no scaled_dot_product_attention")
    swift, ids, text = capture(
        "--model", "tiny-ar", "--max-new-tokens", 24, "--record", "maps", "--signals", "norms,top")
    model = transformers.LlamaForCausalLM.from_pretrained(
        str(MODELS / "tiny-ar"), torch_dtype=torch.float32, attn_implementation=attention).eval()
    plain = model.generate(ids, max_new_tokens=24, do_sample=False)
    with attntrace.Recorder(
        model, text, tmp_path / "a.h5", prompt_ids=ids, record="maps", signals=["norms", "top"],
        weights=MODELS / "tiny-ar", prompt=PROMPT):
        recorded = model.generate(ids, max_new_tokens=24, do_sample=False)
    assert torch.equal(plain, recorded)
    assert_valid(tmp_path / "a.h5")
    assert_agree(tmp_path / "a.h5", swift)
    # Without a cache each pass is fed everything; the rows that are new are the same.
    with attntrace.Recorder(model, text, tmp_path / "b.h5", prompt_ids=ids, record="maps", gen_length=24) as recorder:
        tokens = ids
        with torch.no_grad():
            for _ in range(24):
                tokens = torch.cat([tokens, model(tokens, use_cache=False).logits[:, -1:].argmax(-1)], 1)
        recorder.finish(tokens)
    assert_valid(tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        np.testing.assert_array_equal(a["final_id"], b["final_id"])
        np.testing.assert_allclose(a["received"][()], b["received"][()], atol=1e-4)


def record(path, model, sampler=SMALL, finish=True, in_place=True, temperature=0.0, **options):
    """Generates with a small model, recorded; the final tokens."""
    with attntrace.Recorder(model, None, path, prompt_ids=IDS, sampler=sampler, **options) as recorder:
        scale = sampler.get("cfg_scale", 0) if isinstance(sampler, dict) else 0
        final = generate(model, IDS, 4, 8, 4, temperature, scale, in_place)
        if finish:
            recorder.finish(final)
    return final


@pytest.mark.parametrize("options", [
    {}, {"record": "maps"}, {"record": "maps", "layers": [1], "map_steps": [0, 3]}, {"signals": ["norms", "top", "rows"]},
    {"sampler": SMALL | {"cfg_scale": 2}, "record": "maps", "signals": ["norms"]}, {"sampler": "llada"},
    {"sampler": SMALL | {"temperature": 0.9}, "temperature": 0.9, "record": "maps"},
    {"sampler": {"name": "dream", "steps": 4}, "prediction_offset": 0, "record": "maps"}])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)])
def test_both_judges_accept(tmp_path, options, heads):
    torch.manual_seed(0)
    record(tmp_path / "a.h5", MaskedDiffusionModel.random(*heads), **options)
    assert_valid(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as f:
        unknown = json.loads(f.attrs["origin"])["unknown"]
        assert unknown[-1] == "weights_sha256"
        is_known = unknown == ["weights_sha256"]
        assert is_known == np.isfinite(f["transfer_score"][0]).any()


@pytest.mark.skipif(SDPA is None, reason="PyTorch 1.13 computes nothing in bfloat16 that this model needs")
def test_half_precision_is_recorded_in_full(tmp_path):
    model = MaskedDiffusionModel.random().bfloat16()
    record(tmp_path / "a.h5", model, record="maps", signals=["norms"])
    assert_valid(tmp_path / "a.h5")


def test_autocast_and_coarse_products_do_not_reach_the_trace(tmp_path):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            record(tmp_path / "a.h5", MaskedDiffusionModel.random(), record="maps")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert_valid(tmp_path / "a.h5")


def test_numbers_are_those_of_a_plain_computation(tmp_path):
    model = MaskedDiffusionModel.random(4, 2)
    seen = []
    block = model.model.transformer["blocks"][1]
    hook = block.attn_norm.register_forward_hook(lambda module, given, result: seen.append(result.detach()))
    record(tmp_path / "a.h5", model, record="maps")
    hook.remove()
    with h5py.File(tmp_path / "a.h5") as f:
        for step in range(4):
            h, t, d = seen[step][0].double(), 11, 8
            half = torch.arange(0, d, 2).double()
            angle = torch.outer(torch.arange(t).double(), 10000.0 ** (-half / d))
            cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
            masked = f["is_masked"][step] == 1
            for head in range(4):
                q = (h @ block.q_proj.weight.double().T)[:, head * d : (head + 1) * d]
                k = (h @ block.k_proj.weight.double().T)[:, head // 2 * d : (head // 2 + 1) * d]
                q, k = (x * cos + torch.cat([-x[:, 4:], x[:, :4]], -1) * sin for x in (q, k))
                expected = torch.softmax(q @ k.T / d**0.5, -1).detach().numpy()
                np.testing.assert_allclose(f["maps/attention"][step, 1, head], expected, atol=5e-4)
                generated = np.arange(t) >= 3
                for kind, chosen in enumerate([~generated, generated & ~masked, generated & masked]):
                    np.testing.assert_allclose(
                        f["received"][step, 1, head, kind], expected[chosen].sum(0), atol=1e-4)


def test_nothing_changes_and_nothing_stays(tmp_path):
    model = MaskedDiffusionModel.random()
    plain = generate(model, IDS, 4, 8, 4)
    assert torch.equal(record(tmp_path / "a.h5", model), plain)
    assert "forward" not in vars(model)
    with pytest.raises(RuntimeError, match="mine"), attntrace.Recorder(
        model, None, tmp_path / "b.h5", prompt_ids=IDS, sampler=SMALL):
        raise RuntimeError("mine")
    assert "forward" not in vars(model) and not list(tmp_path.glob("b.h5*"))
    assert torch.equal(generate(model, IDS, 4, 8, 4), plain)


def test_what_the_last_step_wrote(tmp_path):
    model = MaskedDiffusionModel.random()
    told = record(tmp_path / "told.h5", model)
    # A sampler that writes into what it fed in needs no telling.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record(tmp_path / "seen.h5", model, finish=False)
    # Of one that does not, the last pass is left out.
    with pytest.warns(RuntimeWarning, match="last forward pass"):
        record(tmp_path / "cut.h5", model, finish=False, in_place=False)
    for name in ["told", "seen", "cut"]:
        assert_valid(tmp_path / f"{name}.h5")
    with h5py.File(tmp_path / "told.h5") as a, h5py.File(tmp_path / "seen.h5") as b, h5py.File(tmp_path / "cut.h5") as c:
        assert a["final_id"][()].tolist() == told[0].tolist()
        assert a["content_sha256"][()] == b["content_sha256"][()]
        assert c["committed_steps"][()] == 3 and (c["final_id"][()] == 49).sum() == 2


def test_an_exception_keeps_what_was_recorded(tmp_path):
    model = MaskedDiffusionModel.random()
    path, calls = tmp_path / "a.h5", []
    model.register_forward_hook(lambda *_: calls.append(1) if len(calls) < 2 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        record(path, model, record="maps")
    assert not path.exists()
    assert run("verify", "--deep", f"{path}.partial").returncode == 0
    assert run("recover", f"{path}.partial", "--output", tmp_path / "b.h5").returncode == 0
    assert run("verify", "--deep", tmp_path / "b.h5").returncode == 0
    with h5py.File(tmp_path / "b.h5") as f:
        # The second step's outcome was seen in what the third was fed.
        assert f["committed_steps"][()] == 2
    with pytest.raises(FileExistsError, match="may hold committed steps"):
        record(path, MaskedDiffusionModel.random())
    (tmp_path / "a.h5.partial").unlink()
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="already exists"):
        record(path, MaskedDiffusionModel.random())
    assert path.read_text() == "mine"


def refused(tmp_path, match, calls, error=attntrace.AttntraceError, model=None, **options):
    model = MaskedDiffusionModel.random() if model is None else model
    with pytest.raises(error, match=match), attntrace.Recorder(
        model, None, tmp_path / "r.h5", prompt_ids=IDS, **{"sampler": SMALL, **options}):
        with torch.no_grad():
            for ids in calls:
                model(torch.tensor(ids))
    (tmp_path / "r.h5.partial").unlink(missing_ok=True)
    assert not list(tmp_path.glob("r.h5*"))


def test_what_cannot_be_recorded_is_refused(tmp_path):
    start = [3, 7, 1] + [49] * 8
    refused(tmp_path, "2 sequences", [[start, start]])
    refused(tmp_path, "whole sequence", [[start], [start[4:]]])
    refused(tmp_path, "unmasked once", [[start], [start[:3] + [5] + start[4:]], [start]])
    refused(tmp_path, "position 1 of the prompt", [[start], [[3, 49] + start[2:]]])
    refused(tmp_path, "prompt_ids", [[[7, 7, 7] + start[3:]]])
    refused(tmp_path, "beyond its block", [[start], [start[:-1] + [5]]])
    refused(tmp_path, "more than the 4 steps", [[start]] * 6)
    refused(tmp_path, "never called", [])
    refused(tmp_path, "not one of", [], ValueError, record="everything")
    refused(tmp_path, "not qk", [], ValueError, signals=["qk"])
    refused(tmp_path, "needs a name", [], ValueError, sampler={"steps": 4})
    refused(tmp_path, "not causal", [[[3, 7, 1]]], sampler="autoregressive", gen_length=4)
    refused(tmp_path, "how long", [[[3, 7, 1]]], sampler="autoregressive")
    unseen = MaskedDiffusionModel.random()
    unseen.config.n_layers = 3
    refused(tmp_path, "of 2 layers, not 3: fused kernels", [[start]], model=unseen)
    unmasked = MaskedDiffusionModel.random()
    unmasked.config.mask_token_id = None
    refused(tmp_path, "no mask_token_id", [], ValueError, model=unmasked)
    refused(tmp_path, "no config", [], ValueError, model=torch.nn.Linear(1, 1))


SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64)
OPT = dict(SIZES, ffn_dim=64, word_embed_proj_dim=32)
ROTARY = dict(SIZES, intermediate_size=64, num_key_value_heads=2)


def decoder(kind, attention="eager", **options):
    """A small random decoder of transformers; skips where this version does not have it."""
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, f"{kind}Config"):
        pytest.skip(f"this transformers has no {kind}")
    if attention == "sdpa" and SDPA is None:
        pytest.skip("this PyTorch has no scaled_dot_product_attention")
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=50, bos_token_id=None, eos_token_id=None, pad_token_id=0, **options)
    return getattr(transformers, f"{kind}ForCausalLM")._from_config(config, attn_implementation=attention).eval()


def record_text(path, model, cache=True, tokens=4, **options):
    with attntrace.Recorder(model, None, path, prompt_ids=IDS, sampler="autoregressive", gen_length=tokens, **options):
        return model.generate(IDS, max_new_tokens=tokens, do_sample=False, use_cache=cache)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(("kind", "options"), [
    ("OPT", OPT), ("Bloom", dict(hidden_size=32, n_layer=2, n_head=4)),
    ("Gemma2", ROTARY | dict(head_dim=8, query_pre_attn_scalar=20))])
def test_norms_are_of_queries_that_score_as_the_format_says(tmp_path, kind, options, attention):
    try:
        model = decoder(kind, attention, **options)
    except ValueError:
        pytest.skip(f"{kind} has no {attention} attention in this version")
    if kind == "Bloom" and attention == "sdpa":
        pytest.skip("its scale is told, and what is added does not change norms")
    with pytest.raises(attntrace.AttntraceError, match="leave norms out"):
        record_text(tmp_path / "a.h5", model, signals=["norms"])
    record_text(tmp_path / "b.h5", model, record="maps")
    assert_valid(tmp_path / "b.h5")


@pytest.mark.parametrize(("kind", "options", "kv_heads"), [
    ("GPTNeoX", dict(SIZES, intermediate_size=64), 4), ("Llama", ROTARY, 2), ("Falcon", SIZES, 1),
    ("Falcon", SIZES | dict(new_decoder_architecture=True, num_kv_heads=2), 2),
    ("Falcon", SIZES | dict(multi_query=False), 4)])
def test_norms_and_heads_of_decoders(tmp_path, kind, options, kv_heads):
    model = decoder(kind, **{name: value for name, value in options.items() if kind != "Falcon" or "max" not in name})
    record_text(tmp_path / "a.h5", model, record="maps", signals=["norms"])
    assert_valid(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as f:
        assert f.attrs["kv_head_count"] == kv_heads
        q, k = f["query_norm"][0], np.repeat(f["key_norm"][0], 4 // kv_heads, 1)
        # No row's scores reach beyond |q| |k| / sqrt(head_dim): its logsumexp is between bounds that follow.
        most = q[..., None] * k[:, :, None] / 8**0.5
        seen = np.tril(np.ones(most.shape[-2:], bool))
        assert (f["logsumexp"][0] <= np.log((np.exp(most) * seen).sum(-1)) + 1e-4).all()
        assert (f["logsumexp"][0] >= np.log((np.exp(-most) * seen).sum(-1)) - 1e-4).all()


@pytest.mark.parametrize("told", [1, 4])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_heads_that_the_config_tells_wrong(tmp_path, told, attention):
    model = decoder("Llama", attention, **ROTARY)
    model.config.num_key_value_heads = told
    with pytest.raises(attntrace.AttntraceError, match=f"otherwise than the {told} key-value heads"):
        record_text(tmp_path / "a.h5", model)


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("layers", [[0, 1], [1]])
def test_windows_of_any_layer_are_refused(tmp_path, cache, layers):
    windows = ROTARY | dict(head_dim=8, sliding_window=4)
    # Each layer of Mistral has one; of Gemma2 the first has, the second has none.
    for kind, wrong in (("Mistral", True), ("Gemma2", 0 in layers)):
        path = tmp_path / f"{kind}.h5"
        model = decoder(kind, **windows)
        if not wrong:
            record_text(path, model, cache, layers=layers)
            assert_valid(path)
            continue
        with pytest.raises(attntrace.AttntraceError, match="sliding window"):
            record_text(path, model, cache, layers=layers)
    # What fits into the window hides nothing.
    record_text(tmp_path / "short.h5", decoder("Mistral", **windows), cache, tokens=2, layers=layers)
    assert_valid(tmp_path / "short.h5")


def test_a_layer_of_a_diffusion_model_that_hides_keys(tmp_path):
    model = MaskedDiffusionModel.random()
    block = model.model.transformer["blocks"][1]
    if SDPA is None:
        pytest.skip("the mask goes in beside scaled_dot_product_attention")

    def windowed(x, cos, sin, plain=block.forward):
        near = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(-9)
        given = torch.nn.functional.scaled_dot_product_attention
        torch.nn.functional.scaled_dot_product_attention = lambda *qkv, **options: given(*qkv, **options | {"attn_mask": near})
        try:
            return plain(x, cos, sin)
        finally:
            torch.nn.functional.scaled_dot_product_attention = given

    block.forward = windowed
    with pytest.raises(attntrace.AttntraceError, match="layer 1 hides keys"):
        record(tmp_path / "a.h5", model)


def test_attention_that_goes_to_no_key_is_refused(tmp_path):
    model = MaskedDiffusionModel.random()
    softmax = torch.softmax
    for block in model.model.transformer["blocks"]:

        def with_sink(x, cos, sin, block=block):
            h = block.attn_norm(x)
            q, k, v = (f(h).unflatten(-1, (-1, 8)).transpose(1, 2) for f in (block.q_proj, block.k_proj, block.v_proj))
            scores = q @ k.repeat_interleave(2, 1).transpose(2, 3) / 8**0.5
            scores = torch.cat([scores, torch.ones_like(scores[..., :1])], -1)
            return x + block.attn_out((softmax(scores, -1)[..., :-1] @ v.repeat_interleave(2, 1)).transpose(1, 2).flatten(2))

        block.forward = with_sink
    model.config.mask_token_id = None
    with pytest.raises(attntrace.AttntraceError, match="sum to 1 only within"), attntrace.Recorder(
        model, None, tmp_path / "a.h5", prompt_ids=IDS, sampler="autoregressive", gen_length=2):
        model(IDS)


def test_positions_are_those_that_the_model_is_given(tmp_path):
    model = decoder("Llama", **ROTARY)

    def passes(path, positions, cache):
        tokens, past = IDS, None
        with attntrace.Recorder(model, None, path, prompt_ids=IDS, sampler="autoregressive", gen_length=3) as recorder:
            for given in positions:
                fed = tokens[:, -len(given):]
                output = model(fed, position_ids=torch.tensor([given]), past_key_values=past, use_cache=cache)
                past = output.past_key_values if cache else None
                tokens = torch.cat([tokens, output.logits[:, -1:].argmax(-1)], 1)
            recorder.finish(tokens)
        assert_valid(path)
        with h5py.File(path) as f:
            return f["position_id"][()].tolist()

    with torch.no_grad():
        assert passes(tmp_path / "a.h5", [[5, 6, 7], [9], [10]], True) == [5, 6, 7, 9, 10, 11]
        assert passes(tmp_path / "b.h5", [[5, 6, 7], [5, 6, 7, 8]], False) == [5, 6, 7, 8, 9]
        with pytest.raises(attntrace.AttntraceError, match="position_ids"):
            passes(tmp_path / "c.h5", [[5, 6, 7], [0, 1, 2, 3]], False)
    record_text(tmp_path / "d.h5", model)
    with h5py.File(tmp_path / "d.h5") as f:
        assert f["position_id"][()].tolist() == list(range(7))


def test_one_recorder_a_model_and_hooks_that_go(tmp_path):
    model = MaskedDiffusionModel.random()
    first = attntrace.Recorder(model, None, tmp_path / "a.h5", prompt_ids=IDS, sampler=SMALL)
    with pytest.raises(attntrace.AttntraceError, match="another Recorder"), first, attntrace.Recorder(
        model, None, tmp_path / "b.h5", prompt_ids=IDS, sampler=SMALL):
        pass
    assert "forward" not in vars(model)
    # Code that wraps the model's method inside the block keeps what it wrapped; that then records nothing.
    with attntrace.Recorder(model, None, tmp_path / "c.h5", prompt_ids=IDS, sampler=SMALL) as recorder:
        wrapped = model.forward
        model.forward = lambda *args: wrapped(*args)
        recorder.finish(generate(model, IDS, 4, 8, 4))
    steps = recorder.committed_steps
    generate(model, IDS, 4, 8, 4)
    assert recorder.committed_steps == steps == 4
    del model.forward
    record(tmp_path / "d.h5", model)
    assert_valid(tmp_path / "c.h5")


def test_recorders_of_a_model_and_of_its_inner_one(tmp_path):
    class Outer(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.config = inner, inner.config

        def forward(self, ids):
            return self.inner(ids)

    outer = Outer(MaskedDiffusionModel.random())
    with attntrace.Recorder(outer, None, tmp_path / "a.h5", prompt_ids=IDS, sampler=SMALL) as a:
        with attntrace.Recorder(outer.inner, None, tmp_path / "b.h5", prompt_ids=IDS, sampler=SMALL) as b:
            final = generate(outer, IDS, 4, 8, 4)
            b.finish(final)
        a.finish(final)
    with h5py.File(tmp_path / "a.h5") as f, h5py.File(tmp_path / "b.h5") as g:
        np.testing.assert_array_equal(f["received"], g["received"])


def test_a_buffer_of_one_token_is_no_sequence(tmp_path):
    model = decoder("Llama", **ROTARY)
    with pytest.warns(RuntimeWarning, match="last forward pass"), torch.no_grad(), attntrace.Recorder(
        model, None, tmp_path / "a.h5", prompt_ids=IDS, sampler="autoregressive", gen_length=5):
        output = model(IDS, use_cache=True)
        token = output.logits[:, -1:].argmax(-1)
        for _ in range(4):
            output = model(token, past_key_values=output.past_key_values, use_cache=True)
            token.copy_(output.logits[:, -1:].argmax(-1))
    assert_valid(tmp_path / "a.h5")


@pytest.mark.skipif(not hasattr(torch, "compiler"), reason="this PyTorch compiles no modules in place")
def test_compiled_models_are_refused(tmp_path):
    model = MaskedDiffusionModel.random()
    whole = torch.compile(model, backend="eager")
    refused(tmp_path, "is compiled", [], model=whole)
    model.compile(backend="eager")
    refused(tmp_path, "is compiled", [], model=model)
    part = MaskedDiffusionModel.random()
    part.model.transformer["blocks"][0].compile(backend="eager")
    refused(tmp_path, "is compiled", [], model=part)


@pytest.mark.skipif(not hasattr(torch, "compiler"), reason="this PyTorch compiles no modules in place")
def test_what_is_compiled_inside_the_block_runs_as_it_is(tmp_path):
    model = MaskedDiffusionModel.random()
    plain = generate(model, IDS, 4, 8, 4)
    with attntrace.Recorder(model, None, tmp_path / "a.h5", prompt_ids=IDS, sampler=SMALL) as recorder:
        model.compile(backend="eager")
        recorder.finish(generate(model, IDS, 4, 8, 4))
    assert_valid(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as f:
        assert f["final_id"][()].tolist() == plain[0].tolist()


def test_passes_that_write_nothing_are_told(tmp_path):
    model = MaskedDiffusionModel.random()
    with pytest.warns(RuntimeWarning, match="2 of 6 forward passes wrote no token"), attntrace.Recorder(
        model, None, tmp_path / "a.h5", prompt_ids=IDS, sampler="llada") as recorder:
        for _ in range(2):
            model(torch.tensor([[3, 7, 1] + [49] * 8]))
        recorder.finish(generate(model, IDS, 4, 8, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record(tmp_path / "b.h5", model, sampler="llada")


def test_recorders_side_by_side(tmp_path):
    """Two models recorded at once, each on a thread: files are written by threads of both."""
    failures = []

    def record(path):
        model = MaskedDiffusionModel.random()
        try:
            with attntrace.Recorder(model, None, path, prompt_ids=IDS, sampler=SMALL, record="maps") as recorder:
                recorder.finish(generate(model, IDS, 4, 8, 4))
        except Exception as error:  # noqa: BLE001  # whatever it is, the test's own thread must hear of it
            failures.append(error)

    for number in range(6):
        threads = [threading.Thread(target=record, args=(tmp_path / f"{name}{number}.h5",)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(list(tmp_path.glob("*.h5"))) == 12


def test_a_run_without_a_prompt(tmp_path):
    """A diffusion model may begin with nothing but masks: recorded, verified, and opened again."""
    path, nothing = tmp_path / "a.h5", torch.zeros((1, 0), dtype=torch.long)
    model = MaskedDiffusionModel.random()
    with attntrace.Recorder(model, None, path, prompt_ids=nothing, sampler=SMALL, record="maps") as recorder:
        final = generate(model, nothing, 4, 8, 4)
        recorder.finish(final)
    assert run("verify", "--deep", path).returncode == 0 and check(path, deep=True) == []
    with attntrace.open(path) as trace:
        assert trace.attrs["prompt_length"] == 0
        assert trace["final_id"].values.tolist() == final[0].tolist()
        assert trace.map(1, 0, 0).shape == (8, 8)
        # A top key for each step, layer and head.
        assert len(trace.sinks("top")) == 4 * trace.sizes["layer"] * trace.sizes["head"]
