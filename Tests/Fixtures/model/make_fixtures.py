"""Numbers that Tests/CaptureTests compares the Swift forward pass with.

    python make_fixtures.py             random tiny models with what they compute, and the embedded
                                        models' numbers (../../../models/tiny-*, where they are)
    python make_fixtures.py --embedded  the embedded models' numbers only: run it after new weights
    python make_fixtures.py --only NAME one tiny model
    python make_fixtures.py --check     recomputes everything from the committed weights and compares

The forward pass below is plain PyTorch in float32, written from the equations; where transformers
is installed, its LlamaForCausalLM or Qwen2ForCausalLM must agree (for the bidirectional models under
a mask of zeros), and check_published.py holds it against the published code of LLaDA, MMaDA and
Dream. Needs torch, numpy and safetensors.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[2] / "models"

LLADA = dict(
    model_type="llada", architectures=["LLaDAModelLM"], block_type="llama", block_group_size=1, layer_norm_type="rms",
    layer_norm_with_affine=True, activation_type="silu", rope=True, alibi=False, input_emb_norm=False,
    scale_logits=False, attention_layer_norm=False, include_bias=False, include_qkv_bias=False,
    bias_for_layer_norm=False, max_sequence_length=64)
LLAMA = dict(
    model_type="llama", architectures=["LlamaForCausalLM"], hidden_act="silu", attention_bias=False, mlp_bias=False,
    rope_scaling=None, max_position_embeddings=64)
# Fields of the released files, sizes apart.
MMADA = dict(
    LLADA, model_type="mmada", architectures=["MMadaModelLM"], llm_vocab_size=90, codebook_size=6, num_vq_tokens=4,
    num_new_special_tokens=0, gradient_checkpointing=True)
QWEN2 = dict(
    model_type="qwen2", architectures=["Qwen2ForCausalLM"], hidden_act="silu", max_position_embeddings=64,
    use_sliding_window=False, sliding_window=16, max_window_layers=2)
DREAM = dict(
    QWEN2, model_type="Dream", architectures=["DreamModel"], mask_token_id=70, pad_token_id=64, rope_scaling=None,
    rope_theta=1000000.0)

# name: (config, dtype of the weights, positions, shards)
TINY = {
    # A head width that is no multiple of a vector, grouped heads, more embedding rows than tokens, tied.
    "llada-grouped-tied-f32": (
        dict(LLADA, d_model=48, n_heads=4, n_kv_heads=2, n_layers=2, mlp_hidden_size=80, mlp_ratio=4, vocab_size=90,
             embedding_size=96, weight_tying=True, mask_token_id=5, eos_token_id=1, rope_theta=500000.0,
             rms_norm_eps=1e-5), torch.float32, 53, 1),
    "llada-bf16": (
        dict(LLADA, d_model=64, n_heads=4, n_layers=2, mlp_ratio=2, mlp_hidden_size=None, vocab_size=120,
             embedding_size=None, weight_tying=False, mask_token_id=119, eos_token_id=1, rope_theta=10000.0,
             rms_norm_eps=1e-5), torch.bfloat16, 50, 1),
    # Heads wider together than the residual stream, one key-value head.
    "llama-grouped-f16": (
        dict(LLAMA, hidden_size=64, num_attention_heads=4, num_key_value_heads=1, head_dim=24, num_hidden_layers=2,
             intermediate_size=100, vocab_size=130, tie_word_embeddings=False, rope_theta=10000.0, rms_norm_eps=1e-6,
             bos_token_id=0, eos_token_id=[1, 2]), torch.float16, 60, 1),
    "llama-tied-sharded-f32": (
        dict(LLAMA, hidden_size=64, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=2,
             intermediate_size=72, vocab_size=110, tie_word_embeddings=True, rope_theta=100000.0, rms_norm_eps=1e-5,
             bos_token_id=0, eos_token_id=1), torch.float32, 49, 2),
    # Every option of LLaDA's class that changes the numbers.
    "llada-options-f64": (
        dict(LLADA, d_model=24, n_heads=4, n_kv_heads=2, n_layers=2, mlp_hidden_size=40, mlp_ratio=4, vocab_size=50,
             embedding_size=50, weight_tying=False, mask_token_id=5, eos_token_id=1, rope_theta=500000.0,
             rms_norm_eps=1e-5, input_emb_norm=True, scale_logits=True, attention_layer_norm=True,
             attention_layer_norm_with_affine=True, include_qkv_bias=True), torch.float64, 24, 1),
    # Image codes behind the text's tokens; a tensor that is not the text part's.
    "mmada-f32": (
        dict(MMADA, d_model=32, n_heads=2, n_kv_heads=2, n_layers=2, mlp_hidden_size=48, mlp_ratio=4, vocab_size=96,
             embedding_size=90, new_vocab_size=96, weight_tying=False, mask_token_id=80, eos_token_id=1,
             rope_theta=500000.0, rms_norm_eps=1e-5), torch.float32, 24, 1),
    "dream-sharded-f32": (
        dict(DREAM, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=2,
             intermediate_size=40, vocab_size=72, tie_word_embeddings=False, rms_norm_eps=1e-6, bos_token_id=64,
             eos_token_id=64), torch.float32, 24, 2),
    # Rotations of all three kinds: kept, divided and between. Biases, which no released Llama has.
    "llama31-bias-f32": (
        dict(LLAMA, hidden_size=32, num_attention_heads=1, num_key_value_heads=1, num_hidden_layers=2,
             intermediate_size=40, vocab_size=60, tie_word_embeddings=False, rope_theta=500000.0, rms_norm_eps=1e-5,
             bos_token_id=0, eos_token_id=[1, 2], attention_bias=True,
             rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                               original_max_position_embeddings=256)), torch.float32, 40, 1),
    # As transformers 5 writes it.
    "qwen2-tied-bf16": (
        dict(QWEN2, hidden_size=48, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=2,
             intermediate_size=40, vocab_size=60, tie_word_embeddings=True, rms_norm_eps=1e-6, bos_token_id=0,
             eos_token_id=1, rope_parameters=dict(rope_type="default", rope_theta=1000000.0),
             layer_types=["full_attention", "full_attention"]), torch.bfloat16, 24, 1),
}
# Tensors that a checkpoint may hold beside the text part's.
EXTRA = {"mmada-f32": {"model.vision.projector.weight": (3, 4)}}
# Of the embedded models only some rows of logits and some maps (layer, head) are kept.
LOGIT_ROWS, MAPS = (0, 64, 127), ((7, 5),)


class Shape:
    """What the forward pass needs of either kind of config.json, and the names of the tensors."""

    def __init__(self, c: dict):
        family = c["architectures"][0]
        self.causal = family in ("LlamaForCausalLM", "Qwen2ForCausalLM")
        # Rows of the logits score the position after theirs.
        self.shifts = self.causal or family == "DreamModel"
        qwen = family in ("Qwen2ForCausalLM", "DreamModel")
        self.bias = qwen or bool(c.get("attention_bias") or c.get("include_qkv_bias"))
        self.output_bias = bool(c.get("attention_bias"))
        self.norms = bool(c.get("attention_layer_norm"))
        self.scale_embedding, self.scale_logits = bool(c.get("input_emb_norm")), bool(c.get("scale_logits"))
        rope = c.get("rope_parameters") or {}
        self.theta, self.eps = rope.get("rope_theta") or c["rope_theta"], c["rms_norm_eps"]
        self.scaling = next((r for r in (rope, c.get("rope_scaling") or {}) if r.get("rope_type") == "llama3"), None)
        if family != "LLaDAModelLM" and family != "MMadaModelLM":
            self.width, self.heads, self.layers = c["hidden_size"], c["num_attention_heads"], c["num_hidden_layers"]
            self.kv_heads = c.get("num_key_value_heads") or self.heads
            self.head_width = c.get("head_dim") or self.width // self.heads
            self.mlp, self.vocabulary, self.tied = c["intermediate_size"], c["vocab_size"], c["tie_word_embeddings"]
            self.names = {
                "wte": "model.embed_tokens", "ln_f": "model.norm", "head": "lm_head", "block": "model.layers.{}.",
                "norm1": "input_layernorm", "norm2": "post_attention_layernorm", "q": "self_attn.q_proj",
                "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj", "gate": "mlp.gate_proj",
                "up": "mlp.up_proj", "down": "mlp.down_proj"}
        else:
            self.width, self.heads, self.layers = c["d_model"], c["n_heads"], c["n_layers"]
            self.kv_heads = c.get("n_kv_heads") or self.heads
            self.head_width = self.width // self.heads
            self.mlp = c.get("mlp_hidden_size") or c["mlp_ratio"] * self.width
            self.vocabulary = c.get("new_vocab_size") or c.get("embedding_size") or c["vocab_size"]
            self.tied = c["weight_tying"]
            t = "model.transformer."
            self.names = {
                "wte": t + "wte", "ln_f": t + "ln_f", "head": t + "ff_out", "block": t + "blocks.{}.",
                "norm1": "attn_norm", "norm2": "ff_norm", "q": "q_proj", "k": "k_proj", "v": "v_proj",
                "qn": "q_norm", "kn": "k_norm", "o": "attn_out", "gate": "ff_proj", "up": "up_proj", "down": "ff_out"}
        self.mask = c.get("mask_token_id")

    def tensors(self) -> dict:
        """Every tensor's shape by name."""
        n, w, q, kv = self.names, self.width, self.heads * self.head_width, self.kv_heads * self.head_width
        shapes = {n["wte"]: (self.vocabulary, w), n["ln_f"]: (w,)}
        if not self.tied:
            shapes[n["head"]] = (self.vocabulary, w)
        block = {"norm1": (w,), "norm2": (w,), "q": (q, w), "k": (kv, w), "v": (kv, w), "o": (w, q),
                 "gate": (self.mlp, w), "up": (self.mlp, w), "down": (w, self.mlp)}
        if self.norms:
            block.update({"qn": (q,), "kn": (kv,)})
        biases = {"q": (q,), "k": (kv,), "v": (kv,)} if self.bias else {}
        if self.output_bias:
            biases["o"] = (w,)
        for layer in range(self.layers):
            shapes.update({n["block"].format(layer) + n[key]: shape for key, shape in block.items()})
        shapes = {name + ".weight": shape for name, shape in shapes.items()}
        for layer in range(self.layers):
            shapes.update({n["block"].format(layer) + n[key] + ".bias": shape for key, shape in biases.items()})
        return shapes


