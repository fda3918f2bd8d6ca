"""Scores each passage with both models, with and without sinks: one JSON file each.

    demo_scores.py ATTNTRACE PASSAGES.jsonl FOLDER
"""

import json
import subprocess
import sys
from pathlib import Path

attntrace, passages, folder = sys.argv[1:]
for line in Path(passages).read_text(encoding="utf-8").splitlines():
    passage = json.loads(line)
    for model in ("tiny-mdm", "tiny-ar"):
        done = subprocess.run(
            [attntrace, "score", "--model", model, "--prompt", passage["prompt"], "--text", passage["text"],
             "--suppress-sinks", "1,5,10", "--mc-num", "64", "--json"],
            stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(done.returncode)
        Path(folder, f"{model}-{passage['id']}.json").write_text(done.stdout, encoding="utf-8")
        plain, *others = json.loads(done.stdout)["variants"]
        changes = ", ".join(f"{v['suppressed']} {v['keys']}: {v['difference']:+.3f}" for v in others)
        print(f"{passage['id']:14} {model:9} {plain['nats_per_token']:.3f} nats a token; {changes}")
