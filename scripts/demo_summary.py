"""The last page of `make demo`: the twins on the headlines of both papers, and what that agrees with.

    demo_summary.py ANALYSIS_FOLDER SCORES_FOLDER

Every sentence that says "agrees" or "does not agree" is decided here, from the numbers above it, by the rule that it
states. Numbers with an interval: mean over the prompts, 95 % bootstrap interval of that mean.
"""

import csv
import json
import sys
import textwrap
from pathlib import Path

analysis, scores = Path(sys.argv[1]), Path(sys.argv[2])
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


groups = Groups(analysis / "groups.csv")


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


def trend(values):
    """Mean of the deeper half of the layers less that of the shallower half."""
    half = len(values) // 2
    return sum(values[-half:]) / half - sum(values[:half]) / half


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
    print("\nb. Absorption by layer: the share of attention that the top key takes (answer rows, mean over heads)")
    layer_table(
        [("top key", group, "answer_absorption_by_layer") for group in (MDM, AR)]
        + [("first token", group, "answer_first_key_share_by_layer") for group in (MDM, AR)]
    )
    first = groups.by_layer(AR, "answer_first_key_share_by_layer")
    top = groups.by_layer(AR, "answer_absorption_by_layer")
    mdm = groups.by_layer(MDM, "answer_first_key_share_by_layer")
    deeper = sum(a > b for a, b in zip(first, mdm))
    verdict(
        deeper > len(first) / 2,
        "an autoregressive model's first token absorbs most (Dai et al.):",
        f"it takes more of {AR}'s attention than of {MDM}'s in {deeper} of {len(first)} layers; at most"
        f" {max(first):.2f} of it, where its top key of the row takes {max(top):.2f}.",
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


def suppression():
    print("\nd. Sinks taken away: nats per token on held-out passages, change against the whole model")
    changes = {}
    for group in (MDM, AR):
        for path in sorted(scores.glob(f"{group}-*.json")):
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
