"""Writes a model folder's README.md, the model card, from the logs and the measurements."""

import argparse
import csv
import json
from pathlib import Path

import numpy as np

from model import Shape
from train import LENGTH_SHARES, LENGTHS, LINE_STARTS, PREFIXES, SMALLEST_T, WEIGHTS

# source: (Debian package, what it is, its licence as the package's copyright file states it)
SOURCES = {
    "king-james": ("bible-kjv-text", "King James Version", "public domain (\"the copyright ... is expired\")"),
    "world-english": (
        "sword-text-web",
        "World English Bible",
        "public domain; the name is a trademark of eBible.org for the unaltered text, of which nothing is redistributed here",
    ),
    "concise-commentary": ("sword-comm-mhcc", "Matthew Henry's Concise Commentary", "public domain"),
    "treasury-of-david": ("sword-comm-tdavid", "C. H. Spurgeon, The Treasury of David", "public domain"),
    "austen": ("r-cran-janeaustenr", "Jane Austen's six novels", "the novels: public domain; the package: MIT"),
    "jargon": ("jargon-text", "The Jargon File 4.4.7", "public domain"),
}

percent = lambda x: f"{100 * x:.0f} %"
row = lambda cells: "| " + " | ".join(str(c) for c in cells) + " |"


def table(header, rows):
    return "\n".join([row(header), row(["---"] * len(header)), *map(row, rows)])


def data_section(data: Path) -> str:
    train, valid = np.load(data / "train.npz"), np.load(data / "valid.npz")
    characters = {}
    with open(data / "train.jsonl") as lines:
        for line in lines:
            document = json.loads(line)
            characters[document["source"]] = characters.get(document["source"], 0) + len(document["text"])
    rows = [
        [f"`{package}`", what, licence, f"{characters[s] / 1e6:.2f}", f"{len(train[s]):,}", f"{len(valid[s]):,}", percent(WEIGHTS[s])]
        for s, (package, what, licence) in SOURCES.items()
    ]
    rows.append(
        ["", "all", "", f"{sum(characters.values()) / 1e6:.2f}", f"{sum(len(train[s]) for s in SOURCES):,}",
         f"{sum(len(valid[s]) for s in SOURCES):,}", "100 %"]
    )  # fmt: skip
    header = ["Debian package", "text", "licence", "MB", "training tokens", "held-out tokens", "share of crops"]
    return table(header, rows)


def loss_section(path: Path) -> tuple[str, dict]:
    with open(path, newline="") as file:
        lines = list(csv.DictReader(file))
    last = lines[-1]
    rows = [[f"{int(l['step']):,}", f"{int(l['tokens']):,}", l["loss"], l["valid_loss"]] for l in lines if l["valid_loss"]]
    last["decay_start"] = max(int(l["step"]) for l in lines if l["learning_rate"] == lines[2]["learning_rate"])
    return table(["step", "tokens", "training loss", "held-out loss"], rows), last


def sinks_of_diffusion(s: dict) -> str:
    layers = range(len(s["with_a_sink_by_layer"]))
    per_layer = table(
        ["layer", *layers, "all"],
        [
            ["some key is a sink", *map(percent, s["with_a_sink_by_layer"]), percent(s["with_a_sink"])],
            ["top key moves from step to step", *map(percent, s["top_moves_by_layer"]), percent(s["top_moves"])],
            ["distinct top positions in a run", *(f"{x:.1f}" for x in s["distinct_tops_by_layer"]), f"{s['distinct_tops']:.1f}"],
            ["share of all attention on the top key, mean", *map(percent, s["top_share_by_layer"]), f"median {100 * s['top_share_median']:.1f} %"],
            ["top key holds over 30 % of all attention", *map(percent, s["over_30_percent_by_layer"]), percent(s["over_30_percent"])],
        ],
    )  # fmt: skip
    kinds = ", ".join(f"{name} {percent(share)}" for name, share in s["kinds_of_top_sinks"].items())
    runs = ", ".join(percent(x) for x in s["with_a_sink_by_run"])
    moves = ", ".join(percent(x) for x in s["top_moves_by_run"])
    return f"""Measured on the exported bfloat16 weights, computed in float32, over {s['runs']} generation
runs ({s['new_tokens']} new tokens in {s['steps']} steps, low-confidence sampler, temperature 0, one
block; the prompts are in `training/measure_sinks.py`). A key is a sink where the attention it
receives, summed over the queries, exceeds the mean over the other keys by 3 (the rule `excess`
on received sums, epsilon 3; the mean of a received sum is 1).

{per_layer}

- Some key is a sink in {percent(s['with_a_sink'])} of all (step, layer, head); by run: {runs}.
  Where there is one there are {s['sinks_where_any']:.1f} on average.
- The top key changes between consecutive steps in {percent(s['top_moves'])} of all cases; by run: {moves}.
- Token under the top sink: {kinds}.
- How strong: the rule asks for little more than four times the average. In
  {percent(s['over_30_percent'])} of all (step, layer, head) the top key holds more than 30 % of all
  attention. The value under a top sink has {s['value_norm_of_top_sink_to_median']:.2f} times the
  median norm. A classical sink has a small value; where the ratio is above 1, part of what the rule finds is
  attention to content, not a place to put unused attention."""


