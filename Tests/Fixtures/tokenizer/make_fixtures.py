#!/usr/bin/env python3
"""Makes the fixtures of TokenizerTests: small tokenizers, and what the `tokenizers` package makes of hard strings.

    python3 -m venv VENV && VENV/bin/pip install tokenizers==0.23.3
    VENV/bin/python Tests/Fixtures/tokenizer/make_fixtures.py            writes them
    VENV/bin/python Tests/Fixtures/tokenizer/make_fixtures.py --check    makes them again and compares

For each tokenizer NAME it writes NAME.json and NAME.jsonl; for each model under models/ that has a tokenizer.json it
writes models/NAME.jsonl only. A line of the latter is an object:
    text      what is encoded; absent where only decoding is tested
    ids       its ids without special tokens added (or the ids to decode)
    before    what comes before them with special tokens added, where that is all that changes
    special   all ids with special tokens added, where more changes
    decoded   `ids` decoded, where that differs from the text
    skipped   the ids with special tokens added decoded without special tokens, where that differs from `decoded`

Everything is drawn from seeded generators, and only from characters that Unicode 3.2 has (save for strings written out
below), so that neither the version of Python nor that of Oniguruma matters.
"""

import json
import random
import sys
import tempfile
import unicodedata
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[2] / "models"

LLAMA = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = LLAMA.replace(r"\p{N}{1,3}", r"\p{N}")
BAILING = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"

SENTENCES = """\
The attention of a token goes where the softmax sends it, and much of it goes to the first token.
It's what they've said; we'll see, I'm sure, that you'd rather he didn't. THEY'RE LOUD, AREN'T THEY?
A mask is lifted at each step: 1, 2, 3, 10, 100, 1000, 2026-11-21, 3.14159, 1e-5, 0x1F.
def attention(query, key, value):\n    scores = query @ key.T / math.sqrt(64)\n    return softmax(scores) @ value\n
for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }  // inner product\r\n\tif (x != y && z == 0) return -1;
El niño comió piñas en la montaña; ¿dónde está la señora? ¡Qué difícil!
Das Mädchen aß süße Äpfel, während die Straße naß wurde. Größe, Übung, Öl.
L'élève français a reçu une leçon à l'école où ça s'est passé.
Съешь ещё этих мягких французских булок, да выпей же чаю.
Η γρήγορη αλεπού πηδά πάνω από το τεμπέλικο σκυλί. Όλα καλά;
日本語の文章にはひらがなとカタカナと漢字があります。注意機構は重要です。
中文的句子没有空格,所以分词比较困难。模型的注意力很有意思。
한국어 문장은 띄어쓰기가 있습니다. 주의 메커니즘을 살펴봅시다.
اللغة العربية تكتب من اليمين إلى اليسار، وهذا نص قصير.
השפה העברית נכתבת מימין לשמאל, וזה טקסט קצר.
हिन्दी में लिखा हुआ एक छोटा वाक्य है। ध्यान दीजिए।
ภาษาไทยไม่มีช่องว่างระหว่างคำ
Tiếng Việt có nhiều dấu thanh điệu khác nhau.
😀 😃 👍🏽 👩‍👩‍👧‍👦 🇩🇪 ❤️ emoji are made of many bytes 🎉🎉🎉
"""


def corpus():
    """Sentences, their words recombined, and some code; the same at every run."""
    generator = random.Random(20261121)
    lines = SENTENCES.split("\n")
    words = [w for line in lines for w in line.split(" ")]
    for _ in range(400):
        lines.append(" ".join(generator.choice(words) for _ in range(generator.randrange(3, 20))))
    return lines


def old(character):
    """Whether a character was assigned in Unicode 3.2, which is the same in every Python."""
    return unicodedata.ucd_3_2_0.category(character) not in ("Cn", "Cs")


