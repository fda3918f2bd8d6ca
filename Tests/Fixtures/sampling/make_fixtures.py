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


def block_diffusion(model, prompt, mask, steps, gen_length, block_length, temperature, cfg_scale, remasking, seed,
                    threshold=None, factor=None, logits_eos_inf=False, confidence_eos_eot_inf=False, eos_token=126081,
                    eot_token=126348, last=None):
    """LLaDA's generate; with `threshold` or `factor` Fast-dLLM's, without caches; with `last` MMaDA's mmu_generate_fast."""
    x = np.array(prompt + [mask] * gen_length)
    prompt_index = x != mask
    masked_prompt = int((~prompt_index[: len(prompt)]).sum())
    parallel = threshold is not None or factor is not None
    unmask_step = np.where(x == mask, -2, -1)
    unmask_order = unmask_step.copy()
    order = step = 0
    blocks = gen_length // block_length
    per_block = steps // blocks
    log = []
    for block in range(blocks):
        start = len(prompt) + block * block_length
        end = start + block_length
        masks = int((x[start:end] == mask).sum())
        quota = [masks // per_block + (i < masks % per_block) for i in range(per_block)] if not parallel else None
        i = 0
        while True:
            # Published, a block ends when none of it is masked; never, where the mask itself is chosen again and again.
            if parallel and (not (x[start:end] == mask).any() or step >= masked_prompt + (block + 1) * block_length):
                break
            if not parallel and i == per_block:
                break
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
                if logits_eos_inf:
                    row[eos_token] = -np.inf
                predicted[p] = choose(row, temperature, seed, step, p, GUMBEL)
                probabilities, entropy[p] = distribution(row)
                confidence[p] = ranked = probabilities[predicted[p]]
                if confidence_eos_eot_inf:
                    # Chained assignment, as published: the noised logits lose EOS, the logits EOT; at temperature 0 both
                    # are one tensor.
                    scored = row.copy()
                    scored[eot_token] = -np.inf
                    if temperature == 0:
                        scored[eos_token] = -np.inf
                    ranked = distribution(scored)[0][predicted[p]]
                if p < end:
                    random = remasking == "random"
                    score[p] = uniform(seed, step, p, 0, REMASKING) if random else ranked
                    rank[p] = score[p]
            distinct(rank, model, step)
            best = np.argsort(-rank, kind="stable")[: int(np.isfinite(rank).sum())]
            if threshold is not None:
                kept = [p for k, p in enumerate(best) if k == 0 or rank[p] >= threshold]
            elif factor is not None:
                kept = best[: dynamic_count(rank[best], factor)]
            else:
                kept = best[: quota[i]]
            fed = x.copy()
            order = write(x, kept, predicted, mask, step, order, unmask_step, unmask_order)
            log.append(entry(fed, predicted, confidence, score, entropy, block))
            step += 1
            i += 1
        if last is not None and x[end - 1] == last:
            break
    return result(x, unmask_step, unmask_order, log)


def dynamic_count(scores, factor):
    """How many of scores in falling order get_transfer_index_dynamic keeps."""
    bounds = [1 - factor / (n + 1) for n in range(1, len(scores) + 1)]
    bounds[0] = -1
    for place in range(len(bounds)):
        if scores[place] < bounds[place]:
            break
    if place == 0 or place == len(bounds) - 1:
        place += 1
    return place


def distinct(rank, model, step):
    """A fixture must not hang on a last bit."""
    values = sorted(rank[np.isfinite(rank)])
    for a, b in zip(values, values[1:]):
        assert model.flat or a == b or b - a > 1e-9 * abs(b), (step, a, b)


def linspace(eps, steps):
    """torch.linspace(1, eps, steps + 1) in float32."""
    f = np.float32
    width = (f(eps) - f(1)) / f(steps)
    return [f(1) + width * f(i) if i < (steps + 1) // 2 else f(eps) - width * f(steps - i) for i in range(steps + 1)]


def filtered(row, temperature, top_p, top_k):
    """sample_tokens of Dream up to the softmax."""
    logits = row.astype(np.float64)
    if temperature > 0:
        logits = logits / temperature
    if top_p is not None and top_p < 1:
        places = np.argsort(-logits, kind="stable")
        before = np.cumsum(np.concatenate([[0.0], softmax(logits[places])[:-1]]))
        logits[places[(before > top_p) & (np.arange(len(row)) > 0)]] = -np.inf
    if top_k is not None:
        logits[logits < np.sort(logits)[::-1][min(top_k, len(row)) - 1]] = -np.inf
    return logits


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def noised(logits, seed, step, position, stream):
    u = np.array([uniform(seed, step, position, token, stream) for token in range(len(logits))])
    return logits - np.log(-np.log(u))


def dream(model, prompt, mask, steps, max_new_tokens, alg, alg_temp, eps, temperature, top_p, top_k, threshold, seed):
    """diffusion_generate of Dream; with alg confidence_threshold Fast-dLLM's."""
    x = np.array(prompt + [mask] * max_new_tokens)
    masks = int((x == mask).sum())
    times = linspace(eps, steps)
    unmask_step = np.where(x == mask, -2, -1)
    unmask_order = unmask_step.copy()
    order = step = left = 0
    end, share = steps, masks // steps
    log = []
    while step < end:
        masked = np.flatnonzero(x == mask)
        if alg == "confidence_threshold" and len(masked) == 0:
            break  # published, it goes on to `end` with nothing to do
        ratio = 1 - times[step + 1] / times[step] if step < steps - 1 else np.float32(1)
        predicted = np.full(len(x), -1)
        confidence, entropy, score = (np.full(len(x), np.nan) for _ in range(3))
        rank = np.full(len(x), -np.inf)
        for p in map(int, masked):
            row = model(x, max(0, p - 1))
            logits = filtered(row, temperature, top_p, top_k)
            p_left = softmax(logits)
            drawn = noised(logits, seed, step, p, GUMBEL) if temperature > 0 else logits
            predicted[p] = int(np.argmax(drawn))
            probabilities, entropy[p] = distribution(row)
            confidence[p] = probabilities[predicted[p]]
            u = uniform(seed, step, p, 0, REMASKING)
            if alg == "origin":
                rank[p] = 1 - u
            else:
                rank[p] = p_left[predicted[p]]
                if alg == "topk_margin":
                    second, first = np.sort(p_left)[-2:]
                    rank[p] = first - second
                if alg == "entropy":
                    rank[p] = np.sum(p_left * np.log(p_left + 1e-10))
                if alg_temp:
                    rank[p] = rank[p] / alg_temp - math.log(-math.log(u))
            score[p] = rank[p]
        distinct(rank, model, step)
        best = np.argsort(-rank, kind="stable")[: len(masked)]
        if alg == "origin":
            kept = [p for p in best if uniform(seed, step, int(p), 0, REMASKING) < ratio]
        elif alg == "confidence_threshold":
            due = best[: share + left]
            kept = [p for k, p in enumerate(due) if k == 0 or rank[p] >= threshold]
            left = len(due) - len(kept)
            if step >= end - 1:
                share, end = 0, end + left
            left += sum(predicted[p] == mask for p in kept)  # chosen here: it stays due
        else:
            kept = best[: int(np.float32(len(masked)) * ratio)]
        fed = x.copy()
        order = write(x, kept, predicted, mask, step, order, unmask_step, unmask_order)
        log.append(entry(fed, predicted, confidence, score, entropy, -1))
        step += 1
    return result(x, unmask_step, unmask_order, log)


def warped(row, ids, temperature, top_k, top_p, repetition_penalty):
    """transformers' processors, in their order."""
    logits = row.copy()
    if repetition_penalty is not None:
        seen = np.unique(ids)
        penalty = np.float32(repetition_penalty)
        logits[seen] = np.where(logits[seen] < 0, logits[seen] * penalty, logits[seen] / penalty)
    logits = logits.astype(np.float64)
    if temperature == 0:
        return logits
    logits = logits / temperature
    if top_k is not None:
        logits[logits < np.sort(logits)[::-1][min(top_k, len(row)) - 1]] = -np.inf
    if top_p is not None and top_p < 1:
        places = np.argsort(logits, kind="stable")
        tail = np.cumsum(softmax(logits[places]))
        logits[places[(tail <= 1 - top_p) & (np.arange(len(row)) < len(row) - 1)]] = -np.inf
    return logits


def autoregressive(model, prompt, max_new_tokens, temperature, seed, eos_token_ids, top_k=None, top_p=None,
                   repetition_penalty=None):
    length = len(prompt) + max_new_tokens
    ids = list(prompt)
    log = []
    for step in range(max_new_tokens):
        position = len(ids)
        row = model(ids, position - 1)
        logits = warped(row, ids, temperature, top_k, top_p, repetition_penalty)
        if temperature > 0:
            logits = noised(logits, seed, step, position, AUTOREGRESSIVE)
        token = int(np.argmax(logits))
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


def write(x, kept, predicted, mask, step, order, unmask_step, unmask_order):
    """Writes the positions that were kept; one that drew the mask stays masked. The place of the next in the order."""
    for p in kept:
        x[p] = predicted[p]
        if x[p] != mask:
            unmask_step[p], unmask_order[p] = step, order
            order += 1
    return order


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
    outcome = block_diffusion(Model(**model), prompt, model["vocabulary"] - 1, **settings)
    return {"name": name, "model": model, "prompt": prompt, "sampler": settings, "expected": outcome}


def mmada_case(name, model, prompt, eot_token=None, **options):
    case = diffusion_case(name, model, prompt, last=eot_token, **options)
    del case["sampler"]["last"]
    case["sampler"] |= {} if eot_token is None else {"eot_token": eot_token}
    return case


def dream_case(name, model, prompt, **options):
    settings = dict(steps=8, max_new_tokens=8, alg="origin", alg_temp=None, eps=1e-3, temperature=0.0, top_p=None,
                    top_k=None, threshold=None, seed=0) | options
    outcome = dream(Model(**model), prompt, model["vocabulary"] - 1, **settings)
    settings = {key: value for key, value in settings.items() if value is not None}
    return {"name": name, "model": model, "prompt": prompt, "sampler": settings, "expected": outcome}


def causal_case(name, model, prompt, **options):
    settings = dict(max_new_tokens=8, temperature=0.0, seed=0, eos_token_ids=[]) | options
    outcome = autoregressive(Model(**model), prompt, **settings)
    return {"name": name, "model": model, "prompt": prompt, "sampler": settings, "expected": outcome}


def fixtures():
    small, prompt = {"vocabulary": 24}, [3, 1, 4]
    keen, narrow = {"vocabulary": 6, "lift": 2.0}, {"vocabulary": 7, "lift": -20.0}
    tidy = {"vocabulary": 24, "lift": -20.0}
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
            diffusion_case("no EOS", narrow, prompt, logits_eos_inf=True, eos_token=4),
            diffusion_case("no EOS, guided", narrow, prompt, steps=4, cfg_scale=1.0, logits_eos_inf=True, eos_token=4),
            diffusion_case("EOS and EOT last", narrow, prompt, confidence_eos_eot_inf=True, eos_token=4, eot_token=2),
            diffusion_case("EOS and EOT last, sampled", narrow, prompt, temperature=1.3, seed=4,
                           confidence_eos_eot_inf=True, eos_token=4, eot_token=2),
            diffusion_case("both", narrow, prompt, confidence_eos_eot_inf=True, logits_eos_inf=True, eos_token=4,
                           eot_token=2),
            diffusion_case("EOS and EOT last, random", narrow, prompt, steps=4, remasking="random", seed=2,
                           confidence_eos_eot_inf=True, eos_token=4, eot_token=2),
            diffusion_case("threshold", keen, prompt, gen_length=12, block_length=6, threshold=0.5),
            diffusion_case("threshold, sampled", keen, prompt, gen_length=12, block_length=4, threshold=0.4,
                           temperature=1.0, seed=5),
            diffusion_case("threshold, guided", small, prompt, gen_length=8, block_length=4, threshold=0.6, cfg_scale=1.0),
            diffusion_case("threshold 0", small, prompt, gen_length=8, block_length=4, threshold=0.0),
            diffusion_case("threshold, stays masked", {"vocabulary": 6, "lift": 13.0}, [0, 1], threshold=0.9),
            diffusion_case("threshold, mask in the prompt", {"vocabulary": 9, "lift": -20.0}, [2, 8, 5, 8], gen_length=6,
                           block_length=3, threshold=0.7),
            diffusion_case("threshold, random", small, prompt, threshold=0.5, remasking="random", seed=6),
            diffusion_case("factor", keen, prompt, gen_length=12, block_length=6, factor=1.0),
            diffusion_case("factor, last rank fails", tidy, prompt, gen_length=12, block_length=2, factor=0.1),
            diffusion_case("factor, one a block", tidy, prompt, gen_length=3, block_length=1, factor=1.0),
            diffusion_case("factor, sampled", keen, prompt, gen_length=8, block_length=8, factor=1.5, temperature=0.8,
                           seed=12),
        ],
        "mmada": [
            mmada_case("greedy", small, prompt),
            mmada_case("sampled", small, prompt, temperature=1.0, seed=8, gen_length=12, block_length=4, steps=6),
            mmada_case("guided", small, prompt, cfg_scale=0.7, steps=4),
            mmada_case("ends", narrow, prompt, gen_length=24, block_length=2, steps=24, eot_token=3),
            mmada_case("does not end", small, prompt, gen_length=8, block_length=4, eot_token=5),
            mmada_case("threshold", tidy, prompt, gen_length=8, block_length=4, threshold=0.5),
        ],
        "dream": [
            dream_case(f"{alg}{name}", small, prompt, alg=alg, **options)
            for alg in ["origin", "maskgit_plus", "topk_margin", "entropy"]
            for name, options in [
                ("", {}),
                (", few steps", dict(steps=3, max_new_tokens=11)),
                (", many steps", dict(steps=13, max_new_tokens=5)),
                (", filtered", dict(steps=5, top_p=0.8, top_k=4)),
                (", sampled", dict(temperature=0.9, top_p=0.95, top_k=12, seed=21)),
                (", unfiltered sampled", dict(temperature=1.4, seed=22, steps=6)),
                (", random places", dict(temperature=0.4, alg_temp=0.3, seed=23)),
                (", another end", dict(eps=0.2, seed=24)),
            ]
        ] + [
            dream_case("one step", small, prompt, steps=1, alg="entropy"),
            dream_case("empty prompt", small, [], alg="maskgit_plus", steps=4),
            dream_case("first position by its own row", {"vocabulary": 9, "lift": -20.0}, [8, 8, 3], alg="topk_margin",
                       steps=5),
            dream_case("emits the mask", keen, [0, 1], alg="maskgit_plus", temperature=1.0, seed=1),
            dream_case("equal scores", {"vocabulary": 9, "flat": True}, prompt, alg="entropy", steps=4),
            dream_case("one token left", small, prompt, alg="entropy", top_k=1, steps=4),
            dream_case("equal logits", {"vocabulary": 12, "levels": 4}, prompt, alg="origin", seed=3, top_k=3,
                       temperature=1.0),
            dream_case("threshold", tidy, prompt, alg="confidence_threshold", threshold=0.35, steps=2, max_new_tokens=12),
            dream_case("threshold, one step", tidy, prompt, alg="confidence_threshold", threshold=0.35, steps=1,
                       max_new_tokens=12),
            dream_case("threshold, one each", small, prompt, alg="confidence_threshold", threshold=0.9),
            dream_case("threshold, sampled", small, prompt, alg="confidence_threshold", threshold=0.6, steps=4,
                       temperature=0.7, top_p=0.9, seed=9),
            dream_case("threshold, emits the mask", keen, prompt, alg="confidence_threshold", threshold=0.3, steps=2,
                       temperature=1.0, seed=3),
        ],
        "autoregressive": [
            causal_case("greedy", small, prompt),
            causal_case("sampled", small, prompt, temperature=0.8, seed=5, max_new_tokens=12),
            causal_case("one token of prompt", small, [7], max_new_tokens=3),
            causal_case("top-k", small, prompt, temperature=1.2, top_k=3, seed=6),
            causal_case("top-p", small, prompt, temperature=1.5, top_p=0.7, seed=7),
            causal_case("top-k and top-p", small, prompt, temperature=2.0, top_k=6, top_p=0.8, seed=8),
            causal_case("more than all", small, prompt, temperature=1.0, top_k=100, top_p=1.0, seed=9),
            causal_case("almost nothing left", small, prompt, temperature=1.0, top_p=0.01, seed=10),
            causal_case("equal logits", {"vocabulary": 12, "levels": 4}, prompt, temperature=3.0, top_k=4, top_p=0.6, seed=11),
            causal_case("penalty", {"vocabulary": 6, "flat": True}, prompt, repetition_penalty=1.6),
            causal_case("penalty, sampled", {"vocabulary": 8}, prompt, repetition_penalty=1.3, temperature=0.9, top_k=5,
                        seed=13, max_new_tokens=12),
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