def sinks_of_autoregression(s: dict) -> str:
    layers = range(len(s["first_token_by_layer"]))
    per_layer = table(
        ["layer", *layers],
        [
            ["attention on the first token", *(f"{x:.3f}" for x in s["first_token_by_layer"])],
            ["times uniform", *(f"{x:.1f}" for x in s["times_uniform_by_layer"])],
            ["its strongest head", *(f"{x:.3f}" for x in s["strongest_head_by_layer"])],
        ],
    )
    return f"""Measured on the exported bfloat16 weights, computed in float32, over {s['crops']} held-out
crops of 128 tokens: the mean attention the last 32 queries pay to the first token, the start
token. Uniform attention would pay {s['uniform']:.4f}.

{per_layer}

- Layers in which it is at least 3 times uniform: {s['layers_over_3_times_uniform']} of {len(layers)}.
- Heads that give the first token more than 30 % (mean over the last 64 queries, by crop): {100 * s['heads_over_30_percent']:.1f} %."""


def sample_section(samples: list[dict]) -> str:
    parts = []
    for sample in samples:
        way = f"{sample['way']}; prompt of {sample['prompt_tokens']} tokens"
        parts.append(f"{way}:\n```text\n{sample['prompt']} [...]{sample['text']}\n```")
    return "\n\n".join(parts)


def card(kind: str, logs: Path, data: Path, note: str) -> str:
    s, measured = Shape(), json.loads((logs / f"measured-{kind}.json").read_text())
    losses, last = loss_section(logs / f"{kind}.csv")
    diffusion = kind == "mdm"
    title = "tiny-mdm: a small masked-diffusion language model" if diffusion else "tiny-ar: the autoregressive twin of tiny-mdm"
    format_of = "LLaDA's `config.json` fields and tensor names" if diffusion else "Llama's `config.json` fields and tensor names"
    objective = (
        f"masked diffusion: t is stratified over the batch, each position but the first is masked with probability t, "
        f"the loss on masked positions is weighted by 1 / max(t, {SMALLEST_T}). In {percent(PREFIXES)} of the crops a random prefix "
        f"stays clean, as a prompt would be. The loss below is the resulting bound in nats per token."
        if diffusion
        else "next token, in nats per token. Everything else is as in its twin, which saw the same crops in the same order."
    )
    held = table(["", *measured["held_out_loss"]], [["nats per token", *(f"{x:.2f}" for x in measured["held_out_loss"].values())]])
    sinks = (sinks_of_diffusion if diffusion else sinks_of_autoregression)(measured["sinks"])
    hours = int(last["seconds"]) / 60
    return f"""# {title}

A model to test and to demonstrate with, not one to rely on: 3.96 million parameters, trained on two
processor cores in about {hours:.0f} minutes. It writes fragments in the manner of its texts, which are the
Bible, two commentaries on it, six novels and a hackers' dictionary, with the views of their times.
{format_of}; bfloat16.

## Size
{s.layers} layers of width {s.width}, {s.heads} heads of {s.head_width}, gated SiLU MLP of {s.mlp}, RMS norms, rotary positions (theta
{s.rope_theta:.0f}), no biases, embedding and head apart; {s.vocab} tokens, {s.context} positions.
{'Attention is bidirectional.' if diffusion else 'Attention is causal.'} Tokenizer: byte-level BPE trained on the same text, with
`<|startoftext|>` (0), `<|endoftext|>` (1) and `<|mdm_mask|>` (2){'' if diffusion else ', the last unused here'}; encoding prepends the start token.

## Text
{data_section(data)}

Read from the packages' copyright files in Debian 12. Markup, verse numbers and typographic quotes
are removed. Held out of both Bibles, which are parallel texts: Ruth, Ecclesiastes, Amos,
Philippians, James and Psalms 84, 93, 121, 133; of the commentary on the Psalms, the same psalms; of
the rest, one section in 30. The commentaries quote the Bible, so a quoted verse can occur on both sides.

## Training
{int(last['step']):,} steps of 16 crops, {int(last['tokens']):,} tokens, float32, one thread, {hours:.0f} minutes beside its twin. AdamW
(0.9, 0.95), weight decay 0.1 on matrices, gradients clipped to 1, rate 0.002 with 100 steps of warm-up and a linear decay
to zero from step {last['decay_start']:,} on. A crop is {LENGTHS[0]} tokens ({percent(LENGTH_SHARES[0])} of the batches; {LENGTHS[1]} and {LENGTHS[2]} in {percent(LENGTH_SHARES[1])} each): the start token, then
text, in half of the crops from the start of a line. Documents are joined by the end token.

Objective: {objective}

{note}{losses}

Held-out loss after rounding to bfloat16, by source and for the mixture trained on:

{held}

## Its attention sinks
{sinks}

## Samples
The first draw for each of the eight prompts of `training/measure_sinks.py`, none picked. The model's text
begins after `[...]`.

{sample_section(measured['samples'])}

## Running it again
`models/training/train_all.sh` does everything: packages, text, tokenizer, both trainings, export,
measurements and this card. The loss at every 50 steps is in `models/training/logs/{kind}.csv`, the measurements in
`models/training/logs/measured-{kind}.json`.

## Licence
The texts are in the public domain. The weights may be used under the licence of the repository they come with.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=("mdm", "ar"), required=True)
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--note", type=Path, help="a paragraph about this run, if there is something to say")
    a = parser.parse_args()
    note = a.note.read_text().strip() + "\n\n" if a.note and a.note.exists() else ""
    (a.folder / "README.md").write_text(card(a.kind, a.logs, a.data, note))


if __name__ == "__main__":
    main()