def texts(added):
    """The hard strings; `added` are the texts of the tokenizer's added tokens."""
    out = ["", " ", "  ", "\n", "\r", "\r\n", "\t", "\x00", "a", "A", "é", "e\u0301", "\ufeff", "\u00a0", "\u200b"]
    out += SENTENCES.split("\n")
    # White space in runs, and against everything else.
    spaces = [" ", "\t", "\n", "\r", "\r\n", "\u00a0", "\u2003", "\u3000", "\x0b", "\x0c", "\x85", "\u2028", "\u1680"]
    for space in spaces:
        out += [space * 2, space * 7, "a" + space + "b", "a" + space * 3 + "b", space + "a", "a" + space, space + "1",
                space + "!", "!" + space * 2 + "\n", space + "\n" + space + "x"]
    out += [" " * n for n in (15, 16, 17, 64, 300)] + ["\n" * 40, "\r\n" * 20, " \n" * 20, "\t \t \t", "x" + " " * 99 + "y"]
    # Contractions in every case and with the letters that fold to ASCII ones.
    for suffix in ("s", "t", "re", "ve", "m", "ll", "d", "S", "T", "Re", "vE", "LL", "\u017f", "x", "ss", "\u212a"):
        out += ["it'" + suffix, "'" + suffix, "IT'" + suffix + "'" + suffix, " '" + suffix + " ", "it\u2019" + suffix]
    # Numbers.
    out += ["0", "12", "123", "1234", "12345678901234567890", "3.14", "1,000,000", "-1", "1e10", "½ ² ³ ⅷ Ⅻ", "٠١٢٣٤٥",
            "१२३४", "x1y22z333", "1 2  3   4", "²³¹", "㊀㊁", "০১২abc", "1\u0301", "0x1F600", "٣.١٤"]
    # Scripts.
    for low, high in ((0x20, 0x7F), (0xA0, 0x100), (0x100, 0x180), (0x180, 0x250), (0x250, 0x2B0), (0x370, 0x400),
                      (0x400, 0x500), (0x530, 0x590), (0x590, 0x600), (0x600, 0x700), (0x700, 0x750), (0x780, 0x7C0),
                      (0x900, 0x980), (0x980, 0xA00), (0xA00, 0xA80), (0xB80, 0xC00), (0xC00, 0xC80), (0xD80, 0xE00),
                      (0xE00, 0xE80), (0xE80, 0xF00), (0xF00, 0x1000), (0x1000, 0x10A0), (0x10A0, 0x1100),
                      (0x1100, 0x1200), (0x1200, 0x1380), (0x13A0, 0x1400), (0x1400, 0x1440), (0x1680, 0x16A0),
                      (0x16A0, 0x1700), (0x1780, 0x1800), (0x1800, 0x18B0), (0x1E00, 0x1F00), (0x1F00, 0x2000),
                      (0x2000, 0x2070), (0x2070, 0x20A0), (0x20A0, 0x20D0), (0x20D0, 0x2100), (0x2100, 0x2150),
                      (0x2150, 0x2190), (0x2190, 0x2200), (0x2200, 0x2300), (0x2460, 0x2500), (0x2500, 0x2580),
                      (0x2600, 0x2700), (0x2700, 0x27C0), (0x2800, 0x2840), (0x2E80, 0x2F00), (0x3000, 0x3040),
                      (0x3040, 0x30A0), (0x30A0, 0x3100), (0x3100, 0x3130), (0x3130, 0x3190), (0x3200, 0x3300),
                      (0x4E00, 0x4E40), (0xA000, 0xA040), (0xAC00, 0xAC40), (0xE000, 0xE020), (0xF900, 0xF940),
                      (0xFB00, 0xFB50), (0xFE20, 0xFE30), (0xFE30, 0xFE70), (0xFF00, 0xFFF0), (0x10300, 0x10330),
                      (0x10400, 0x10450), (0x1D000, 0x1D040), (0x1D400, 0x1D440), (0x20000, 0x20020), (0xF0000, 0xF0010),
                      (0x100000, 0x100010)):
        block = [chr(c) for c in range(low, high) if old(chr(c))]
        out.append("".join(block[:40]))
        out.append(" ".join(block[-12:]))
    # Noncharacters, controls, invisible characters, emoji of later versions.
    out += ["".join(map(chr, range(0x20))), "".join(map(chr, range(0x7F, 0xA0))), "\ufffe\uffff", "\ufdd0", "\U0010ffff",
            "a\x00b", "\x00\x00", "\x1b[31mred\x1b[0m", "\u202eabc\u202c", "a\u00adb", "a\u200db", "\u2060", "\ufffd",
            "👩‍👩‍👧‍👦", "👍🏻👍🏿", "🏳️‍🌈", "🇩🇪🇫🇷", "1️⃣#️⃣", "❤️🔥", "👨🏽‍💻 codes", "\U0001f3f4\U000e0067\U000e0062\U000e007f", "😀" * 9,
            "ﷺ", "ﬁﬂ", "Ǆǅǆ", "ſ", "K", "Å", "Ω", "İıIi", "ẞß", "ŉ"]
    # Composed, decomposed and disordered.
    composed = ["é", "ñ", "ü", "Å", "ệ", "ǭ", "각", "힣", "が", "パ", "ཱི", "ক়", "שּׁ", "﷽", "\u0958", "\u2126", "\u212b", "\uf900",
                "\U0002f800", "\u0344", "\u1e9b\u0323", "\u0340", "\u1fee", "\u0f73"]
    for text in composed:
        for form in ("NFC", "NFD"):
            out.append(unicodedata.normalize(form, text))
            out.append("x" + unicodedata.normalize(form, text) + " y")
    out += ["a\u0315\u0300\u05ae\u0301b", "e\u0301\u0327", "e\u0327\u0301", "\u0301a", "a\u0301\u0301\u0301", "\u1100\u1161",
            "\u1100\u1161\u11a8", "\u1100\u1161 \u11a8", "\uac00\u11a8", "\uac00\u11a7",
            "\u1100\u1161\u11a7", "\u0fc6\u20dc\u1e41\u0f73", "\u302d\u0f81", "\ufb84\uff9e", "o\u0302\u0301\u0323", "\u09c7\u09be", "\u0b47\u0300\u0b3e",
            "q\u0307\u0323 q\u0323\u0307", "\u1102\u0300\u1161", "\u0061\u035c\u0315\u0300\u05ae\u0062"]
    # Very long pieces.
    out += ["a" * 700, "ab" * 300, "the" * 200, "é" * 200, "文" * 150, "1" * 200, "!" * 200, "antidisestablishmentarianism" * 9,
            "=" * 80, "eee!!eee...", "see!! tree.. !!e", "a  b ..e!!", "-" * 33, "/" * 20 + "\n", "." * 3, "…" * 5, "a" + "\u0301" * 50]
    out += ["camelCase snake_case kebab-case SCREAMING", "https://example.org/a?b=c&d=%20#e", "a@b.c", "{\"k\": [1, 2]}",
            "<html><body class='x'>&amp;</body></html>", "$x^2 + \\frac{1}{2}$", "C:\\Windows\\System32", "a\\nb", "#!/bin/sh\n",
            "if(a){\n\tb();\n}\n\n\n", "x = [\n    1,\n    2,\n]\n", "# comment\r\n# more\r\n"]
    # Added tokens: alone, embedded, adjacent, spaced, partial, doubled.
    generator = random.Random(7)
    for token in added:
        out += [token, "a" + token, token + "a", "a" + token + "b", " " + token + " ", "a  " + token + "  b", token + token,
                token + " " + token, "\n" + token + "\n", token[:-1], token[1:], token + token[:-1], "é" + token + "é",
                "_" + token + "-", "\u3000" + token + "\u00a0x"]
    for _ in range(150 if added else 0):
        parts = added + ["a", " ", "  ", "\n", "Hi", "é", "e\u0301", "1", "<", "|", ">", "'s", "\t", "."]
        out.append("".join(generator.choice(parts) for _ in range(generator.randrange(2, 9))))
    # Random strings: anything assigned, then mixes of the classes that the patterns tell apart.
    pool = [chr(c) for c in list(range(0x3000)) + list(range(0x3000, 0x30000, 61)) if old(chr(c))]
    for _ in range(150):
        out.append("".join(generator.choice(pool) for _ in range(generator.randrange(1, 14))))
    classes = [" ", " ", "\n", "\r", "\t", "\u00a0", "a", "Z", "é", "e\u0301", "\u0301", "文", "1", "٣", "½", ".", "'", "'s", "!", "-",
               "😀", "\u200d", "\x00", "_"]
    for _ in range(200):
        out.append("".join(generator.choice(classes) for _ in range(generator.randrange(1, 16))))
    marks = ["\u0300", "\u0301", "\u0302", "\u0323", "\u0327", "\u0345", "\u093c", "\u3099", "\u05b0", "\u05bc", "\u0338"]
    bases = ["a", "e", "o", "u", "A", "α", "ω", "и", "か", "は", "क", "ש", "=", "<", "\u1100", "\u1161", "\u11a8", "\uac00", " "]
    for _ in range(120):
        out.append("".join(generator.choice(bases) + "".join(generator.choice(marks) for _ in range(generator.randrange(4)))
                           for _ in range(generator.randrange(1, 5))))
    sentences = [s for s in SENTENCES.split("\n") if s]
    for _ in range(60):
        sentence = generator.choice(sentences)
        at = generator.randrange(len(sentence))
        out.append(sentence[at:at + generator.randrange(5, 40)] + generator.choice(["", "\n", "  ", "\r\n"]))
    return list(dict.fromkeys(out))


