"""One denoising step of a model of LLaDA-8B's shape, received sums recorded: attntrace beside PyTorch in bfloat16.

Makes the checkpoint itself (random bfloat16 numbers, six shards, 16 GB) in a scratch folder, runs both on it, and removes
it. The PyTorch side is a plain model on the mapped file that records nothing and uses fused attention: the least that a
step takes there. Both feed 128 tokens of prompt and 128 masks, and score the masks. A round's time is one step; the two
take turns, each in a process of its own, since both together with the file's pages would crowd out the pages.

    python Benchmarks/large/run.py --layers 2      quick: 2 of the 32 layers
    python Benchmarks/large/run.py                 the whole of it
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WIDTH, HEADS, MLP, VOCABULARY, MASK = 4096, 32, 12288, 126464, 126336
PROMPT = GENERATED = 128
THETA, EPSILON = 500000.0, 1e-5
BLOCK = {
    "attn_norm": (WIDTH,), "ff_norm": (WIDTH,), "q_proj": (WIDTH, WIDTH), "k_proj": (WIDTH, WIDTH),
    "v_proj": (WIDTH, WIDTH), "attn_out": (WIDTH, WIDTH), "ff_proj": (MLP, WIDTH), "up_proj": (MLP, WIDTH),
    "ff_out": (WIDTH, MLP)}
TOP = {"wte": (VOCABULARY, WIDTH), "ln_f": (WIDTH,), "ff_out": (VOCABULARY, WIDTH)}


def shapes(layers):
    for name, shape in TOP.items():
        yield f"model.transformer.{name}.weight", shape
    for layer in range(layers):
        for name, shape in BLOCK.items():
            yield f"model.transformer.blocks.{layer}.{name}.weight", shape


def size_of(shape):
    size = 2
    for n in shape:
        size *= n
    return size


def write_checkpoint(folder, layers, shards=6):
    """Random numbers of scale 1 / sqrt(inputs): what a layer adds stays of the size of what it reads. They come from one
    pool, at another place for each tensor: drawing eight billion would take longer than all the rest."""
    import torch

    torch.manual_seed(1)
    pool = torch.randn(1 << 25)
    tensors = list(shapes(layers))
    total = sum(size_of(shape) for _, shape in tensors)
    free = shutil.disk_usage(folder).free
    if free < total * 1.1:
        sys.exit(f"the checkpoint takes {total / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free")
    weight_map, parts = {}, [tensors[i::shards] for i in range(shards)]
    for number, part in enumerate(parts):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        header, at = {}, 0
        for name, shape in part:
            header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size_of(shape)]}
            at += size_of(shape)
            weight_map[name] = file
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / file, "wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for index, (name, shape) in enumerate(part):
                count, start = size_of(shape) // 2, (number * 7919 + index * 104729) % (1 << 20)
                if len(shape) == 1:
                    numbers = torch.ones(count)
                else:
                    numbers = pool * (1.0 if name.endswith("wte.weight") else shape[1] ** -0.5)
                numbers = numbers.bfloat16().view(torch.int16).numpy()
                while count:
                    some = numbers[start : start + count]
                    some.tofile(out)
                    count, start = count - len(some), 0
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = dict(
        architectures=["LLaDAModelLM"], model_type="llada", block_type="llama", layer_norm_type="rms",
        activation_type="silu", rope=True, d_model=WIDTH, n_heads=HEADS, n_layers=layers, mlp_hidden_size=MLP,
        vocab_size=VOCABULARY, embedding_size=VOCABULARY, weight_tying=False, mask_token_id=MASK,
        max_sequence_length=4096, rms_norm_eps=EPSILON, rope_theta=THETA, torch_dtype="bfloat16")
    (folder / "config.json").write_text(json.dumps(config))
    return total


def peak_bytes():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024


def pytorch(folder, layers, threads, rounds):
    """Runs in a process of its own; prints seconds and peak memory."""
    import torch
    import torch.nn.functional as F
    from safetensors import safe_open

    torch.set_num_threads(threads)
    weights = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as shard:  # mapped, not read
            for name in shard.keys():
                weights[name.removeprefix("model.transformer.").removesuffix(".weight")] = shard.get_tensor(name)
    ids = torch.tensor([3 + (i * 7919) % (VOCABULARY - 3) for i in range(PROMPT)] + [MASK] * GENERATED)
    pairs = torch.arange(0, WIDTH // HEADS, 2, dtype=torch.float32)
    angle = torch.outer(torch.arange(len(ids)).float(), THETA ** (-pairs / (WIDTH // HEADS)))
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)

    def rotate(x):
        first, second = x.float().chunk(2, -1)
        return (x * cos + torch.cat([-second, first], -1) * sin).bfloat16()

    def heads(x):
        return x.view(len(ids), HEADS, -1).transpose(0, 1)

    @torch.inference_mode()
    def step():
        x = weights["wte"][ids]
        for layer in range(layers):
            w = {name: weights[f"blocks.{layer}.{name}"] for name in BLOCK}
            h = F.rms_norm(x, (WIDTH,), w["attn_norm"], EPSILON)
            q, k = (rotate(heads(F.linear(h, w[n]))) for n in ("q_proj", "k_proj"))
            mixed = F.scaled_dot_product_attention(q[None], k[None], heads(F.linear(h, w["v_proj"]))[None])[0]
            x = x + F.linear(mixed.transpose(0, 1).reshape(len(ids), WIDTH), w["attn_out"])
            h = F.rms_norm(x, (WIDTH,), w["ff_norm"], EPSILON)
            x = x + F.linear(F.silu(F.linear(h, w["ff_proj"])) * F.linear(h, w["up_proj"]), w["ff_out"])
        logits = F.linear(F.rms_norm(x[PROMPT:], (WIDTH,), weights["ln_f"], EPSILON), weights["ff_out"])
        confidence, token = logits.float().softmax(-1).max(-1)
        return float(confidence.sum())

    step()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    print(json.dumps({"seconds": times, "peak_bytes": peak_bytes(), "torch": torch.__version__}))


def attntrace(binary, folder, threads, rounds):
    command = [binary, folder, str(PROMPT), str(GENERATED), str(rounds), "1"]
    environment = {**os.environ, "CAPTURE_BENCH_KINDS": "none,received", "CAPTURE_BENCH_THREADS": str(threads)}
    report = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(report.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=".build/release/capture-bench")
    parser.add_argument("--layers", type=int, default=int(os.environ.get("LARGE_LAYERS", "32")))
    parser.add_argument("--rounds", type=int, default=2, help="steps of each side's turn")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of both sides; one for each processor by default")
    parser.add_argument("--scratch", help="where the checkpoint is made; TMPDIR by default")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.peer:
        return pytorch(Path(a.peer), a.layers, a.threads, a.rounds)
    # So that a polite kill, too, takes the checkpoint along.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(dir=a.scratch, prefix="attntrace-large-") as name:
        begin = time.perf_counter()
        total = write_checkpoint(Path(name), a.layers)
        print(f"{total / 1e9:.1f} GB made in {time.perf_counter() - begin:.0f} s", file=sys.stderr)
        ours, theirs = [], []
        for _ in range(a.turns):
            ours.append(attntrace(a.binary, name, a.threads, a.rounds))
            command = [sys.executable, __file__, "--peer", name, "--layers", str(a.layers), "--rounds", str(a.rounds)]
            command += ["--threads", str(a.threads)]
            theirs.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    pick = lambda reports, *path: [s for r in reports for s in (r["seconds"][path[0]] if path else r["seconds"])]
    received, none, peer = (statistics.median(x) for x in (
        pick(ours, "received"), pick(ours, "none"), pick(theirs)))
    result = {
        "layers": a.layers, "weight_bytes": total, "kernel": ours[0]["kernel"], "threads": a.threads,
        "attntrace_received_s": received, "attntrace_none_s": none, "pytorch_s": peer, "ratio": peer / received,
        "recording_share": received / none - 1, "attntrace_peak_share": max(r["peak_bytes"] for r in ours) / total,
        "pytorch_peak_share": max(r["peak_bytes"] for r in theirs) / total, "torch": theirs[0]["torch"]}
    if a.json:
        return print(json.dumps(result, indent=1))
    print(f"{a.layers} layers of LLaDA-8B's shape, {PROMPT} + {GENERATED} tokens, one step, {a.threads} threads")
    print(f"attntrace, {result['kernel']}, received sums recorded: {received:.2f} s (without: {none:.2f} s)")
    print(f"PyTorch {result['torch']}, bfloat16, nothing recorded: {peer:.2f} s: {result['ratio']:.2f} x")
    print(
        f"peak memory over the weights' {total / 1e9:.1f} GB, mapped pages counted: "
        f"{result['attntrace_peak_share']:.3f}; PyTorch {result['pytorch_peak_share']:.3f}")


if __name__ == "__main__":
    main()
