"""attntrace beside llama.cpp on the processor: logits, maps, whole runs, and speed. Run by `make peers`.

Both sides read the same weights and take turns, round by round. Exits with 1 where they do not agree.

    python Benchmarks/llama/compare.py --bin .build/release
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.torch import load_file, save_file

root = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(root / "Benchmarks" / "forward"))
from convert import convert
from engine import Engine
from run import HUNDRED_M, write_model

PROMPT = "And it came to pass in those days, that the king of Israel went up to the house of the LORD,"
TOLERANCE = {"f32": 5e-4, "bf16": 0.6}  # logits of the embedded models span about 30
MAP_TOLERANCE = 3e-4  # half a float16 step below 1, which is what a trace keeps, and a little
failures = []


def check(ok, text):
    print(f"{'' if ok else 'DIFFERS: '}{text}", flush=True)
    if not ok:
        failures.append(text)


class Ours:
    """The forward-bench program, which waits for orders."""

    def __init__(self, bin_folder, model, threads, length):
        command = [bin_folder / "forward-bench", model, str(threads), str(length)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = json.loads(self.process.stdout.readline())

    def order(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def logits(self, ids, vocabulary):
        with tempfile.TemporaryDirectory() as folder:
            self.order(f"logits {folder}/logits {','.join(map(str, ids))}")
            return np.fromfile(f"{folder}/logits", "<f4").reshape(len(ids), vocabulary)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def capture(bin_folder, model, threads, *options):
    """A trace of the prompt: the path's JSON answer, and the file."""
    output = Path(tempfile.mkdtemp()) / "trace.h5"
    command = [bin_folder / "attntrace", "capture", "--model", model, "--prompt", PROMPT, "--threads", str(threads)]
    command += ["--record", "maps", "--output", output, "--json", *options]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout), output


def llada(engine, prompt, length, block, mask):
    """Low-confidence unmasking at temperature 0, one token a step: the published sampler, written plainly."""
    ids = np.array(prompt + [mask] * length)
    for begin in range(len(prompt), len(ids), block):
        for _ in range(block):
            logits = engine.forward(ids).astype(np.float64)
            best = logits.argmax(-1)
            share = np.exp(logits - logits.max(-1, keepdims=True))
            confidence = share.max(-1) / share.sum(-1)
            place = np.arange(len(ids))
            open_here = (ids == mask) & (place >= begin) & (place < begin + block)
            chosen = np.where(open_here, confidence, -np.inf).argmax()
            ids[chosen] = best[chosen]
    return ids[len(prompt):].tolist()


def greedy(engine, prompt, length, end):
    """The likeliest token, one at a time, through llama.cpp's cache."""
    logits, ids = engine.forward(prompt, every=False), []
    for count in range(length):
        ids.append(int(logits[-1].argmax()))
        if ids[-1] == end:
            break
        logits = engine.forward(ids[-1:], first=len(prompt) + count, every=False)
    return ids


def agree(bin_folder, name, folder, threads):
    """Logits, maps and a whole run of an embedded model."""
    model = root / "models" / name
    config = json.loads((model / "config.json").read_text())
    vocabulary, mask, is_llada = config["vocab_size"], config.get("mask_token_id"), "d_model" in config
    rng = np.random.default_rng(7)
    ids = rng.integers(3, vocabulary, 96)
    if is_llada:
        ids[rng.permutation(96)[:48]] = mask
    ours = Ours(bin_folder, model, threads, 128)
    own = ours.logits(ids, vocabulary)
    ours.close()
    for weights in ("f32", "bf16"):
        convert(model, folder / f"{name}-{weights}.gguf", weights)
        engine = Engine(folder / f"{name}-{weights}.gguf", 128, threads)
        theirs = engine.forward(ids)
        off = np.abs(own - theirs).max()
        same = (own.argmax(-1) == theirs.argmax(-1)).mean()
        check(
            off <= TOLERANCE[weights],
            f"{name}, {weights}: 96 x {vocabulary} logits differ by at most {off:.2g} (they span {np.ptp(own):.0f}); "
            f"the likeliest token is the same in {same:.1%}")
        engine.close()

    options = ("--gen-length", "64") + (("--block-length", "32", "--steps", "64") if is_llada else ())
    report, trace = capture(bin_folder, model, threads, *options)
    engine = Engine(folder / f"{name}-f32.gguf", 128, threads, maps=True)
    prompt = engine.tokens(PROMPT)
    check(len(prompt) == report["prompt_length"], f"{name}: the prompt is {len(prompt)} tokens to both")
    if is_llada:
        generated = llada(engine, prompt, 64, 32, mask)
    else:
        generated = greedy(engine, prompt, 64, config["eos_token_id"])
    equal = sum(a == b for a, b in zip(generated, report["generated_ids"]))
    check(generated == report["generated_ids"], f"{name}: {equal} of {len(generated)} generated tokens are the same")

    # Ours are of step 0, when every generated token is a mask; or of the last step, which saw all but the last token.
    engine.forward(prompt + [mask] * 64 if is_llada else (prompt + generated)[:-1])
    with h5py.File(trace) as file:
        kept = file["maps/attention"][0].astype(np.float32)
    keys = kept.shape[-1]  # llama.cpp pads those of its cache
    off = max(np.abs(kept[layer] - theirs[:, :, :keys]).max() for layer, theirs in engine.maps.items())
    check(
        off <= MAP_TOLERANCE and len(engine.maps) == len(kept),
        f"{name}: {len(kept)} x {kept.shape[1]} maps of {keys} tokens, handed over by llama.cpp, differ from the trace's by "
        f"at most {off:.2g}")
    engine.close()


