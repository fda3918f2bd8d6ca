"""Writes a checkpoint as a model folder: config.json, model.safetensors in bfloat16, tokenizer.

The diffusion model gets LLaDA's fields and tensor names, its twin Llama's, so that whatever
reads the large models reads these. `load` goes the other way and is what the measurements
use: they see the rounded weights of the folder, never the checkpoint.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from model import Shape, Transformer

START, END, MASK = 0, 1, 2
SPECIAL = {0: "<|startoftext|>", 1: "<|endoftext|>", 2: "<|mdm_mask|>"}

LLAMA_BLOCK = {
    "attn_norm": "input_layernorm",
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj",
    "ff_norm": "post_attention_layernorm",
    "ff_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "ff_out": "mlp.down_proj",
}
LLAMA_TOP = {"wte": "model.embed_tokens", "ln_f": "model.norm", "ff_out": "lm_head"}


def exported_name(name: str, kind: str) -> str:
    """`blocks.3.q_proj.weight` as LLaDA or Llama calls it."""
    if kind == "mdm":
        return f"model.transformer.{name}"
    parts = name.split(".")
    if parts[0] == "blocks":
        return f"model.layers.{parts[1]}.{LLAMA_BLOCK[parts[2]]}.weight"
    return f"{LLAMA_TOP[parts[0]]}.weight"


def llada_config(s: Shape) -> dict:
    return {
        "activation_type": "silu",
        "alibi": False,
        "alibi_bias_max": 8.0,
        "architectures": ["LLaDAModelLM"],
        "attention_dropout": 0.0,
        "attention_layer_norm": False,
        "attention_layer_norm_with_affine": True,
        "bias_for_layer_norm": False,
        "block_group_size": 1,
        "block_type": "llama",
        "bos_token_id": START,
        "d_model": s.width,
        "embedding_dropout": 0.0,
        "embedding_size": s.vocab,
        "eos_token_id": END,
        "flash_attention": False,
        "include_bias": False,
        "include_qkv_bias": False,
        "init_fn": "normal",
        "init_std": 0.02,
        "input_emb_norm": False,
        "layer_norm_type": "rms",
        "layer_norm_with_affine": True,
        "mask_token_id": MASK,
        "max_sequence_length": s.context,
        "mlp_hidden_size": s.mlp,
        "mlp_ratio": 4,
        "model_type": "llada",
        "multi_query_attention": None,
        "n_heads": s.heads,
        "n_kv_heads": s.heads,
        "n_layers": s.layers,
        "pad_token_id": END,
        "residual_dropout": 0.0,
        "rms_norm_eps": s.eps,
        "rope": True,
        "rope_full_precision": True,
        "rope_theta": s.rope_theta,
        "scale_logits": False,
        "torch_dtype": "bfloat16",
        "use_cache": False,
        "vocab_size": s.vocab,
        "weight_tying": False,
    }


def llama_config(s: Shape) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": START,
        "eos_token_id": END,
        "head_dim": s.head_width,
        "hidden_act": "silu",
        "hidden_size": s.width,
        "initializer_range": 0.02,
        "intermediate_size": s.mlp,
        "max_position_embeddings": s.context,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": s.heads,
        "num_hidden_layers": s.layers,
        "num_key_value_heads": s.heads,
        "pad_token_id": END,
        "pretraining_tp": 1,
        "rms_norm_eps": s.eps,
        "rope_scaling": None,
        "rope_theta": s.rope_theta,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": s.vocab,
    }


def tokenizer_config(s: Shape, kind: str) -> dict:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    config = {
        "added_tokens_decoder": {str(i): {"content": token, **flags} for i, token in SPECIAL.items()},
        "bos_token": SPECIAL[START],
        "clean_up_tokenization_spaces": False,
        "eos_token": SPECIAL[END],
        "model_max_length": s.context,
        "pad_token": SPECIAL[END],
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    if kind == "mdm":
        config["mask_token"] = SPECIAL[MASK]
    return config


def write_json(path: Path, value: dict):
    path.write_text(json.dumps(value, indent=2) + "\n")


def export(checkpoint: Path, tokenizer: Path, kind: str, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    state = torch.load(checkpoint, weights_only=True)
    tensors = {exported_name(n, kind): t.to(torch.bfloat16).contiguous() for n, t in state["model"].items()}
    aside = folder / "model.safetensors.part"  # a reader sees the old file or the new one
    save_file(tensors, aside, metadata={"format": "pt"})
    aside.chmod(0o644)
    aside.replace(folder / "model.safetensors")
    shape = Shape()
    write_json(folder / "config.json", llada_config(shape) if kind == "mdm" else llama_config(shape))
    write_json(folder / "tokenizer_config.json", tokenizer_config(shape, kind))
    if kind == "ar":
        ids = {"bos_token_id": START, "eos_token_id": END, "pad_token_id": END}
        write_json(folder / "generation_config.json", ids)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    return state["step"]


def load(folder: Path) -> Transformer:
    """The model of a folder, in float32, from its rounded weights."""
    config = json.loads((folder / "config.json").read_text())
    kind = "mdm" if config["model_type"] == "llada" else "ar"
    model = Transformer(Shape(), causal=kind == "ar")
    tensors = load_file(folder / "model.safetensors")
    names = {name: exported_name(name, kind) for name in model.state_dict()}
    assert set(names.values()) == set(tensors), "the folder holds other tensors than the model"
    model.load_state_dict({name: tensors[there].float() for name, there in names.items()})
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=("mdm", "ar"), required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the model folder")
    a = parser.parse_args()
    step = export(a.checkpoint, a.tokenizer, a.kind, a.out)
    size = (a.out / "model.safetensors").stat().st_size
    print(f"{a.out}: step {step}, {size} bytes")
    assert size <= 8_000_000, "over the limit of 8,000,000 bytes"
    load(a.out)


if __name__ == "__main__":
    main()
