"""Writes a Hugging Face folder of the LLaDA or Llama architecture as a GGUF file that llama.cpp reads.

    python Benchmarks/llama/convert.py models/tiny-mdm tiny-mdm.gguf --weights bf16

Done here, and not with llama.cpp's own converter, so that `make peers` needs PyPI alone: the Python package of llama.cpp
does not carry the converter. llama.cpp rotates neighbouring pairs (2i, 2i+1) in both architectures, where the published
weights pair i with i + d/2: rows of the query and key weights are put in that order.
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import load_file

TYPES = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "bf16": gguf.GGMLQuantizationType.BF16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}


def neighbours(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head reordered from (first half, second half) to pairs."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def add_shape(out: gguf.GGUFWriter, config: dict) -> int:
    """Writes what config.json says of the shape; returns the number of layers."""
    is_llada = config.get("model_type") == "llada"

    def field(llada, llama):
        return config[llada if is_llada else llama]

    width, heads = field("d_model", "hidden_size"), field("n_heads", "num_attention_heads")
    layers = field("n_layers", "num_hidden_layers")
    out.add_block_count(layers)
    out.add_context_length(field("max_sequence_length", "max_position_embeddings"))
    out.add_embedding_length(width)
    out.add_feed_forward_length(field("mlp_hidden_size", "intermediate_size"))
    out.add_head_count(heads)
    out.add_head_count_kv(config.get("n_kv_heads" if is_llada else "num_key_value_heads") or heads)
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_rope_freq_base(config["rope_theta"])
    out.add_rope_dimension_count(config.get("head_dim") or width // heads)
    out.add_vocab_size(config["vocab_size"])
    if is_llada:
        out.add_causal_attention(False)
        out.add_diffusion_shift_logits(False)
    return layers


def add_tokenizer(out: gguf.GGUFWriter, folder: Path, config: dict):
    """Writes tokenizer.json, whose pattern must be Llama 3's; without the file, the model has token ids alone."""
    if not (folder / "tokenizer.json").exists():
        out.add_tokenizer_model("no_vocab")
        return
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    pattern = tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    if "\\p{N}{1,3}" not in pattern or "(?i:'s|'t" not in pattern:
        raise SystemExit(f"{folder}: tokenizer.json splits words by a pattern that is not Llama 3's")
    tokens = {id: text for text, id in tokenizer["model"]["vocab"].items()}
    special = {t["id"]: t["content"] for t in tokenizer["added_tokens"]}
    tokens |= special
    ids = range(config["vocab_size"])
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("llama-bpe")
    out.add_token_list([tokens.get(i, f"[unused {i}]") for i in ids])
    kinds = gguf.TokenType
    out.add_token_types(
        [kinds.CONTROL if i in special else kinds.NORMAL if i in tokens else kinds.UNUSED for i in ids])
    out.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])
    for key, add in (
        ("bos_token_id", out.add_bos_token_id), ("eos_token_id", out.add_eos_token_id),
        ("mask_token_id", out.add_mask_token_id),
    ):
        if config.get(key) is not None:
            add(config[key])
    out.add_add_bos_token(True)


def convert(folder: Path, path: Path, weights: str):
    """Writes `folder` as the GGUF file `path`, its matrices as `weights`, its norms in float32."""
    config = json.loads((folder / "config.json").read_text())
    is_llada = config.get("model_type") == "llada"
    arch = gguf.MODEL_ARCH.LLADA if is_llada else gguf.MODEL_ARCH.LLAMA
    out = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    layers = add_shape(out, config)
    add_tokenizer(out, folder, config)
    heads = config["n_heads" if is_llada else "num_attention_heads"]
    kv_heads = config.get("n_kv_heads" if is_llada else "num_key_value_heads") or heads
    names = gguf.get_tensor_name_map(arch, layers)
    for file in sorted(folder.glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            values = tensor.to(torch.float32).numpy()
            if name.endswith("q_proj.weight"):
                values = neighbours(values, heads)
            if name.endswith("k_proj.weight"):
                values = neighbours(values, kv_heads)
            kind = TYPES[weights if values.ndim == 2 else "f32"]
            to = names.get_name(name, try_suffixes=(".weight",))
            if to is None:
                raise SystemExit(f"{file}: llama.cpp's {gguf.MODEL_ARCH_NAMES[arch]} has no tensor {name}")
            out.add_tensor(to, gguf.quants.quantize(values, kind), raw_dtype=kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--weights", choices=list(TYPES), default="bf16")
    a = parser.parse_args()
    convert(a.folder, a.output, a.weights)


if __name__ == "__main__":
    main()
