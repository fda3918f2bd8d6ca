"""Directories laid out as the published checkpoints are, of tiny random weights: captured with no option but --model."""

import hashlib
import json
import shutil
import struct

import numpy as np
import pytest

from support import REPO, answer, answer_json, attntrace

TOKENIZERS = REPO / "Tests/Fixtures/tokenizer"
FLAGS = dict(lstrip=False, normalized=False, rstrip=False, single_word=False, special=True)
HEADERS = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]

# The fields of the released config.json files, with small sizes. V: rows of the embedding.
LLADA = dict(
    activation_type="silu", alibi=False, alibi_bias_max=8.0, architectures=["LLaDAModelLM"], attention_dropout=0.0,
    attention_layer_norm=False, attention_layer_norm_with_affine=True,
    auto_map={"AutoConfig": "configuration_llada.LLaDAConfig", "AutoModel": "modeling_llada.LLaDAModelLM"},
    bias_for_layer_norm=False, block_group_size=1, block_type="llama", d_model=32, embedding_dropout=0.0,
    flash_attention=False, include_bias=False, include_qkv_bias=False, init_cutoff_factor=None, init_device="meta",
    init_fn="mitchell", init_std=0.02, input_emb_norm=False, layer_norm_type="rms", layer_norm_with_affine=True,
    max_sequence_length=4096, mlp_hidden_size=48, mlp_ratio=4, model_type="llada", multi_query_attention=None,
    n_heads=2, n_kv_heads=2, n_layers=2, precision="amp_bf16", residual_dropout=0.0, rms_norm_eps=1e-05, rope=True,
    rope_full_precision=True, rope_theta=500000.0, scale_logits=False, torch_dtype="bfloat16",
    transformers_version="4.46.3", use_cache=False, weight_tying=False)
QWEN2 = dict(
    architectures=["Qwen2ForCausalLM"], attention_dropout=0.0, hidden_act="silu", hidden_size=32,
    initializer_range=0.02, intermediate_size=48, max_position_embeddings=32768, max_window_layers=28,
    model_type="qwen2", num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=2, rms_norm_eps=1e-06,
    rope_theta=1000000.0, sliding_window=131072, tie_word_embeddings=False, torch_dtype="bfloat16",
    transformers_version="4.43.1", use_cache=True, use_sliding_window=False)
LLAMA = dict(
    architectures=["LlamaForCausalLM"], attention_bias=False, attention_dropout=0.0, hidden_act="silu", hidden_size=32,
    initializer_range=0.02, intermediate_size=48, max_position_embeddings=131072, mlp_bias=False, model_type="llama",
    num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=2, pretraining_tp=1, rms_norm_eps=1e-05,
    rope_scaling=dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192,
                      rope_type="llama3"),
    rope_theta=500000.0, tie_word_embeddings=False, torch_dtype="bfloat16", transformers_version="4.42.3",
    use_cache=True)
DREAM = dict(
    QWEN2, architectures=["DreamModel"], model_type="Dream", mask_token_id=None, pad_token_id=None, rope_scaling=None,
    sliding_window=None, auto_map={"AutoModel": "modeling_dream.DreamModel"}, full_attn_mask=True)
MMADA = dict(
    LLADA, architectures=["MMadaModelLM"], model_type="mmada", codebook_size=16, num_vq_tokens=4,
    num_new_special_tokens=0, gradient_checkpointing=True, auto_map={})

# name: (config, tokenizer, special tokens that tokenizer_config.json adds to it, mask, bos, eos)
MODELS = {
    "LLaDA-8B-Instruct": (LLADA, "bailing.json", ["<|startoftext|>", "<|mdm_mask|>", *HEADERS]),
    "MMaDA-8B-MixCoT": (MMADA, "bailing.json", ["<|startoftext|>", "<|mdm_mask|>", *HEADERS]),
    "Dream-v0-Instruct-7B": (DREAM, "dream", []),
    "Llama-3.1-8B-Instruct": (LLAMA, "llama3.json", HEADERS),
    "Qwen2.5-7B-Instruct": (QWEN2, "qwen2.json", []),
    "Qwen2.5-0.5B-Instruct": (dict(QWEN2, tie_word_embeddings=True), "qwen2.json", []),
}


