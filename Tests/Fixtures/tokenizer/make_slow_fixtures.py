#!/usr/bin/env python3
"""Makes dream/: a small vocab.json, merges.txt and tokenizer_config.json, and what Qwen2's tokenizer in Python makes of them.

    python3 -m venv VENV && VENV/bin/pip install transformers==4.46.3 regex
    VENV/bin/python Tests/Fixtures/tokenizer/make_slow_fixtures.py                  writes them
    VENV/bin/python Tests/Fixtures/tokenizer/make_slow_fixtures.py --check          makes the ids again and compares
    VENV/bin/python Tests/Fixtures/tokenizer/make_slow_fixtures.py --dream FILE     the same with a published
                                                                                    tokenization_dream.py

From version 5 on transformers has no tokenizer in Python any more. Vocabulary and merges are those of qwen2.json, and so
are the texts; those with added tokens are written out below.
"""

import importlib.util
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "dream"
FLAGS = dict(lstrip=False, normalized=False, rstrip=False, single_word=False, special=True)


def write():
    source = json.loads((HERE / "qwen2.json").read_text())["model"]
    FOLDER.mkdir(exist_ok=True)
    dump = lambda name, value: (FOLDER / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")
    dump("vocab.json", source["vocab"])
    merges = [m if isinstance(m, str) else " ".join(m) for m in source["merges"]]
    (FOLDER / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n\n")
    # Ids with a gap, as nothing but the file says; a token that is a part of another, and two that take spaces along.
    first = max(source["vocab"].values()) + 1
    tokens = {
        first: dict(FLAGS, content="<|endoftext|>"), first + 1: dict(FLAGS, content="<|im_start|>"),
        first + 2: dict(FLAGS, content="<|im_end|>"), first + 7: dict(FLAGS, content="<|mask|>"),
        first + 8: dict(FLAGS, content="<|mask|>>", special=False),
        first + 9: dict(FLAGS, content="<left>", lstrip=True), first + 10: dict(FLAGS, content="<right>", rstrip=True),
        first + 11: dict(FLAGS, content="caf\u00e9", special=False)}
    dump("tokenizer_config.json", {
        "add_prefix_space": False, "added_tokens_decoder": {str(k): v for k, v in tokens.items()},
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "bos_token": None,
        "clean_up_tokenization_spaces": False, "eos_token": "<|endoftext|>", "errors": "replace",
        "mask_token": "<|mask|>", "model_max_length": 131072, "pad_token": "<|endoftext|>",
        "split_special_tokens": False, "tokenizer_class": "DreamTokenizer", "unk_token": None})


def texts():
    rows = [json.loads(line) for line in (HERE / "qwen2.jsonl").read_text().split("\n") if line]
    plain = [row["text"] for row in rows if "text" in row]
    return plain[:260] + [
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n", "a<|mask|>b<|mask|>>c<|mask|", "<|mask|><|mask|>",
        # The whole text is composed before tokens are looked for: e + accent against a token, and inside one.
        "<|mask|>\u0301e\u0301<|im_end|>", "cafe\u0301 caf\u00e9", "e<|mask|>\u0301", "a \t<left>  b", "a <right> \n b",
        "  <left><right>  ", "x<left>\u3000y", "<|endoftext|>", "<|endoftext", "A\u030angstr\u00f6m \u212b \u1e9b\u0323",
        "\u1100\u1161\u11a8 \uac01", "12345 \u00b2 \u2167"]


def tokenizer(file):
    import transformers
    if file is None:
        kind = transformers.Qwen2Tokenizer
    else:
        spec = importlib.util.spec_from_file_location("tokenization_dream", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        kind = module.DreamTokenizer
    assert not issubclass(kind, transformers.PreTrainedTokenizerFast), "needs transformers 4"
    return kind.from_pretrained(FOLDER)


def main():
    arguments = sys.argv[1:]
    file = arguments[1] if arguments[:1] == ["--dream"] else None
    if not arguments:
        write()
    reference = tokenizer(file)
    rows = [{"text": t, "ids": reference(t, add_special_tokens=False)["input_ids"]} for t in texts()]
    text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    path = FOLDER / "expected.jsonl"
    if not arguments:
        path.write_text(text)
    print(f"{len(rows)} texts, {'the same' if path.read_text() == text else 'NOT THE SAME'}")
    sys.exit(0 if path.read_text() == text else 1)


if __name__ == "__main__":
    main()
