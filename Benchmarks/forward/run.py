"""One forward pass with every layer's attention handed out: attntrace beside PyTorch.

The PyTorch side is what transformers' eager attention does, written plainly (matmul, softmax in
float32, matmul; the only way there to get the maps). Both sides read the same checkpoint and
take turns, round by round, so that whatever else the machine does hits both; a round's time is
the fastest of its passes. On a busy machine PyTorch's threads wait for each other at every
operation, and two threads of it say little: measure one thread's processor time (--cpu) there. Prints a table, or with --json one JSON object.

    python Benchmarks/forward/run.py --binary .build/release/forward-bench
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

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

EMBEDDED = dict(width=192, layers=8, heads=6, mlp=432, vocabulary=2048, length=128, passes=10)
HUNDRED_M = dict(width=768, layers=12, heads=12, mlp=2048, vocabulary=32000, length=256, passes=1)


def write_model(folder: Path, s: dict, causal: bool):
    """A random Llama (causal) or LLaDA in float32."""
    torch.manual_seed(1)
    w, m, v = s["width"], s["mlp"], s["vocabulary"]
    if causal:
        names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
        names += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm"]
        prefix, top = "model.layers.", ["model.embed_tokens", "model.norm", "lm_head"]
    else:
        names = ["q_proj", "k_proj", "v_proj", "attn_out", "ff_proj", "up_proj", "ff_out", "attn_norm", "ff_norm"]
        prefix, top = "model.transformer.blocks.", [f"model.transformer.{n}" for n in ("wte", "ln_f", "ff_out")]
    shapes = [(w, w)] * 4 + [(m, w), (m, w), (w, m), (w,), (w,)]
    tensors = {}
    for layer in range(s["layers"]):
        for name, shape in zip(names, shapes):
            scale = shape[-1] ** -0.5
            t = torch.ones(shape) if len(shape) == 1 else torch.randn(shape) * scale
            tensors[f"{prefix}{layer}.{name}.weight"] = t
    tensors[f"{top[0]}.weight"] = torch.randn(v, w)
    tensors[f"{top[1]}.weight"] = torch.ones(w)
    tensors[f"{top[2]}.weight"] = torch.randn(v, w) * w**-0.5
    save_file(tensors, folder / "model.safetensors")
    if causal:
        config = dict(
            architectures=["LlamaForCausalLM"], hidden_size=w, num_attention_heads=s["heads"],
            num_hidden_layers=s["layers"], intermediate_size=m, vocab_size=v, rms_norm_eps=1e-5,
            max_position_embeddings=4096, rope_theta=10000.0)
    else:
        config = dict(
            architectures=["LLaDAModelLM"], model_type="llada", block_type="llama", layer_norm_type="rms",
            activation_type="silu", rope=True, d_model=w, n_heads=s["heads"], n_layers=s["layers"],
            mlp_hidden_size=m, vocab_size=v, weight_tying=False, mask_token_id=2, max_sequence_length=4096,
            rms_norm_eps=1e-5, rope_theta=10000.0)
    (folder / "config.json").write_text(json.dumps(config))
    return names, prefix, top


class Eager:
    def __init__(self, folder: Path, s: dict, names, prefix, top, causal: bool):
        t = load_file(folder / "model.safetensors")
        self.layers = [[t[f"{prefix}{i}.{n}.weight"] for n in names] for i in range(s["layers"])]
        self.embedding, self.norm, self.head = (t[f"{n}.weight"] for n in top)
        self.heads, self.d = s["heads"], s["width"] // s["heads"]
        half = torch.arange(0, self.d, 2, dtype=torch.float32)
        angle = torch.outer(torch.arange(s["length"]).float(), 10000.0 ** (-half / self.d))
        angle = torch.cat([angle, angle], -1)
        self.cos, self.sin = angle.cos(), angle.sin()
        self.mask = torch.full((s["length"],) * 2, float("-inf")).triu(1) if causal else None

    def rotate(self, x):
        first, second = x.chunk(2, -1)
        return x * self.cos + torch.cat([-second, first], -1) * self.sin

    @torch.inference_mode()
    def __call__(self, ids):
        n = len(ids)
        x, maps = self.embedding[ids], []
        for q, k, v, o, gate, up, down, norm1, norm2 in self.layers:
            h = F.rms_norm(x, x.shape[-1:], norm1, 1e-5)
            split = lambda y: y.view(n, self.heads, self.d).transpose(0, 1)
            qs, ks, vs = self.rotate(split(F.linear(h, q))), self.rotate(split(F.linear(h, k))), split(F.linear(h, v))
            scores = torch.matmul(qs, ks.transpose(1, 2)) * self.d**-0.5
            if self.mask is not None:
                scores = scores + self.mask
            p = F.softmax(scores, dim=-1, dtype=torch.float32)
            maps.append(p)
            x = x + F.linear(torch.matmul(p, vs).transpose(0, 1).reshape(n, -1), o)
            h = F.rms_norm(x, x.shape[-1:], norm2, 1e-5)
            x = x + F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)
        return F.linear(F.rms_norm(x, x.shape[-1:], self.norm, 1e-5), self.head), maps


class Bench:
    """Our side: a process that runs passes when told."""

    def __init__(self, command, cpu):
        clock = {"FORWARD_BENCH_CLOCK": "cpu" if cpu else "wall"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **clock})
        self.about = json.loads(self.process.stdout.readline())

    def times(self, order):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def generation(binary: str, s: dict, threads: int, rounds: int, tokens: int = 256):
    """Greedy generation through a key-value cache: ours, every step's attention handed out, beside transformers'
    generate, which keeps none."""
    from transformers import GenerationConfig, LlamaForCausalLM

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as name:
        write_model(Path(name), s, causal=True)
        model = LlamaForCausalLM.from_pretrained(name, dtype=torch.float32).eval()
        options = GenerationConfig(do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=0)
        ours, a, b = Bench([binary, name, str(threads), str(tokens)], cpu=False), [], []
        with torch.inference_mode():
            for turn in range(rounds + 1):
                mine = sum(ours.times(f"step {tokens}"))
                begin = time.perf_counter()
                made = model.generate(torch.tensor([[13]]), generation_config=options)
                theirs = time.perf_counter() - begin
                assert made.shape[1] == tokens + 1
                if turn:  # the first one warms up
                    a.append(mine)
                    b.append(theirs)
        ours.close()
    return {"tokens": tokens, "threads": threads, "attntrace_s": statistics.median(a), "transformers_s": statistics.median(b)}


def measure(binary: str, s: dict, threads: int, rounds: int, causal: bool, extra: list, cpu: bool):
    now = time.process_time if cpu else time.perf_counter
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        eager = Eager(folder, s, *write_model(folder, s, causal), causal)
        ours = Bench([binary, name, str(threads), str(s["length"]), *extra], cpu)
        ids = torch.tensor([(i * 7919 + 13) % s["vocabulary"] for i in range(s["length"])])
        eager(ids)
        a, b = [], []
        for _ in range(rounds):
            a.append(min(ours.times(f"go {s['passes']}")))
            times = []
            for _ in range(s["passes"]):
                begin = now()
                eager(ids)
                times.append(now() - begin)
            b.append(min(times))
            time.sleep(0.02)  # PyTorch's threads spin for a while
        ours.close()
        # The peers' way to the maps of all layers: a pass for each, keeping one layer's.
        begin = now()
        for layer in range(s["layers"]):
            eager(ids)[1][layer].sum()
        a_layer_a_pass = now() - begin
    row = {"threads": threads, "causal": causal, **{k: v for k, v in s.items() if k != "passes"}, **ours.about}
    for key, times in (("attntrace", a), ("pytorch", b)):
        row[key] = {"best_ms": min(times) * 1e3, "median_ms": statistics.median(times) * 1e3}
    row["a_pass_a_layer_ms"] = a_layer_a_pass * 1e3
    row["ratio_best"] = min(b) / min(a)
    row["ratio_median"] = statistics.median(b) / statistics.median(a)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=".build/release/forward-bench")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--model", choices=("embedded", "134M"), help="only one of the two models")
    parser.add_argument("--kernels", help="portable, avx2 or avx512 instead of the best")
    parser.add_argument(
        "--cpu", action="store_true", help="processor time instead of time; with --threads 1, for a busy machine")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    rows = []
    for name, shape in (("embedded", EMBEDDED), ("134M", HUNDRED_M)):
        if a.model not in (None, name):
            continue
        for causal in (False, True):
            row = measure(a.binary, shape, a.threads, a.rounds, causal, [a.kernels] if a.kernels else [], a.cpu)
            rows.append({"model": name, **row})
            if not a.json:
                if len(rows) == 1:
                    print(f"{row['kernel']}, {a.threads} threads; PyTorch {torch.__version__}; ms, best / median")
                ours, peer = row["attntrace"], row["pytorch"]
                print(
                    f"{name:9} {'causal' if causal else 'bidirectional':13} "
                    f"attntrace {ours['best_ms']:7.2f} / {ours['median_ms']:7.2f}   "
                    f"PyTorch eager {peer['best_ms']:7.2f} / {peer['median_ms']:7.2f}   "
                    f"ratio {row['ratio_best']:.2f} / {row['ratio_median']:.2f}", flush=True)
    made = None if a.cpu or a.model == "embedded" else generation(a.binary, HUNDRED_M, a.threads, 3)
    if a.json:
        json.dump({"torch": torch.__version__, "rows": rows, "generation": made}, sys.stdout, indent=1)
    elif made:
        ours, peer = made["attntrace_s"], made["transformers_s"]
        print(f"134M, {made['tokens']} tokens one at a time: {ours:.2f} s, transformers {peer:.2f} s, ratio {peer / ours:.2f}")


if __name__ == "__main__":
    main()
