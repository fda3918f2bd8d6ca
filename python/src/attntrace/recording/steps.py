"""Turns the forward passes of a run into the steps of a trace.

What a sampler decided after a step shows in what it feeds in at the next: so a step is written when the next begins, or
when the run's final tokens are known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import AttntraceError
from . import reduction
from .facts import SamplerFacts, Text
from .interception import Attention, Tensor
from .writer import TraceWriter

Ids = NDArray[np.int64]
ROW_TOLERANCE = 1e-4
"""How far a row may be from a sum of 1: weights are those of a softmax in float32."""


class Steps(ABC):
    """The steps of one run, of either kind."""

    def __init__(self, writer: TraceWriter, sampler: SamplerFacts, text: Text, offset: int) -> None:
        self.writer = writer
        self.plan = writer.plan
        self.sampler = sampler
        self._text = text
        self._offset = offset
        self._layers = {layer: place for place, layer in enumerate(self.plan.recorded_layers)}
        self._predictions: reduction.Predictions | None = None
        # The rows that score what a step may write, by layer, on the layer's device.
        self._answer_rows: dict[int, Tensor] = {}
        # What the model's position encoding takes each position for.
        self._positions = np.empty(0, np.int64)
        self.idle_steps = 0
        """Steps that wrote no token."""
        self._ranks = self.plan.rank_count if "top" in self.plan.signals else 0

    @property
    def needs_vectors(self) -> bool:
        """Whether queries, keys and values are needed, not only weights."""
        return "norms" in self.plan.signals

    @property
    def wants_vectors(self) -> bool:
        """Whether this forward pass must show them: the first tells how many heads share a key."""
        return self.needs_vectors or not self.writer.committed_steps

    @property
    def is_pending(self) -> bool:
        """Whether a step waits for what the sampler makes of it."""
        return self._predictions is not None

    def wants(self, layer: int) -> bool:
        """Whether a layer is recorded."""
        return layer in self._layers

    @abstractmethod
    def begin(self, ids: Ids, positions: Ids | None) -> None:
        """A forward pass begins; `ids` is what it is fed, batch x position. Ends the step before it.

        `positions` are those that the position encoding is to take them for; None where the model counts from 0.
        """

    @abstractmethod
    def absorb(self, layer: int, attention: Attention) -> None:
        """Takes a recorded layer's attention."""

    @abstractmethod
    def end(self, logits: Tensor) -> None:
        """The forward pass has ended; `logits` is batch x position x vocabulary."""

    @abstractmethod
    def finish(self, final: Ids) -> list[str]:
        """Ends the last step: `final` is the whole sequence. The texts of the final tokens."""

    @abstractmethod
    def settled(self) -> list[str]:
        """Leaves out the last forward pass, of which nobody knows what came of it. The texts of the final tokens."""

    def _note_positions(self, positions: Ids | None, count: int, fed: int) -> None:
        """Keeps the positions of what is fed: the last `fed` of `count`."""
        if positions is None:
            positions = np.arange(count - fed, count)
        known = self._positions[count - fed :]
        if len(positions) != fed or not np.array_equal(positions[: len(known)], known):
            raise self.fail("", "position_ids are not those of the forward passes before: each position has one, for good")
        self._positions = np.concatenate([self._positions[: count - fed], positions])

    def _check(self, layer: int, attention: Attention, weights: Tensor) -> None:
        """Refuses attention that is not what a trace takes it for. `weights` are those to be kept."""
        off = float((weights.sum(-1) - 1).abs().max())
        # NaN, of a query that sees no key, is refused too.
        if not off <= ROW_TOLERANCE:
            raise self.fail("", (
                f"layer {layer} has rows of attention that sum to 1 only within {off:.2g}: attention that goes to no key "
                "(learned sinks, as gpt-oss has), or a query that sees none, cannot be recorded"))
        if self.writer.committed_steps or attention.query is None:
            return
        if self.plan.head_dim and attention.query.shape[-1] != self.plan.head_dim:
            raise self.fail("", (
                f"layer {layer} has queries of {attention.query.shape[-1]} channels, its config says {self.plan.head_dim}"))
        for tensor in (attention.key, attention.value):
            if tensor is not None and not self._shares_as_planned(tensor[0]):
                raise self.fail("", (
                    f"layer {layer} shares keys and values among heads otherwise than the {self.plan.kv_head_count} "
                    "key-value heads that were read from its config say"))

    def _shares_as_planned(self, vectors: Tensor) -> bool:
        """Whether keys or values (head, key, channel) are those of `kv_head_count` heads, repeated or not."""
        heads, kv_heads = self.plan.head_count, self.plan.kv_head_count
        if len(vectors) == kv_heads < heads:
            return True
        if len(vectors) != heads:
            return False
        groups = vectors.reshape(kv_heads, heads // kv_heads, *vectors.shape[1:])
        is_more = bool((groups != groups[:, :1]).any())
        is_fewer = kv_heads > 1 and torch.equal(groups[0], groups[1]) and bool(groups[0].any())
        return not is_more and not is_fewer

    def _norms(self, layer: int, attention: Attention, batch: int) -> dict[str, NDArray[Any]]:
        if attention.query is None or attention.value is None:
            raise self.fail("", (
                f"the model's code does not show the queries, keys and values of layer {layer}: leave norms out of signals, "
                'or use attn_implementation="sdpa"'))
        if not attention.is_scaled_by_head_dim():
            raise self.fail("", (
                f"layer {layer} does not score by query . key / sqrt(head_dim) (it scales otherwise or beforehand, caps, or "
                "adds a bias), so that norms cannot be told: leave norms out of signals"))
        return reduction.norms(attention, batch, self.plan.kv_head_count)

    def fail(self, object: str, rule: str) -> AttntraceError:
        """An error that names the trace."""
        return AttntraceError(self.writer.path, object, rule)

    def _write(self, path: str, origin: tuple[int, ...], values: NDArray[Any], lead: int) -> None:
        """Writes values that have `lead` leading axes less than their dataset."""
        self.writer.write(path, origin, values.reshape((1,) * lead + values.shape))

    def _write_timeline(self, step: int, rows: dict[str, NDArray[Any]], scalars: dict[str, Any]) -> None:
        for path, values in rows.items():
            self._write(path, (step,) + (0,) * values.ndim, values, 1)
        for path, value in scalars.items():
            self.writer.write(path, (step,), np.array([value]))
        occurring = np.unique(np.concatenate([
            rows[path].ravel() for path in ("token_id", "predicted_id", "top_id") if path in rows]))
        self.writer.add_vocabulary({number: self._text(number) for number in occurring.tolist() if number >= 0})

    def _write_state(self, ids: NDArray[Any], unmask_step: NDArray[Any], unmask_order: NDArray[Any]) -> None:
        occurring = {number: self._text(number) for number in set(ids.tolist()) if number >= 0}
        self.writer.add_vocabulary(occurring)
        for path, values in {
            "final_id": ids, "unmask_step": unmask_step, "unmask_order": unmask_order,
            # The last token of a causal run is never fed in.
            "position_id": np.append(self._positions, self._positions[-1] + 1)[: len(ids)],
        }.items():
            self.writer.write(path, (0,), values.astype(np.int32))

    def _write_answers(self, generated: list[int], rows: list[int], queries: list[int], step: int) -> None:
        """Writes the rows at places `rows` of what was kept, for places along `generated`."""
        if not generated:
            return
        kept = [reduction.host(self._answer_rows[layer][:, rows]) for layer in sorted(self._answer_rows)]
        # layer, head, answer, key -> answer, layer, head, key.
        values = np.ascontiguousarray(np.stack(kept).transpose(2, 0, 1, 3))
        short = self.plan.key_count - values.shape[-1]
        if short:
            values = np.pad(values, [(0, 0)] * 3 + [(0, short)])
        for place, row, query in zip(generated, values, queries):
            self._write("answer/attention", (place, 0, 0, 0), row, 1)
            self.writer.write("answer/source_query", (place,), np.array([query], np.int32))
            self.writer.write("answer/source_step", (place,), np.array([step], np.int32))


class DiffusionSteps(Steps):
    """A masked diffusion run: each forward pass is fed the whole sequence."""

    def __init__(self, writer: TraceWriter, sampler: SamplerFacts, text: Text, offset: int, mask: int) -> None:
        super().__init__(writer, sampler, text, offset)
        self._mask = mask
        self._ids = np.empty(0, np.int64)
        self._unmask_step = np.empty(0, np.int64)
        self._unmask_order = np.empty(0, np.int64)
        self._asked = np.empty(0, np.int64)
        self._candidates = np.empty(0, np.int64)
        self._classes = torch.empty(0)

    def begin(self, ids: Ids, positions: Ids | None) -> None:
        if len(ids) != len(self.plan.passes):
            raise self.fail("", (
                f"a forward pass of {len(ids)} sequences, not {len(self.plan.passes)}: one sequence is recorded, and with "
                'guidance (sampler={"cfg_scale": ...}) its unconditional twin'))
        fed = ids[0]
        if len(fed) != self.plan.position_count:
            raise self.fail("", (
                f"the sequence has {len(fed)} positions, but had {self.plan.position_count}: a diffusion run feeds the "
                "whole sequence at each step (a sampler with caches of keys and values cannot be recorded)"))
        if self.is_pending:
            self._settle(fed)
        self._note_positions(positions, len(fed), len(fed))
        masked = fed == self._mask
        if not len(self._ids):
            self._unmask_step = np.where(masked, -2, -1)
            self._unmask_order = self._unmask_step.copy()
        self._ids = fed.copy()
        step, prompt = self.writer.committed_steps, self.plan.prompt_length
        self.writer.begin_step()
        self._asked = np.flatnonzero(masked)
        end = self.sampler.candidates_end(step, prompt)
        self._candidates = self._asked if end is None else self._asked[self._asked < end]
        kinds = np.where(np.arange(len(fed)) < prompt, 0, np.where(masked, 2, 1))
        self._classes = torch.from_numpy((kinds == np.arange(3)[:, None]).astype(np.float32))
        self._answer_rows = {}

    def absorb(self, layer: int, attention: Attention) -> None:
        step, place = self.writer.committed_steps, self._layers[layer]
        kept = self.plan.map_place(step)
        count = self.plan.position_count
        if tuple(attention.weights.shape[-2:]) != (count, count):
            raise self.fail("", f"layer {layer} attends from and to {tuple(attention.weights.shape[-2:])}, not {count}")
        self._check(layer, attention, attention.weights)
        # Layers differ: some have windows.
        if bool(attention.hidden().any()):
            raise self.fail("", (
                f"layer {layer} hides keys from queries: in a diffusion trace every query sees every key (padding, and "
                "models that are causal by blocks, cannot be recorded)"))
        for batch, prefix in enumerate(self.plan.passes):
            weights = attention.weights[batch]
            if "received" in self.plan.signals:
                self._write(prefix + "received", (step, place, 0, 0, 0), reduction.received(weights, self._classes), 2)
            half = weights.half() if "maps" in self.plan.signals and kept is not None else None
            if not prefix:
                answers = self._candidates[self._candidates >= self.plan.prompt_length]
                rows = torch.as_tensor(np.maximum(0, answers - self._offset), device=weights.device)
                source = weights if half is None else half
                self._answer_rows[place] = source.index_select(1, rows).half()
            if kept is None:
                continue
            if half is not None:
                self._write(prefix + "maps/attention", (kept, place, 0, 0, 0), reduction.host(half), 2)
            if "rows" in self.plan.signals:
                for path, values in reduction.row_numbers(weights, attention.peak[batch]).items():
                    self._write(prefix + path, (kept, place, 0, 0), values, 2)
            if self.needs_vectors:
                for path, values in self._norms(layer, attention, batch).items():
                    self._write(prefix + path, (kept, place, 0, 0), values, 2)

    def end(self, logits: Tensor) -> None:
        if logits.shape[1] != self.plan.position_count:
            raise self.fail("", f"the model gave logits of {logits.shape[1]} positions, not {self.plan.position_count}")
        rows = torch.as_tensor(np.maximum(0, self._asked - self._offset), device=logits.device)
        asked = logits[0].index_select(0, rows)
        if self.plan.is_guided:
            unconditional = logits[1].index_select(0, rows)
            asked = unconditional + (self.sampler.guidance + 1) * (asked - unconditional)
        forbidden = self.sampler.forbidden(asked.shape[-1])
        if forbidden:
            asked[:, forbidden] = float("-inf")
        self._predictions = reduction.Predictions(asked, self._ranks)

    def finish(self, final: Ids) -> list[str]:
        if len(final) != self.plan.position_count:
            raise self.fail("", f"the final sequence has {len(final)} tokens, the recorded one {self.plan.position_count}")
        if self.is_pending:
            self._settle(final)
        return [self._text(int(number)) for number in final]

    def settled(self) -> list[str]:
        # The last pass was fed what came of the steps before.
        self._predictions = None
        return [self._text(int(number)) for number in self._ids]

    def _settle(self, after: Ids) -> None:
        """Writes the step that waits: what followed it is `after`."""
        predictions, step, prompt = self._predictions, self.writer.committed_steps, self.plan.prompt_length
        assert predictions is not None
        before, count = self._ids, len(self._ids)
        written = np.flatnonzero(before != after)
        self.idle_steps += not len(written)
        for position in written:
            if before[position] == self._mask:
                continue
            if position < prompt:
                raise self.fail("", (
                    f"position {position} of the prompt changed after step {step}: a trace is of one prompt (guidance in a "
                    "forward pass of its own cannot be recorded, guidance in a batch of two can)"))
            raise self.fail("", (
                f"position {position} changed after it was unmasked (step {step}): the format has each position "
                "unmasked once, a sampler that masks again cannot be recorded"))
        predicted = np.full(count, -1, np.int32)
        predicted[self._asked] = predictions.best
        predicted[written] = after[written]
        rows = self._timeline_rows(predictions, predicted, step, written)
        scores = np.nan_to_num(rows["transfer_score"][written], nan=0.0)
        order = (self._unmask_order >= 0).sum()
        self._unmask_step[written] = step
        self._unmask_order[written[np.lexsort((written, -scores))]] = order + np.arange(len(written))
        masked = before == self._mask
        self._write_timeline(step, rows, {
            "block": np.int32(self.sampler.block(step)), "mask_count": np.int32(masked.sum()),
            "time": np.float32(masked[prompt:].sum() / self.plan.generated_length)})
        answers = self._candidates[self._candidates >= prompt]
        emitted = written[written >= prompt]
        if not np.isin(emitted, answers).all():
            raise self.fail("", f"step {step} unmasked a position beyond its block: the sampler's parameters are others")
        self._write_answers(
            (emitted - prompt).tolist(), np.searchsorted(answers, emitted).tolist(),
            np.maximum(0, emitted - self._offset).tolist(), step)
        self._write_state(after, self._unmask_step, self._unmask_order)
        self.writer.commit_step()
        self._predictions = None

    def _timeline_rows(
        self, predictions: reduction.Predictions, predicted: NDArray[np.int32], step: int, written: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        count, asked = len(self._ids), self._asked

        def spread(values: NDArray[Any]) -> NDArray[np.float32]:
            row = np.full((count,) + values.shape[1:], np.nan, np.float32)
            row[asked] = values
            return row

        confidence = spread(predictions.confidence(predicted[asked].astype(np.int64)))
        entropy = spread(predictions.entropy)
        score = np.full(count, np.nan, np.float32)
        if self.sampler.score is not None:
            source = confidence if self.sampler.score == "confidence" else -entropy
            # What was drawn in vain is unknown, unless it is always the likeliest.
            known = self._candidates if self.sampler.is_greedy else written
            score[known] = source[known]
        rows: dict[str, NDArray[Any]] = {
            "token_id": self._ids.astype(np.int32), "is_masked": (self._ids == self._mask).astype(np.uint8),
            "predicted_id": predicted, "confidence": confidence, "transfer_score": score, "prediction_entropy": entropy}
        if "received" in self.plan.signals:
            rows["visible_queries"] = np.full(count, count, np.int32)
        if self._ranks:
            top = np.full((count, self._ranks), -1, np.int32)
            top[asked] = predictions.top_id
            rows |= {"top_id": top, "top_probability": spread(predictions.top_probability)}
        return rows


class CausalSteps(Steps):
    """An autoregressive run, with a cache of keys and values or without: each forward pass adds a token."""

    def __init__(self, writer: TraceWriter, sampler: SamplerFacts, text: Text, offset: int, prompt: Ids) -> None:
        super().__init__(writer, sampler, text, offset)
        self._ids = prompt
        self._new = len(prompt)
        # Per-query numbers of the running step: a chunk holds all layers.
        self._rows: dict[str, list[NDArray[Any]]] = {}

    def begin(self, ids: Ids, positions: Ids | None) -> None:
        if len(ids) != 1:
            raise self.fail("", f"a forward pass of {len(ids)} sequences: one sequence is recorded")
        fed = ids[0]
        if not self.is_pending and not self.writer.committed_steps:
            if not np.array_equal(fed, self._ids):
                raise self.fail("", (
                    f"the first forward pass was fed {len(fed)} tokens that are not the {len(self._ids)} of prompt_ids"))
        else:
            length = len(self._ids) + self.is_pending
            if len(fed) not in (1, length) or len(fed) == length and not np.array_equal(fed[: len(self._ids)], self._ids):
                raise self.fail("", (
                    f"a forward pass of {len(fed)} tokens after {length - 1}: each must add one token (assisted decoding, "
                    "beams and changed prompts cannot be recorded)"))
            if self.is_pending:
                self._settle(int(fed[-1]))
            self._new = 1
        self._note_positions(positions, len(self._ids), len(fed))
        self.writer.begin_step()
        self._answer_rows = {}
        self._rows = {}

    def absorb(self, layer: int, attention: Attention) -> None:
        place, new, keys = self._layers[layer], self._new, len(self._ids)
        if attention.weights.shape[-1] < keys or attention.weights.shape[-2] < new:
            raise self.fail("", (
                f"layer {layer} attends to {attention.weights.shape[-1]} keys, where {keys} tokens were fed in: a cache that "
                "forgets (of a sliding window) cannot be recorded"))
        weights = attention.weights[0, :, -new:, :keys]
        first = keys - new
        self._check(layer, attention, weights)
        if new > 1 and bool(weights.triu(first + 1).any()):
            raise self.fail("", (
                f"layer {layer} attends to later positions: the model is not causal; give causality=\"bidirectional\""))
        if bool(attention.hidden()[0, :, -new:, :keys].tril(first).any()):
            raise self.fail("", (
                f"layer {layer} hides earlier positions from queries: in a causal trace a query sees all of them (sliding "
                "windows that are shorter than the text cannot be recorded)"))
        if "received" in self.plan.signals:
            sums = np.zeros((self.plan.head_count, 3, self.plan.key_count), np.float32)
            sums[:, 0 if first == 0 else 1, :keys] = reduction.host(weights.sum(1))
            self._write("received", (self.writer.committed_steps, place, 0, 0, 0), sums, 2)
        half = weights.half()
        self._answer_rows[place] = half[:, -1:]
        if "maps" in self.plan.signals:
            maps = np.zeros((self.plan.head_count, new, self.plan.key_count), np.float16)
            maps[:, :, :keys] = reduction.host(half)
            self._write("maps/attention", (0, place, 0, first, 0), maps, 2)
        numbers = {}
        if "rows" in self.plan.signals:
            numbers = reduction.row_numbers(weights, attention.peak[0, :, -new:])
        if self.needs_vectors:
            numbers |= self._norms(layer, attention, 0)
        for path, values in numbers.items():
            self._rows.setdefault(path, []).append(values[:, -new:] if "key_" not in path and "value_" not in path
                                                   else values[:, first:keys])

    def end(self, logits: Tensor) -> None:
        self._predictions = reduction.Predictions(logits[0, -1:].clone(), self._ranks)

    def finish(self, final: Ids) -> list[str]:
        length = len(self._ids) + self.is_pending
        if len(final) != length or not np.array_equal(final[: len(self._ids)], self._ids):
            raise self.fail("", f"the final sequence of {len(final)} tokens is not the {length} that were recorded")
        if self.is_pending:
            self._settle(int(final[-1]))
        return [self._text(int(number)) for number in self._ids]

    def settled(self) -> list[str]:
        self._predictions = None
        return [self._text(int(number)) for number in self._ids]

    def _settle(self, token: int) -> None:
        predictions, step, plan = self._predictions, self.writer.committed_steps, self.plan
        assert predictions is not None
        fed, full = len(self._ids), plan.position_count

        def row(value: Any, kind: type, otherwise: Any) -> NDArray[Any]:
            values = np.full((full, *np.shape(value)), otherwise, kind)
            values[fed] = value
            return values

        confidence = predictions.confidence(np.array([token]))[0]
        ids = np.full(full, -1, np.int32)
        ids[:fed] = self._ids
        rows: dict[str, NDArray[Any]] = {
            "token_id": ids, "is_masked": np.zeros(full, np.uint8), "predicted_id": row(token, np.int32, -1),
            "confidence": row(confidence, np.float32, np.nan), "transfer_score": row(confidence, np.float32, np.nan),
            "prediction_entropy": row(predictions.entropy[0], np.float32, np.nan)}
        if self._ranks:
            rows |= {
                "top_id": row(predictions.top_id[0], np.int32, -1),
                "top_probability": row(predictions.top_probability[0], np.float32, np.nan)}
        if "received" in plan.signals:
            rows["visible_queries"] = np.maximum(0, fed - np.arange(plan.key_count)).astype(np.int32)
        self._write_timeline(
            step, rows, {"block": np.int32(-1), "mask_count": np.int32(0), "time": np.float32(np.nan)})
        for path, layers in self._rows.items():
            values = np.stack(layers)
            self.writer.write(path, (0, 0, 0, fed - values.shape[-1]), values[None])
        self._write_answers([step], [0], [fed - 1], step)
        self._ids = np.append(self._ids, token)
        codes = np.maximum(-1, np.arange(len(self._ids)) - plan.prompt_length)
        self._write_state(self._ids, codes, codes)
        self.writer.commit_step()
        self._predictions = None
