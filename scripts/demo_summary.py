"""The last page of `make demo`: the twins on the headlines of both papers, and what that agrees with.

    demo_summary.py DEMO_FOLDER

Every sentence that says "agrees" or "does not agree" is decided here, from the numbers above it, by the rule that it
states. Numbers with an interval: mean over the prompts, 95 % bootstrap interval of that mean.
"""

import csv
import json
import sys
import textwrap
from pathlib import Path

demo = Path(sys.argv[1])
MDM, AR = "tiny-mdm", "tiny-ar"


class Groups:
    """The cohort's numbers by group, from groups.csv."""

    def __init__(self, path):
        with open(path, newline="", encoding="utf-8") as file:
            self.rows = list(csv.DictReader(file))

    def value(self, group, quantity, **labels):
        """Mean and interval of a quantity at some labels; None where the group has none."""
        for row in self.rows:
            axes = {name: row[name] for name in ("layer", "head", "token_class") if row.get(name)}
            if row["quantity"] == quantity and axes == {name: str(label) for name, label in labels.items()}:
                if int(row[f"{group}: n"]) == 0:
                    return None
                return tuple(float(row[f"{group}: {part}"]) for part in ("mean", "low", "high"))
        return None

    def layers(self, quantity):
        return sorted({int(row["layer"]) for row in self.rows if row["quantity"] == quantity})

    def by_layer(self, group, quantity):
        return [self.value(group, quantity, layer=layer)[0] for layer in self.layers(quantity)]


groups = Groups(demo / "analysis/groups.csv")


def interval(value):
    mean, low, high = value
    return f"{mean:6.3f} [{low:.3f}, {high:.3f}]"


def apart(one, other):
    """Whether the intervals of two means do not touch."""
    return one[1] > other[2] or other[1] > one[2]


def verdict(agrees, claim, because):
    words = f"{'agrees' if agrees else 'does not agree'}: {claim} {because}"
    print(textwrap.fill(words, 118, initial_indent="  -> ", subsequent_indent="     "))


def side_by_side(rows):
    print(f"  {'':46}{MDM:>24}{AR:>24}")
    for label, quantity in rows:
        print(f"  {label:46}{interval(groups.value(MDM, quantity)):>24}{interval(groups.value(AR, quantity)):>24}")


def layer_table(rows):
    layers = groups.layers(rows[0][2])
    print(f"  {'layer':44}" + "".join(f"{layer:8}" for layer in layers))
    for label, group, quantity in rows:
        values = groups.by_layer(group, quantity)
        print(f"  {label:36}{group:>8}" + "".join(f"{value:8.3f}" for value in values))


def halves(values):
    """Means of the shallower and of the deeper half of the layers, of those that have a value."""
    half = len(values) // 2
    parts = [[value for value in part if value == value] for part in (values[:half], values[-half:])]
    return tuple(sum(part) / len(part) if part else float("nan") for part in parts)


def trend(values):
    """The deeper half of the layers less the shallower half."""
    shallow, deep = halves(values)
    return deep - shallow


def floating():
    print("a. Do sinks float? Rows that scored each emitted token, one against the next, and windows of 16 of them")
    rows = [
        ("answer rows: floating index", "answer_floating_index_mean"),
        ("answer rows: top key moves", "answer_top_key_moves_mean"),
        ("windows: floating index", "window_floating_index_mean"),
        ("windows: top key moves", "window_top_key_moves_mean"),
        ("answer rows: share of the first token", "answer_first_key_share_mean"),
        ("answer rows: what uniform attention would give", "answer_first_key_uniform_mean"),
    ]
    side_by_side(rows)
    for kind in ("answer", "window"):
        one, other = (groups.value(group, f"{kind}_floating_index_mean") for group in (MDM, AR))
        verdict(
            one[0] > other[0] and apart(one, other),
            f"the diffusion model's attention floats more than its twin's ({kind} rows; Rulli et al., Dai et al.):" if kind == "answer"
            else "the same on windows:",
            f"{one[0]:.3f} against {other[0]:.3f}, intervals {'apart' if apart(one, other) else 'overlapping'}.",
        )
    first, uniform = (groups.value(AR, f"answer_first_key_{part}_mean") for part in ("share", "uniform"))
    ours = groups.value(MDM, "answer_first_key_share_mean")
    verdict(
        first[0] > 3 * uniform[0] and first[0] > ours[0] and apart(first, ours),
        "the autoregressive model keeps a fixed sink at its first token, the diffusion model does not:",
        f"{first[0]:.3f}, {first[0] / uniform[0]:.1f} times uniform, against {ours[0]:.3f}.",
    )


def absorption():
    print("\nb. Absorption by layer: what the top key, and the first token, take of 16 answer rows together, heads averaged")
    layer_table(
        [("top key", group, "window_absorption_by_layer") for group in (MDM, AR)]
        + [("first token", group, "window_first_key_share_by_layer") for group in (MDM, AR)]
    )
    first, top = (groups.by_layer(AR, f"window_{name}_by_layer") for name in ("first_key_share", "absorption"))
    same = sum(abs(one - other) < 0.01 for one, other in zip(first, top))
    verdict(
        same > len(first) / 2,
        "what absorbs most in an autoregressive model is its first token (Dai et al.):",
        f"its top key is the first token, to 0.01 of all attention, in {same} of {len(first)} layers of {AR};"
        f" a single row has other keys that take more (its mean top key {groups.value(AR, 'answer_absorption_mean')[0]:.2f}).",
    )
    ours = groups.by_layer(MDM, "window_absorption_by_layer")
    weaker = sum(one < other for one, other in zip(ours, first))
    verdict(
        weaker > len(first) / 2,
        "a diffusion model's absorption is weaker (Dai et al.):",
        f"{MDM}'s top key takes less than {AR}'s first token in {weaker} of {len(first)} layers"
        f" (means {sum(ours) / len(ours):.3f} and {sum(first) / len(first):.3f}).",
    )


