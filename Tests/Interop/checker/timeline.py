"""Judges the token timeline: what was fed in, step by step, and how the tokens came about."""

import numpy as np

NAMES = ["token_id", "is_masked", "predicted_id", "confidence", "transfer_score", "prediction_entropy"]


def judge(trace, log):
    outcome = {name: trace.read(name) for name in ["final_id", "unmask_step", "unmask_order"]}
    rows = {name: trace.read(name) for name in NAMES}
    if any(value is None for value in [*outcome.values(), *rows.values()]) or trace.committed == 0:
        judge_sources(trace, outcome["unmask_step"], log)
        return
    judge_counts(trace, rows, log)
    asked = rows["predicted_id"] >= 0
    if not trace.imported and (
        (np.isnan(rows["confidence"]) == asked).any() or (np.isnan(rows["prediction_entropy"]) == asked).any()
        or (~asked & ~np.isnan(rows["transfer_score"])).any()
    ):
        log.add("timeline.asked", "predicted_id", "the timeline disagrees on what was asked")
    if trace.causal:
        judge_causal(trace, rows, outcome, log)
    else:
        judge_bidirectional(trace, rows, outcome, log)
    judge_sources(trace, outcome["unmask_step"], log)


def judge_counts(trace, rows, log):
    masked = rows["is_masked"] == 1
    count, time = trace.read("mask_count"), trace.read("time")
    if count is not None and (count != masked.sum(1)).any():
        log.add("timeline.mask_count", "mask_count", "not the number of masked positions")
    if time is not None:
        if trace.causal:
            is_right = np.isnan(time).all()
        else:
            is_right = (np.abs(time - masked[:, trace.prompt :].sum(1) / trace.planned_generated) <= 1e-6).all()
        if not is_right:
            log.add("timeline.time", "time", "not the share of masked positions")


def judge_causal(trace, rows, outcome, log):
    final, positions = outcome["final_id"], np.arange(len(outcome["final_id"]))
    if (rows["is_masked"] != 0).any():
        log.add("timeline.masked", "is_masked", "in a causal trace")
    for step, ids in enumerate(rows["token_id"]):
        wrong = ids != np.where(positions < trace.prompt + step, final, -1)
        for position in positions[wrong]:
            if position >= trace.prompt:
                log.add("timeline.change", "token_id", f"step {step}, position {position}")
            elif ids[position] != rows["token_id"][0, position]:
                log.add("timeline.prompt", "token_id", f"step {step}, position {position}")
            else:
                log.add("timeline.final_id", "final_id", f"position {position}")
        following = trace.prompt + step
        if following < len(final) and rows["predicted_id"][step, following] != final[following]:
            log.add("timeline.final_id", "final_id", f"position {following}")
    expected = np.maximum(-1, positions - trace.prompt)
    for name in ["unmask_step", "unmask_order"]:
        if (outcome[name] != expected).any():
            log.add("timeline." + name, name, "does not follow from the order of generation")


def judge_bidirectional(trace, rows, outcome, log):
    mask = trace.attributes.get("mask_token_id", -1)
    steps, order, prompt = outcome["unmask_step"], outcome["unmask_order"], trace.prompt
    told = (rows["token_id"] >= 0) | (not trace.imported)
    if (((rows["is_masked"] == 1) != (rows["token_id"] == mask)) & told).any():
        log.add("timeline.masked", "is_masked", "does not tell where the mask is")
    beyond = trace.is_open(steps)
    last = np.where(beyond, rows["token_id"][-1], outcome["final_id"])
    ids = np.vstack([rows["token_id"], last])
    for step in range(trace.committed):
        old, new = ids[step], ids[step + 1]
        is_last = step == trace.committed - 1
        named, changed = steps == step, old != new
        predicted = rows["predicted_id"][step]
        told_otherwise = (new != predicted) & ((predicted >= 0) | (not trace.imported))
        if (named & ~changed).any():
            log.add("timeline.unmask_step", "unmask_step", f"step {step} unmasks nothing there")
        of_prompt = changed & (np.arange(len(old)) < prompt) & (old != mask)
        wrong = changed & ~of_prompt & (~named | (old != mask) | told_otherwise)
        if of_prompt.any():
            log.add("timeline.final_id" if is_last else "timeline.prompt", "token_id", f"after step {step}")
        if wrong.any():
            log.add("timeline.final_id" if is_last else "timeline.change", "token_id", f"after step {step}")
    was_masked, is_masked = rows["is_masked"][0] == 1, last == mask
    right = np.where(
        steps == -1, ~was_masked,
        np.where(steps == -2, was_masked & is_masked, (steps >= 0) & (steps < trace.committed) & was_masked))
    if (~right & ~(beyond & (steps >= 0))).any():
        log.add("timeline.unmask_step", "unmask_step", "does not follow from the masks")
    if ((steps < 0) & ~beyond & (order != steps)).any():
        log.add("timeline.unmask_order", "unmask_order", "codes differ from unmask_step")
    written = np.flatnonzero((steps >= 0) & ~beyond & (steps < trace.committed))
    scores = {place: rows["transfer_score"][steps[place], place] for place in written}
    ordered = sorted(written, key=lambda place: order[place])
    if [order[place] for place in ordered] != list(range(len(ordered))):
        if not ((steps >= trace.committed) & ~beyond).any():
            log.add("timeline.unmask_order", "unmask_order", "does not count from 0")
    for a, b in zip(ordered, ordered[1:]):
        if steps[a] > steps[b] or steps[a] == steps[b] and scores[a] < scores[b]:
            log.add("timeline.unmask_order", "unmask_order", f"{a} before {b}")
    if not trace.imported and any(np.isnan(score) for score in scores.values()):
        log.add("timeline.unmask_order", "transfer_score", "undefined where a position was unmasked")


def judge_sources(trace, unmask_step, log):
    steps, queries = trace.read("answer/source_step"), trace.read("answer/source_query")
    if steps is None or queries is None or unmask_step is None:
        return
    offset = trace.attributes.get("prediction_offset", 0)
    for place in range(min(len(steps), len(queries))):
        position = trace.prompt + place
        if position >= len(unmask_step):
            break
        step = unmask_step[position]
        if trace.is_open(step):
            continue
        if trace.imported and steps[place] == queries[place] == -1:
            continue
        expected = (step, max(0, position - offset)) if step >= 0 else (-1, -1)
        if (steps[place], queries[place]) != expected:
            log.add("answer.source", "answer/source_step", f"generated {place}")
