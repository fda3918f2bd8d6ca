"""Judges values one by one, the vocabulary, and signals whose datasets must agree with each other."""

import numpy as np

from .schema import SECOND, described

ONE = np.float32(1.00001)
# Least and largest value, code outside, where NaN may be.
FLOATS = {
    "received": (0, None, "value.range", "nowhere"), "confidence": (0, ONE, "value.probability", "anywhere"),
    "top_probability": (0, ONE, "value.probability", "anywhere"), "time": (0, 1, "value.probability", "anywhere"),
    "max_weight": (0, ONE, "value.probability", "nowhere"), "mask_mass": (0, ONE, "value.probability", "nowhere"),
    "transfer_score": (None, None, "value.range", "anywhere"), "prediction_entropy": (0, None, "value.range", "anywhere"),
    "logsumexp": (None, None, "value.range", "nowhere"), "key_cosine": (-ONE, ONE, "value.range", "anywhere"),
    "value_cosine": (-ONE, ONE, "value.range", "anywhere"), "hidden_norm": (0, None, "value.range", "not fed"),
    "hidden_max": (0, None, "value.range", "not fed"), "hidden_median": (0, None, "value.range", "not fed"),
}
LOWEST = {"block": -1, "hidden_max_channel": -1, "position_id": 0}


def judge(trace, log):
    for path in trace.shapes:
        plain = path.removeprefix(SECOND)
        kind = described(path)["type"]
        if kind == "utf8":
            judge_text(trace, path, log)
            continue
        for place in range(max(1, trace.shapes[path][0])):
            values = trace.read(path, slice(place, place + 1))
            if values is None or values.size == 0:
                continue
            if kind == "uint8" and values.max() > (2 if plain == "suppressed" else 1):
                log.add("value.flag", path, f"{values.max()}")
            elif kind == "float16":
                judge_halves(plain, path, values, log)
            elif kind == "float32":
                judge_floats(trace, plain, path, place, values, log)
            elif plain == "hidden_max_channel" and trace.causal and (values[..., trace.keys :] == -(2**31)).all():
                if values[..., : trace.keys].size and values[..., : trace.keys].min() < -1:
                    log.add("value.range", path, "below -1")
            elif plain in LOWEST and values.min() < LOWEST[plain]:
                log.add("value.range", path, f"{values.min()}")
            elif plain == "region" and not (-1 <= values.min() and values.max() < trace.length("region_index")):
                log.add("region.index", path, f"{values.min()} to {values.max()}")
    judge_vocabulary(trace, log)
    judge_top(trace, log)
    for prefix in trace.passes:
        judge_residual(trace, prefix, log)


def judge_text(trace, path, log):
    for value in trace.raw_texts(path) or []:
        content = value.split(b"\0")[0]
        try:
            content.decode()
        except UnicodeDecodeError:
            log.add("text.encoding", path, "not UTF-8")
        if value[len(content) :].strip(b"\0"):
            log.add("text.encoding", path, "goes on after its padding")


def judge_halves(plain, path, values, log):
    if not np.isfinite(values).all():
        log.add("value.undefined", path, "not finite")
    finite = values[np.isfinite(values)]
    if plain in ("maps/attention", "answer/attention") and ((finite < 0) | (finite > 1)).any():
        log.add("value.probability", path, "outside 0 to 1")


def judge_floats(trace, plain, path, place, values, log):
    low, high, code, undefined = FLOATS.get(plain, (0, None, "value.range", "nowhere"))
    values = values[0] if path != "time" else values
    nan = np.isnan(values)
    allowed = {"nowhere": False, "anywhere": True, "not fed": False}[undefined]
    if undefined == "not fed" and trace.causal:
        nan = nan[..., : trace.keys]
    if nan.any() and not allowed:
        log.add("value.undefined", path, f"at {place}")
    real = values[~np.isnan(values)]
    bad = ~np.isfinite(real)
    if low is not None:
        bad |= real < np.float32(low)
    if high is not None:
        bad |= real > np.float32(high)
    if bad.any():
        log.add(code, path, f"{real[bad][0]} at {place}")


def judge_vocabulary(trace, log):
    ids = trace.read("vocab_id")
    if ids is None:
        return
    known = set(ids.tolist())
    if len(known) < len(ids):
        log.add("vocab.repeated", "vocab_id", "an id twice")
    for path in ["token_id", "predicted_id", "final_id", "top_id"]:
        values = trace.read(path)
        if values is None:
            continue
        steps = trace.read("unmask_step")
        if path == "final_id" and steps is not None:
            # What a step wrote that does not count is not judged.
            values = values[~trace.is_open(steps)]
        none = {-1} if path != "final_id" and (path != "token_id" or trace.causal) or trace.imported else set()
        missing = set(np.unique(values).tolist()) - known - none
        if missing:
            log.add("vocab.missing", path, str(sorted(missing)[:5]))
    if not trace.complete:
        return
    texts, final, written = trace.texts("vocab_text"), trace.read("final_id"), trace.texts("token_text")
    if texts is None or final is None or written is None:
        return
    by_id = dict(zip(ids.tolist(), texts))
    for position, token in enumerate(final.tolist()):
        if by_id.get(token, written[position]) != written[position]:
            log.add("vocab.text", "token_text", f"position {position}")


def judge_top(trace, log):
    if "top_id" not in trace or "top_probability" not in trace:
        return
    for step in range(trace.committed):
        ids, p = trace.read("top_id", step), trace.read("top_probability", step)
        if ids is None or p is None:
            continue
        none = (ids == -1).all(-1) & np.isnan(p).all(-1)
        ordered = np.sort(ids, -1)
        with np.errstate(invalid="ignore"):
            some = (
                (ids >= 0).all(-1) & ~np.isnan(p).any(-1) & (p[:, 1:] <= p[:, :-1]).all(-1)
                & (ordered[:, 1:] != ordered[:, :-1]).all(-1))
        if not (none | some).all():
            log.add("top.order", "top_probability", f"step {step}")


def judge_residual(trace, prefix, log):
    names = [prefix + name for name in ["hidden_norm", "hidden_max", "hidden_median"]]
    if not all(name in trace for name in names):
        return
    for place in range(trace.shapes[names[0]][0]):
        norm, largest, median = (trace.read(name, place) for name in names)
        if norm is None or largest is None or median is None:
            continue
        with np.errstate(invalid="ignore"):
            if ((largest < median) | (norm < largest * np.float32(1 - 1e-5))).any():
                log.add("residual.order", names[1], f"row_step {place}")
