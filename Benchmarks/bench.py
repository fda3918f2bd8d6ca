"""Every figure that the project claims, measured against its peers in one run: `make bench`.

Writes out/bench.json, a list of rows: name, ours, theirs, unit, ratio. A ratio above 1 is in our favour; where the note
says limit it is the share of that which we reach. The large file takes BENCH_GIGABYTES, 3 by default. Nothing else
should run on the machine meanwhile.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

root = Path(__file__).resolve().parent.parent
bin_folder = Path(os.environ["ATTNTRACE"]).resolve().parent
sys.path.insert(0, str(root / "Benchmarks" / "forward"))
rows = []


def row(name, ours, theirs, unit, note=""):
    rows.append(
        {"name": name, "ours": ours, "theirs": theirs, "unit": unit, "ratio": theirs / ours if theirs else None, "note": note}
    )
    ratio = f"{theirs / ours:6.2f} x" if theirs else ""
    peer = f"{theirs:10.4g}" if theirs else " " * 10
    print(f"{name:66} {ours:10.4g} {peer} {unit:6} {ratio} {note}", flush=True)


def forward():
    """A forward pass with every map handed out, against PyTorch eager with the maps returned."""
    command = [sys.executable, root / "Benchmarks/forward/run.py", "--binary", bin_folder / "forward-bench", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for r in report["rows"]:
        kind = "causal" if r["causal"] else "bidirectional"
        row(
            f"forward with maps, {r['model']}, {kind}, {r['length']} tokens, {r['threads']} threads",
            r["attntrace"]["median_ms"], r["pytorch"]["median_ms"], "ms", f"PyTorch {report['torch']} eager, float32",
        )
        if r["model"] == "134M":
            row(
                f"the same, {kind}, as the peers do it", r["attntrace"]["median_ms"], r["a_pass_a_layer_ms"], "ms",
                "theirs: a pass for each layer, keeping its maps",
            )
    made = report["generation"]
    row(
        f"autoregressive, 134M, {made['tokens']} tokens through a key-value cache, {made['threads']} threads",
        made["attntrace_s"], made["transformers_s"], "s", "theirs: transformers generate, float32",
    )


def capture(model, name, prompt, generated, rounds, steps=None):
    """Generation recorded, against the same generation without recording. Ours is the recorded one, so 1 is free.

    `model` is any model's folder: one of the shape of the large models runs like the others, with few steps.
    """
    command = [bin_folder / "capture-bench", model, str(prompt), str(generated), str(rounds)]
    command += [str(steps)] if steps else []
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    plain = statistics.median(report["seconds"]["none"])
    for kind in ("timeline", "received", "signals", "maps"):
        row(
            f"capture with {kind}, {name}, {prompt} + {generated} tokens",
            # By rounds: what else the machine does in one of them hits both sides.
            plain / statistics.median(a / b for a, b in zip(report["seconds"]["none"], report["seconds"][kind])),
            plain, "s", f"theirs: not recorded; trace {report['bytes'][kind] / 1e6:.1f} MB",
        )


def file():
    """The file itself: written, summed, read, rebuilt, against h5py, dask and NumPy."""
    with tempfile.TemporaryDirectory() as folder:
        prompt = "And it came to pass in those days, that the king of Israel went up to the house of the LORD,"
        traces = []
        for model in ("tiny-mdm", "tiny-ar"):
            traces.append(f"{folder}/{model}.h5")
            subprocess.run(
                [os.environ["ATTNTRACE"], "capture", "--model", root / "models" / model, "--prompt", prompt,
                 "--gen-length", "64", "--record", "maps", "--output", traces[-1]], check=True, capture_output=True)
        command = [sys.executable, root / "Benchmarks/file/run.py", "--binary", bin_folder / "file-bench", "--json"]
        command += ["--gigabytes", os.environ.get("BENCH_GIGABYTES", "3"), "--traces", *traces]
        report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    for r in report:
        row(r["name"], r["ours"], r["theirs"], r["unit"], r["note"])


def cohort():
    """A hundred small traces analysed and brought together, against NumPy, h5py and SciPy."""
    command = [sys.executable, root / "Benchmarks/analysis/cohort.py", "--bin", bin_folder, "--json"]
    for report in json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout):
        seconds = report["seconds"]
        theirs = seconds.pop("NumPy + h5py + SciPy")
        for side, ours in seconds.items():
            row(
                f"{report['traces']} traces, null of {report['null_permutations']}: {side}", ours, theirs, "s",
                f"NumPy + h5py + SciPy, one process; peak {report['peak_kb'][side] / 1e3:.0f} MB",
            )


def analysis():
    """Metrics of full attention over a large trace, against NumPy + h5py and xarray + dask."""
    command = [sys.executable, root / "Benchmarks/analysis/run.py", "--bin", bin_folder, "--json"]
    command += ["--gigabytes", os.environ.get("BENCH_GIGABYTES", "3")]
    for r in json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout):
        row(r["name"], r["ours"], r["theirs"], r["unit"], r["note"])


def published():
    """Absorption, drift, QK decomposition and rollout, against the formulas of the released scripts of 2601.07894."""
    command = [sys.executable, root / "Benchmarks/analysis/peers.py", "--bin", bin_folder, "--json"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    gap = max(gap for name, gap in report["gaps"].items() if name != "hatched")
    row(
        "absorption, drift, QK decomposition, rollout of 2601.07894, 134M", report["ours"], report["theirs"], "s",
        f"NumPy as published; largest difference {gap:.0e}, {report['gaps']['hatched']} sinks differ",
    )


def pages():
    """Pages: time, size and frame times of a report; a served trace of gigabytes."""
    for script, options in (("page", []), ("serve", ["--gigabytes", os.environ.get("BENCH_GIGABYTES", "3")])):
        command = [sys.executable, root / "Benchmarks" / script / "run.py", "--bin", bin_folder, "--json", *options]
        for r in json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout):
            row(r["name"], r["ours"], r["theirs"], r["unit"], r["note"])


def recorder():
    """Generation in PyTorch with attntrace.Recorder, against the same without."""
    command = [sys.executable, root / "Benchmarks/recorder/run.py", "--json"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    plain = report["seconds"]["plain"]
    for kind in ("received", "maps"):
        row(
            f"PyTorch {report['torch']} recorded, {kind}, {report['parameters'] / 1e6:.0f}M, {report['positions']} tokens, "
            f"{report['steps']} steps", report["seconds"][kind], plain, "s",
            f"theirs: not recorded; trace {report['bytes'][kind] / 1e6:.1f} MB",
        )


def demo():
    """`make demo` in a fresh clone. The packages of Debian and the download of PyPI's are there already."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "-q", root, f"{folder}/clone"], check=True)
        import time

        begin = time.monotonic()
        subprocess.run(["make", "-C", f"{folder}/clone", "demo"], check=True, capture_output=True)
        row("make demo from a clean clone", time.monotonic() - begin, 300, "s", "theirs: the aim")


def main():
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors")
    print(f"{'':66} {'ours':>10} {'theirs':>10}")
    file()
    cohort()
    analysis()
    published()
    pages()
    recorder()
    forward()
    for model in ("tiny-mdm", "tiny-ar"):
        capture(root / "models" / model, model, 32, 96, 5)
    from run import HUNDRED_M, write_model

    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), HUNDRED_M, causal=False)
        capture(folder, "134M random", 64, 192, 3, steps=8)
    if "--demo" in sys.argv[1:]:
        demo()
    out = root / "out"
    out.mkdir(exist_ok=True)
    (out / "bench.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"written to {out.name}/bench.json")


if __name__ == "__main__":
    main()
