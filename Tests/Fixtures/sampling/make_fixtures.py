"""Makes fixtures.json: what the published samplers do on made-up models. `--check` only compares.

Written in NumPy after the published code, apart from the Swift package, which must give the same tokens in the same
order. Random numbers are Philox4x32-10 keyed as the package documents. The models are formulas: a logit is a hash of
(the ids fed in, position, token), which both sides can compute.
"""

import json
import math
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
M32 = 0xFFFFFFFF
M64 = 0xFFFFFFFFFFFFFFFF
GUMBEL, REMASKING, AUTOREGRESSIVE = 0, 1, 2


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & M32, (p0 >> 32) ^ c[3] ^ k[1], p0 & M32]
        k = [(k[0] + 0x9E3779B9) & M32, (k[1] + 0xBB67AE85) & M32]
    return c


def uniform(seed, step, position, token, stream):
    words = philox((step, position, token, stream), (seed & M32, seed >> 32))
    return (((words[0] << 32 | words[1]) >> 12) + 0.5) * 2.0**-52


def splitmix(x):
    x = (x + 0x9E3779B97F4A7C15) & M64
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & M64
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & M64
    return x ^ x >> 31


class Model:
    """Logits between -6 and 6. `flat`: the same row for every position. `levels`: rounded to that many values.
    `lift`: added to the logit of the last token, which is the mask."""

    def __init__(self, vocabulary, flat=False, levels=0, lift=0.0):
        self.vocabulary, self.flat, self.levels, self.lift = vocabulary, flat, levels, lift

    def __call__(self, ids, position):
        state = 0xCBF29CE484222325
        for one in ids:
            state = ((state ^ int(one)) * 0x100000001B3) & M64
        row = []
        for token in range(self.vocabulary):
            place = 0 if self.flat else position
            bits = splitmix(state ^ (place << 32) ^ token) >> 40
            share = (bits * self.levels >> 24) / self.levels if self.levels else bits * 2.0**-24
            value = share * 12.0 - 6.0
            if token == self.vocabulary - 1:
                value += self.lift
            row.append(value)
        return np.array(row, dtype=np.float32)


def choose(row, temperature, seed, step, position, stream):
    """add_gumbel_noise and argmax, as published."""
    logits = row.astype(np.float64)
    if temperature == 0:
        return int(np.argmax(logits))
    u = np.array([uniform(seed, step, position, token, stream) for token in range(len(row))])
    return int(np.argmax(np.exp(logits) / (-np.log(u)) ** temperature))


def distribution(row):
    logits = row.astype(np.float64)
    weights = np.exp(logits - logits.max())
    p = weights / math.fsum(weights)
    return p, -math.fsum(x * math.log(x) for x in p if x > 0)


def number(x):
    return None if math.isnan(x) else float(f"{x:.9g}")


