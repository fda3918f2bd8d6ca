"""Sees the attention of a model while its own code computes it, without changing the code or what it computes.

A `TorchFunctionMode` is asked about each call of a function of PyTorch on the thread of the forward pass. Two of them are
attention: `scaled_dot_product_attention` (LLaDA's, Dream's and MMaDA's published code), whose weights are computed beside it
from the same queries and keys, and a softmax over scores of heads x queries x keys (eager attention of transformers),
whose weights are taken as they are. Kernels that are called past these (flash-attn, flex attention, compiled graphs)
cannot be seen.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Tensor = Any
"""torch.Tensor; oldest versions of PyTorch have no types that a checker could read."""

SDPA = getattr(functional, "scaled_dot_product_attention", None)
SOFTMAX = frozenset({functional.softmax, torch.softmax, torch.Tensor.softmax})
MATMUL = frozenset({torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__})

uncompiled: Callable[[Any], Any] = getattr(getattr(torch, "compiler", None), "disable", lambda function: function)
"""Keeps what the tap does out of graphs that the model's code compiles (Fast-dLLM compiles its attention)."""


@contextlib.contextmanager
def exact(tensor: Tensor) -> Iterator[None]:
    """Computes in float32 and without gradients, whatever the model's surroundings allow it (autocast, TF32)."""
    precision = torch.get_float32_matmul_precision()
    kind = tensor.device.type
    with torch.no_grad(), torch.autocast(kind, enabled=False) if kind in ("cpu", "cuda") else contextlib.nullcontext():
        if precision != "highest":
            torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            if precision != "highest":
                torch.set_float32_matmul_precision(precision)


@dataclass
class Attention:
    """What one layer attended to in one forward pass; tensors on the layer's device, in float32 where computed here."""

    weights: Tensor
    """batch, head, query, key."""
    peak: Tensor
    """The largest score of each row, scaled: batch, head, query."""
    query: Tensor | None = None
    """batch, head, query, channel, after position encoding; None where it was not seen."""
    key: Tensor | None = None
    """batch, head or key-value head, key, channel."""
    value: Tensor | None = None
    output: Tensor | None = None
    """batch, head, query, channel: sums of values by weight."""
    hides: Callable[[], bool] = lambda: False
    """Whether a query does not see every key. To be asked while the layer is handed over."""


class AttentionTap(TorchFunctionMode):  # type: ignore[misc]
    """Hands each layer's attention to `absorb`, in the order of the layers, while it is active.

    `is_wanted(n)` says whether the n-th layer is to be computed at all, `heads` is the model's number of heads, `rows` the
    queries of the pass, `needs_vectors` whether queries, keys and values are wanted too.
    """

    def __init__(
        self, absorb: Callable[[int, Attention], None], is_wanted: Callable[[int], bool], heads: int, rows: int,
        needs_vectors: bool,
    ) -> None:
        super().__init__()
        self.layers_seen = 0
        self._absorb = absorb
        self._is_wanted = is_wanted
        self._heads = heads
        self._rows = rows
        self._needs_vectors = needs_vectors
        self._product: tuple[Tensor, Tensor] | None = None
        self._waiting: tuple[int, Attention] | None = None

    def __torch_function__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if func is SDPA and SDPA is not None:
            with exact(output):
                self._fused(output, *args, **kwargs)
        elif func in SOFTMAX:
            with exact(output):
                self._softmax(output, *args, **kwargs)
        elif self._needs_vectors and func in MATMUL and output.dim() == 4:
            with exact(output):
                self._matmul(output, *args)
        return output

    def flush(self) -> None:
        """Ends the pass: a layer that waits for its values is handed over without them."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._absorb(*waiting)

    def _next_layer(self) -> int:
        self.flush()
        self.layers_seen += 1
        return self.layers_seen - 1

    @uncompiled
    def _fused(
        self, output: Tensor, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
        dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
    ) -> None:
        if query.dim() != 4 or query.shape[1] != self._heads:
            return
        layer = self._next_layer()
        if not self._is_wanted(layer):
            return
        shared = query.shape[1] // key.shape[1]
        # One multiplication for the heads that share a key: (kv head, head of the group, query) x (kv head, key).
        q = query.float() * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        batch, heads, rows, channels = q.shape
        scores = (q.reshape(batch, heads // shared, shared * rows, channels) @ key.float().transpose(-1, -2)).reshape(
            batch, heads, rows, key.shape[-2])
        if is_causal:
            above = torch.ones(rows, scores.shape[-1], dtype=torch.bool, device=scores.device).triu(1)
            scores.masked_fill_(above, float("-inf"))
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, float("-inf")) if attn_mask.dtype == torch.bool else scores + attn_mask
        self._absorb(layer, Attention(
            torch.softmax(scores, -1), scores.amax(-1), query, key, value, output, lambda: _hides(scores)))

    @uncompiled
    def _softmax(self, output: Tensor, scores: Tensor, dim: int | None = None, *rest: Any, **kwargs: Any) -> None:
        if scores.dim() != 4 or dim not in (-1, 3) or scores.shape[1] != self._heads or scores.shape[2] != self._rows:
            return
        layer = self._next_layer()
        if not self._is_wanted(layer):
            self._product = None
            return
        # A softmax in half precision does not sum to 1 closely enough for a trace.
        weights = output if output.dtype == torch.float32 else torch.softmax(scores.float(), -1)
        attention = Attention(weights, scores.amax(-1).float(), hides=lambda: _hides(scores))
        if self._needs_vectors:
            if self._product is not None:
                attention.query, attention.key = self._product
            self._waiting = layer, attention
        else:
            self._absorb(layer, attention)

    @uncompiled
    def _matmul(self, output: Tensor, left: Tensor, right: Tensor) -> None:
        """Remembers the product of queries and keys, and finds that of weights and values."""
        if left.shape[1] != self._heads or left.shape[2] != self._rows:
            return
        if self._waiting is not None and left.shape == self._waiting[1].weights.shape:
            self._waiting[1].value, self._waiting[1].output = right, output
            self.flush()
        else:
            self._product = left, right.transpose(-1, -2)


def _hides(scores: Tensor) -> bool:
    """Whether a score says that the key is not seen: minus infinity, or the most negative number, added."""
    return bool((scores < torch.finfo(scores.dtype).min / 4).any())
