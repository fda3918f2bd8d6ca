"""Sees the attention of a model while its own code computes it, without changing the code or what it computes.

A `TorchFunctionMode` is asked about each call of a function of PyTorch on the thread of the forward pass. Two of them are
attention: `scaled_dot_product_attention` (LLaDA's, Dream's and MMaDA's published code), whose weights are computed beside it
from the same queries and keys, and a softmax over scores of heads x queries x keys (eager attention of transformers),
whose weights are taken as they are; queries, keys and values are then those of the products before and after it. Kernels that are called past these (flash-attn, flex attention, compiled graphs)
cannot be seen.
"""

from __future__ import annotations

import contextlib
import math
import threading
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
MATMUL = frozenset({
    torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.Tensor.bmm, torch.baddbmm,
    torch.Tensor.baddbmm})
HIDDEN = 8000
"""How far below a row's largest a score is that says that the key is not seen: masks add -10000 at least."""

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
    scores: Tensor
    """batch, head, query, key: what the softmax is of, scaled and masked. To be used while the layer is handed over."""
    query: Tensor | None = None
    """batch, head, query, channel, after position encoding; None where it was not seen."""
    key: Tensor | None = None
    """batch, head or key-value head, key, channel."""
    value: Tensor | None = None
    output: Tensor | None = None
    """batch, head, query, channel: sums of values by weight."""
    scale: float | None = None
    """What query . key is multiplied by; None where only the scores tell."""

    def hidden(self) -> Tensor:
        """True where the query does not see the key: batch, head, query, key."""
        return self.scores < self.peak[..., None] - HIDDEN

    def is_scaled_by_head_dim(self) -> bool:
        """Whether the scores are query . key / sqrt(head_dim), as far as half precision tells."""
        assert self.query is not None and self.key is not None
        usual = 1 / math.sqrt(self.query.shape[-1])
        if self.scale is not None:
            return math.isclose(self.scale, usual, rel_tol=1e-3)
        expected = _products(self.query.float() * usual, self.key).masked_fill(self.hidden(), 0)
        # Hidden scores may be infinite.
        actual = self.scores.float().masked_fill(self.hidden(), 0)
        return bool((actual - expected).abs().max() <= expected.abs().max() / 64)


class AttentionTap(TorchFunctionMode):  # type: ignore[misc]
    """Hands each layer's attention to `absorb`, in the order of the layers, while it is active.

    `is_wanted(n)` says whether the n-th layer is to be computed at all, `heads` is the model's number of heads, `rows` the
    queries of the pass, `batch` its sequences, `needs_vectors` whether queries, keys and values are wanted too.
    """

    _state = threading.local()
    """`is_working`: whether a tap of this thread computes, which taps around it must not take for the model's work."""

    def __init__(
        self, absorb: Callable[[int, Attention], None], is_wanted: Callable[[int], bool], heads: int, rows: int,
        batch: int, needs_vectors: bool,
    ) -> None:
        super().__init__()
        self.layers_seen = 0
        self._absorb = absorb
        self._is_wanted = is_wanted
        self._heads = heads
        self._rows = rows
        self._batch = batch
        self._needs_vectors = needs_vectors
        self._product: tuple[Tensor, Tensor, Tensor] | None = None
        self._waiting: tuple[int, Attention] | None = None

    def __torch_function__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if getattr(self._state, "is_working", False):
            return output
        if func is SDPA and SDPA is not None:
            with self._working(output):
                self._fused(output, *args, **kwargs)
        elif func in SOFTMAX:
            with self._working(output):
                self._softmax(output, *args, **kwargs)
        elif self._needs_vectors and func in MATMUL and output.dim() in (3, 4):
            with self._working(output):
                self._matmul(output, *args, *kwargs.values())
        return output

    @contextlib.contextmanager
    def _working(self, tensor: Tensor) -> Iterator[None]:
        with exact(tensor):
            self._state.is_working = True
            try:
                yield
            finally:
                self._state.is_working = False

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
        factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = _products(query.float() * factor, key)
        if is_causal:
            above = torch.ones(scores.shape[-2], scores.shape[-1], dtype=torch.bool, device=scores.device).triu(1)
            scores.masked_fill_(above, float("-inf"))
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, float("-inf")) if attn_mask.dtype == torch.bool else scores + attn_mask
        self._absorb(layer, Attention(
            torch.softmax(scores, -1), scores.amax(-1), scores, query, key, value, output, factor))

    @uncompiled
    def _softmax(self, output: Tensor, scores: Tensor, dim: int | None = None, *rest: Any, **kwargs: Any) -> None:
        if dim not in (-1, scores.dim() - 1):
            return
        scores, output = self._by_head(scores), self._by_head(output)
        if scores is None or scores.shape[1] != self._heads or scores.shape[2] != self._rows:
            return
        product, self._product = self._product, None
        layer = self._next_layer()
        if not self._is_wanted(layer):
            return
        # A softmax in half precision does not sum to 1 closely enough for a trace.
        weights = output if output.dtype == torch.float32 else torch.softmax(scores.float(), -1)
        attention = Attention(weights, scores.amax(-1).float(), scores)
        if self._needs_vectors:
            if product is not None and product[2].shape == scores.shape:
                attention.query, attention.key = product[:2]
            self._waiting = layer, attention
        else:
            self._absorb(layer, attention)

    @uncompiled
    def _matmul(self, output: Tensor, *factors: Tensor) -> None:
        """Remembers the product of queries and keys, and finds that of weights and values."""
        # What `baddbmm` adds comes before its factors; numbers come after them.
        tensors = [factor for factor in factors if isinstance(factor, torch.Tensor)]
        left, right, output = (self._by_head(tensor) for tensor in (*tensors[-2:], output))
        if left is None or right is None or left.shape[1] != self._heads or left.shape[2] != self._rows:
            return
        if self._waiting is not None and left.shape == self._waiting[1].weights.shape:
            self._waiting[1].value, self._waiting[1].output = right, output
            self.flush()
        else:
            self._product = left, right.transpose(-1, -2), output

    def _by_head(self, tensor: Tensor) -> Tensor | None:
        """With an axis of heads, which older code of transformers folds into that of sequences; None where it has none."""
        if tensor.dim() == 3 and self._heads > 1 and tensor.shape[0] == self._batch * self._heads:
            return tensor.reshape(self._batch, self._heads, *tensor.shape[1:])
        return tensor if tensor.dim() == 4 else None


def _products(query: Tensor, key: Tensor) -> Tensor:
    """query . key of each head, in float32; heads may share keys."""
    batch, heads, rows, channels = query.shape
    shared = heads // key.shape[1]
    # One multiplication for the heads that share a key: (kv head, head of the group, query) x (kv head, key).
    return (query.reshape(batch, heads // shared, shared * rows, channels) @ key.float().transpose(-1, -2)).reshape(
        batch, heads, rows, key.shape[-2])