def speed(bin_folder, name, model, folder, length, passes, rounds, threads, weights, step=False):
    """Time of a pass of `length` tokens, or of so many single tokens through the cache; the median of rounds.

    `weights`: the types that llama.cpp gets them in. Passes are also timed with every map handed out, which rules out
    flash attention.
    """
    ours = Ours(bin_folder, model, threads, length)
    vocabulary = json.loads((model / "config.json").read_text())["vocab_size"]
    ids = [(i * 7919 + 13) % vocabulary for i in range(length)]
    theirs = {}
    for kind in weights:
        path = folder / f"{name}-{kind}.gguf"
        if not path.exists():
            convert(model, path, kind)
        theirs[kind, "plain"] = Engine(path, length, threads)
        theirs[kind, "flash attention"] = Engine(path, length, threads, flash=True)
        if not step:
            theirs[kind, "maps"] = Engine(path, length, threads, maps=True)
    orders = {"plain": f"step {length} plain"} if step else {"plain": f"go {passes} plain", "maps": f"go {passes}"}
    times = {key: [] for key in (*orders, *theirs)}
    ours.order(orders["plain"])
    for _ in range(rounds):
        for key, order in orders.items():
            times[key].append(round_time(ours.order(order), step))
        for key, engine in theirs.items():
            seconds = []
            for i in range(length if step else passes):
                begin = time.perf_counter()
                engine.forward(ids[i : i + 1], i, False) if step else engine.forward(ids)
                seconds.append(time.perf_counter() - begin)
            times[key].append(round_time(seconds, step))
    ours.close()
    rows = []
    for (kind, how), engine in theirs.items():
        engine.close()
        mine = statistics.median(times["maps" if how == "maps" else "plain"])
        their = statistics.median(times[kind, how])
        what = f"{length} steps through the cache" if step else f"a pass of {length} tokens"
        rows.append(
            {"model": name, "what": what, "weights": kind, "how": how, "ours_ms": mine, "theirs_ms": their, "ratio": their / mine})
        print(f"{name:14} {what:28} {kind:5} {how:16} {mine:9.2f} {their:9.2f} ms {their / mine:6.2f} x", flush=True)
    return rows


def round_time(seconds, step):
    """Passes repeat each other, so the fastest counts; steps do not, so they are summed."""
    return (sum(seconds) if step else min(seconds)) * 1e3


def in_bf16(folder, to):
    """A checkpoint with its numbers rounded to bf16."""
    to.mkdir()
    (to / "config.json").write_bytes((folder / "config.json").read_bytes())
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}, to / "model.safetensors")


def speeds(a, folder):
    """Both embedded models, and random ones of 134 million parameters, whose file is float32 or bf16."""
    print(f"\n{a.threads} threads, nothing recorded; median of {a.rounds} rounds in turn")
    print(f"{'':14} {'':28} {'llama.cpp':22} {'ours':>9} {'theirs':>9}")
    rows, both = [], ("f32", "bf16")
    for name in ("tiny-mdm", "tiny-ar"):
        rows += speed(a.bin, name, root / "models" / name, folder, 128, 10, a.rounds, a.threads, both)
    rows += speed(a.bin, "tiny-ar", root / "models/tiny-ar", folder, 128, 0, a.rounds, a.threads, both, step=True)
    for kind, causal in (("134M-mdm", False), ("134M-ar", True)):
        model = folder / f"{kind} f32"
        model.mkdir()
        write_model(model, HUNDRED_M, causal)
        in_bf16(model, folder / f"{kind} bf16")
        for weights in both:
            name = f"{kind} {weights}"
            rows += speed(a.bin, name, folder / name, folder, 256, 2, a.rounds, a.threads, (weights,))
            if causal:
                rows += speed(a.bin, name, folder / name, folder, 64, 0, a.rounds, a.threads, (weights,), step=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, required=True, help="folder of attntrace and forward-bench")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-speed", action="store_true")
    a = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in ("tiny-mdm", "tiny-ar"):
            agree(a.bin, model, folder, a.threads)
        if not a.no_speed:
            rows = speeds(a, folder)
    out = root / "out"
    out.mkdir(exist_ok=True)
    (out / "peers.json").write_text(json.dumps({"agreement_failed": failures, "speed": rows}, indent=1) + "\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
