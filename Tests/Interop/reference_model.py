"""The forward pass of the embedded models in NumPy and float64, written from the equations; nothing of ours in it.

test_signals.py compares it with the numbers that PyTorch computed (Tests/Fixtures/model), then the traces with it.
"""

import json

import numpy as np


def tensors(path):
    """Tensors of a safetensors file in float64, or as they are where they are whole numbers, by name."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        piece = raw[8 + length + start : 8 + length + end]
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(piece, "<u2").astype("<u4") << 16).view("<f4")
        else:
            values = np.frombuffer(piece, {"F32": "<f4", "F16": "<f2", "I32": "<i4", "U8": "u1"}[entry["dtype"]])
        values = values.reshape(entry["shape"])
        found[name] = values.astype(np.float64) if values.dtype.kind == "f" else values
    return found


class Model:
    """A model's folder."""

    def __init__(self, folder):
        c = json.loads((folder / "config.json").read_text())
        self.weights = tensors(folder / "model.safetensors")
        self.is_causal = c["architectures"][0] == "LlamaForCausalLM"
        self.heads = c.get("n_heads") or c["num_attention_heads"]
        self.kv_heads = c.get("n_kv_heads") or c.get("num_key_value_heads") or self.heads
        self.layers = c.get("n_layers") or c["num_hidden_layers"]
        self.eps, self.theta = c["rms_norm_eps"], c["rope_theta"]
        if self.is_causal:
            self.names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                          "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm",
                          "post_attention_layernorm"]
            self.block, self.outside = "model.layers.{}.", ("model.embed_tokens", "model.norm", "lm_head")
        else:
            self.names = ["q_proj", "k_proj", "v_proj", "attn_out", "ff_proj", "up_proj", "ff_out", "attn_norm",
                          "ff_norm"]
            t = "model.transformer."
            self.block, self.outside = t + "blocks.{}.", (t + "wte", t + "ln_f", t + "ff_out")

    def norm(self, x, weight):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + self.eps) * weight

    def forward(self, ids, hidden=None):
        """`hidden` [layer, head, query, key] tells what is taken out of the softmax. By name: q, v, output, attention, logsumexp [layer, head, ...], k, v [layer, kv_head, ...], the residual
        stream [depth, position, channel], logits."""
        get = lambda name: self.weights[name + ".weight"]
        found = {name: [] for name in ["q", "k", "v", "attention", "logsumexp", "output", "stream"]}
        x = get(self.outside[0])[ids]
        found["stream"].append(x)
        length = len(ids)
        for layer in range(self.layers):
            wq, wk, wv, wo, gate, up, down, norm1, norm2 = (
                get(self.block.format(layer) + name) for name in self.names)
            h = self.norm(x, norm1)
            split = lambda y, count: y.reshape(length, count, -1).transpose(1, 0, 2)
            q, k, v = split(h @ wq.T, self.heads), split(h @ wk.T, self.kv_heads), split(h @ wv.T, self.kv_heads)
            width = q.shape[-1]
            angle = np.arange(length)[:, None] * self.theta ** (-np.arange(width // 2) * 2 / width)
            cos, sin = np.cos(angle), np.sin(angle)

            def rotate(y):
                a, b = y[..., : width // 2], y[..., width // 2 :]
                return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

            q, k = rotate(q), rotate(k)
            group = self.heads // self.kv_heads
            attention, logsumexp = softmax(
                q, np.repeat(k, group, 0), self.is_causal, None if hidden is None else hidden[layer])
            output = attention @ np.repeat(v, group, 0)
            x = x + output.transpose(1, 0, 2).reshape(length, -1) @ wo.T
            h = self.norm(x, norm2)
            g = h @ gate.T
            x = x + (g / (1 + np.exp(-g)) * (h @ up.T)) @ down.T
            for name, value in [("q", q), ("k", k), ("v", v), ("attention", attention), ("logsumexp", logsumexp),
                                ("output", output), ("stream", x)]:
                found[name].append(value)
        found = {name: np.stack(value) for name, value in found.items()}
        found["logits"] = self.norm(x, get(self.outside[1])) @ get(self.outside[2]).T
        return found


def softmax(q, k, is_causal, hidden=None):
    """Attention of q [..., query, channel] over k [..., key, channel], and the log of its denominators. What is `hidden`
    takes no part, but for queries that would see nothing else."""
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if is_causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    if hidden is not None:
        left = np.where(hidden, -np.inf, scores)
        scores = np.where(np.isneginf(left).all(-1, keepdims=True), scores, left)
    top = scores.max(-1, keepdims=True)
    total = np.exp(scores - top).sum(-1, keepdims=True)
    return np.exp(scores - top) / total, (np.log(total) + top)[..., 0]