@torch.no_grad()
def forward(shape: Shape, weights: dict, ids: torch.Tensor):
    """Logits [T, V], attention [layer, head, query, key], log-sum-exp of the scaled scores [layer, head, query]."""
    name, length = shape.names, len(ids)
    get = lambda key, layer=None, part=".weight": weights[
        (name["block"].format(layer) if layer is not None else "") + name[key] + part].float()
    norm = lambda x, w: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + shape.eps) * w
    pairs = torch.arange(0, shape.head_width, 2, dtype=torch.float32)
    frequency = 1.0 / shape.theta ** (pairs / shape.head_width)
    if shape.scaling:
        c = shape.scaling
        turns = c["original_max_position_embeddings"] * frequency / (2 * torch.pi)
        low, high = c["low_freq_factor"], c["high_freq_factor"]
        smooth = ((turns - low) / (high - low)).clamp(0, 1)
        frequency = (1 - smooth) * frequency / c["factor"] + smooth * frequency
    angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency)
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)

    def rotate(x):
        first, second = x.split(shape.head_width // 2, -1)
        return x * cos + torch.cat([-second, first], -1) * sin

    def heads(x, count):
        return x.view(length, count, shape.head_width).transpose(0, 1)

    def project(h, key, layer, has_bias):
        return h @ get(key, layer).T + (get(key, layer, ".bias") if has_bias else 0)

    x, maps, sums = get("wte")[ids], [], []
    if shape.scale_embedding:
        x = x * shape.width**0.5
    for layer in range(shape.layers):
        h = norm(x, get("norm1", layer))
        q, k, v = (project(h, key, layer, shape.bias) for key in "qkv")
        if shape.norms:
            q, k = norm(q, get("qn", layer)), norm(k, get("kn", layer))
        q, k, v = rotate(heads(q, shape.heads)), rotate(heads(k, shape.kv_heads)), heads(v, shape.kv_heads)
        group = shape.heads // shape.kv_heads
        k, v = k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)
        scores = q @ k.transpose(1, 2) / shape.head_width**0.5
        if shape.causal:
            scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
        p = scores.softmax(-1)
        maps.append(p)
        sums.append(scores.logsumexp(-1))
        x = x + project((p @ v).transpose(0, 1).reshape(length, -1), "o", layer, shape.output_bias)
        h = norm(x, get("norm2", layer))
        x = x + (torch.nn.functional.silu(h @ get("gate", layer).T) * (h @ get("up", layer).T)) @ get("down", layer).T
    head = get("wte") if shape.tied else get("head")
    logits = norm(x, get("ln_f")) @ head.T * (shape.width**-0.5 if shape.scale_logits else 1)
    return logits, torch.stack(maps), torch.stack(sums)


