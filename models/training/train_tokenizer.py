"""Trains the byte-level BPE of 2048 and writes the token streams both twins learn from."""

import argparse
import json
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

START, END, MASK = "<|startoftext|>", "<|endoftext|>", "<|mdm_mask|>"  # ids 0, 1 and 2
# Words with one leading character, contractions, runs of up to three digits, punctuation,
# line ends and white space: the split Llama 3 uses.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def documents(path: Path):
    with open(path) as lines:
        for line in lines:
            yield json.loads(line)


def train(path: Path, size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[START, END, MASK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((d["text"] for d in documents(path)), trainer)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{START} $A", pair=f"{START} $A {START} $B", special_tokens=[(START, 0)]
            ),
        ]
    )
    assert tokenizer.get_vocab_size() == size
    assert [tokenizer.token_to_id(t) for t in (START, END, MASK)] == [0, 1, 2]
    return tokenizer


def streams(tokenizer: Tokenizer, path: Path) -> dict[str, np.ndarray]:
    """One stream of ids a source: document, end token, document, end token, ..."""
    parts: dict[str, list] = {}
    for document in documents(path):
        ids = tokenizer.encode(document["text"], add_special_tokens=False).ids
        parts.setdefault(document["source"], []).append(np.array(ids + [1], dtype=np.uint16))
    return {source: np.concatenate(arrays) for source, arrays in parts.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder prepare_data.py wrote")
    parser.add_argument("--size", type=int, default=2048)
    arguments = parser.parse_args()
    tokenizer = train(arguments.data / "train.jsonl", arguments.size)
    tokenizer.save(str(arguments.data / "tokenizer.json"))
    for split in ("train", "valid"):
        tokens = streams(tokenizer, arguments.data / f"{split}.jsonl")
        np.savez(arguments.data / f"{split}.npz", **tokens)
        print(split, {source: len(ids) for source, ids in tokens.items()}, sum(map(len, tokens.values())))


if __name__ == "__main__":
    main()
