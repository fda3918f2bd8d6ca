"""Makes the traces under fixtures/ and what the reference implementation says of them.

    python make_fixtures.py          write them
    python make_fixtures.py --check  fail if what is committed differs from what would be written

Small, invented attention: softmax of noise with a few columns lifted, which move with the step. Numbers are compared
within 1e-9 by --check, so that another numpy or scipy does not fail it.
"""

import json
import math
import pathlib
import sys

import numpy as np

from reference_metrics import TraceData, metrics_of

HERE = pathlib.Path(__file__).parent / "fixtures"


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def diffusion(seed, prompt, generated, steps, layers, heads, lift, noise=1.0):
    """A bidirectional trace; `lift(step, layer, head)` gives {key: logits}."""
    rng = np.random.default_rng(seed)
    T = prompt + generated
    order = rng.permutation(generated)
    per = math.ceil(generated / steps)
    unmask = np.full(T, -1)
    rank = np.full(T, -1)
    for place, g in enumerate(order):
        unmask[prompt + g] = place // per
        rank[prompt + g] = place
    L, H = len(layers), len(heads)
    received = np.zeros((steps, L, H, 3, T), np.float32)
    answer = np.zeros((generated, L, H, T), np.float16)
    tokens = np.zeros((steps, T), int)
    for t in range(steps):
        cls = np.array([0 if i < prompt else (1 if unmask[i] < t else 2) for i in range(T)])
        tokens[t] = [9 if c == 2 else i % 7 for i, c in enumerate(cls)]
        for l in range(L):
            for h in range(H):
                logits = noise * rng.standard_normal((T, T))
                for j, amount in lift(t, l, h).items():
                    logits[:, j] += amount
                if seed % 2 == 0:
                    logits[cls == 2, T - 1] += 3  # masked queries look elsewhere
                a = softmax(logits)
                for c in range(3):
                    received[t, l, h, c] = a[cls == c].sum(axis=0)
                for g in range(generated):
                    if unmask[prompt + g] == t:
                        answer[g, l, h] = a[prompt + g]
    return TraceData(
        causality="bidirectional", prompt=prompt, layers=layers, heads=heads, received=received, answer=answer,
        source_query=np.arange(prompt, T), source_step=unmask[prompt:], generated=np.arange(prompt, T), order=rank,
        steps=list(range(steps)),
    ), tokens, unmask


def causal(seed, prompt, generated, layers, heads, lift, with_maps):
    """An autoregressive trace; `lift(row, layer, head)` gives {key: logits}."""
    rng = np.random.default_rng(seed)
    K = prompt + generated - 1
    L, H = len(layers), len(heads)
    maps = np.zeros((L, H, K, K), np.float32)
    for l in range(L):
        for h in range(H):
            for i in range(K):
                logits = rng.standard_normal(i + 1)
                for j, amount in lift(i, l, h).items():
                    if j <= i:
                        logits[j] += amount
                maps[l, h, i, : i + 1] = softmax(logits)
    received = np.zeros((generated, L, H, 3, K), np.float32)
    received[0, :, :, 0] = maps[:, :, :prompt].sum(axis=2)
    answer = np.zeros((generated, L, H, K), np.float16)
    answer[0] = maps[:, :, prompt - 1]
    for t in range(1, generated):
        received[t, :, :, 1] = maps[:, :, prompt + t - 1]
        answer[t] = maps[:, :, prompt + t - 1]
    tokens = np.full((generated, prompt + generated), -1)
    for t in range(generated):
        tokens[t, : prompt + t] = np.arange(prompt + t) % 7
    unmask = np.array([-1] * prompt + list(range(generated)))
    return TraceData(
        causality="causal", prompt=prompt, layers=layers, heads=heads, received=received, answer=answer,
        source_query=np.arange(prompt - 1, prompt + generated - 1), source_step=np.arange(generated),
        generated=np.arange(prompt, prompt + generated), order=unmask.copy(),
        maps=maps.astype(np.float16) if with_maps else None, steps=list(range(generated)),
    ), tokens, unmask