def llada(model, prompt, mask, steps, gen_length, block_length, temperature, cfg_scale, remasking, seed):
    x = np.array(prompt + [mask] * gen_length)
    prompt_index = x != mask
    unmask_step = np.where(x == mask, -2, -1)
    unmask_order = unmask_step.copy()
    order = 0
    blocks = gen_length // block_length
    per_block = steps // blocks
    log = []
    for block in range(blocks):
        start = len(prompt) + block * block_length
        end = start + block_length
        masks = int((x[start:end] == mask).sum())
        quota = [masks // per_block + (i < masks % per_block) for i in range(per_block)]
        for i in range(per_block):
            step = block * per_block + i
            masked = x == mask
            logits = {int(p): model(x, int(p)) for p in np.flatnonzero(masked)}
            if cfg_scale > 0:
                hidden = np.where(prompt_index, mask, x)
                for p in logits:
                    u = model(hidden, p)
                    logits[p] = u + np.float32(cfg_scale + 1) * (logits[p] - u)
            predicted = np.full(len(x), -1)
            confidence, entropy, score = (np.full(len(x), np.nan) for _ in range(3))
            rank = np.full(len(x), -np.inf)
            for p, row in logits.items():
                predicted[p] = choose(row, temperature, seed, step, p, GUMBEL)
                probabilities, entropy[p] = distribution(row)
                confidence[p] = probabilities[predicted[p]]
                if p < end:
                    random = remasking == "random"
                    score[p] = uniform(seed, step, p, 0, REMASKING) if random else confidence[p]
                    rank[p] = score[p]
            values = sorted(rank[np.isfinite(rank)])
            for a, b in zip(values, values[1:]):  # a fixture must not hang on a last bit
                assert model.flat or b - a > 1e-9 * abs(b), (step, a, b)
            fed = x.copy()
            for p in np.argsort(-rank, kind="stable")[: quota[i]]:
                x[p] = predicted[p]
                if x[p] != mask:
                    unmask_step[p], unmask_order[p] = step, order
                    order += 1
            log.append(entry(fed, predicted, confidence, score, entropy, block))
    return result(x, unmask_step, unmask_order, log)


def autoregressive(model, prompt, max_new_tokens, temperature, seed, eos_token_ids):
    length = len(prompt) + max_new_tokens
    ids = list(prompt)
    log = []
    for step in range(max_new_tokens):
        position = len(ids)
        row = model(ids, position - 1)
        token = choose(row, temperature, seed, step, position, AUTOREGRESSIVE)
        predicted = np.full(length, -1)
        confidence, entropy = np.full(length, np.nan), np.full(length, np.nan)
        probabilities, entropy[position] = distribution(row)
        predicted[position], confidence[position] = token, probabilities[token]
        fed = np.array(ids + [-1] * (length - position))
        log.append(entry(fed, predicted, confidence, confidence, entropy, -1))
        ids.append(token)
        if token in eos_token_ids:
            break
    steps = [-1] * len(prompt) + list(range(len(ids) - len(prompt)))
    return result(np.array(ids), np.array(steps), np.array(steps), log)


def entry(fed, predicted, confidence, score, entropy, block):
    return {
        "fed": [int(v) for v in fed],
        "predicted_id": [int(v) for v in predicted],
        "confidence": [number(v) for v in confidence],
        "transfer_score": [number(v) for v in score],
        "prediction_entropy": [number(v) for v in entropy],
        "block": block,
    }


def result(ids, unmask_step, unmask_order, log):
    return {
        "final_id": [int(v) for v in ids],
        "unmask_step": [int(v) for v in unmask_step],
        "unmask_order": [int(v) for v in unmask_order],
        "steps": log,
    }


def diffusion_case(name, model, prompt, **options):
    settings = dict(steps=8, gen_length=8, block_length=8, temperature=0.0, cfg_scale=0.0,
                    remasking="low_confidence", seed=0) | options
    outcome = llada(Model(**model), prompt, model["vocabulary"] - 1, **settings)
    return {"name": name, "model": model, "prompt": prompt, "sampler": settings, "expected": outcome}


def causal_case(name, model, prompt, **options):
    settings = dict(max_new_tokens=8, temperature=0.0, seed=0, eos_token_ids=[]) | options
    outcome = autoregressive(Model(**model), prompt, **settings)
    return {"name": name, "model": model, "prompt": prompt, "sampler": settings, "expected": outcome}


def fixtures():
    small, prompt = {"vocabulary": 24}, [3, 1, 4]
    keen = {"vocabulary": 6, "lift": 2.0}
    return {
        "philox": [
            {"counter": c, "key": k, "words": philox(c, k)}
            for c, k in [([0] * 4, [0] * 2), ([M32] * 4, [M32] * 2), ([1, 2, 3, 4], [5, 6])]
        ],
        "uniform": [
            {"seed": str(s), "at": at, "value": uniform(s, *at)}
            for s, at in [(0, [0, 0, 0, 0]), (7, [1, 2, 3, 1]), (2**64 - 1, [511, 767, 126463, 2])]
        ],
        "diffusion": [
            diffusion_case("greedy", small, prompt),
            diffusion_case("uneven quota", small, prompt, steps=3),
            diffusion_case("more steps than positions", small, prompt, steps=10),
            diffusion_case("blocks", small, prompt, steps=8, gen_length=12, block_length=3),
            diffusion_case("sampled", small, prompt, steps=6, gen_length=12, block_length=6, temperature=0.7, seed=11),
            diffusion_case("hot", small, prompt, steps=4, temperature=1.5, seed=2**63 + 5),
            diffusion_case("guided", small, prompt, steps=4, cfg_scale=1.5),
            diffusion_case("guided and sampled", small, [9, 9], gen_length=8, block_length=4, steps=4,
                           cfg_scale=0.5, temperature=2.0, seed=3),
            diffusion_case("random remasking", small, prompt, steps=4, remasking="random", seed=9),
            diffusion_case("emits the mask", keen, [0, 1], steps=4, gen_length=8, block_length=4, temperature=1.0,
                           seed=1),
            diffusion_case("stays masked", {"vocabulary": 6, "lift": 13.0}, [0, 1], steps=4),
            diffusion_case("mask in the prompt", {"vocabulary": 9, "lift": -20.0}, [2, 8, 5, 8], steps=4, cfg_scale=0.5),
            diffusion_case("equal scores", {"vocabulary": 9, "flat": True}, prompt, steps=3),
            diffusion_case("equal logits", {"vocabulary": 12, "levels": 4}, prompt, steps=8, remasking="random"),
            diffusion_case("empty prompt", small, [], steps=4),
        ],
        "autoregressive": [
            causal_case("greedy", small, prompt),
            causal_case("sampled", small, prompt, temperature=0.8, seed=5, max_new_tokens=12),
            causal_case("one token of prompt", small, [7], max_new_tokens=3),
            causal_case("ends", small, prompt, max_new_tokens=40, temperature=2.0, seed=2, eos_token_ids=[4, 9]),
        ],
    }


def main():
    text = json.dumps(fixtures(), separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n"
    path = HERE / "fixtures.json"
    if "--check" in sys.argv[1:]:
        if path.read_text() != text:
            sys.exit("fixtures.json is not what make_fixtures.py makes")
        print("fixtures.json is up to date")
    else:
        path.write_text(text)


if __name__ == "__main__":
    main()
