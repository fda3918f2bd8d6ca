"""All figures of some traces and results: `python -m attntrace figures`, `attntrace-figures`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ..errors import AttntraceError
from ..result_files import Cohort, Results, results
from ..storage import READ_ERRORS
from ..trace import Trace, open

DESCRIPTION = """\
Draws the papers' figures, each as a file and as a CSV of the numbers behind it.

Give a trace, results of it (attntrace analyze TRACE --output a.json), the folder of a cohort, or several of these. What a
figure needs and is not there is said, and the others are drawn."""

EXAMPLES = """\
examples:
  python -m attntrace figures a.h5 --output figures
  attntrace analyze a.h5 --output a.json
  python -m attntrace figures a.h5 a.json --output figures --format pdf,png
  python -m attntrace figures results --output figures        (a folder that attntrace analyze wrote)

which figures there are, and what they take:
  drift            a trace with received sums
  absorption, epsilon_sweep, head_scores   the same, or results with these metrics
  triptych         results of a trace with --record qk, or with maps and --signals norms (metric qk_decomposition)
  region_flow      results of a trace with full attention (metric region_flow)
  retrieval        results of a trace whose prompt has a document marked gold (metric retrieval_heads)
  contrast         results of two models (metric answer_shares)
exit codes: 0 drawn, 1 an input cannot be read or nothing could be drawn, 2 usage"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        "attntrace-figures", description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", metavar="TRACE_OR_RESULTS", help="traces, results, folders of cohorts")
    parser.add_argument("--output", "-o", required=True, metavar="DIR", help="folder to write to; made where it is not there")
    parser.add_argument("--format", default="pdf", metavar="LIST", help="pdf, png, svg, separated by commas (pdf)")
    parser.add_argument("--layers", default=None, metavar="LIST", help="layers of the drift figure, 0,3-5; at most 6")
    parser.add_argument("--rule", default="excess", help="sink rule of what is measured here: excess, deviation, share, top")
    chosen = parser.parse_args(arguments)
    formats = [name.strip().lstrip(".") for name in chosen.format.split(",")]
    if not set(formats) <= {"pdf", "png", "svg"}:
        parser.error(f"--format {chosen.format}: formats are pdf, png, svg")
    try:
        layers = None if chosen.layers is None else _indices(chosen.layers)
    except ValueError:
        parser.error(f"--layers {chosen.layers}: a list such as 0,3-5")

    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print("attntrace: figures need matplotlib: pip install 'attntrace[figures]'", file=sys.stderr)
        return 1
    try:
        opened = [_opened(path) for path in chosen.inputs]
        folder = Path(chosen.output)
        folder.mkdir(parents=True, exist_ok=True)
        drawn = _draw_all(opened, folder, formats, layers, chosen.rule)
    except AttntraceError as error:
        print(f"attntrace: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"attntrace: {chosen.output}: cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    return 0 if drawn else 1


def _draw_all(
    opened: list[Trace | Results | Cohort], folder: Path, formats: list[str], layers: list[int] | None, rule: str,
) -> int:
    """Draws what can be drawn, says what cannot; how many figures there are."""
    from . import absorption, contrast, drift, epsilon_sweep, head_scores, region_flow, retrieval, triptych
    from .sources import measured
    from .style import Drawing, save

    traces = [each for each in opened if isinstance(each, Trace)]
    found = [each for each in opened if not isinstance(each, Trace)]
    # Results come first: the program's own numbers. A trace that has none is measured.
    hashes = {each.trace.get("content_sha256") for each in found if isinstance(each, Results)} - {None}
    told: list[Results | Cohort] = list(found)
    for trace in traces:
        if "received" in trace.signals and trace.attrs["content_sha256"] not in hashes:
            told.append(measured(trace, rule))

    jobs: list[tuple[str, Callable[[], Drawing]]] = []
    for trace in traces:
        jobs.append((_named("drift", trace, traces), partial(drift, trace, layers=layers, rule=rule)))
    if told:
        jobs.append(("absorption", partial(absorption, *told)))
        jobs.append(("epsilon_sweep", partial(epsilon_sweep, *told)))
    for each in told:
        for group, ending in _groups(each):
            jobs.append((_named("head_scores", each, told) + ending, partial(head_scores, each, group=group)))
    for each in found:
        for group, ending in _groups(each):
            jobs.append((_named("triptych", each, found) + ending, partial(triptych, each, group=group)))
            jobs.append((_named("retrieval", each, found) + ending, partial(retrieval, each, group=group)))
        if isinstance(each, Results):
            jobs.append((_named("region_flow", each, found), partial(region_flow, each)))
    if found:
        jobs.append(("contrast", partial(contrast, *found)))
    if not found:
        print("triptych, retrieval, region_flow, contrast: need results (attntrace analyze TRACE --output a.json)")

    count = 0
    for name, draw in jobs:
        try:
            figure = draw()
        except AttntraceError as error:
            print(f"{name}: left out: {error}")
            continue
        written = [path for form in formats for path in save(figure, folder / f"{name}.{form}")]
        print(", ".join(str(path) for path in dict.fromkeys(written)))
        print(f"    {figure.caption}")
        count += 1
    return count


def _groups(each: Results | Cohort) -> list[tuple[str | None, str]]:
    """The groups of a cohort, each with the end of its figures' names: heads of two models are never averaged."""
    if isinstance(each, Results) or not each.groups:
        return [(None, "")]
    return [(group, "-" + re.sub(r"[^\w.-]+", "_", group)) for group in each.groups]


def _opened(path: str) -> Trace | Results | Cohort:
    """A trace or results, by what the file is."""
    import h5py

    place = Path(path)
    if place.is_dir() or place.suffix == ".json":
        return results(place)
    if not path.endswith(".partial"):
        try:
            with h5py.File(place, "r") as file:
                kind = file.attrs.get("format", b"")
        except READ_ERRORS:
            kind = b""
        if (kind.decode("utf-8", "replace") if isinstance(kind, bytes) else str(kind)).startswith("attntrace"):
            return results(place)
    return open(place)


def _named(figure: str, each: Trace | Results | Cohort, among: Sequence[Trace | Results | Cohort]) -> str:
    """The name of a figure's file: with that of its source where there are several."""
    if len(among) == 1:
        return figure
    stem = _stem(each)
    same = [other for other in among if _stem(other) == stem]
    place = next(number for number, other in enumerate(same, 1) if other is each)
    return f"{figure}-{stem}" + (f"-{place}" if len(same) > 1 else "")


def _stem(each: Trace | Results | Cohort) -> str:
    path = str(each.encoding.get("source", "trace")) if isinstance(each, Trace) else each.path
    return Path(path).name.split(".")[0]


def _indices(text: str) -> list[int]:
    chosen: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        chosen += range(int(first), int(last or first) + 1)
    return chosen


if __name__ == "__main__":
    sys.exit(main())
