"""Matrix products by the libraries that Debian ships and by our own kernels, in our shapes.

    python Benchmarks/matrix/run.py [--threads 1 2]     prints a table in Markdown

Needs clang, libdnnl-dev, and libopenblas0 and libblis4 at run time; a library that is not there is
left out. Candidates take turns, so that whatever else the machine does hits all of them.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parents[1] / "Sources" / "CKernels"

# M, N, K: the embedded model (width 192, MLP 432, 2048 tokens), then one of 100M parameters (768, 2048), at 128 and
# 256 positions; the scores of one head; and one row of an autoregressive step.
SHAPES = [(128, 576, 192), (128, 192, 192), (128, 192, 432), (128, 2048, 192), (256, 2304, 768), (256, 768, 768),
          (256, 2048, 768), (256, 768, 2048), (128, 128, 32), (256, 256, 64), (1, 2304, 768)]

CANDIDATES = {
    "own avx512": ("own", {"CK_ISA": "2"}),
    "own avx2": ("own", {"CK_ISA": "1"}),
    "own portable": ("own", {"CK_ISA": "0"}),
    "own bf16 weights": ("own-bf16", {}),
    "oneDNN matmul, packed": ("onednn-packed", {}),
    "oneDNN sgemm": ("onednn-sgemm", {}),
    "OpenBLAS SkylakeX": ("openblas", {"OPENBLAS_CORETYPE": "SkylakeX"}),
    "OpenBLAS as installed": ("openblas", {}),
    "BLIS skx": ("blis", {"BLIS_ARCH_TYPE": "skx"}),
    "own attention, softmax included": ("own-attention", {}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=3)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "matrix"
        subprocess.run(
            ["clang", "-O2", f"-I{KERNELS}/include", str(HERE / "matrix.c"), *map(str, sorted(KERNELS.glob("*.c"))),
             "-o", str(binary), "-ldnnl", "-ldl", "-lm", "-lpthread"], check=True)
        for threads in a.threads:
            best = {}
            for _ in range(a.turns):
                for shape in SHAPES:
                    for name, (candidate, settings) in CANDIDATES.items():
                        heads = shape in ((128, 128, 32), (256, 256, 64))
                        if candidate == "own-attention" and (threads > 1 or not heads):
                            continue
                        count = str(threads)
                        environment = {**os.environ, "OMP_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count,
                                       "BLIS_NUM_THREADS": count, "ROUNDS": "30",
                                       "DNNL_MAX_CPU_ISA": "AVX512_CORE_BF16", **settings}
                        run = subprocess.run([binary, candidate, count, *map(str, shape)], env=environment,
                                             capture_output=True, text=True)
                        if run.returncode == 0:
                            rate = float(run.stdout.split()[0])
                            best[name, shape] = max(best.get((name, shape), 0), rate)
            print(f"\nGFLOP/s, {threads} thread{'s' * (threads > 1)}\n")
            print("| M x N x K | " + " | ".join("x".join(map(str, s)) for s in SHAPES) + " |")
            print("|---" * (len(SHAPES) + 1) + "|")
            for name in CANDIDATES:
                cells = [f"{best[name, s]:.0f}" if (name, s) in best else "" for s in SHAPES]
                if any(cells):
                    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