def cases():
    floating = lambda t, l, h: {(2 + 3 * (t // 2) + 5 * h + l) % 20: 4.0, (17 - t) % 20: 3.0 * (t % 3 != 1)}
    yield "diffusion", diffusion(1, 6, 14, 7, [0, 3], [1, 2], floating), [
        dict(rule="excess", epsilon=3),
        dict(rule="excess", epsilon=1, per="layer", gap=1, reach=3, unmatched_cost=2),
        dict(rule="excess", epsilon=0.1, reach=2, unmatched_cost=5, null_permutations=3, null_seed=7),
        dict(rule="excess", epsilon=2, per="overall", like_rows_window=4),
        dict(rule="excess", epsilon=3, unit="mean"),
        dict(rule="excess", epsilon=4, unit="percent", layers=[3], like_rows_window=3),
        dict(rule="excess", epsilon=2, unit="ratio", heads=[2], like_rows_window=5),
        dict(rule="deviation", z=2, per="layer"),
        dict(rule="deviation", z=4, fallback=True),
        dict(rule="deviation"),
        dict(rule="share", epsilon=0.1),
        dict(rule="top", count=3, gap=2, reach=2, unmatched_cost=4),
        dict(rule="top"),
    ]
    still = lambda t, l, h: {0: 5.0}
    yield "diffusion_split", diffusion(2, 3, 5, 5, [1], [0], still, noise=0.3), [
        dict(rule="excess", epsilon=2),
        dict(rule="deviation"),
        dict(rule="share"),
    ]
    yield "single_step", diffusion(3, 4, 2, 1, [0], [0, 1], still), [dict(rule="excess", epsilon=1)]
    first = lambda i, l, h: {0: 4.0 if h == 0 else 0.0, (i // 4 + 3 * l) % 11: 3.0}
    rules = [
        dict(rule="excess", epsilon=1, unit="window", window=3, like_rows_window=3),
        dict(rule="excess", epsilon=0.5, unit="window", window=4, per="layer", gap=1, reach=2, like_rows_window=4),
        dict(rule="excess", epsilon=0.2, unit="window", window=2, per="overall", like_rows_window=2),
        dict(rule="excess"),
        dict(rule="excess", epsilon=3, unit="sum"),
        dict(rule="excess", epsilon=1, unit="ratio", per="layer", like_rows_window=5),
        dict(rule="deviation", z=2),
        dict(rule="share", epsilon=0.2),
        dict(rule="top", count=2, unit="window", window=3, like_rows_window=3),
    ]
    yield "causal", causal(4, 6, 12, [0, 2], [0, 1], first, with_maps=False), rules
    yield "causal_with_maps", causal(5, 6, 12, [0, 2], [0, 1], first, with_maps=True), rules[:3]
    yield "causal_one_token", causal(6, 5, 1, [0], [0], first, with_maps=True), [
        rules[0], dict(rule="excess", epsilon=0.5, unit="window", window=2), dict(rule="top"),
    ]
    yield "causal_prompt_of_one", causal(7, 1, 8, [0], [0], first, with_maps=False), [
        dict(rule="excess", epsilon=0.5, unit="window", window=2), dict(rule="top", count=2),
    ]


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(value)
    return value


def short(array):
    """The shortest decimals that read back as the array's own type."""
    return [float(np.format_float_positional(x, unique=True, trim="0")) for x in array.ravel()]


def build():
    for name, (trace, tokens, unmask), analyses in cases():
        out = {
            "name": name, "causality": trace.causality, "prompt": trace.prompt,
            "generated": len(trace.source_step), "steps": len(trace.steps), "keys": trace.received.shape[4],
            "layers": trace.layers, "heads": trace.heads, "received": short(trace.received),
            "answer": short(trace.answer), "source_query": plain(trace.source_query),
            "source_step": plain(trace.source_step), "unmask_order": plain(trace.order),
            "unmask_step": plain(unmask), "token_id": plain(tokens.ravel()),
            "maps": None if trace.maps is None else short(trace.maps), "analyses": [],
        }
        for options in analyses:
            out["analyses"].append(
                {"options": options, "expected": plain(metrics_of(trace, details=True, **options))})
        yield name, out


def same(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)) and not isinstance(a, bool):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return a == b


def main():
    check = "--check" in sys.argv[1:]
    HERE.mkdir(exist_ok=True)
    bad = []
    for name, value in build():
        path = HERE / f"{name}.json"
        if check:
            if not path.exists() or not same(json.loads(path.read_text()), json.loads(json.dumps(value))):
                bad.append(path.name)
        else:
            path.write_text(json.dumps(value) + "\n")
    if bad:
        sys.exit("differ from what would be written: " + ", ".join(bad))


if __name__ == "__main__":
    main()
