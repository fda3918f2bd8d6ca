"""What recording costs a PyTorch generation: a masked diffusion model of 98 million parameters, random weights, 256
positions, 16 steps, plain and with `attntrace.Recorder`. Rounds take turns, a round's time is a whole generation, the file
closed and named included; the least of the rounds counts, for other programs only ever add.

    python Benchmarks/recorder/run.py [--json] [--rounds N] [--device cuda]

Needs PyTorch (2.0 or newer for fused attention), h5py and safetensors.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python/src"), str(ROOT / "python/tests")]
STEPS, PROMPT, GENERATED = 16, 64, 192


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    import torch
    from reference_models import MaskedDiffusionModel, generate

    import attntrace

    torch.manual_seed(0)
    model = MaskedDiffusionModel(
        architectures=["LLaDAModelLM"], d_model=768, n_heads=12, n_kv_heads=12, n_layers=12, embedding_size=8192,
        mlp_hidden_size=2048, mask_token_id=8191)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    model = model.eval().to(options.device)
    prompt = torch.randint(0, 8000, (1, PROMPT), device=options.device)
    shape = {"steps": options.steps, "gen_length": GENERATED, "block_length": GENERATED}

    def plain(path):
        generate(model, prompt, **shape)

    def recorded(record):
        def round(path):
            sampler = {"name": "llada", **shape}
            with attntrace.Recorder(model, None, path, prompt_ids=prompt, sampler=sampler, record=record):
                generate(model, prompt, **shape)

        return round

    kinds = {"plain": plain, "received": recorded("received"), "maps": recorded("maps")}
    times = {kind: [] for kind in kinds}
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds + 1):
            for kind, run in kinds.items():
                path = os.path.join(folder, "a.h5")
                start = time.perf_counter()
                run(path)
                seconds = time.perf_counter() - start
                # The first round warms up.
                if number:
                    times[kind].append(seconds)
                if os.path.exists(path):
                    sizes[kind] = os.path.getsize(path)
                    os.unlink(path)
    least = {kind: min(values) for kind, values in times.items()}
    report = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()), "positions": PROMPT + GENERATED,
        "steps": options.steps, "threads": torch.get_num_threads(), "torch": torch.__version__, "device": options.device,
        "seconds": least, "rounds": times, "bytes": sizes,
        "ratio": {kind: least[kind] / least["plain"] for kind in ("received", "maps")}}
    if options.json:
        print(json.dumps(report))
    else:
        for kind, seconds in least.items():
            print(f"{kind:10} {seconds:7.2f} s  {seconds / least['plain']:.2f}  {sizes.get(kind, 0) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
