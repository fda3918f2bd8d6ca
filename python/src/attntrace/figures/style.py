"""How figures look: sizes, type, colours; and a figure that knows its numbers."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import matplotlib.patheffects
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ..errors import AttntraceError

COLUMN = 3.25
"""Width of a column of a two-column page, in inches."""
PAGE = 6.75
"""Width of both columns."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, told apart by people who don't see red and green apart; the darker ones first."""
SINK = "#D55E00"
"""The colour of a sink's hatch."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SHADES = "Blues"
"""Of quantities from 0 up: light to dark, so that it also reads in grey."""

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
    "hatch.linewidth": 0.6,
    "savefig.dpi": 300,
    # TrueType: text stays text, and journals take it.
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "text.usetex": False,
    # Tokens are shown as they are: a dollar sign begins no formula.
    "text.parse_math": False,
}

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Drawing(Figure):
    """A matplotlib figure that knows the numbers it shows."""

    numbers: pd.DataFrame
    """Exactly what is drawn, tidy."""
    caption: str
    """What is drawn, in a sentence or two, with rules and bands: the beginning of a caption."""

    def __init__(self, width: float, height: float, *, gap: float = 0.02) -> None:
        """Of a size in inches; `gap` between rows of panels, as a share of their height."""
        super().__init__(figsize=(width, height), layout=ConstrainedLayoutEngine(hspace=gap))
        self.numbers = pd.DataFrame()
        self.caption = ""

    def _repr_png_(self) -> bytes:
        """Shown by notebooks, whatever their backend."""
        kept = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            self.savefig(kept, format="png", dpi=160)
        return kept.getvalue()


def styled(draw: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Draws in our style, and leaves matplotlib's settings as they were."""

    @functools.wraps(draw)
    def wrapped(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **options)

    return wrapped


def save(figure: Drawing, path: str | os.PathLike[str]) -> list[Path]:
    """Writes a figure (.pdf, .svg or .png by the ending) and, beside it, the numbers behind it as .csv.

    Returns what was written. PDF is vector with embedded fonts; the same figure gives the same bytes.
    """
    place = Path(path)
    if place.suffix not in (".pdf", ".png", ".svg"):
        raise AttntraceError(place, "", "figures are written as .pdf, .svg or .png")
    dates: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "attntrace", "svg.fonttype": "none"}):
        figure.savefig(place, metadata=dates.get(place.suffix, {}))
    csv = place.with_suffix(".csv")
    figure.numbers.to_csv(csv, index=False, na_rep="NaN", lineterminator="\n")
    return [place, csv]


def shown(token: str, longest: int = 10) -> str:
    """A token's text for an axis: white space made visible, special tokens in angle brackets, long ones cut."""
    if token.startswith("<|") and token.endswith("|>") and len(token) > 4:
        return f"⟨{shown(token[2:-2], max(1, longest - 2))}⟩"
    text = token.replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍")
    text = "␣" if text and not text.strip() else text.strip()
    text = "".join(letter if letter.isprintable() else "�" for letter in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def panel_title(axes: Axes, index: int, title: str, pad: float | None = None) -> None:
    """(a), (b), ... and what the panel shows, at its upper left; `pad` points above it, whatever else is there."""
    text = f"({chr(ord('a') + index)}) {title}"
    if pad is None:
        axes.set_title(text, loc="left")
    else:
        axes.set_title(text, loc="left", y=1.0, pad=pad)


def outlined(text: Any, colour: str = "white") -> None:
    """Text that reads on any shade."""
    text.set_path_effects([matplotlib.patheffects.withStroke(linewidth=1.2, foreground=colour)])
