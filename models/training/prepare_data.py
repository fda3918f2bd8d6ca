"""Turns Debian packages of public-domain English text into train.jsonl and valid.jsonl.

Each line is {"source": ..., "text": ...}: one chapter, psalm, section or entry. The text is
reduced to plain ASCII with paragraphs on lines of their own. What is held out is chosen so
that a held-out passage is not also seen in another wording: the two Bibles are parallel
texts, so the same books and psalms are held out of both, and the same psalms of the
commentary on the Psalms.
"""

import argparse
import gzip
import json
import os
import re
import struct
import subprocess
import unicodedata
import zlib
from pathlib import Path

# Held out of both Bibles; and psalms held out of both and of the commentary on the Psalms.
VALID_BOOKS = {"ruth", "ecclesiastes", "amos", "philippians", "james"}
VALID_PSALMS = {84, 93, 121, 133}
# In the other sources, one section in so many is held out.
VALID_EVERY = 30

KJV_VALID = {"Ruth": "ruth", "Eccl": "ecclesiastes", "Amos": "amos", "Phi": "philippians", "Jas": "james"}

PUNCTUATION = {
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "--",
    "\u2026": "...", "\u00a0": " ", "\u00b7": "", "\u00e6": "ae", "\u0153": "oe",
}  # fmt: skip


def ascii_text(text: str) -> str:
    """Plain ASCII: typographic quotes and dashes straightened, accents dropped."""
    for there, here in PUNCTUATION.items():
        text = text.replace(there, here)
    text = unicodedata.normalize("NFKD", text)
    return text.encode("ascii", "ignore").decode()


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", ascii_text(text)).strip()


def run(*command: str, **options) -> str:
    done = subprocess.run(command, capture_output=True, **options)
    return done.stdout.decode("utf-8", "replace")


def sword_entries(module: str):
    """(key, text) for each entry of a Sword module, markup stripped, empty ones left out."""
    dump = run("mod2imp", module, "-s")
    for entry in dump.split("$$$")[1:]:
        key, _, text = entry.partition("\n")
        if text.strip():
            yield key.strip(), text


def king_james():
    """One chapter a document, one verse a line. The reader prints `Ge1:1 In the ...`."""
    text = run("bible", "-f", "gen1:1-rev22:21")
    chapters: dict[tuple[str, int], list[str]] = {}
    for line in text.splitlines():
        match = re.match(r"^(\d?[A-Za-z]+)(\d+):(\d+) (.+)$", line)
        if match:
            chapters.setdefault((match[1], int(match[2])), []).append(one_line(match[4]))
    for (book, chapter), verses in chapters.items():
        held = KJV_VALID.get(book) in VALID_BOOKS or (book == "Psa" and chapter in VALID_PSALMS)
        yield held, "\n".join(verses)


def world_english():
    """One chapter a document, one verse a line; introductions and headings left out."""
    chapters: dict[tuple[str, int], list[str]] = {}
    for key, text in sword_entries("engWEB2015eb"):
        match = re.match(r"^(.*) (\d+):(\d+)$", key)
        if match and int(match[2]) and int(match[3]):
            chapters.setdefault((match[1], int(match[2])), []).append(one_line(text))
    for (book, chapter), verses in chapters.items():
        held = book.lower() in VALID_BOOKS or (book == "Psalms" and chapter in VALID_PSALMS)
        yield held, "\n".join(verses)


def concise_commentary():
    """Sections `* Verses a-b *`. The dump repeats some of them, so each is taken once."""
    seen, sections = set(), []
    for _, text in sword_entries("MHCC"):
        for section in re.split(r"\*\s*Verses?\s[^*]{1,20}\*", text)[1:]:
            section = re.split(r"Chapter \d+\s*$|\bChapter Outline", section)[0]
            section = one_line(section.replace("*", " "))
            section = re.sub(r"\s*Chapter \d+$", "", section)
            if 200 <= len(section) <= 6000 and section[:120] not in seen:
                seen.add(section[:120])
                sections.append(section)
    for number, section in enumerate(sections):
        yield number % VALID_EVERY == 7, section