def structure():
    print("\nc. Structure against content by depth: share of structural tokens, and over what uniform attention gives them")
    layer_table(
        [
            (label, group, f"answer_structural_{part}_by_layer")
            for label, part in (("structural share", "share"), ("over uniform", "over_uniform"))
            for group in (MDM, AR)
        ]
    )
    slope = trend(groups.by_layer(MDM, "answer_structural_over_uniform_by_layer"))
    other = trend(groups.by_layer(AR, "answer_structural_over_uniform_by_layer"))
    verdict(
        slope < -0.05,
        "shallow layers look at structure, deep ones at content (Dai et al., of diffusion models):",
        f"from the shallower half of {MDM}'s layers to the deeper the ratio changes by {slope:+.2f}; {AR}: {other:+.2f}.",
    )


def decomposition():
    print("\nd. Why a key is a sink: its advantage in q.k, and in the two factors of it (sinks less other keys, mean of heads)")
    found = {}
    for group, name in ((MDM, "mdm"), (AR, "ar")):
        [metric] = json.loads((demo / f"{name}-qk.json").read_text(encoding="utf-8"))["metrics"]
        for quantity in metric["quantities"]:
            layers, heads = (len(labels) for labels in list(quantity["axes"].values())[:2])
            rows = [quantity["values"][layer * heads : (layer + 1) * heads] for layer in range(layers)]
            known = [[value for value in row if value is not None] for row in rows]
            found[(group, quantity["name"])] = [sum(row) / len(row) if row else float("nan") for row in known]
    terms = [("q.k / sqrt(d)", "logit"), ("cosine", "cosine"), ("norm of the key", "key_norm")]
    count = len(found[(MDM, "map_cosine_difference")])
    print(f"  {'layer':44}" + "".join(f"{layer:8}" for layer in range(count)))
    for group in (MDM, AR):
        for label, term in terms:
            values = found[(group, f"map_{term}_difference")]
            print(f"  {label:36}{group:>8}" + "".join(f"{value:8.3f}" for value in values))
    angle = halves(found[(MDM, "map_cosine_difference")])
    others = found[(MDM, "map_key_norm_on_others")]
    norm = halves([value / base for value, base in zip(found[(MDM, "map_key_norm_difference")], others)])
    verdict(
        angle[0] > 0.05 and norm[0] > 0.05 and angle[1] > 0.05 and norm[1] < norm[0] / 2,
        "sinks of a diffusion model owe their advantage to angle and norm in shallow layers, mostly to angle in deep ones"
        " (Dai et al.):",
        f"in the shallower half of {MDM}'s layers sinks have {angle[0]:+.2f} in cosine and {100 * norm[0]:+.0f} % in key"
        f" norm, in the deeper {angle[1]:+.2f} and {100 * norm[1]:+.0f} %; the rule asks for more than 0.05 and 5 %, and for"
        " less than half of the norm's part in the deeper.",
    )


def suppression():
    print("\ne. Sinks taken away: nats per token on held-out passages, change against the whole model")
    changes = {}
    for group in (MDM, AR):
        for path in sorted((demo / "scores").glob(f"{group}-*.json")):
            for variant in json.loads(path.read_text())["variants"]:
                key = (group, variant["suppressed"], variant["keys"])
                changes.setdefault(key, []).append((variant["nats_per_token"], variant["difference"]))
    means = {
        key: tuple(sum(values) / len(values) for values in zip(*pairs)) for key, pairs in changes.items()
    }
    passages = len(changes[(MDM, "none", 0)])
    counts = sorted({keys for _, _, keys in means if keys})
    print(f"  mean of {passages} passages{'':24}{'whole':>8}" + "".join(f"{'K = ' + str(count):>9}" for count in counts))
    for group in (MDM, AR):
        print(f"  {group:22}{'nats per token':22}{means[(group, 'none', 0)][0]:8.3f}")
        for kind, label in (("sinks", "top K sinks away"), ("random", "K random keys away")):
            cells = "".join(f"{means[(group, kind, count)][1]:+9.3f}" for count in counts)
            print(f"  {'':22}{label:30}{cells}")
    one, other = (means[(group, "sinks", counts[0])][1] for group in (MDM, AR))
    verdict(
        one < other / 2,
        f"a diffusion model hardly minds losing a sink, an autoregressive one breaks (Rulli et al.; K = {counts[0]}):",
        f"{one:+.3f} nats against {other:+.3f}; the rule here asks for less than half.",
    )
    last = counts[-1]
    verdict(
        all(means[(group, "sinks", last)][1] > 2 * means[(group, "random", last)][1] for group in (MDM, AR)),
        "sinks matter more than other keys, in both:",
        f"K = {last}: " + ", ".join(
            f"{group} {means[(group, 'sinks', last)][1]:+.2f} against {means[(group, 'random', last)][1]:+.2f} at random"
            for group in (MDM, AR)
        ) + ".",
    )


floating()
absorption()
structure()
decomposition()
suppression()
print(
    textwrap.fill(
        "What such twins cannot show: 4 million parameters know nothing, so there is no task of knowledge or retrieval to get"
        " right, with or without sinks (the papers' GSM8K, HumanEval and question answering); texts are 128 tokens at most;"
        " sinks of large models that come of massive activations need not exist here. The bound of a diffusion model and the"
        " likelihood of an autoregressive one are different numbers: compare changes, not levels.",
        118, initial_indent="\n", subsequent_indent="",
    )
)
