"""--where, --sort and --columns of the command line, against the same done by hand on the whole table."""

import csv
import io

import pytest

from support import answer, answer_json, attntrace


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_where_sort_columns(diffusion):
    whole = rows_of(answer("trajectories", diffusion, "--epsilon", 1, "--table", "hops", "--format", "csv"))
    found = rows_of(answer(
        "trajectories", diffusion, "--epsilon", 1, "--table", "hops", "--format", "csv",
        "--where", "layer >= 2 and (hop_distance > 2 or to_token contains 'e')", "--sort", "-hop_distance,layer",
        "--columns", "layer,hop_distance,to_token"))
    wanted = [
        {name: row[name] for name in ("layer", "hop_distance", "to_token")} for row in whole
        if int(row["layer"]) >= 2 and (int(row["hop_distance"]) > 2 or "e" in row["to_token"])]
    wanted.sort(key=lambda row: (-int(row["hop_distance"]), int(row["layer"])))
    assert 3 < len(found) < len(whole) and found == wanted


def test_tables_of_all_kinds(diffusion):
    presences = answer_json("trajectories", diffusion, "--json", "--table", "presences", "--where", "dwell >= 10")
    names = [column["name"] for column in presences["presences"]["columns"]]
    assert presences["presences"]["rows"]
    assert all(row[names.index("dwell")] >= 10 for row in presences["presences"]["rows"])
    assert presences["presences"]["notes"][-1].startswith("where dwell >= 10: ")
    found = rows_of(answer("trajectories", diffusion, "--format", "csv", "--where", "hops > 0 and hop_length > 1"))
    assert found and all(int(row["hops"]) > 0 and float(row["hop_length"]) > 1 for row in found)


def test_sinks_are_what_where_is_about(diffusion):
    page = answer("sinks", diffusion, "--where", "score > 6", "--sort", "-score")
    scores = [float(line.split()[4]) for line in page.splitlines()[2:] if line[:1] == " "]
    assert scores and scores == sorted(scores, reverse=True) and min(scores) > 6


@pytest.mark.parametrize("options, message", [
    (["--where", "layer >= and hop > 3"], "found 'and'\n  layer >= and hop > 3\n           ^\n"),
    (["--where", "laver > 3"], "no column 'laver'; columns: step, layer, head, position, score"),
    (["--sort", "scoer"], "no column 'scoer'; columns: "), (["--columns", "a"], "no column 'a'; columns: "),
])
def test_faults(diffusion, options, message):
    done = attntrace("sinks", diffusion, *options)
    assert done.returncode == 2 and message in done.stderr and done.stdout == ""
