"""What is kept of a layer's attention: sums, numbers of rows, and the rows themselves, reduced where the model runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .interception import Attention, Tensor


def host(tensor: Tensor) -> NDArray[Any]:
    """A tensor as an array on the host."""
    result: NDArray[Any] = tensor.detach().contiguous().cpu().numpy()
    return result


def received(weights: Tensor, classes: Tensor) -> NDArray[Any]:
    """What each key gets from the queries of each class: head, class, key. `classes` is class x query, 0 or 1."""
    return host(classes.to(weights.device).matmul(weights))


def row_numbers(weights: Tensor, peak: Tensor) -> dict[str, NDArray[Any]]:
    """`entropy`, `logsumexp`, `max_weight` of each row: head, query."""
    largest = weights.amax(-1)
    return {
        "entropy": host(torch.special.entr(weights).sum(-1)),
        # The largest weight is exp(peak - logsumexp).
        "logsumexp": host(peak - largest.log()), "max_weight": host(largest)}


def norms(attention: Attention, batch: int, kv_heads: int) -> dict[str, NDArray[Any]]:
    """`query_norm`, `output_norm` (head, query), `key_norm`, `value_norm` (key-value head, key)."""

    def norm(tensor: Tensor, heads: int | None = None) -> NDArray[Any]:
        values = tensor[batch]
        if heads is not None and values.shape[0] != heads:
            # Repeated for the heads that share it.
            values = values[:: values.shape[0] // heads]
        return host(torch.linalg.vector_norm(values.float(), dim=-1))

    return {
        "query_norm": norm(attention.query), "output_norm": norm(attention.output),
        "key_norm": norm(attention.key, kv_heads), "value_norm": norm(attention.value, kv_heads)}


class Predictions:
    """What a step's logits say of some positions. Keeps the logits until it is known what the sampler wrote there."""

    CHUNK = 64
    """Rows that are worked on at once: vocabularies are large."""

    def __init__(self, rows: Tensor, ranks: int) -> None:
        """`rows` is position x vocabulary; a copy, for samplers write into the logits."""
        count = rows.shape[0]
        self._rows = rows.detach()
        self._total = torch.empty(count, device=rows.device)
        self.best = np.empty(count, np.int64)
        self.entropy = np.empty(count, np.float32)
        self.top_id = np.empty((count, ranks), np.int32)
        self.top_probability = np.empty((count, ranks), np.float32)
        for start in range(0, count, self.CHUNK):
            part = slice(start, start + self.CHUNK)
            logits = self._rows[part].float()
            total = logits.logsumexp(-1)
            share = (logits - total[:, None]).exp_()
            self._total[part] = total
            self.best[part] = host(logits.argmax(-1))
            self.entropy[part] = host(torch.special.entr(share).sum(-1))
            if ranks:
                probability, number = share.topk(min(ranks, share.shape[-1]), -1)
                self.top_probability[part], self.top_id[part] = _by_id(host(probability), host(number))

    def confidence(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """The probability of a token at each position."""
        chosen = torch.as_tensor(tokens, device=self._rows.device)
        logits = self._rows.gather(-1, chosen[:, None])[:, 0].float()
        return host((logits - self._total).exp().clamp_(max=1)).astype(np.float32)


def _by_id(probability: NDArray[Any], number: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Sorted by falling probability, ties by rising id."""
    order = np.lexsort((number, -probability), axis=-1)
    return np.take_along_axis(probability, order, -1), np.take_along_axis(number, order, -1).astype(np.int32)
