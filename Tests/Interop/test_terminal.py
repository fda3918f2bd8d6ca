"""A real terminal: progress, the width and the colours of a drawing."""

import os
import re
import shlex

import pexpect
import pytest

from support import ATTNTRACE, PROMPT, answer, attntrace

ESCAPE = "\x1b"
COLOURS = re.compile(r"\x1b\[[0-9;]*[mK]")


def in_terminal(command, columns=80, env=None):
    """What a terminal of a width is sent by a shell command; the command must succeed."""
    environment = {**os.environ, "TERM": "xterm-256color", **(env or {})}
    if not (env and "NO_COLOR" in env):
        environment.pop("NO_COLOR", None)
    child = pexpect.spawn(
        "/bin/sh", ["-c", command], dimensions=(40, columns), env=environment, encoding="utf-8", timeout=120)
    said = child.read()
    child.close()
    assert child.exitstatus == 0, said
    return said


def shell(*arguments):
    return shlex.join([ATTNTRACE, *map(str, arguments)])


def test_progress(tmp_path):
    output, result = tmp_path / "out.h5", tmp_path / "result.txt"
    command = shell("capture", "--prompt", PROMPT, "--gen-length", 64, "--output", output)
    said = in_terminal(f"{command} > {shlex.quote(str(result))}")
    shown = re.findall(r"step (\d+)/64  (\d+\.\d) steps/s  (\d+ s|\d+ min \d\d s) left", said)
    assert shown, said
    steps = [int(step) for step, _, _ in shown]
    assert steps == sorted(steps) and steps[-1] == 64
    assert all(float(rate) > 0 for _, rate, _ in shown)
    assert shown[-1][2] == "0 s"
    # One line, written over, and removed at the end.
    assert said.count("\n") == 0
    assert said.endswith("\r\x1b[K")
    # stdout got the result alone.
    assert result.read_text().startswith(f"{output}: 64 steps x ")
    assert ESCAPE not in result.read_text() and "steps/s" not in result.read_text()


def test_no_progress_without_a_terminal(tmp_path):
    done = attntrace("capture", "--prompt", PROMPT, "--gen-length", 16, "--output", tmp_path / "out.h5")
    assert done.stderr == "" and "steps/s" not in done.stdout


def test_progress_gives_way_to_an_error(tmp_path):
    """The message of a failure in mid-run stands on a line of its own."""
    command = shell("capture", "--prompt", PROMPT, "--gen-length", 64, "--record", "maps", "--output", tmp_path / "out.h5")
    said = in_terminal(f"trap '' XFSZ; ulimit -f 4000; {command}; test $? = 3")
    last = said.replace("\r\n", "\n").rstrip("\n").split("\n")[-1]
    visible = COLOURS.sub("", last.rsplit("\r", 1)[-1])
    assert visible.startswith("attntrace: ") and "File too large" in visible


def drawing(said):
    """Lines of the map: without heading and legend, which may be wider."""
    return [COLOURS.sub("", line) for line in said.replace("\r\n", "\n").rstrip("\n").split("\n")][1:-1]


@pytest.mark.parametrize("columns", [24, 60, 100, 200])
def test_drawing_fits_the_terminal(diffusion, columns):
    said = in_terminal(shell("trajectories", diffusion, "--plot"), columns)
    lines = drawing(said)
    assert max(map(len, lines)) <= columns
    steps = [line for line in lines if re.match(r" *\d+ ", line)]
    assert len(steps) >= 2
    # It uses what it has: a narrower map only where several positions share a column.
    positions = 100 if columns > 100 else columns
    assert max(map(len, steps)) > min(positions, 26) / 2


def test_colour(diffusion):
    command = shell("trajectories", diffusion, "--plot", "--layer", 1)
    assert ESCAPE + "[48;5;" in in_terminal(command)
    assert ESCAPE not in in_terminal(command, env={"NO_COLOR": "1"})
    assert ESCAPE not in in_terminal(f"{command} | cat")


def test_piped_drawing_is_plain(diffusion, tmp_path):
    said = answer("trajectories", diffusion, "--plot", "--layer", 1, "--head", 2)
    assert said.isascii() and ESCAPE not in said
    assert max(map(len, drawing(said))) <= 100
    written = tmp_path / "drawing.txt"
    in_terminal(shell("trajectories", diffusion, "--plot", "--layer", 1, "--head", 2, "--output", written))
    assert ESCAPE not in written.read_text()
    # The same drawing; only the width was the terminal's.
    assert written.read_text().splitlines()[0] == said.splitlines()[0]


def test_empty_no_color_counts_for_nothing(diffusion):
    """https://no-color.org: NO_COLOR counts 'when present and not an empty string'."""
    said = in_terminal(shell("trajectories", diffusion, "--plot"), env={"NO_COLOR": ""})
    assert ESCAPE in said
