"""`attntrace.Recorder`: records what a PyTorch model attends to while its own code, and any sampler, generates."""

from __future__ import annotations

import datetime
import functools
import inspect
import json
import os
import shlex
import sys
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import AttntraceError
from ..version import __version__
from .facts import ModelFacts, SamplerFacts, digest_of_tokenizer, digest_of_weights, token_texts
from .interception import AttentionTap, Tensor, exact, uncompiled
from .plan import TracePlan
from .steps import CausalSteps, DiffusionSteps, Steps
from .writer import TraceWriter, check_free

RECORDS = {"received": {"received"}, "maps": {"maps", "received", "rows"}}
GENERATORS = ("generate", "diffusion_generate", "mmu_generate")
"""Methods of published models that return the final sequence."""
NEVER_CALLED = "the model was never called inside the block: the Recorder must have the very model that the sampler calls"
COMPILED = (
    "the model, or a part of it, is compiled, and what compiled code attends to cannot be seen: record the module as it was "
    "before torch.compile (its _orig_mod)")
RECORDED: weakref.WeakSet[Any] = weakref.WeakSet()
"""The models that a Recorder has hooked."""
CONVENTION = (
    "softmax over keys of query . key, as the model's own code scales and masks it; "
    "query head h uses kv_head floor(h / (heads / kv_heads))")


