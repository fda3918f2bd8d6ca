"""The formulas of the released scripts of arXiv 2601.07894, in NumPy as published, against `attntrace analyze`.

What they compute, from their formulas alone: *absorption* (received means of the head-averaged map; the largest key,
since their rule on means never fires; its share of all attention), *drift* (the same means by step, hatched where above
mean + 3 standard deviations), *QK decomposition* (of each head q k^T, cosine and product of norms as whole matrices;
columns that are sinks by mean + 3 standard deviations, the largest where none is, against the others), *rollout* (maps
pooled by sum to regions, rows made to sum to 1, identity added, layers multiplied). One thing is theirs no longer: they
take key head h mod H_kv, which is wrong for grouped heads; the model here has as many of both.

Both sides read the same numbers of the same files, a run of a random model of 134 million parameters, recorded once as maps
and once as query and key vectors; theirs through h5py. Prints a table, or with --json one JSON object.

    python Benchmarks/analysis/peers.py --bin .build/release
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "forward"))
from run import HUNDRED_M, write_model  # noqa: E402

EPSILON = 3.0


def column_means(file):
    """Received means of each head, (step, layer, head, key): what attn.mean(axis=0) gives of a map."""
    received = file["received"][()].astype(np.float64).sum(3)
    return received / received.shape[-1]


def above(means):
    return means > means.mean() + EPSILON * means.std()


def absorption_and_drift(file):
    means = column_means(file).mean(2)
    steps, layers, _ = means.shape
    share = np.zeros((steps, layers))
    hatched = np.zeros(means.shape, bool)
    for step in range(steps):
        for layer in range(layers):
            one = means[step, layer]
            sinks = [j for j in range(len(one)) if one[j] > np.delete(one, j).mean() + EPSILON] or [np.argmax(one)]
            share[step, layer] = 100 * one[sinks].sum() / one.sum()
            hatched[step, layer] = above(one)
    return share.mean(0), means, hatched


def decomposition(file):
    """Sinks less other columns: product of norms, cosine, q.k; means over steps, (term, layer, head)."""
    means = column_means(file)
    steps, layers, heads, _ = means.shape
    out = np.zeros((3, steps, layers, heads))
    for step in range(steps):
        for layer in range(layers):
            queries = file["qk/query_vector"][step, layer].astype(np.float64)
            keys = file["qk/key_vector"][step, layer].astype(np.float64)
            for head in range(heads):
                q, k = queries[head], keys[head]
                product = q @ k.T
                norms = np.linalg.norm(q, axis=1, keepdims=True) @ np.linalg.norm(k, axis=1, keepdims=True).T
                sinks = above(means[step, layer, head])
                if not sinks.any():
                    sinks[np.argmax(means[step, layer, head])] = True
                for term, matrix in enumerate((norms, product / np.maximum(norms, 1e-12), product)):
                    out[term, step, layer, head] = matrix[:, sinks].mean() - matrix[:, ~sinks].mean()
    return out.mean(1)


def rollout(file):
    """By step: regions prompt, unmasked, masked."""
    maps = file["maps/attention"]
    prompt = int(file.attrs["prompt_length"])
    flows = []
    for step in range(maps.shape[0]):
        masked = file["is_masked"][step].astype(bool)
        place = np.where(np.arange(len(masked)) < prompt, 0, 1 + masked)
        regions = [np.flatnonzero(place == region) for region in range(3)]
        rolled = np.eye(3)
        for layer in range(maps.shape[1]):
            mean = maps[step, layer].astype(np.float64).mean(0)
            pooled = np.array([[mean[np.ix_(rows, columns)].sum() for columns in regions] for rows in regions])
            pooled = pooled / np.where(pooled.sum(1, keepdims=True) == 0, 1, pooled.sum(1, keepdims=True)) + np.eye(3)
            rolled = pooled / pooled.sum(1, keepdims=True) @ rolled
        rolled[[not len(region) for region in regions]] = np.nan
        rolled[:, [not len(region) for region in regions]] = np.nan
        flows.append(rolled / np.nansum(rolled, 1, keepdims=True))
    return np.array(flows)


def published(maps_path, vectors_path):
    with h5py.File(maps_path) as maps, h5py.File(vectors_path) as vectors:
        begin = time.perf_counter()
        share, means, hatched = absorption_and_drift(maps)
        found = {"absorption": share, "drift": means, "hatched": hatched, "qk": decomposition(vectors),
                 "rollout": rollout(maps)}
        return time.perf_counter() - begin, found


def ours(binary, maps_path, vectors_path):
    """Both commands, as a person runs them, started and ended."""
    rule = ["--rule", "deviation", "--z", str(EPSILON)]
    runs = [
        [binary, "analyze", maps_path, "--metrics", "absorption,drift_map,region_flow", "--json", "--verify", "none"],
        [binary, "sinks", maps_path, *rule, "--per", "layer", "--table", "sinks", "--json"],
        [binary, "analyze", vectors_path, "--metrics", "qk_decomposition", *rule, "--fallback", "--json", "--verify", "none"],
    ]
    begin = time.perf_counter()
    said = [json.loads(subprocess.run([str(word) for word in run], check=True, stdout=subprocess.PIPE).stdout) for run in runs]
    seconds = time.perf_counter() - begin
    quantities = {q["name"]: q for s in (said[0], said[2]) for metric in s["metrics"] for q in metric["quantities"]}

    def array(name):
        quantity = quantities[name]
        shape = [len(labels) for labels in quantity["axes"].values()]
        return np.array([np.nan if v is None else v for v in quantity["values"]], float).reshape(shape)

    drift = array("received_mean").swapaxes(0, 1)
    hatched = np.zeros(drift.shape, bool)
    table = said[1]["sinks"]
    columns = [column["name"] for column in table["columns"]]
    for row in table["rows"]:
        cell = dict(zip(columns, row))
        hatched[cell["step"], cell["layer"], cell["position"]] = True
    terms = [array(f"vector_{term}_difference") for term in ("norm_product", "cosine", "logit")]
    with h5py.File(vectors_path) as file:
        terms[2] = terms[2] * np.sqrt(float(file.attrs["head_dim"]))
    found = {"absorption": array("absorption_top_key_of_mean_head_by_layer"), "drift": drift, "hatched": hatched,
             "qk": np.array(terms), "rollout": array("region_flow_by_step")}
    return seconds, found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="folder of the release build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    binary = options.bin / "attntrace"
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), HUNDRED_M, causal=False)
        paths = [f"{folder}/{kind}.h5" for kind in ("maps", "qk")]
        for kind, path in zip(("maps", "qk"), paths):
            ids = ",".join(str(3 + 7 * i % 200) for i in range(64))
            subprocess.run(
                [str(binary), "capture", "--model", folder, "--token-ids", ids, "--gen-length", "192", "--steps", "24",
                 "--block-length", "192", "--record", kind, "--output", path],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ)
        times = {"ours": [], "theirs": []}
        for _ in range(options.rounds):
            seconds, mine = ours(binary, *paths)
            times["ours"].append(seconds)
            seconds, theirs = published(*paths)
            times["theirs"].append(seconds)
    gaps = {}
    for name in ("absorption", "drift", "qk", "rollout"):
        assert mine[name].shape == theirs[name].shape, name
        assert (np.isnan(mine[name]) == np.isnan(theirs[name])).all(), name
        known = ~np.isnan(theirs[name])
        scale = np.abs(theirs[name][known]).max()
        gaps[name] = float(np.abs(mine[name] - theirs[name])[known].max() / scale)
    gaps["hatched"] = int((mine["hatched"] != theirs["hatched"]).sum())
    report = {"ours": min(times["ours"]), "theirs": min(times["theirs"]), "gaps": gaps}
    if options.json:
        print(json.dumps(report))
        return
    print(f"ours {report['ours']:.2f} s, published formulas {report['theirs']:.2f} s: {report['theirs'] / report['ours']:.1f} x")
    for name, gap in gaps.items():
        print(f"{name}: " + (f"{gap} cells differ" if name == "hatched" else f"largest difference {gap:.1e} of the largest"))


main()