def agree_with_transformers(shape: Shape, weights: dict, ids, logits, attention, say: str):
    """Runs the same weights through LlamaForCausalLM, or Qwen2ForCausalLM where only q, k and v have biases."""
    try:
        import transformers
    except ImportError:
        print(f"{say}: transformers is not installed, not compared with it")
        return
    if shape.norms or shape.scale_embedding or shape.scale_logits:
        print(f"{say}: transformers has no such model")
        return
    family = "Qwen2" if shape.bias and not shape.output_bias else "Llama"
    config = getattr(transformers, family + "Config")(
        hidden_size=shape.width, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width, num_hidden_layers=shape.layers, intermediate_size=shape.mlp,
        vocab_size=shape.vocabulary, rms_norm_eps=shape.eps, tie_word_embeddings=shape.tied,
        rope_parameters={"rope_type": "default"} | (shape.scaling or {}) | {"rope_theta": shape.theta},
        max_position_embeddings=4096, attn_implementation="eager",
        **({"attention_bias": shape.bias} if family == "Llama" else {}))
    model = getattr(transformers, family + "ForCausalLM")(config).eval().float()
    theirs = Shape(dict(
        architectures=["LlamaForCausalLM"], hidden_size=1, num_attention_heads=1, num_hidden_layers=1, head_dim=1,
        intermediate_size=1, vocab_size=1, tie_word_embeddings=True, rope_theta=1, rms_norm_eps=1)).names
    names = {shape.names[key]: theirs[key] for key in ("wte", "ln_f", "head")}
    for layer in range(shape.layers):
        for key in theirs.keys() - {"wte", "ln_f", "head", "block"}:
            ours = shape.names["block"].format(layer) + shape.names[key]
            names[ours] = theirs["block"].format(layer) + theirs[key]
    state = {}
    for name in shape.tensors():
        stem, part = name.rsplit(".", 1)
        state[f"{names[stem]}.{part}"] = weights[name].float()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    mask = None if shape.causal else torch.zeros(1, 1, len(ids), len(ids))
    with torch.no_grad():
        out = model(ids[None], attention_mask=mask, output_attentions=True, use_cache=False)
    a = (out.logits[0] - logits).abs().max() / logits.abs().max()
    b = max((x[0] - y).abs().max() for x, y in zip(out.attentions, attention))
    print(f"{say}: transformers differs by {a:.1e} of the largest logit, {b:.1e} in attention")
    assert a < 2e-5 and b < 1e-5, "transformers disagrees"