def treasury_of_david():
    """Paragraphs of the commentary on the Psalms, without verse labels and stars."""
    psalms: dict[int, list[str]] = {}
    for key, text in sword_entries("TDavid"):
        match = re.match(r"^Psalms (\d+):", key)
        if not match:
            continue
        for paragraph in re.split(r"\n|\s{3,}", text):
            paragraph = one_line(paragraph.replace("*", " "))
            paragraph = re.sub(r"^Ver(se)?s?\.? [\d, -]+\.?\s*", "", paragraph)
            if len(paragraph) >= 200 and sum(c.isdigit() for c in paragraph) < 12:
                psalms.setdefault(int(match[1]), []).append(paragraph)
    for psalm, paragraphs in psalms.items():
        for start in range(0, len(paragraphs), 8):
            yield psalm in VALID_PSALMS, "\n".join(paragraphs[start : start + 8])


def austen(root: Path):
    """Six novels from the lazy-load data base of an R package, one chapter a document.

    The data base is a row of (4-byte length, zlib stream); a stream is R's serialisation of
    a vector of strings, the lines. A string is a flag word whose low byte is 9, its length
    and its bytes.
    """
    data = (root / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    number = 0
    while data:
        stream = zlib.decompressobj()
        novel = stream.decompress(data[4:])
        data = stream.unused_data
        at, lines = novel.index(b"\0\0\0\x10") + 8, []
        while at + 8 <= len(novel) and novel[at + 3] == 9:
            length = struct.unpack(">i", novel[at + 4 : at + 8])[0]
            lines.append(novel[at + 8 : at + 8 + length].decode("utf-8", "replace"))
            at += 8 + length
        text = "\n".join(lines).replace("_", "")
        chapters = re.split(r"\n(?:VOLUME [IVX]+\s*\n+)?\s*(?:CHAPTER|Chapter) [IVXLC\d]+\.?[^\n]*\n", text)
        for chapter in chapters[1:]:
            paragraphs = [one_line(p) for p in re.split(r"\n\s*\n", chapter)]
            number += 1
            yield number % VALID_EVERY == 7, "\n".join(p for p in paragraphs if p)


def jargon():
    """Entries of the lexicon; cross-reference braces and the indentation dropped."""
    path = Path("/usr/share/doc/jargon-text/jargon.txt.gz")
    text = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
    entries = re.split(r"\n   :(?=[^\n:]+:)", text)[1:]
    for number, entry in enumerate(entries):
        paragraphs = [one_line(re.sub(r"[{}]", "", p)) for p in re.split(r"\n\s*\n", entry)]
        paragraphs = [p for p in paragraphs if p and not re.fullmatch(r"[-=_* ]+", p)]
        document = "\n".join(paragraphs)
        if 80 <= len(document) <= 12000:
            yield number % VALID_EVERY == 7, document


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--unpacked", type=Path, required=True, help="where r-cran-janeaustenr was unpacked")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    sources = {
        "king-james": king_james(),
        "world-english": world_english(),
        "concise-commentary": concise_commentary(),
        "treasury-of-david": treasury_of_david(),
        "austen": austen(arguments.unpacked),
        "jargon": jargon(),
    }
    with open(arguments.out / "train.jsonl", "w") as train, open(arguments.out / "valid.jsonl", "w") as valid:
        for source, documents in sources.items():
            counts = {True: [0, 0], False: [0, 0]}
            for held, text in documents:
                if len(text) < 80:
                    continue
                counts[held][0] += 1
                counts[held][1] += len(text)
                (valid if held else train).write(json.dumps({"source": source, "text": text}) + "\n")
            print(
                f"{source}: train {counts[False][0]} documents, {counts[False][1]} characters; "
                f"valid {counts[True][0]} documents, {counts[True][1]} characters"
            )


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    main()