def bfloat16(values):
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def write_safetensors(path, tensors):
    """A file of bf16 tensors."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "BF16", "shape": values.shape, "data_offsets": [end, end + 2 * values.size]}
        end += 2 * values.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(bfloat16(v).tobytes() for v in tensors.values()))


def shapes(c):
    """Names and shapes of the tensors, as the released files have them."""
    if "d_model" in c:
        v, w, m, t = c["embedding_size"], c["d_model"], c["mlp_hidden_size"], "model.transformer."
        out = {t + "wte.weight": (v, w), t + "ln_f.weight": (w,), t + "ff_out.weight": (v, w)}
        for i in range(c["n_layers"]):
            b = f"{t}blocks.{i}."
            out |= {b + n + ".weight": (w,) for n in ("attn_norm", "ff_norm")}
            out |= {b + n + ".weight": (w, w) for n in ("q_proj", "k_proj", "v_proj", "attn_out")}
            out |= {b + "ff_proj.weight": (m, w), b + "up_proj.weight": (m, w), b + "ff_out.weight": (w, m)}
        return out
    v, w, m, kv = c["vocab_size"], c["hidden_size"], c["intermediate_size"], 16
    out = {"model.embed_tokens.weight": (v, w), "model.norm.weight": (w,)}
    if not c["tie_word_embeddings"]:
        out["lm_head.weight"] = (v, w)
    for i in range(c["num_hidden_layers"]):
        b = f"model.layers.{i}."
        out |= {b + n + ".weight": (w,) for n in ("input_layernorm", "post_attention_layernorm")}
        for n, rows in (("q", w), ("k", kv), ("v", kv)):
            out[f"{b}self_attn.{n}_proj.weight"] = (rows, w)
            if c["architectures"] != ["LlamaForCausalLM"]:
                out[f"{b}self_attn.{n}_proj.bias"] = (rows,)
        out |= {b + "self_attn.o_proj.weight": (w, w), b + "mlp.gate_proj.weight": (m, w)}
        out |= {b + "mlp.up_proj.weight": (m, w), b + "mlp.down_proj.weight": (w, m)}
    return out


def write_tokenizer(folder, source, extra):
    """The tokenizer's files; the ids of its special tokens by their text."""
    if source == "dream":
        for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
            shutil.copy(TOKENIZERS / "dream" / name, folder)
        decoder = json.loads((folder / "tokenizer_config.json").read_text())["added_tokens_decoder"]
        return {token["content"]: int(i) for i, token in decoder.items()}
    shutil.copy(TOKENIZERS / source, folder / "tokenizer.json")
    root = json.loads((folder / "tokenizer.json").read_text())
    ids = {token["content"]: token["id"] for token in root["added_tokens"]}
    first = max([*root["model"]["vocab"].values(), *ids.values()]) + 1
    new = {text: first + i for i, text in enumerate(t for t in extra if t not in ids)}
    config = {"added_tokens_decoder": {str(i): dict(FLAGS, content=text) for text, i in new.items()}}
    if extra:
        config["bos_token"] = next((t for t in ("<|startoftext|>", "<|begin_of_text|>") if t in ids | new), None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return ids | new


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The directory of a model by its published name."""
    root = tmp_path_factory.mktemp("published")

    def build(name):
        folder = root / name
        if folder.exists():
            return folder
        folder.mkdir()
        config, source, extra = MODELS[name]
        ids = write_tokenizer(folder, source, extra)
        rows = max(ids.values()) + 20
        config = dict(config, vocab_size=rows)
        if "d_model" in config:
            config |= dict(
                embedding_size=rows, mask_token_id=ids["<|mdm_mask|>"], eos_token_id=ids["<|eot_id|>"],
                pad_token_id=ids["<|eot_id|>"])
        elif config["model_type"] == "Dream":
            end = ids["<|endoftext|>"]
            config |= dict(mask_token_id=ids["<|mask|>"], pad_token_id=end, bos_token_id=end, eos_token_id=end)
        else:
            config |= dict(bos_token_id=rows - 1, eos_token_id=rows - 2)
        if "new_vocab_size" in config or config["model_type"] == "mmada":
            config |= dict(new_vocab_size=rows, llm_vocab_size=rows - 16)
        (folder / "config.json").write_text(json.dumps(config, indent=2))
        (folder / "generation_config.json").write_text(json.dumps({"_from_model_config": True, "transformers_version": "4.46.3"}))
        random = np.random.default_rng(len(name))
        tensors = {}
        for tensor, shape in shapes(config).items():
            scale = 1 if len(shape) == 1 or "wte" in tensor or "embed" in tensor else shape[1] ** -0.5
            tensors[tensor] = (len(shape) == 1 and not tensor.endswith("bias")) + scale * 0.5 * random.standard_normal(shape)
        # Scattered over the shards, as LLaDA's are; one tensor that is not the text part's.
        if config["model_type"] == "mmada":
            tensors["vision.projector.weight"] = np.ones((4, 4))
        files = [f"model-{i + 1:05}-of-00003.safetensors" for i in range(3)]
        places = {tensor: files[i % 3] for i, tensor in enumerate(sorted(tensors))}
        for file in files:
            write_safetensors(folder / file, {t: v for t, v in tensors.items() if places[t] == file})
        total = sum(2 * v.size for v in tensors.values())
        (folder / "model.safetensors.index.json").write_text(
            json.dumps({"metadata": {"total_size": total}, "weight_map": places}))
        return folder

    return build


@pytest.mark.parametrize("name", MODELS)
def test_capture_with_nothing_but_the_model(published, tmp_path, name):
    model, trace = published(name), tmp_path / "a.h5"
    answer("capture", "--model", model, "--prompt", "In the beginning", "--record", "received", "--output", trace)
    answer("verify", "--deep", trace)
    info = answer_json("info", "--json", trace)
    config = json.loads((model / "config.json").read_text())
    assert info["architecture"] == config["architectures"][0] and info["is_complete"]
    diffusion = config["architectures"][0] not in ("LlamaForCausalLM", "Qwen2ForCausalLM")
    assert info["causality"] == ("bidirectional" if diffusion else "causal")
    assert info["regions"] == [] and info["chat_template"] == ""
    digests = [hashlib.sha256(f.read_bytes()).digest() for f in sorted(model.glob("*.safetensors"))]
    assert info["weights_sha256"] == hashlib.sha256(b"".join(digests)).hexdigest()
    # Every tokenizer file that was used is in the hash.
    adds = json.loads((model / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    used = {"dream": ["vocab.json", "merges.txt", "tokenizer_config.json"]}.get(
        MODELS[name][1], ["tokenizer.json"] + (["tokenizer_config.json"] if adds else []))
    digests = [hashlib.sha256((model / f).read_bytes()) for f in used]
    whole = hashlib.sha256(b"".join(d.digest() for d in digests)) if len(used) > 1 else digests[0]
    assert info["tokenizer_sha256"] == whole.hexdigest()


# name: (template asked for, where it is said to come from, what a user's "Why?" becomes)
CHATS = {
    "LLaDA-8B-Instruct": (
        None, "llada", "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    "MMaDA-8B-MixCoT": (
        None, "mmada", "<|startoftext|><|start_header_id|>user<|end_header_id|>\nWhy?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n"),
    "Dream-v0-Instruct-7B": (
        None, "dream", "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n"
        "<|im_start|>assistant\n"),
    "Llama-3.1-8B-Instruct": (
        "llama-3.1", "llama-3.1", "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
        "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"),
    "Qwen2.5-7B-Instruct": (
        "qwen2.5", "qwen2.5", "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
        "<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"),
}


@pytest.mark.parametrize("name", CHATS)
def test_chat(published, tmp_path, name):
    asked, template, rendered = CHATS[name]
    model, trace = published(name), tmp_path / "a.h5"
    options = ["--chat", *(["--chat-template", asked] if asked else [])]
    answer("capture", "--model", model, "--prompt", "Why?", *options, "--record", "received", "--output", trace)
    answer("verify", "--deep", trace)
    info = answer_json("info", "--json", trace)
    assert info["prompt"] == rendered
    origin = json.loads(info["chat_template"])
    assert origin == {"name": template, "from": "option" if asked else "architecture"}
    kinds = [region["kind"] for region in info["regions"]]
    system = [] if name in ("LLaDA-8B-Instruct", "MMaDA-8B-MixCoT", "Llama-3.1-8B-Instruct") else ["system"]
    assert kinds == ["template", *system, "user", "answer"]
    positions = {region["name"]: region["positions"] for region in info["regions"]}
    assert positions["answer"] == info["generated_length"]
    assert sum(positions.values()) == info["prompt_length"] + info["generated_length"]
    # Special tokens became one each.
    shown = answer("tokenize", "--model", model, "--chat", "Why?", *options[1:])
    text, ids = shown[:-1].rsplit("\n", 1)
    assert text == rendered and len(ids.split(",")) == info["prompt_length"]
    assert answer("tokenize", "--model", model, "--decode", ids) == rendered + "\n"


def test_messages_and_regions(published, tmp_path):
    model, trace = published("LLaDA-8B-Instruct"), tmp_path / "a.h5"
    content = "Documents: Zürich lies on a lake.\nBern is the capital.\nWhich is the capital?"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello."}, {"role": "user", "content": content}]
    marks = []
    for name, text, gold in (("one", "Zürich lies on a lake.", False), ("two", "Bern is the capital.", True)):
        start = content.index(text)
        marks.append({"name": name, "start": start, "end": start + len(text), "gold": gold})
    (tmp_path / "messages.json").write_text(json.dumps(messages))
    (tmp_path / "regions.json").write_text(json.dumps(marks))
    answer("capture", "--model", model, "--messages", tmp_path / "messages.json", "--regions",
           tmp_path / "regions.json", "--record", "received", "--gen-length", 8, "--block-length", 8, "--output", trace)
    answer("verify", "--deep", trace)
    import h5py

    with h5py.File(trace) as file:
        names = [n.decode() for n in file["region_name"][:]]
        assert names == ["template", "system", "user", "assistant", "user 2", "one", "two", "answer"]
        assert [k.decode() for k in file["region_kind"][:]] == [
            "template", "system", "user", "assistant", "user", "document", "document", "answer"]
        assert file["region_gold"][:].tolist() == [0, 0, 0, 0, 0, 0, 1, 0]
        ids, regions = file["final_id"][:], file["region"][:]
    texts = {
        name: answer("tokenize", "--model", model, "--decode", ",".join(map(str, ids[regions == i])))[:-1]
        for i, name in enumerate(names[1:-1], 1)}
    # Spaces between two regions may go with either: with the word where they are one token.
    assert {n: " ".join(t.split()) for n, t in texts.items()} == {
        "system": "Be brief.", "user": "Hi", "assistant": "Hello.", "user 2": "Documents: Which is the capital?",
        "one": "Zürich lies on a lake.", "two": "Bern is the capital."}


def test_unknown_template_is_refused_by_its_hash(published, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(published("LLaDA-8B-Instruct"), model)
    (model / "chat_template.jinja").write_text("{{ messages }}")
    done = attntrace("capture", "--model", model, "--chat", "--prompt", "a", "--output", tmp_path / "a.h5")
    assert done.returncode == 2 and hashlib.sha256(b"{{ messages }}").hexdigest() in done.stderr
    assert "chat_template.jinja" in done.stderr and "llama-3.1" in done.stderr
    answer("capture", "--model", model, "--chat", "--chat-template", "llada", "--prompt", "a", "--record", "received",
           "--output", tmp_path / "a.h5")


@pytest.mark.parametrize("options, said", [
    (["--prompt", "a", "--system", "b"], "--system is for a conversation"),
    (["--prompt", "a", "--chat-template", "llada"], "--chat-template is for a conversation"),
    (["--prompt", "a", "--chat", "--chat-template", "gpt"], "there is no chat template \"gpt\""),
    (["--token-ids", "1,2", "--chat"], "--token-ids are used as they are"),
    (["--prompt", "a", "--chat"], "its tokenizer has no token <|start_header_id|>"),
    (["--prompt", "[[document a]]b", "--markers"], "is not closed"),
])
def test_options_that_do_not_fit(tmp_path, options, said):
    done = attntrace("capture", *options, "--output", tmp_path / "a.h5")
    assert done.returncode == 2 and said in done.stderr and done.stdout == ""


def test_regions_count_the_messages_as_they_were_given(tmp_path):
    """What --system puts first is none of them."""
    trace = tmp_path / "a.h5"
    (tmp_path / "messages.json").write_text(json.dumps([{"role": "user", "content": "The king went up."}]))
    (tmp_path / "regions.json").write_text(json.dumps([{"name": "king", "start": 4, "end": 8, "message": 0}]))
    answer("capture", "--messages", tmp_path / "messages.json", "--system", "Be brief.", "--chat-template", "llada",
           "--regions", tmp_path / "regions.json", "--record", "received", "--gen-length", 4, "--output", trace)
    import h5py

    with h5py.File(trace) as file:
        names = [name.decode() for name in file["region_name"][:]]
        ids = file["final_id"][:][file["region"][:] == names.index("king")]
    assert names == ["template", "system", "user", "king", "answer"]
    assert answer("tokenize", "--decode", ",".join(map(str, ids))).strip() == "king"