def load_weights(folder: Path) -> dict:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return load_file(folder / "model.safetensors")
    weights = {}
    for file in sorted(set(json.loads(index.read_text())["weight_map"].values())):
        weights.update(load_file(folder / file))
    return weights


def write_tiny(name: str, config: dict, dtype, length: int, shards: int):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    shape = Shape(config)
    generator = torch.Generator().manual_seed(len(name))
    weights = {}
    for tensor, size in shape.tensors().items():
        x = torch.randn(size, generator=generator)
        if tensor.endswith(".bias"):
            x *= 0.5
        elif len(size) == 1:
            x = 1 + 0.2 * x
        elif "wte" not in tensor and "embed" not in tensor:
            # Sharper than the usual start, so that attention is not flat.
            x *= size[1] ** -0.5 * (1.6 if "q_proj" in tensor or "k_proj" in tensor else 1.0)
        weights[tensor] = x.to(dtype)
    for tensor, size in EXTRA.get(name, {}).items():
        weights[tensor] = torch.randn(size, generator=generator).to(dtype)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        files = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
        places = {tensor: files[i % shards] for i, tensor in enumerate(sorted(weights))}
        for file in files:
            save_file({t: w for t, w in weights.items() if places[t] == file}, folder / file)
        total = sum(w.numel() * w.element_size() for w in weights.values())
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    generator.manual_seed(1)
    ids = torch.randint(0, shape.vocabulary, (length,), generator=generator)
    save_file(expected(folder, ids, name), folder / "expected.safetensors")


