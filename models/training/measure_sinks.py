"""Measures the attention sinks of an exported folder, and its held-out loss; writes JSON.

Diffusion. A key j receives s_j, the sum of its column of the attention map; the mean of s_j is
1. The rule `excess`: j is a sink iff s_j > mean of the others + 3. Measured at every (step,
layer, head) of generation runs. "Moves" is the share of pairs of consecutive steps between
which the key with the largest s_j changes, over all layers and heads.

Autoregressive. The mean attention that the last 32 of 128 queries pay to the first token,
against the mean of 1 / (i + 1), which is what uniform attention would pay.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from export import END, MASK, START, load
from generate import continue_text, diffuse
from train import Crops, autoregressive_loss, diffusion_loss, diffusion_noise

EPSILON = 3.0
PROMPTS = [
    "And it came to pass in those days, that the king of Israel went up to the house of the LORD, and said unto the people,",
    'Jesus answered them, "I tell you the truth, a man who loves his neighbor',
    "It was a fine morning in the month of June, and Elizabeth was walking in the garden with her sister, when",
    "Mr. Knightley had been standing near the window for some time, and at last he said,",
    "The righteous shall rejoice in the Lord, but the wicked",
    "We ought to be thankful for the mercies of God, who",
    "The young man was afraid, and he answered the captain of the guard,",
    "hacker: n.\nA person who enjoys exploring the details of programmable systems and",
]
NEW, STEPS = 64, 64


def kind(token: int, text: str) -> str:
    if token in (START, MASK, END):
        return {START: "start", MASK: "mask", END: "end"}[token]
    if "\n" in text:
        return "line end"
    return "word" if any(c.isalnum() for c in text) else "punctuation"


def measure_diffusion(model, tokenizer) -> dict:
    """One generation run for each prompt; every figure is over all runs together."""
    sinks, tops, shares, moves, distinct, counts, norms = [], [], [], [], [], [], []
    kinds: dict[str, int] = {}
    for prompt in PROMPTS:
        path = []

        def observe(step, ids, maps, values):
            received = maps.sum(-2)  # [layer, head, key]
            length = received.shape[-1]
            others = (received.sum(-1, keepdim=True) - received) / (length - 1)
            is_sink = received > others + EPSILON
            top_value, top = received.max(-1)
            sinks.append(is_sink.any(-1).numpy())
            counts.append(is_sink.sum(-1).numpy())
            shares.append((top_value / length).numpy())
            norm = values.gather(-1, top[..., None])[..., 0] / values.median(-1).values
            norms.append(norm.numpy())
            path.append(top.numpy())
            tops.append(ids[top].numpy())

        diffuse(model, tokenizer.encode(prompt).ids, NEW, STEPS, observe=observe)
        path = np.stack(path)  # [step, layer, head]
        moves.append(path[1:] != path[:-1])
        for layer in range(path.shape[1]):
            distinct.append([len(set(path[:, layer, head])) for head in range(path.shape[2])])
    sinks, shares, norms = np.stack(sinks), np.stack(shares), np.stack(norms)
    tops, counts = np.stack(tops), np.stack(counts)
    texts = [tokenizer.decode([i], skip_special_tokens=False) for i in range(tokenizer.get_vocab_size())]
    for token in tops[sinks]:
        name = kind(int(token), texts[token])
        kinds[name] = kinds.get(name, 0) + 1
    moves = np.concatenate(moves)
    distinct = np.array(distinct).reshape(len(PROMPTS), -1, sinks.shape[2])
    by_layer = lambda a: [round(float(x), 4) for x in a.mean(axis=(0, 2))]
    total = sum(kinds.values())
    return {
        "rule": "excess, unit received sum, epsilon 3",
        "runs": len(PROMPTS),
        "steps": STEPS,
        "new_tokens": NEW,
        "with_a_sink": float(sinks.mean()),
        "with_a_sink_by_layer": by_layer(sinks),
        "with_a_sink_by_run": [round(float(s.mean()), 4) for s in np.split(sinks, len(PROMPTS))],
        "sinks_where_any": float(counts[sinks].mean()),
        "top_moves": float(moves.mean()),
        "top_moves_by_layer": by_layer(moves),
        "top_moves_by_run": [round(float(m.mean()), 4) for m in np.split(moves, len(PROMPTS))],
        "distinct_tops": float(distinct.mean()),
        "distinct_tops_by_layer": by_layer(distinct),
        "kinds_of_top_sinks": {k: round(n / total, 4) for k, n in sorted(kinds.items(), key=lambda x: -x[1])},
        "top_share_median": float(np.median(shares)),
        "top_share_by_layer": by_layer(shares),
        "over_30_percent": float((shares > 0.3).mean()),
        "over_30_percent_by_layer": by_layer(shares > 0.3),
        "value_norm_of_top_sink_to_median": float(np.median(norms[sinks])),
    }


@torch.no_grad()
def measure_autoregressive(model, crops: Crops, rows: int = 64) -> dict:
    batch = crops.draw(np.random.default_rng(11), rows, 128)
    paid, first = [], []
    for row in batch:
        _, maps, _ = model.forward_with_attention(row[None])
        paid.append(maps[:, :, 96:, 0].mean(-1))
        first.append(maps[:, :, 64:, 0].mean(-1) > 0.3)
    paid = torch.stack(paid).mean(0)  # [layer, head]
    uniform = float(np.mean([1 / (i + 1) for i in range(96, 128)]))
    ratio = paid.mean(-1) / uniform
    return {
        "crops": rows,
        "uniform": uniform,
        "first_token_by_layer": [round(float(x), 4) for x in paid.mean(-1)],
        "times_uniform_by_layer": [round(float(x), 2) for x in ratio],
        "strongest_head_by_layer": [round(float(x), 4) for x in paid.max(-1).values],
        "layers_over_3_times_uniform": int((ratio >= 3).sum()),
        "heads_over_30_percent": float(torch.stack(first).float().mean()),
    }


@torch.no_grad()
def held_out_loss(model, crops: Crops, rows: int = 512) -> dict:
    """Nats per token, for each source and for the mixture trained on."""
    result = {}
    for source in [*range(len(crops.sources)), None]:
        name = "mixture" if source is None else crops.sources[source]
        everything, rng, total = crops.shares, np.random.default_rng(5), 0.0
        if source is not None:
            crops.shares = np.eye(len(crops.sources))[source]
        count = rows if source is None else rows // 4
        for _ in range(count // 32):
            batch = crops.draw(rng, 32, 128)
            if model.causal:
                total += autoregressive_loss(model, batch).item() * 32
            else:
                total += diffusion_loss(model, batch, *diffusion_noise(rng, 32, 128, 0.0)).item() * 32
        crops.shares = everything
        result[name] = round(total / count, 4)
    return result


def samples(model, tokenizer) -> list[dict]:
    """What comes out for each prompt; the first draw, none picked."""
    result = []
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt).ids
        if model.causal:
            ways = {
                "greedy": continue_text(model, ids, NEW),
                "temperature 0.8, top-p 0.9": continue_text(model, ids, NEW, 0.8, 0.9),
            }
        else:
            ways = {
                f"{STEPS} steps, temperature 0": diffuse(model, ids, NEW, STEPS),
                f"{STEPS} steps in blocks of 16, temperature 0.7": diffuse(model, ids, NEW, STEPS, 16, 0.7),
            }
        for way, out in ways.items():
            text = tokenizer.decode(out[len(ids) :], skip_special_tokens=False)
            result.append({"prompt": prompt, "prompt_tokens": len(ids), "way": way, "text": text})
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="a model folder")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a JSON file")
    a = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = load(a.model), Tokenizer.from_file(str(a.model / "tokenizer.json"))
    crops = Crops(a.data / "valid.npz", a.data / "tokenizer.json")
    with torch.no_grad():
        sinks = measure_autoregressive(model, crops) if model.causal else measure_diffusion(model, tokenizer)
    result = {"sinks": sinks, "held_out_loss": held_out_loss(model, crops), "samples": samples(model, tokenizer)}
    a.out.parent.mkdir(parents=True, exist_ok=True)
    a.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(sinks, indent=1))


if __name__ == "__main__":
    main()
