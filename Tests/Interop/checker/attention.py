"""Judges attention: maps, what keys received, the numbers of rows, the rows of answers."""

import numpy as np

from .schema import SECOND


class Tolerance:
    """How far numbers may be from what a map gives: docs/verify.md, "Tolerances"."""

    def __init__(self, dataset, imported=False):
        self.slack = 2.0**-7 if imported else 1e-5
        bits = int(dataset.attrs.get("kept_mantissa_bits", 10))
        self.rounded = bits < 10
        self.relative, self.absolute = 2.0**-bits - 2.0**-11, 2.0 ** -(bits + 14) - 2.0**-25

    def row_sum(self, keys):
        return self.relative + self.absolute * keys + self.slack

    def sum(self, total, terms):
        return (self.relative + 1e-6) * total + 3e-8 / 2**-25 * self.absolute * terms

    def weight(self, weight):
        return self.relative * weight + self.absolute + 1e-6

    def entropy(self, entropy, keys):
        return self.relative * (entropy + 1) + 64 * self.absolute * keys

    def distance(self, distance, keys):
        return self.relative * distance + self.absolute * keys * keys + 1e-5 * (1 + distance)


def judge(trace, log):
    judge_visible(trace, log)
    judge_answers(trace, log)
    for prefix in trace.passes:
        judge_received(trace, prefix, log)
        if prefix + "maps/attention" in trace:
            judge_maps(trace, prefix, log)


def judge_visible(trace, log):
    for step in range(trace.committed):
        found = trace.read("visible_queries", step)
        if found is None:
            return
        expected = np.maximum(0, trace.prompt + step - np.arange(len(found))) if trace.causal else trace.keys
        if (found != expected).any():
            log.add("visible.count", "visible_queries", f"step {step}")


def judge_answers(trace, log):
    steps, queries = trace.read("answer/source_step"), trace.read("answer/source_query")
    if steps is None or queries is None or "answer/attention" not in trace:
        return
    tolerance = Tolerance(trace.file["answer/attention"], trace.imported)
    for place in range(len(steps)):
        if not 0 <= steps[place] < trace.committed:
            continue
        rows = trace.read("answer/attention", place)
        if rows is None or trace.keys == 0:
            continue
        visible = min(trace.keys, max(0, queries[place]) + 1) if trace.causal else trace.keys
        sums = rows[..., :visible].astype(np.float64).sum(-1)
        if not (np.abs(sums - 1) <= tolerance.row_sum(trace.keys)).all() or (rows[..., visible:] != 0).any():
            log.add("answer.rows", "answer/attention", f"generated {place}")


def judge_received(trace, prefix, log):
    path = prefix + "received"
    if path not in trace:
        return
    for step in range(trace.committed):
        values = trace.read(path, step)
        if trace.causal:
            counts, visible = ([trace.prompt, 0, 0] if step == 0 else [0, 1, 0]), trace.prompt + step
        else:
            classes, visible = trace.classes(step), trace.keys
            counts = None if classes is None else np.bincount(classes, minlength=3)
        if values is None or counts is None:
            continue
        counts = np.asarray(counts, np.float64)
        sums = values[..., :visible].astype(np.float64).sum(-1)
        with np.errstate(invalid="ignore"):
            if (np.abs(sums - counts) > (2.0**-7 if trace.imported else 1e-4) * counts + 1e-6).any() or (values[..., visible:] != 0).any():
                log.add("received.rows", path, f"step {step}")


def judge_maps(trace, prefix, log):
    path, queries, keys = prefix + "maps/attention", np.array(trace.queries), trace.keys
    tolerance = Tolerance(trace.file[path], trace.imported)
    if not keys:
        return
    for place, step in enumerate(trace.map_steps):
        for layer in range(len(trace.layers)):
            maps = trace.read(path, place, layer)
            if maps is None:
                continue
            judge_layer(trace, prefix, place, step, layer, maps, queries, keys, tolerance, log)


def suppress(trace, prefix, layer, hidden, queries, steps):
    """What each row of a layer does not see, (head, query, key), once keys are suppressed; and whether all flags could be
    read. `hidden` is what visibility hides."""
    taken, is_known = hidden.copy(), True
    for row, (query, step) in enumerate(zip(queries, steps)):
        flags = trace.read(prefix + "suppressed", step, layer)
        if flags is None:
            is_known = False
            continue
        taken[:, row] |= (flags == 1) | ((flags == 2) & (np.arange(flags.shape[-1]) != query))
    # A query that sees no other key keeps what it has.
    return np.where(taken.all(-1, keepdims=True), hidden, taken), is_known