def rows(tokenizer, strings):
    """What the package makes of the strings, and of random ids."""
    out = []
    for text in strings:
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        special = tokenizer.encode(text, add_special_tokens=True).ids
        row = {"text": text, "ids": plain}
        if special != plain:
            added = len(special) - len(plain)
            if special[added:] == plain:
                row["before"] = special[:added]
            else:
                row["special"] = special
        decoded = tokenizer.decode(plain, skip_special_tokens=False)
        if decoded != text:
            row["decoded"] = decoded
        skipped = tokenizer.decode(special, skip_special_tokens=True)
        if skipped != decoded:
            row["skipped"] = skipped
        out.append(row)
    generator = random.Random(11)
    size = max(tokenizer.get_vocab().values()) + 1
    for length in [1] * 40 + [2, 3, 5, 8, 13] * 12:
        ids = [generator.randrange(size + 3) for _ in range(length)]
        row = {"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)}
        skipped = tokenizer.decode(ids, skip_special_tokens=True)
        if skipped != row["decoded"]:
            row["skipped"] = skipped
        out.append(row)
    return out


def dump(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def write(name, tokenizer, change=None, fewer=0):
    """Saves a tokenizer, after `change` had its way with the JSON, and its rows; all, or about one in `fewer`."""
    document = json.loads(tokenizer.to_str())
    if change:
        change(document)
    dump(HERE / f"{name}.json", document)
    write_rows(HERE / f"{name}.jsonl", HERE / f"{name}.json", fewer)


def write_rows(path, source, fewer=0):
    tokenizer = Tokenizer.from_file(str(source))
    added = [t.content for _, t in sorted(tokenizer.get_added_tokens_decoder().items())]
    strings = texts(added[:40])
    if fewer:
        strings = [s for i, s in enumerate(strings) if (i % fewer == 0 or "ee" in s) and len(s) < 100]
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows(tokenizer, strings)]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{path.relative_to(HERE)}: {len(strings)} strings, {path.stat().st_size} bytes", file=sys.stderr)


def train(pre_tokenizer, normalizer=None, size=800):
    """A byte-level BPE tokenizer over the corpus, without added tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(pattern, behavior, invert), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def strings_for_merges(document):
    """The old form of merges: one string a pair."""
    document["model"]["merges"] = [" ".join(pair) for pair in document["model"]["merges"]]


def gpt2():
    tokenizer = train(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(["<|endoftext|>"])

    def change(document):
        strings_for_merges(document)
        document["model"]["merges"].insert(0, "#version: 0.2")
        document["model"]["continuing_subword_prefix"] = ""
        document["model"]["end_of_word_suffix"] = ""

    write("gpt2", tokenizer, change)


def llama3():
    tokenizer = train(split(Regex(LLAMA)))
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]

    def change(document):
        model = document["model"]
        model["ignore_merges"] = True
        # Pieces that no merges make: only ignore_merges finds them.
        for word in ("Ġsoftmax", "zqzq", "123", "Ġ!", "ĉĉĉ", "ãģĮãģ"):
            model["vocab"].setdefault(word, len(model["vocab"]))
        first = len(model["vocab"])
        document["added_tokens"] = [
            {"id": first + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True} for i, text in enumerate(special)]
        template = [{"SpecialToken": {"id": special[0], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        document["post_processor"] = {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
            {"type": "TemplateProcessing", "single": template,
             "pair": template + [{"SpecialToken": {"id": special[0], "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
             "special_tokens": {special[0]: {"id": special[0], "ids": [first], "tokens": [special[0]]}}}]}

    write("llama3", tokenizer, change)


def qwen2():
    tokenizer = train(split(Regex(QWEN)), normalizers.NFC())
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokens = []
    for flags in range(32):
        normalized, left, right, word, special = (bool(flags >> bit & 1) for bit in range(5))
        text = f"<{flags:02}>" if flags % 2 else f"zq{flags:02}"
        tokens.append(AddedToken(
            text, normalized=normalized, lstrip=left, rstrip=right, single_word=word, special=special))
    # A token that another begins, one that normalization changes, one of white space, a word, one of the vocabulary.
    tokens += [AddedToken("<01><02>", normalized=False), AddedToken("ne\u0301e", normalized=True), AddedToken("   ", normalized=True),
               AddedToken("mask", normalized=False, single_word=True, special=True), AddedToken("the", normalized=True, single_word=True),
               AddedToken("é\u0323", normalized=False), AddedToken(" x y", normalized=False, rstrip=True)]
    for token in tokens:
        tokenizer.add_tokens([token])
    write("qwen2", tokenizer, strings_for_merges)


def bailing():
    tokenizer = train(split(Regex(BAILING)))
    tokenizer.add_special_tokens(["<|startoftext|>", "<|endoftext|>", "<|mdm_mask|>", "[CLS]", "[gMASK]", "<role>", "</role>"])
    write("bailing", tokenizer)


def variants():
    """Every other component, over one tiny model."""
    # Trained without cutting, so that tokens reach across every place where a variant may cut.
    base = json.loads(train(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), size=420).to_str())
    # And some that hold two matches of the patterns below.
    for text in ("ee", "!!", "..", "ĠĠ", "e!"):
        if text not in base["model"]["vocab"]:
            base["model"]["vocab"][text] = len(base["model"]["vocab"])
            base["model"]["merges"].append([text[0], text[1]])
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}

    def variant(name, splits=None, normalizer=None, change=None, **byte_level_changes):
        document = json.loads(json.dumps(base))
        document["normalizer"] = normalizer
        last = dict(byte_level, **byte_level_changes)
        document["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": splits + [last]} if splits else last
        if change:
            change(document)
        path = HERE / "variants" / f"{name}.json"
        dump(path, document)
        write_rows(path.with_suffix(".jsonl"), path, fewer=16)

    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            for kind, pattern in (("regex", {"Regex": r"\s|[.!']"}), ("string", {"String": "e"})):
                variant(f"split-{behavior}-{'inverted-' if invert else ''}{kind}",
                        [{"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}])
    for behavior in ("Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        variant(f"empty-matches-{behavior}", [
            {"type": "Split", "pattern": {"Regex": r"\s*|(?=[A-Z])"}, "behavior": behavior, "invert": False}])
    variant("empty-string", [{"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": False}])
    variant("string-of-meta", [
        {"type": "Split", "pattern": {"String": ".*[a-z]+?(x)|{1}^$#&~\\-"}, "behavior": "Isolated", "invert": False},
        {"type": "Split", "pattern": {"String": "."}, "behavior": "MergedWithNext", "invert": False}])
    variant("digits", [{"type": "Digits", "individual_digits": False}])
    variant("digits-individual", [{"type": "Digits", "individual_digits": True}], use_regex=True)
    variant("prefix-space", add_prefix_space=True, use_regex=True)
    variant("prefix-space-each", [
        {"type": "Split", "pattern": {"Regex": r"\n"}, "behavior": "MergedWithPrevious", "invert": False}], add_prefix_space=True)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        variant(f"normal-{form}", normalizer={"type": form}, use_regex=True)
    variant("replace", normalizer={"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}, {"type": "NFD"},
        {"type": "Replace", "pattern": {"String": "e"}, "content": "EE"}, {"type": "Prepend", "prepend": "▁"}]}, use_regex=True)
    variant("replace-nothing", normalizer={"type": "Replace", "pattern": {"Regex": "[aeiou\u0301]|\\d+"}, "content": ""})

    def unknown(fuse):
        def change(document):
            model = document["model"]
            model["vocab"] = {"<unk>": 0}
            for character in "abcdehilnorstuĠ":
                model["vocab"][character] = len(model["vocab"])
            model["merges"] = []
            for left, right in (("t", "h"), ("th", "e"), ("Ġ", "the"), ("h", "e"), ("i", "n"), ("<unk>", "a"), ("a", "b")):
                model["merges"].append([left, right])
                model["vocab"].setdefault(left + right, len(model["vocab"]))
            if fuse is not None:
                model["unk_token"] = "<unk>"
                model["fuse_unk"] = fuse
        return change

    variant("unknown-dropped", change=unknown(None), use_regex=True)
    variant("unknown", change=unknown(False), use_regex=True)
    variant("unknown-fused", change=unknown(True), use_regex=True)

    def template(document):
        document["added_tokens"] = [
            {"id": len(document["model"]["vocab"]) + i, "content": text, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": True, "special": i < 2} for i, text in enumerate(["[A]", "[Z]", "é x"])]
        first = len(document["model"]["vocab"])
        document["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "both", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "[Z]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"both": {"id": "both", "ids": [first, first + 1], "tokens": ["[A]", "[Z]"]},
                               "[Z]": {"id": "[Z]", "ids": [first + 1], "tokens": ["[Z]"]}}}
        document["decoder"] = {"type": "Sequence", "decoders": [document["decoder"]]}

    variant("template", change=template, use_regex=True)


def make(folder):
    """Writes everything below a folder."""
    global HERE
    HERE = folder
    for name in ("models", "variants"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    gpt2()
    llama3()
    qwen2()
    bailing()
    variants()
    for model in ("tiny-mdm",):
        if (MODELS / model / "tokenizer.json").exists():
            write_rows(HERE / "models" / f"{model}.jsonl", MODELS / model / "tokenizer.json")


def check():
    """Makes everything again elsewhere; the names of the files that differ from what is committed."""
    committed = HERE
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        made = sorted(path.relative_to(folder) for path in Path(folder).rglob("*.json*"))
        return [
            str(name) for name in made
            if not (committed / name).exists() or (committed / name).read_bytes() != (Path(folder) / name).read_bytes()
        ]


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        differing = check()
        print(f"{len(differing)} files differ: {differing}" if differing else "tokenizer fixtures agree")
        sys.exit(1 if differing else 0)
    make(HERE)
