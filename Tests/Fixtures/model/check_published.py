"""Runs the published code of LLaDA, MMaDA and Dream on the tiny models here, and holds the committed numbers against it.

    python check_published.py --llada DIR --mmada DIR --dream DIR

DIR is the folder with configuration_*.py and modeling_*.py of a checkout: see README.md for repositories and revisions.
Needs torch, safetensors, einops and transformers 4.46 (Dream's code does not run on 5).
"""

import argparse
import importlib.util
import json
import math
import sys
import types
from pathlib import Path

import torch
from safetensors.torch import load_file

from make_fixtures import EXTRA, HERE, Shape, TINY, load_weights


def load(folder: Path, *names: str):
    """Modules of a folder as a package, so that they find each other; the last one is returned."""
    package = "published_" + "_".join(folder.parts[-3:]).replace("-", "_").replace("+", "_")
    if package not in sys.modules:
        sys.modules[package] = types.ModuleType(package)
        sys.modules[package].__path__ = [str(folder)]
    for name in names:
        full = f"{package}.{name}"
        if full not in sys.modules:
            spec = importlib.util.spec_from_file_location(full, folder / f"{name}.py")
            sys.modules[full] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


def keeping_attention(kept: list):
    """A scaled_dot_product_attention that keeps the probabilities, which the published classes do not give."""
    def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **other):
        assert dropout_p == 0.0 and not is_causal and scale is None, "not what the released models do"
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        if attn_mask is not None:
            scores = scores + attn_mask
        p = scores.float().softmax(-1)
        kept.append(p[0])
        return p.to(value.dtype) @ value
    return attention


@torch.no_grad()
def run(name: str, model, ids):
    """Logits and attention of a model with the fixture's weights in float32."""
    extra = EXTRA.get(name, {})
    state = {tensor: w.float() for tensor, w in load_weights(HERE / name).items() if tensor not in extra}
    # The file's names, without a translation: that is checked too.
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected, unexpected
    assert all("rotary" in key or "ff_out" in key for key in missing), missing
    kept = []
    before = torch.nn.functional.scaled_dot_product_attention
    torch.nn.functional.scaled_dot_product_attention = keeping_attention(kept)
    try:
        logits = model.eval().float()(ids[None]).logits[0]
    finally:
        torch.nn.functional.scaled_dot_product_attention = before
    return logits.float(), torch.stack(kept)


def build(config: dict, folders: dict):
    """The published class for a config.json, without weights; None where no folder was given for it."""
    family = config["architectures"][0]
    where = {"LLaDAModelLM": "llada", "MMadaModelLM": "mmada", "DreamModel": "dream"}.get(family)
    if folders.get(where) is None:
        return None
    folder, config = folders[where], {k: v for k, v in config.items() if k != "architectures"}
    if where == "dream":
        module = load(folder, "configuration_dream", "generation_utils", "modeling_dream")
        return module.DreamModel(module.DreamConfig(**config, attn_implementation="sdpa"))
    module = load(folder, "configuration_llada", "modeling_llada")
    defaults = {
        f: v for f, v in vars(module.ModelConfig()).items() if f not in config} | {"init_device": "cpu"}
    defaults.update(attention_dropout=0.0, residual_dropout=0.0, embedding_dropout=0.0)
    # As a file with every field, which MMaDA's class needs: it has no defaults of its own.
    if where == "mmada":
        config["embedding_size"] = config["new_vocab_size"]
    return module.LLaDAModelLM(module.LLaDAConfig(**defaults | config))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("llada", "mmada", "dream"):
        parser.add_argument(f"--{name}", type=Path, help="folder with the published modelling code")
    folders = vars(parser.parse_args())
    good, checked = True, 0
    for name in TINY:
        model = build(json.loads((HERE / name / "config.json").read_text()), folders)
        if model is None:
            continue
        committed = load_file(HERE / name / "expected.safetensors")
        logits, attention = run(name, model, committed["ids"].long())
        a = (logits - committed["logits"]).abs().max() / logits.abs().max()
        b = (attention - committed["attention"]).abs().max()
        print(f"{name}: the published code differs by {a:.1e} of the largest logit, {b:.1e} in attention")
        good &= bool(a < 2e-5 and b < 1e-5)
        checked += 1
    sys.exit(0 if good and checked else 1)


if __name__ == "__main__":
    main()
