"""The two samplers: LLaDA's low-confidence remasking, and one token after another."""

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer

from export import END, MASK, load


@torch.no_grad()
def diffuse(
    model,
    prompt: list[int],
    new: int,
    steps: int,
    block: int | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    observe=None,
) -> list[int]:
    """LLaDA's sampler: every step predicts all masked positions and keeps the most confident
    predictions of the current block. A temperature T draws the predictions from softmax(logits / T);
    confidence is always the probability at temperature 1.

    `observe(step, ids, maps, values)` sees what each step was fed, its attention maps and the
    norms of its values.
    """
    block = block or new
    ids, generator = torch.tensor(prompt + [MASK] * new), torch.Generator().manual_seed(seed)
    per_block, step = steps // (new // block), 0
    for start in range(len(prompt), len(ids), block):
        end = start + block
        for inner in range(per_block):
            quota = block // per_block + (inner < block % per_block)
            logits, maps, values = model.forward_with_attention(ids[None])
            if observe:
                observe(step, ids.clone(), maps, values)
            logits = logits[0].double()
            uniform = torch.rand(logits.shape, generator=generator, dtype=torch.float64).clamp_min(1e-300)
            noise = -(-uniform.log()).log()
            choice = (logits + temperature * noise).argmax(-1)
            confidence = logits.softmax(-1).gather(-1, choice[:, None])[:, 0]
            confidence[(ids != MASK) | (torch.arange(len(ids)) >= end)] = -1
            for at in confidence.topk(quota).indices:
                ids[at] = choice[at]
            step += 1
    return ids.tolist()


@torch.no_grad()
def continue_text(model, prompt: list[int], new: int, temperature: float = 0.0, top_p: float = 1.0, seed: int = 0):
    """One token after another; greedy at temperature 0. Stops after the end token."""
    ids, generator = list(prompt), torch.Generator().manual_seed(seed)
    for _ in range(new):
        logits = model(torch.tensor([ids]))[0, -1]
        if temperature == 0:
            ids.append(int(logits.argmax()))
        else:
            p, order = (logits / temperature).softmax(-1).sort(descending=True)
            p[p.cumsum(-1) - p > top_p] = 0
            ids.append(int(order[torch.multinomial(p, 1, generator=generator)]))
        if ids[-1] == END:
            break
    return ids


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="a model folder")
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--block", type=int)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("prompt", nargs="+")
    a = parser.parse_args()
    model, tokenizer = load(a.model), Tokenizer.from_file(str(a.model / "tokenizer.json"))
    for prompt in a.prompt:
        ids = tokenizer.encode(prompt).ids
        if model.causal:
            out = continue_text(model, ids, a.new, a.temperature, 0.9, a.seed)
        else:
            out = diffuse(model, ids, a.new, a.steps, a.block, a.temperature, a.seed)
        text = tokenizer.decode(out[len(ids) :], skip_special_tokens=False)
        print(f"[{len(ids)} tokens] {prompt}|{text}\n")


if __name__ == "__main__":
    main()