def judge_layer(trace, prefix, place, step, layer, maps, queries, keys, tolerance, log):
    """Judges the maps (head, query, key) of one step and layer."""
    path, where = prefix + "maps/attention", f"map_step {place}, layer {layer}"
    exact = maps.astype(np.float64)
    exact = np.where(np.isfinite(exact), exact, np.nan)
    if not (np.abs(exact.sum(-1) - 1) <= tolerance.row_sum(keys)).all():
        log.add("maps.rows", path, where)
    row_steps = np.maximum(0, queries - trace.prompt + 1) if trace.causal else np.full(len(queries), step)
    hidden = np.zeros(maps.shape, bool)
    if trace.causal:
        hidden |= np.arange(keys)[None, None] > queries[None, :, None]
    if prefix + "suppressed" in trace:
        hidden = suppress(trace, prefix, layer, hidden, queries, row_steps)[0]
    if (maps[hidden] != 0).any():
        log.add("maps.visible", path, where)
    classes = None if trace.causal else trace.classes(step)
    masked = np.zeros(keys) if trace.causal else trace.read("is_masked", step)
    judge_rows(trace, prefix, place, layer, exact, queries, keys, masked, tolerance, log)
    if not prefix:
        judge_answer_rows(trace, layer, maps, queries, row_steps, tolerance, log)
    if prefix + "received" in trace:
        judge_sums(trace, prefix, step, layer, exact, queries, row_steps, classes, tolerance, log)


def judge_rows(trace, prefix, place, layer, exact, queries, keys, masked, tolerance, log):
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(exact > 0, exact * np.log(exact), 0).sum(-1)
    largest = exact.max(-1)
    distance = (exact * np.abs(queries[:, None] - np.arange(keys)[None])).sum(-1)
    expected = {
        "entropy": (entropy, tolerance.entropy(entropy, keys)), "max_weight": (largest, tolerance.weight(largest)),
        "attended_distance": (distance, tolerance.distance(distance, keys))}
    if masked is not None:
        mass = (exact * (masked == 1)).sum(-1)
        expected["mask_mass"] = (mass, tolerance.sum(mass, keys) + 1e-5)
    for name, (value, allowed) in expected.items():
        found = trace.read(prefix + name, place, layer)
        with np.errstate(invalid="ignore"):
            if found is not None and (np.abs(found - value) > allowed).any():
                log.add("rows.maps", prefix + name, f"map_step {place}, layer {layer}")


def judge_answer_rows(trace, layer, maps, queries, row_steps, tolerance, log):
    steps, sources = trace.read("answer/source_step"), trace.read("answer/source_query")
    if steps is None or sources is None:
        return
    for place in range(len(steps)):
        for row in np.flatnonzero((queries == sources[place]) & (row_steps == steps[place])):
            found = trace.read("answer/attention", place, layer)
            if found is not None and not same(found, np.ascontiguousarray(maps[:, row]), tolerance):
                log.add("answer.map", "answer/attention", f"generated {place}, layer {layer}")


def same(row, kept, tolerance):
    """Whether a row is that of the map: bit for bit, or what it may have been before bits were dropped."""
    if not tolerance.rounded:
        return row.tobytes() == kept.tobytes()
    row, kept = row.astype(np.float64), kept.astype(np.float64)
    return bool((np.abs(kept - row) <= tolerance.relative * row + tolerance.absolute).all())


def judge_sums(trace, prefix, step, layer, exact, queries, row_steps, classes, tolerance, log):
    path = prefix + "received"
    if trace.causal:
        groups = [(0, 0, queries < trace.prompt, (queries < trace.prompt).sum() == trace.prompt)]
        groups += [(row_steps[row], 1, queries == queries[row], True) for row in np.flatnonzero(queries >= trace.prompt)]
    elif classes is None:
        return
    else:
        of_rows = classes[queries]
        groups = [(step, kind, of_rows == kind, (of_rows == kind).sum() == (classes == kind).sum()) for kind in range(3)]
    for at, kind, chosen, whole in groups:
        found = trace.read(path, at, layer)
        if found is None:
            continue
        found, sums = found[:, kind].astype(np.float64), exact[:, chosen].sum(1)
        allowed = tolerance.sum(np.maximum(found, sums), trace.keys)
        with np.errstate(invalid="ignore"):
            if (found < sums - allowed).any() or whole and (found > sums + allowed).any():
                log.add("maps.received", path, f"step {at}, layer {layer}, query_class {kind}")