class Recorder:
    """Records one generation into one trace.

        with attntrace.Recorder(model, tokenizer, "run.h5", prompt_ids=ids, sampler={"name": "llada", "steps": 64,
                                "gen_length": 64, "block_length": 32}, record="maps") as recorder:
            recorder.finish(generate(model, ids, steps=64, gen_length=64, block_length=32))

    Each forward pass of the model inside the block is a step; nothing that the model or the sampler computes is changed.
    """

    def __init__(
        self, model: Any, tokenizer: Any, path: str | os.PathLike[str], *, prompt_ids: Any,
        sampler: str | Mapping[str, Any] | None = None, record: str = "received", signals: Iterable[str] = (),
        layers: Sequence[int] | None = None, map_steps: Sequence[int] | None = None, steps: int | None = None,
        gen_length: int | None = None, causality: str | None = None, mask_token_id: int | None = None,
        prediction_offset: int | None = None, prompt: str | None = None, model_name: str | None = None,
        weights: str | os.PathLike[str] | None = None, prompt_id: str | None = None,
        gold_answers: Sequence[str] | None = None,
    ) -> None:
        """Prepares; nothing is hooked or written before the block is entered.

        - model: a module whose `forward` takes token ids and returns logits; its `config` says layers and heads.
        - tokenizer: of transformers or tokenizers, a function from an id to its text, or None (texts stay empty).
        - prompt_ids: the prompt as it is fed in.
        - sampler: its published name, or a mapping with `name` and the parameters that it is called with. What is not
          told is not known: without `steps` and `block_length` there are no blocks, without a mapping no transfer scores.
        - record: `received` or `maps`; signals: of `rows`, `norms`, `top`, besides.
        - layers, map_steps: which layers are kept, and which steps keep maps and rows; all by default.
        - steps, gen_length: the most steps, and tokens, that the run takes; by default from `sampler`, and the length of
          what a diffusion model is fed. A causal run needs one of `gen_length`, `max_new_tokens` in `sampler`, or
          `max_new_tokens` of `model.generate`.
        - causality, mask_token_id, prediction_offset: by default from the sampler's name and the model's config.
        - weights: folder (or file) of the safetensors, to be hashed; without it the trace says that it does not know.

        Errors: `ValueError` for what cannot be right; `FileExistsError` on entering where the name is taken.
        """
        self.path = Path(path)
        self.content_sha256: str | None = None
        self._model = model
        self._facts = ModelFacts.of(model)
        self._sampler = SamplerFacts.of(sampler, self._facts, causality)
        self._causality = causality or ("causal" if self._sampler.name == "autoregressive" else "bidirectional")
        if record not in RECORDS:
            raise ValueError(f"record is {record!r}, not one of {', '.join(RECORDS)}")
        extra = set(signals)
        if not extra <= {"rows", "norms", "top"}:
            raise ValueError(f"signals that a Recorder adds are rows, norms and top, not {', '.join(sorted(extra))}")
        self._signals = frozenset(RECORDS[record] | extra)
        self._prompt = _flat(prompt_ids, "prompt_ids")
        self._mask = mask_token_id if mask_token_id is not None else self._facts.mask_token_id
        if self._causality == "bidirectional" and self._mask is None:
            raise ValueError("the model's config has no mask_token_id: give it")
        if prediction_offset is None:
            prediction_offset = int(self._causality == "causal" or self._sampler.name == "dream")
        self._offset = prediction_offset
        self._layers = None if layers is None else tuple(layers)
        self._map_steps = None if map_steps is None else tuple(map_steps)
        told = self._sampler.parameters
        self._steps = steps if steps is not None else self._sampler.planned_steps
        self._length = gen_length if gen_length is not None else told.get("max_new_tokens", told.get("gen_length"))
        self._text, self._text_width = token_texts(tokenizer)
        self._tokenizer = tokenizer
        self._prompt_text = prompt
        self._name = model_name or self._facts.name
        self._weights = weights
        self._optional: dict[str, str | int] = {}
        if prompt_id is not None:
            self._optional["prompt_id"] = prompt_id
        if gold_answers is not None:
            self._optional["gold_answers"] = json.dumps(list(gold_answers))
        self._run: Steps | None = None
        self._unhook: list[Callable[[], None]] = []
        self._is_recording = False
        self._is_finished = False
        self._is_inside = False
        self._final: NDArray[np.int64] | None = None
        # The tensor that the last pass was fed: published samplers write their tokens into it.
        self._fed: Tensor | None = None
        self._is_in_place = False

    @property
    def committed_steps(self) -> int:
        """Steps that are in the file."""
        return self._run.writer.committed_steps if self._run else 0

    def __enter__(self) -> Recorder:
        check_free(self.path)
        for part in self._model.modules():
            if getattr(part, "_compiled_call_impl", None) is not None or hasattr(part, "_orig_mod"):
                raise AttntraceError(self.path, "", COMPILED)
            if part in RECORDED:
                raise AttntraceError(self.path, "", "the model is being recorded by another Recorder: one at a time")
        RECORDED.add(self._model)
        self._is_recording = True
        self._hook("forward", self._forward)
        for name in GENERATORS:
            if callable(getattr(self._model, name, None)):
                self._hook(name, self._generate)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._release()
        if self._is_finished:
            return
        try:
            if error is None:
                if self._run is None:
                    raise AttntraceError(self.path, "", NEVER_CALLED)
                self._end()
        finally:
            if self._run is not None and not self._is_finished:
                self._run.writer.close()
                if not self._run.writer.committed_steps:
                    Path(f"{self.path}.partial").unlink(missing_ok=True)

    def finish(self, final_ids: Any) -> None:
        """Ends the run with the whole final sequence, prompt included: what the last step wrote is known from it alone."""
        self._final = _flat(final_ids, "final_ids")
        if self._run is None:
            raise AttntraceError(self.path, "", NEVER_CALLED)
        self._release()
        self._end()

    # Hooks

    def _hook(self, name: str, replacement: Callable[..., Any]) -> None:
        """Puts a function in the place of a method, on this instance alone."""
        original = getattr(self._model, name)
        was_own = name in vars(self._model)

        @functools.wraps(original)
        def hooked(*args: Any, **kwargs: Any) -> Any:
            # Other code may have wrapped it meanwhile, and keep it.
            return replacement(original, *args, **kwargs) if self._is_recording else original(*args, **kwargs)

        hooked = uncompiled(hooked)

        # object's, for a Module looks at what it is given.
        object.__setattr__(self._model, name, hooked)

        def undo() -> None:
            if vars(self._model).get(name) is not hooked:
                return
            if was_own:
                object.__setattr__(self._model, name, original)
            else:
                object.__delattr__(self._model, name)

        self._unhook.append(undo)

    def _release(self) -> None:
        if self._is_recording:
            RECORDED.discard(self._model)
        self._is_recording = False
        while self._unhook:
            self._unhook.pop()()

    def _generate(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._length is None and kwargs.get("max_new_tokens") is not None:
            self._length = int(kwargs["max_new_tokens"])
        result = original(*args, **kwargs)
        final = getattr(result, "sequences", result)
        if isinstance(final, torch.Tensor) and final.dim() == 2 and len(final) == 1:
            self._final = _flat(final, "the generated sequence")
        return result

    def _forward(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._is_inside:
            return original(*args, **kwargs)
        ids = self._input_ids(args, kwargs)
        if self._run is None:
            self._run = self._start(ids)
        run = self._run
        run.begin(ids.detach().cpu().numpy().astype(np.int64), self._positions(original, args, kwargs))
        # What a causal run is fed never holds the token that comes next: one that is written over is a buffer.
        if self._fed is not None and isinstance(run, DiffusionSteps):
            self._is_in_place = self._fed.data_ptr() == ids.data_ptr()
        self._fed = ids
        tap = AttentionTap(run.absorb, run.wants, self._facts.head_count, ids.shape[1], len(ids), run.wants_vectors)
        self._is_inside = True
        try:
            with tap:
                output = original(*args, **kwargs)
        finally:
            self._is_inside = False
        logits = _logits(output)
        with exact(logits):
            tap.flush()
            if tap.layers_seen != self._facts.layer_count:
                raise run.fail("", (
                    f"the forward pass showed the attention of {tap.layers_seen} layers, not {self._facts.layer_count}: "
                    "fused kernels (flash attention, flex attention, torch.compile) cannot be seen; use "
                    'attn_implementation="eager" or "sdpa"'))
            run.end(logits)
        return output

    def _input_ids(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if not isinstance(ids, torch.Tensor) or ids.dim() != 2 or ids.is_floating_point():
            raise AttntraceError(self.path, "", "the model was not fed token ids (batch x position): nothing else is recorded")
        mask = kwargs.get("attention_mask", args[1] if len(args) > 1 else None)
        if isinstance(mask, torch.Tensor) and mask.dim() == 2 and not bool((mask != 0).all()):
            raise AttntraceError(self.path, "", "the attention mask hides positions: padded sequences cannot be recorded")
        return ids

    def _positions(
        self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> NDArray[np.int64] | None:
        """The `position_ids` that the forward pass was given, if any."""
        positions = kwargs.get("position_ids")
        if positions is None and len(args) > 1:
            positions = inspect.signature(original).bind_partial(*args, **kwargs).arguments.get("position_ids")
        if not isinstance(positions, torch.Tensor):
            return None
        rows = positions.detach().reshape(-1, positions.shape[-1]).cpu().numpy().astype(np.int64)
        if (rows != rows[0]).any():
            raise AttntraceError(self.path, "", "position_ids give one position several numbers: a trace has one of each")
        first: NDArray[np.int64] = rows[0]
        return first

    # The file

    def _start(self, ids: Tensor) -> Steps:
        facts, prompt = self._facts, len(self._prompt)
        causal = self._causality == "causal"
        if causal:
            if self._length is None:
                raise AttntraceError(self.path, "", "how long may the text get? Give gen_length")
            length = steps = int(self._length)
        else:
            length = ids.shape[1] - prompt
            if length < 1 or ids[0, :prompt].tolist() != self._prompt.tolist():
                raise AttntraceError(self.path, "", "what the model is fed does not begin with prompt_ids, or ends there")
            masked = int((ids[0] == self._mask).sum())
            steps = int(self._steps) if self._steps is not None else max(length, masked)
        plan = TracePlan(
            causality=self._causality, prompt_length=prompt, generated_length=length, step_count=steps,
            layer_count=facts.layer_count, head_count=facts.head_count, kv_head_count=facts.kv_head_count,
            head_dim=facts.head_dim, signals=self._signals, text_width=self._text_width, layers=self._layers,
            map_steps=self._map_steps, is_guided=self._sampler.guidance > 0)
        # Queued values are bounded; one layer's map alone may be more.
        writer = TraceWriter(self.path, plan, self._attributes(ids), threads=min(4, os.cpu_count() or 1))
        if causal:
            return CausalSteps(writer, self._sampler, self._text, self._offset, self._prompt)
        assert self._mask is not None
        return DiffusionSteps(writer, self._sampler, self._text, self._offset, self._mask)

    def _attributes(self, ids: Tensor) -> dict[str, str | int]:
        facts, sampler = self._facts, self._sampler
        weights = "" if self._weights is None else digest_of_weights(self._weights)
        unknown = ([] if weights else ["weights_sha256"]) + ([] if sampler.score else ["transfer_score"])
        parameter = next(iter(self._model.parameters()), None)
        dtype = str(parameter.dtype if parameter is not None else torch.get_default_dtype()).removeprefix("torch.")
        attributes: dict[str, str | int] = {
            "attention_convention": CONVENTION, "model_name": self._name, "architecture": facts.architecture,
            "model_configuration": facts.configuration, "weights_sha256": weights,
            "tokenizer_sha256": "" if self._weights is None else digest_of_tokenizer(self._weights),
            "prediction_offset": self._offset, "mask_token_id": -1 if self._mask is None else self._mask,
            "sampler": sampler.name, "sampler_parameters": json.dumps(dict(sampler.parameters), sort_keys=True, default=str),
            "seed": int(sampler.parameters.get("seed") or 0), "numeric_type": dtype,
            "kernel": f"PyTorch {torch.__version__} {ids.device.type}", "threads": torch.get_num_threads(),
            "producer": f"attntrace {__version__} (Python Recorder)", "command_line": shlex.join(sys.argv),
            "created_at": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "prompt": self._prompt_as_text(), **self._optional}
        if unknown:
            attributes["origin"] = json.dumps(
                {"recorded": f"attntrace {__version__} (Python Recorder)", "unknown": sorted(unknown)}, sort_keys=True)
        return attributes

    def _prompt_as_text(self) -> str:
        if self._prompt_text is not None:
            return self._prompt_text
        if hasattr(self._tokenizer, "decode"):
            return str(self._tokenizer.decode(self._prompt.tolist(), skip_special_tokens=True))
        return "".join(self._text(number) for number in self._prompt.tolist())

    def _end(self) -> None:
        run = self._run
        assert run is not None
        final = self._final
        if final is None and run.is_pending and self._is_in_place and self._fed is not None and len(self._fed) == 1:
            final = _flat(self._fed, "the sequence")
        if final is not None:
            texts = run.finish(final)
        else:
            texts = run.settled()
            warnings.warn(
                f"{self.path}: what the last forward pass led to is not known, so it is left out; "
                "recorder.finish(final_ids) tells", RuntimeWarning, stacklevel=3)
        if run.idle_steps and self._steps is None and isinstance(run, DiffusionSteps):
            warnings.warn(
                f"{self.path}: {run.idle_steps} of {run.writer.committed_steps} forward passes wrote no token, and each is "
                "a step: keep other calls of the model out of the block", RuntimeWarning, stacklevel=3)
        self.content_sha256 = run.writer.finish(texts)
        self._is_finished = True


def _flat(ids: Any, name: str) -> NDArray[np.int64]:
    """Token ids of one sequence, however they come."""
    if isinstance(ids, torch.Tensor):
        ids = ids.detach().cpu().numpy()
    array = np.asarray(ids)
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} is not one sequence of token ids")
    return array.astype(np.int64)


def _logits(output: Any) -> Tensor:
    """The logits in what a model returns."""
    logits = getattr(output, "logits", None)
    if logits is None and isinstance(output, Mapping):
        logits = output.get("logits")
    if logits is None:
        logits = output[0] if isinstance(output, (tuple, list)) else output
    if not isinstance(logits, torch.Tensor) or logits.dim() != 3:
        raise TypeError("the model returns no logits (batch x position x vocabulary)")
    return logits
