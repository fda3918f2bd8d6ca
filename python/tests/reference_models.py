"""Small PyTorch models and a sampler to hold recorded traces against: written for the tests, with the tensor names and the
calls that the published code has."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Any) -> Any:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


class Block(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        width, hidden = config.d_model, config.mlp_hidden_size
        self.heads, self.kv_heads = config.n_heads, config.n_kv_heads
        self.channels = width // self.heads
        self.attn_norm, self.ff_norm = Norm(width), Norm(width)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, self.kv_heads * self.channels, bias=False)
        self.v_proj = nn.Linear(width, self.kv_heads * self.channels, bias=False)
        self.attn_out = nn.Linear(width, width, bias=False)
        self.ff_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.ff_out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Any, cos: Any, sin: Any) -> Any:
        batch, length, width = x.shape
        h = self.attn_norm(x)
        q, k, v = (
            product(h).view(batch, length, -1, self.channels).transpose(1, 2)
            for product in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        if hasattr(functional, "scaled_dot_product_attention"):
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False)
        else:
            scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(self.channels)
            mixed = torch.matmul(functional.softmax(scores, dim=-1), v)
        x = x + self.attn_out(mixed.transpose(1, 2).reshape(batch, length, width))
        h = self.ff_norm(x)
        return x + self.ff_out(functional.silu(self.ff_proj(h)) * self.up_proj(h))


def rotate(x: Any, cos: Any, sin: Any) -> Any:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class MaskedDiffusionModel(nn.Module):
    """Bidirectional, with LLaDA's configuration and tensor names."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = SimpleNamespace(**config)
        self.model = nn.Module()
        self.model.transformer = nn.ModuleDict({
            "wte": nn.Embedding(config["embedding_size"], config["d_model"]),
            "blocks": nn.ModuleList(Block(self.config) for _ in range(config["n_layers"])),
            "ln_f": Norm(config["d_model"]),
            "ff_out": nn.Linear(config["d_model"], config["embedding_size"], bias=False)})

    @classmethod
    def load(cls, folder: Path) -> MaskedDiffusionModel:
        model = cls(**json.loads((folder / "config.json").read_text()))
        weights = {name: value.float() for name, value in load_file(str(folder / "model.safetensors")).items()}
        model.load_state_dict(weights)
        return model.eval()

    @classmethod
    def random(cls, heads: int = 4, kv_heads: int = 2, layers: int = 2, width: int = 32) -> MaskedDiffusionModel:
        torch.manual_seed(1)
        model = cls(
            architectures=["LLaDAModelLM"], d_model=width, n_heads=heads, n_kv_heads=kv_heads, n_layers=layers,
            embedding_size=50, mlp_hidden_size=2 * width, mask_token_id=49)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.4)
        return model.eval()

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
        parts = self.model.transformer
        channels = self.config.d_model // self.config.n_heads
        half = torch.arange(0, channels, 2, dtype=torch.float32, device=input_ids.device)
        angle = torch.outer(torch.arange(input_ids.shape[1], device=half.device).float(), 10000.0 ** (-half / channels))
        angle = torch.cat([angle, angle], -1).to(parts["wte"].weight.dtype)
        x = parts["wte"](input_ids)
        for block in parts["blocks"]:
            x = block(x, angle.cos(), angle.sin())
        return SimpleNamespace(logits=parts["ff_out"](parts["ln_f"](x)))


@torch.no_grad()
def generate(
    model: Any, prompt: Any, steps: int, gen_length: int, block_length: int, temperature: float = 0.0,
    cfg_scale: float = 0.0, in_place: bool = True,
) -> Any:
    """Masked diffusion in blocks, low-confidence remasking: what LLaDA's sampler does, in few lines."""
    mask = model.config.mask_token_id
    x = torch.cat([prompt, torch.full((1, gen_length), mask)], 1)
    blocks = gen_length // block_length
    for step in range(steps):
        block = step // (steps // blocks)
        end = prompt.shape[1] + (block + 1) * block_length
        if cfg_scale:
            hidden = x.clone()
            hidden[:, : prompt.shape[1]] = mask
            conditional, unconditional = model(torch.cat([x, hidden])).logits.chunk(2)
            logits = unconditional + (cfg_scale + 1) * (conditional - unconditional)
        else:
            logits = model(x).logits
        noise = -torch.log(-torch.log(torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)))
        drawn = (logits / temperature + noise if temperature else logits).argmax(-1)
        score = torch.softmax(logits.double(), -1).gather(-1, drawn[..., None])[..., 0]
        score[:, end:] = -1
        score[x != mask] = -1
        per_block = steps // blocks
        count = block_length // per_block + (step % per_block < block_length % per_block)
        chosen = score[0].topk(count).indices
        if not in_place:
            x = x.clone()
        x[0, chosen] = drawn[0, chosen]
    return x
