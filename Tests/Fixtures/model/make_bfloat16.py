"""Logits of tiny models in bfloat16 arithmetic, for Tests/CaptureTests/BFloat16Tests.swift.

    python make_bfloat16.py            writes NAME/bfloat16.safetensors
    python make_bfloat16.py --check    recomputes them and compares

Where activations enter a product with weights, both sides are rounded to bfloat16 (nearest, ties to even); sums, residual
stream, norms and attention are float32. That is written out below in float32 PyTorch. A model whose every operation is
bfloat16, as transformers runs it, differs from it by more, since there the residual stream is rounded as well; how much is
printed. Needs torch and safetensors.
"""

import argparse
import json
import sys

import torch
from make_fixtures import HERE, Shape, load_weights
from safetensors.torch import load_file, save_file

NAMES = ("llada-bf16", "llama-grouped-f16")


@torch.no_grad()
def forward(shape, weights, ids, rounded=True, stream=torch.float32):
    """Logits [T, V]. `stream`: the type that everything else is rounded to."""
    name, length = shape.names, len(ids)

    def tensor(key, layer=None):
        prefix = name["block"].format(layer) if layer is not None else ""
        return weights[prefix + name[key] + ".weight"].float()

    def brain(x):
        return x.bfloat16().float() if rounded else x

    def keep(x):
        return x.to(stream).float()

    def linear(x, key, layer=None):
        return keep(brain(x) @ brain(tensor(key, layer)).T)

    def norm(x, w):
        return keep(keep(x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + shape.eps)) * w)

    pairs = torch.arange(0, shape.head_width, 2, dtype=torch.float32)
    angle = torch.outer(torch.arange(length, dtype=torch.float32), 1.0 / shape.theta ** (pairs / shape.head_width))
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)

    def rotate(x):
        first, second = x.split(shape.head_width // 2, -1)
        return keep(x * cos + torch.cat([-second, first], -1) * sin)

    def heads(x):
        return x.view(length, -1, shape.head_width).transpose(0, 1)

    x = keep(tensor("wte")[ids])
    for layer in range(shape.layers):
        h = norm(x, tensor("norm1", layer))
        q, k, v = (heads(linear(h, key, layer)) for key in "qkv")
        group = shape.heads // shape.kv_heads
        k, v = rotate(k).repeat_interleave(group, 0), v.repeat_interleave(group, 0)
        scores = rotate(q) @ k.transpose(1, 2) / shape.head_width**0.5
        if shape.causal:
            scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
        mixed = keep(keep(scores.softmax(-1)) @ v).transpose(0, 1).reshape(length, -1)
        x = keep(x + linear(mixed, "o", layer))
        h = norm(x, tensor("norm2", layer))
        x = keep(x + linear(keep(torch.nn.functional.silu(linear(h, "gate", layer)) * linear(h, "up", layer)), "down", layer))
    return linear(norm(x, tensor("ln_f")), "wte" if shape.tied else "head")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with what is committed, write nothing")
    check, good = parser.parse_args().check, True
    for name in NAMES:
        folder = HERE / name
        shape, weights = Shape(json.loads((folder / "config.json").read_text())), load_weights(folder)
        ids = load_file(folder / "expected.safetensors")["ids"].long()
        logits = forward(shape, weights, ids)
        largest = logits.abs().max()
        exact = (forward(shape, weights, ids, rounded=False) - logits).abs().max() / largest
        all_brain = (forward(shape, weights, ids, stream=torch.bfloat16) - logits).abs().max() / largest
        print(f"{name}: float32 differs by {exact:.1e} of the largest logit, bfloat16 throughout by {all_brain:.1e}")
        if check:
            difference = (load_file(folder / "bfloat16.safetensors")["logits"] - logits).abs().max() / largest
            print(f"{name}: committed logits differ by {difference:.1e}")
            good &= bool(difference < 2e-3)
        else:
            save_file({"logits": logits}, folder / "bfloat16.safetensors")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