def generate(shape: Shape, weights: dict, ids: torch.Tensor, steps: int = 16, block: int = 8) -> torch.Tensor:
    """Sixteen tokens after the first six of `ids` at temperature 0: greedy, or by LLaDA's low-confidence sampler."""
    prompt = ids[ids != shape.mask][:6] if shape.mask is not None else ids[:6]
    if shape.causal:
        tokens = prompt
        for _ in range(steps):
            tokens = torch.cat([tokens, forward(shape, weights, tokens)[0][-1].argmax().view(1)])
        return tokens
    tokens = torch.cat([prompt, torch.full((steps,), shape.mask)])
    def scores(tokens):
        logits = forward(shape, weights, tokens)[0]
        return torch.cat([logits[:1], logits[:-1]]) if shape.shifts else logits

    for step in range(steps):  # one token a step: as many steps as positions, in each block
        end = len(prompt) + (step // block + 1) * block
        p = scores(tokens).double().softmax(-1)
        best, token = p.max(-1)
        best[(tokens != shape.mask) | (torch.arange(len(tokens)) >= end)] = -1
        place = best.argmax()
        tokens[place] = token[place]
    return tokens


def expected(folder: Path, ids, say: str) -> dict:
    shape, weights = Shape(json.loads((folder / "config.json").read_text())), load_weights(folder)
    logits, attention, sums = forward(shape, weights, ids)
    agree_with_transformers(shape, weights, ids, logits, attention, say)
    return {
        "ids": ids.int(), "logits": logits, "attention": attention, "log_sum_exp": sums,
        "generated": generate(shape, weights, ids).int()}


def embedded_ids(name: str) -> torch.Tensor:
    """A start token, then ordinary ids; in the diffusion model every third position is masked."""
    ids = torch.tensor([0] + [3 + i * 7919 % 2000 for i in range(1, 128)])
    if name == "tiny-mdm":
        ids[2::3] = 2
    return ids


def embedded(name: str) -> dict:
    whole = expected(MODELS / name, embedded_ids(name), name)
    digest = hashlib.sha256((MODELS / name / "model.safetensors").read_bytes()).digest()
    return {
        "ids": whole["ids"], "generated": whole["generated"], "rows": torch.tensor(LOGIT_ROWS, dtype=torch.int32),
        "logits": whole["logits"][list(LOGIT_ROWS)].clone(), "maps": torch.tensor(MAPS, dtype=torch.int32),
        "attention": torch.stack([whole["attention"][layer, head] for layer, head in MAPS]),
        "weights_sha256": torch.tensor(list(digest), dtype=torch.uint8)}


def compare(name: str, committed: dict, again: dict) -> bool:
    good = committed.keys() == again.keys()
    for key in committed.keys() & again.keys():
        a, b = committed[key], again[key]
        same = a.shape == b.shape
        if same and a.is_floating_point():
            difference = (a - b).abs().max() / a.abs().max()
            same = bool(difference < 2e-5)
            print(f"{name} {key}: differs by {difference:.1e} of the largest")
        elif same:
            same = torch.equal(a, b)
        if not same:
            print(f"{name} {key}: DIFFERS" + (" (new weights? --embedded)" if key == "weights_sha256" else ""))
        good = good and same
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with what is committed, write nothing")
    parser.add_argument("--embedded", action="store_true", help="only the embedded models' numbers")
    parser.add_argument("--only", choices=TINY, help="only this tiny model")
    a = parser.parse_args()
    there = [name for name in ("tiny-mdm", "tiny-ar") if (MODELS / name / "model.safetensors").exists()]
    if a.check:
        good = True
        for name in TINY:
            committed = load_file(HERE / name / "expected.safetensors")
            good &= compare(name, committed, expected(HERE / name, committed["ids"].long(), name))
        for name in there:
            good &= compare(name, load_file(HERE / f"{name}.safetensors"), embedded(name))
        sys.exit(0 if good else 1)
    if not a.embedded:
        for name, (config, dtype, length, shards) in TINY.items():
            if a.only in (None, name):
                write_tiny(name, config, dtype, length, shards)
    for name in there if a.only is None else []:
        save_file(embedded(name), HERE / f"{name}.safetensors")


if __name__ == "__main__":
    main()
