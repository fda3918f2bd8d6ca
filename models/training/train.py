"""Trains one twin: `--kind mdm` the masked-diffusion model, `--kind ar` the autoregressive one.

Both kinds see the same crops in the same order: every random choice is drawn from (seed,
step), so a run stopped at any checkpoint resumes exactly where it was.

Schedule: warm-up, a constant rate, then a linear decay to zero from step `--decay-start` on
(default: over the last 30 %). While a run is going, a file `control.json` beside its checkpoint, {"decay_start": s, "steps": n}, moves
the decay; the change is written to the log. Twins must be given the same file.
"""

import argparse
import csv
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from model import Shape, Transformer

START, END, MASK = 0, 1, 2
# How often a crop comes from each source. Prose and scripture are what the samples should
# resemble; the long commentary on the Psalms would otherwise be a third of everything.
WEIGHTS = {
    "king-james": 0.22,
    "world-english": 0.24,
    "concise-commentary": 0.14,
    "treasury-of-david": 0.12,
    "austen": 0.22,
    "jargon": 0.06,
}
LINE_STARTS = 0.5  # share of crops that begin at the start of a line
PREFIXES = 0.25  # share of crops, diffusion only, with a clean prefix, as a prompt would be
LENGTHS, LENGTH_SHARES = (128, 96, 64), (0.9, 0.05, 0.05)  # of a whole batch
SMALLEST_T = 0.05  # the weight 1/t of a crop masked at rate t stops growing here


class Crops:
    """Draws crops: the start token, then consecutive tokens of one source."""

    def __init__(self, path: Path, tokenizer_path: Path):
        from tokenizers import Tokenizer

        archive = np.load(path)
        self.sources = [s for s in WEIGHTS if s in archive]
        self.streams = [archive[s].astype(np.int64) for s in self.sources]
        shares = np.array([WEIGHTS[s] for s in self.sources])
        self.shares = shares / shares.sum()
        vocabulary = Tokenizer.from_file(str(tokenizer_path)).get_vocab()
        ends = np.array([i for token, i in vocabulary.items() if token.endswith("\u010a")] + [END])
        # Positions just after a line end or a document's end.
        self.lines = [np.flatnonzero(np.isin(s, ends)) + 1 for s in self.streams]

    def draw(self, rng: np.random.Generator, rows: int, length: int) -> torch.Tensor:
        batch = np.zeros((rows, length), dtype=np.int64)
        batch[:, 0] = START
        for row in range(rows):
            source = rng.choice(len(self.streams), p=self.shares)
            stream, lines = self.streams[source], self.lines[source]
            last = len(stream) - (length - 1)
            at = int(rng.integers(last))
            if rng.random() < LINE_STARTS:
                at = int(min(lines[rng.integers(len(lines))], last - 1))
            batch[row, 1:] = stream[at : at + length - 1]
        return torch.from_numpy(batch)


def diffusion_noise(rng: np.random.Generator, rows: int, length: int, prefixes: float):
    """Which positions to mask, and the weight of each row's loss.

    t is stratified over the rows. A row may keep a clean prefix; its loss is then an average
    over what follows. Position 0 is never masked.
    """
    t = (rng.random() + np.arange(rows) / rows) % 1.0
    rng.shuffle(t)
    prefix = np.ones(rows, dtype=np.int64)
    for row in np.flatnonzero(rng.random(rows) < prefixes):
        prefix[row] = rng.integers(8, length - 24)
    free = np.arange(length)[None, :] >= prefix[:, None]
    masked = free & (rng.random((rows, length)) < t[:, None])
    weight = 1.0 / np.maximum(t, SMALLEST_T) / free.sum(1)
    return torch.from_numpy(masked), torch.from_numpy(weight).float()


def diffusion_loss(model, batch, masked, weight):
    """The bound on the negative log-likelihood in nats per token."""
    hidden = model.hidden(torch.where(masked, MASK, batch))[masked]
    loss = F.cross_entropy(model.ff_out(hidden), batch[masked], reduction="none")
    return (loss * weight[:, None].expand_as(masked)[masked]).sum() / len(batch)


def autoregressive_loss(model, batch):
    logits = model(batch)[:, :-1]
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch[:, 1:].reshape(-1))


