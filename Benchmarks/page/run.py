"""`attntrace report`: time, size and memory of the page of the demo's traces, and of 256 tokens in 128 steps; frame times of both.

    python Benchmarks/page/run.py --bin .build/release [--json]
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import h5py

from frames import measure

REPO = Path(__file__).resolve().parents[2]
PROMPT = "And it came to pass in those days, that the king of Israel went up to the house of the LORD, and said unto the people,"
# A frame in which the eye sees the slider move on: 30 a second.
FRAME = 1000 / 30
LIMIT = 15_000_000


def timed(command):
    """Seconds and peak bytes of a command and its children, as GNU time sees them."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command}: ended with {status}")
    return time.perf_counter() - begin, usage.ru_maxrss * 1024


def traces(attntrace, folder):
    """The demo's pair, and one of 256 positions in 128 steps."""
    def capture(name, model, prompt, *options):
        path = f"{folder}/{name}.h5"
        command = [attntrace, "capture", "--model", model, "--prompt", prompt, "--temperature", "0.7", "--output", path]
        subprocess.run([*command, *options], check=True, capture_output=True)
        return path

    demo = [
        capture("mdm", "tiny-mdm", PROMPT, "--gen-length", "64", "--block-length", "16", "--signals", "norms,cosine"),
        capture("ar", "tiny-ar", PROMPT, "--max-new-tokens", "64", "--signals", "norms"),
    ]
    # The model of the demo, told that it takes more than it was trained for: attention is what is looked at here.
    stretched = Path(folder) / "stretched"
    shutil.copytree(REPO / "models/tiny-mdm", stretched)
    config = json.loads((stretched / "config.json").read_text())
    (stretched / "config.json").write_text(json.dumps(config | {"max_sequence_length": 256}))
    # Words are added until prompt and answer are 256 tokens.
    words, text = PROMPT.split(), ""
    while True:
        longer = f"{text} {words[len(text.split()) % len(words)]}".strip()
        said = subprocess.run([attntrace, "tokenize", "--model", "tiny-mdm", longer], check=True, capture_output=True)
        if len(said.stdout.split(b",")) > 128:
            break
        text = longer
    large = capture("large", stretched, text, "--gen-length", "128", "--block-length", "32", "--record", "maps")
    return {"the demo's two traces": demo, "128 steps": [large]}


def run(bin_folder):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        attntrace = bin_folder / "attntrace"
        for name, files in traces(attntrace, folder).items():
            with h5py.File(files[0], "r") as trace:
                name = f"{name} of {trace['position'].size} tokens"
            page = f"{folder}/report.html"
            seconds, peak = timed([attntrace, "report", *files, "--output", page, "--force"])
            size = os.path.getsize(page)
            stored = sum(map(os.path.getsize, files))
            rows.append({"name": f"report of {name}", "ours": seconds, "theirs": None, "unit": "s",
                         "note": f"{stored / 1e6:.0f} MB of traces; peak {peak / 1e6:.0f} MB"})
            rows.append({"name": f"page of {name}", "ours": size / 1e6, "theirs": LIMIT / 1e6, "unit": "MB",
                         "note": "theirs: the limit"})
            frames = measure(page, "1", "mean", 2)
            rows.append({"name": f"frame while the slider moves, {name}", "ours": frames["frames_p95"], "theirs": FRAME,
                         "unit": "ms", "note": f"slowest of 20, median {frames['frames_p50']:.1f}; {frames['late']} of "
                         f"{frames['moves']} moves waited for a map; theirs: 30 a second"})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, required=True, help="where attntrace is")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = run(options.bin.resolve())
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        aim = f"{row['theirs']:8.1f}" if row["theirs"] else " " * 8
        print(f"{row['name']:70} {row['ours']:8.2f} {aim} {row['unit']:3} {row['note']}")


if __name__ == "__main__":
    main()
