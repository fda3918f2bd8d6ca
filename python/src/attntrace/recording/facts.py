"""What a trace says of the model, the tokenizer and the sampler, found out from the objects that are there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONGEST_TEXT = 256
"""Bytes of the longest text of a token that a trace keeps."""
PUBLISHED_EOS = 126081
"""The token that LLaDA's published sampler forbids under `logits_eos_inf`."""

Text = Callable[[int], str]


@dataclass(frozen=True)
class ModelFacts:
    """The numbers of a decoder's attention, and its names."""

    layer_count: int
    head_count: int
    kv_head_count: int
    head_dim: int
    mask_token_id: int | None
    name: str
    architecture: str
    configuration: str
    """JSON."""

    @classmethod
    def of(cls, model: Any) -> ModelFacts:
        """From `model.config`, by the names of LLaDA and those of transformers. Errors: `ValueError` for what is missing."""
        config = getattr(model, "config", None)
        if config is None:
            raise ValueError("the model has no config: layers and heads are read from there")
        decoder = getattr(config, "text_config", None) or config
        layers = _first(decoder, "num_hidden_layers", "n_layers")
        heads = _first(decoder, "num_attention_heads", "n_heads")
        if layers is None or heads is None:
            raise ValueError("the model's config has neither num_hidden_layers nor n_layers, or no number of heads")
        kv_heads = _kv_heads(decoder, heads)
        width = _first(decoder, "hidden_size", "d_model")
        head_dim = _first(decoder, "qk_head_dim", "head_dim") or (width // heads if width else 0)
        names = getattr(config, "architectures", None) or [type(model).__name__]
        path = str(getattr(config, "_name_or_path", "") or getattr(model, "name_or_path", ""))
        mask = _first(decoder, "mask_token_id")
        return cls(
            layers, heads, kv_heads, head_dim, mask, Path(path).name or str(names[0]), str(names[0]), _as_json(config))


def _kv_heads(config: Any, heads: int) -> int:
    """Heads of keys and values; the recorder holds what it sees against it."""
    # Falcon's num_kv_heads counts in its newer architecture alone.
    if hasattr(config, "new_decoder_architecture"):
        told = config.num_kv_heads if config.new_decoder_architecture else 1 if config.multi_query else heads
        return int(told)
    told = _first(config, "num_key_value_heads", "n_kv_heads", "num_kv_heads", "multi_query_group_num")
    if told is not None:
        return told
    shares_one = getattr(config, "multi_query_attention", None) or getattr(config, "multi_query", None)
    return 1 if shares_one else heads


def _first(config: Any, *names: str) -> int | None:
    for name in names:
        value = getattr(config, name, None)
        if value is not None:
            return int(value)
    return None


def _as_json(config: Any) -> str:
    values = config.to_dict() if hasattr(config, "to_dict") else vars(config)
    return json.dumps(values, indent=2, sort_keys=True, default=str)


@dataclass(frozen=True)
class SamplerFacts:
    """The sampler's name and parameters as its caller told them, and what follows from them."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_told: bool = False
    """Whether the caller told the parameters, so that the published defaults hold for the others."""

    @classmethod
    def of(cls, sampler: str | Mapping[str, Any] | None, model: ModelFacts, causality: str | None) -> SamplerFacts:
        """From what the caller gave, or else from the model's architecture."""
        if isinstance(sampler, Mapping):
            name = sampler.get("name")
            if not isinstance(name, str):
                raise ValueError('the sampler needs a name: {"name": "llada", "steps": 64, ...}')
            return cls(name, {key: value for key, value in sampler.items() if key != "name"}, True)
        if sampler is not None:
            return cls(sampler)
        if causality == "causal" or causality is None and model.mask_token_id is None:
            return cls("autoregressive")
        known = re.search("mmada|llada|dream", model.architecture.lower())
        return cls(known.group() if known else "masked diffusion")

    @property
    def is_blockwise(self) -> bool:
        """Whether it is the loop that LLaDA published and MMaDA took over."""
        return self.name in ("llada", "mmada")

    @property
    def guidance(self) -> float:
        """Scale of classifier-free guidance; 0 without."""
        return float(self.parameters.get("cfg_scale") or 0)

    @property
    def planned_steps(self) -> int | None:
        """The most steps that a run takes, where that was told."""
        if self.parameters.get("threshold") is not None or self.parameters.get("factor") is not None:
            return None
        told = self.parameters.get("steps", self.parameters.get("timesteps"))
        return None if told is None else int(told)

    def block(self, step: int) -> int:
        """The block that a step belongs to; -1 where there is none, or it was not told."""
        try:
            steps, length = int(self.parameters["steps"]), int(self.parameters["gen_length"])
            blocks = length // int(self.parameters["block_length"])
        except KeyError:
            return -1
        return step // max(1, steps // blocks) if self.is_blockwise and self.planned_steps and blocks else -1

    def candidates_end(self, step: int, prompt_length: int) -> int | None:
        """The position after the last that a step may unmask; None where any may be."""
        block = self.block(step)
        return None if block < 0 else prompt_length + (block + 1) * int(self.parameters["block_length"])

    def forbidden(self, vocabulary: int) -> list[int]:
        """Tokens that the sampler never draws, and that confidences therefore leave out."""
        if not self.parameters.get("logits_eos_inf"):
            return []
        number = int(self.parameters.get("eos_token", PUBLISHED_EOS))
        return [number] if number < vocabulary else []

    @property
    def score(self) -> str | None:
        """What it ranks by: `confidence`, `entropy` (its negative), or None where that is random or was not told."""
        told = self.parameters
        if self.name == "autoregressive":
            return "confidence"
        if not self.is_told:
            return None
        if self.is_blockwise:
            is_plain = told.get("remasking", "low_confidence") == "low_confidence"
            return "confidence" if is_plain and not told.get("confidence_eos_eot_inf") else None
        if self.name == "dream" and self.is_greedy and not told.get("alg_temp"):
            if told.get("top_p") not in (None, 1) or told.get("top_k") is not None:
                return None
            return {"maskgit_plus": "confidence", "confidence_threshold": "confidence", "entropy": "entropy"}.get(
                str(told.get("alg", "origin")))
        return None

    @property
    def is_greedy(self) -> bool:
        """Whether it is known to draw the likeliest token, so that what it drew in vain is known too."""
        default = 0.0 if self.is_blockwise else None
        return self.is_told and self.parameters.get("temperature", default) == 0


def token_texts(tokenizer: Any) -> tuple[Text, int]:
    """How ids become text, and the bytes that the longest takes.

    `tokenizer` is one of transformers, one of tokenizers, a function from an id to its text, or None: no texts.
    """
    if tokenizer is None:
        return (lambda number: ""), 1
    if not hasattr(tokenizer, "decode"):
        return tokenizer, 64
    words = tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else {}
    longest = max((len(word.encode("utf-8", "replace")) for word in words), default=64)
    # What is no UTF-8 by itself is decoded as a character of three bytes.
    width = min(LONGEST_TEXT, max(16, longest))
    if hasattr(tokenizer, "id_to_token"):
        return (lambda number: str(tokenizer.decode([number], skip_special_tokens=False))), width

    def text(number: int) -> str:
        return str(tokenizer.decode([number], skip_special_tokens=False, clean_up_tokenization_spaces=False))

    return text, width


def digest_of_weights(weights: str | os.PathLike[str]) -> str:
    """SHA-256 of a safetensors file, or of a folder of them, as the format defines it."""
    path = Path(weights)
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{path} holds no safetensors file")
    digests = [_file_digest(file) for file in files]
    return digests[0].hex() if len(digests) == 1 else hashlib.sha256(b"".join(digests)).hexdigest()


def digest_of_tokenizer(folder: str | os.PathLike[str]) -> str:
    """SHA-256 of a folder's tokenizer.json; empty where it has none."""
    path = Path(folder) / "tokenizer.json"
    return _file_digest(path).hex() if path.is_file() else ""


def _file_digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()
