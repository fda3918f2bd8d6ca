"""One small transformer, used twice: bidirectional for masked diffusion, causal for the twin.

Both twins have the same parameters; only the attention mask differs. The parameters carry
LLaDA's names inside a block (`attn_norm`, `q_proj`, ..., `ff_out`), so that exporting is a
matter of prefixes; `export.py` knows Llama's names as well.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Shape:
    """The size of the model. The defaults give 3.96 M parameters, 7.92 MB in bfloat16."""

    width: int = 192
    layers: int = 8
    heads: int = 6
    mlp: int = 432
    vocab: int = 2048
    context: int = 128
    rope_theta: float = 10000.0
    eps: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def _has_onednn_linear() -> bool:
    try:
        a = torch.ones(2, 2)
        return torch.equal(torch.ops.mkldnn._linear_pointwise(a, a, None, "none", [], ""), a @ a.t())
    except (AttributeError, RuntimeError):
        return False


class _OneDNNLinear(torch.autograd.Function):
    """y = x w^T by oneDNN, which uses AVX-512 on every maker's processors.

    PyTorch's own float32 product goes to MKL, whose path for processors that are not Intel's
    reached 85 GFLOP/s on the core these models were trained on; this one reached 198.
    """

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "")

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        product = lambda a, b: torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
        gx = product(g, w.t().contiguous())
        g, x = g.reshape(-1, g.shape[-1]), x.reshape(-1, x.shape[-1])
        return gx, product(g.t(), x.t())


class Linear(nn.Module):
    """A linear map without bias, weight [out, in]."""

    onednn = _has_onednn_linear()

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def forward(self, x):
        if self.onednn and x.numel() and x.dtype == torch.float32:
            return _OneDNNLinear.apply(x, self.weight)
        return F.linear(x, self.weight)


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rope_tables(length: int, shape: Shape):
    """cos and sin of p * theta^(-2i/d), each frequency twice: [length, head_width]."""
    half = torch.arange(0, shape.head_width, 2, dtype=torch.float32)
    frequency = shape.rope_theta ** (-half / shape.head_width)
    angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency)
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    """Rotary positions, half-rotation form: dimension i pairs with i + d/2."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Block(nn.Module):
    def __init__(self, shape: Shape, causal: bool):
        super().__init__()
        w, m = shape.width, shape.mlp
        self.heads, self.head_width, self.causal = shape.heads, shape.head_width, causal
        self.attn_norm = RMSNorm(w, shape.eps)
        self.q_proj = Linear(w, w)
        self.k_proj = Linear(w, w)
        self.v_proj = Linear(w, w)
        self.attn_out = Linear(w, w)
        self.ff_norm = RMSNorm(w, shape.eps)
        self.ff_proj = Linear(w, m)  # the gate
        self.up_proj = Linear(w, m)
        self.ff_out = Linear(m, w)

    def queries_keys_values(self, x, cos, sin):
        """[batch, heads, length, head_width] each, after the rotation of queries and keys."""
        batch, length, _ = x.shape
        h = self.attn_norm(x)
        split = lambda y: y.view(batch, length, self.heads, self.head_width).transpose(1, 2)
        q, k, v = split(self.q_proj(h)), split(self.k_proj(h)), split(self.v_proj(h))
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def probabilities(self, x, cos, sin):
        """For measuring: the attention map [batch, heads, query, key], and value norms."""
        q, k, v = self.queries_keys_values(x, cos, sin)
        scores = q @ k.transpose(-1, -2) / self.head_width**0.5
        if self.causal:
            length = x.shape[1]
            above = torch.ones(length, length, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(above, float("-inf"))
        return scores.softmax(-1), v.norm(dim=-1)

    def forward(self, x, cos, sin):
        batch, length, width = x.shape
        q, k, v = self.queries_keys_values(x, cos, sin)
        o = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.attn_out(o.transpose(1, 2).reshape(batch, length, width))
        h = self.ff_norm(x)
        return x + self.ff_out(F.silu(self.ff_proj(h)) * self.up_proj(h))


class Transformer(nn.Module):
    """`causal=False` is the diffusion model, `causal=True` its autoregressive twin."""

    def __init__(self, shape: Shape, causal: bool):
        super().__init__()
        self.shape, self.causal = shape, causal
        self.wte = nn.Embedding(shape.vocab, shape.width)
        self.blocks = nn.ModuleList(Block(shape, causal) for _ in range(shape.layers))
        self.ln_f = RMSNorm(shape.width, shape.eps)
        self.ff_out = Linear(shape.width, shape.vocab)
        self.reset()

    def reset(self):
        """Normal weights of deviation 0.02, smaller where a block writes to the residual."""
        for name, p in self.named_parameters():
            if p.dim() < 2:
                continue
            writes = name.endswith(("attn_out.weight", "ff_out.weight")) and "blocks" in name
            scale = (2 * self.shape.layers) ** -0.5 if writes else 1.0
            nn.init.normal_(p, std=0.02 * scale)

    def hidden(self, ids):
        """The final normalised residual stream: [batch, length, width]."""
        cos, sin = rope_tables(ids.shape[1], self.shape)
        x = self.wte(ids)
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.ln_f(x)

    def forward(self, ids):
        return self.ff_out(self.hidden(ids))

    @torch.no_grad()
    def forward_with_attention(self, ids):
        """For one row of ids: logits, every attention map [layers, heads, query, key], and the
        norm of every value [layers, heads, key]."""
        cos, sin = rope_tables(ids.shape[1], self.shape)
        x, maps, values = self.wte(ids), [], []
        for block in self.blocks:
            attention, norms = block.probabilities(x, cos, sin)
            maps.append(attention[0])
            values.append(norms[0])
            x = block(x, cos, sin)
        return self.ff_out(self.ln_f(x)), torch.stack(maps), torch.stack(values)