@torch.no_grad()
def validate(model, kind: str, crops: Crops, rows: int = 128) -> float:
    """The same held-out crops, and for diffusion the same masks, every time."""
    rng, total, size = np.random.default_rng(7), 0.0, 32
    for _ in range(rows // size):
        batch = crops.draw(rng, size, 128)
        if kind == "ar":
            total += autoregressive_loss(model, batch).item() * size
        else:
            noise = diffusion_noise(rng, size, 128, prefixes=0.0)
            total += diffusion_loss(model, batch, *noise).item() * size
    return total / rows


def learning_rate(step: int, peak: float, warm_up: int, decay_start: int, steps: int) -> float:
    if step < warm_up:
        return peak * (step + 1) / warm_up
    if step < decay_start:
        return peak
    return peak * max(0.0, (steps - step) / (steps - decay_start))


def save(path: Path, state: dict):
    """A checkpoint is whole or absent: written aside, then renamed."""
    aside = path.with_suffix(".part")
    torch.save(state, aside)
    os.replace(aside, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=("mdm", "ar"), required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and logs go here")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--decay-start", type=int, help="default: 70 %% of the steps")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint-every", type=int, default=200)
    parser.add_argument("--validate-every", type=int, default=500)
    parser.add_argument("--stop-after", type=int, help="stop at this step, as if interrupted")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    a.out.mkdir(parents=True, exist_ok=True)

    model = Transformer(Shape(), causal=a.kind == "ar")
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=a.rate, betas=(0.9, 0.95), fused=True)
    steps, decay_start = a.steps, a.decay_start or int(a.steps * 0.7)
    first, tokens, elapsed = 0, 0, 0.0

    checkpoint = a.out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first, tokens, elapsed = state["step"], state["tokens"], state["elapsed"]
        steps, decay_start = state["steps"], state["decay_start"]
        print(f"resumed at step {first} of {steps}", flush=True)
    else:
        print(f"{sum(p.numel() for p in model.parameters())} parameters, {vars(a)}", flush=True)

    train, valid = (Crops(a.data / f"{s}.npz", a.data / "tokenizer.json") for s in ("train", "valid"))
    header = ["step", "tokens", "loss", "valid_loss", "learning_rate", "tokens_per_second", "seconds"]
    rows = [header]
    if first:  # rows written after the checkpoint will be written again
        with open(a.out / "train.csv", newline="") as old:
            rows += [row for row in list(csv.reader(old))[1:] if int(row[0]) <= first]
    log = open(a.out / "train.csv", "w", newline="")
    writer = csv.writer(log)
    writer.writerows(rows)
    log.flush()

    def state_at(step):
        return {
            "model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step,
            "tokens": tokens, "elapsed": elapsed, "steps": steps, "decay_start": decay_start,
        }  # fmt: skip

    recent, recent_tokens, mark = [], 0, time.time()
    step = first
    while step < steps:
        if step % 50 == 0 and (a.out / "control.json").exists():
            control = json.loads((a.out / "control.json").read_text())
            wanted = (control["decay_start"], control["steps"])
            if wanted != (decay_start, steps) and wanted[0] >= step:
                decay_start, steps = wanted
                print(f"step {step}: decay now from {decay_start} to {steps}", flush=True)
        rate = learning_rate(step, a.rate, 100, decay_start, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        rng = np.random.default_rng([a.seed, step])
        length = int(rng.choice(LENGTHS, p=LENGTH_SHARES))
        batch = train.draw(rng, a.rows, length)
        if a.kind == "ar":
            loss = autoregressive_loss(model, batch)
        else:
            loss = diffusion_loss(model, batch, *diffusion_noise(rng, a.rows, length, PREFIXES))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        tokens += batch.numel()
        recent_tokens += batch.numel()
        recent.append(loss.item())
        if step % 50 == 0 or step == steps:
            speed = recent_tokens / (time.time() - mark)
            elapsed += time.time() - mark
            held = ""
            if step % a.validate_every == 0 or step == steps or step == 100:
                held = f"{validate(model, a.kind, valid):.4f}"
            mean = sum(recent) / len(recent)
            writer.writerow([step, tokens, f"{mean:.4f}", held, f"{rate:.6f}", f"{speed:.0f}", f"{elapsed:.0f}"])
            log.flush()
            print(f"step {step} loss {mean:.3f} valid {held or '-'} {speed:.0f} tokens/s", flush=True)
            recent, recent_tokens, mark = [], 0, time.time()
        if step % a.checkpoint_every == 0 or step == steps:
            save(checkpoint, state_at(step))
        if step == a.stop_after:
            break
    print(f"at step {step} after {elapsed:.0f} s", flush=True)


if __name__ == "__main__":
    main()
