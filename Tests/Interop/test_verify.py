"""`attntrace verify` and the checker in Python, two readings of one specification, against files that break one rule each."""

import json
import re
import shutil
import subprocess
import sys

import pytest

import checker
from broken.make_broken import GOLDEN, KIT, make
from conftest import TRACES
from support import REPO, attntrace, capture

# Those that are written anew; first-attributes.h5 is of an earlier schema.
FILES = sorted(json.loads((GOLDEN / "expected.json").read_text()))


def verify(path, *options):
    """The report of `attntrace verify --json`; exit code and report must agree."""
    done = attntrace("verify", "--json", *options, path)
    assert done.returncode in (0, 1) and done.stderr == "", (done.returncode, done.stderr)
    report = json.loads(done.stdout)
    assert report["file"] == str(path) and report["deep"] == ("--deep" in options)
    assert report["valid"] == (done.returncode == 0)
    assert report["valid"] == all(finding["severity"] == "warning" for finding in report["findings"])
    return report


def codes(report):
    return {finding["code"] for finding in report["findings"]}


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """The path of a broken file by its name."""
    folder = tmp_path_factory.mktemp("broken")
    return lambda entry: make(entry, folder)


@pytest.mark.parametrize("entry", KIT, ids=[entry.name for entry in KIT])
def test_a_broken_rule_is_named_and_no_other(kit, entry):
    path = kit(entry)
    report = verify(path, "--deep")
    assert codes(report) == {entry.code}, report["findings"]
    assert report["valid"] == (entry.code in checker.WARNINGS)
    for finding in report["findings"]:
        assert finding["severity"] == ("warning" if entry.code in checker.WARNINGS else "error")
        assert finding["message"]
    found = checker.check(path, deep=True)
    assert {finding.code for finding in found} == {entry.code}, found
    # Both see it in the same places.
    assert {finding.object for finding in found} & {finding["object"] for finding in report["findings"]} or (
        entry.code in {"file.open", "content.table", "content.missing", "timeline.final_id"})


def test_every_code_has_a_broken_file():
    assert {entry.code for entry in KIT} == checker.CODES


def test_every_code_of_the_program_is_documented():
    source = (REPO / "Sources/TraceFormat/Verifying/FindingCode.swift").read_text()
    cases = re.findall(r'case \w+ = "([a-z0-9_.]+)"', source)
    assert len(cases) == len(set(cases)) and set(cases) == checker.CODES
    # Below their severities, by the names of the cases.
    warnings = re.search(r"switch self \{\s*case (.*?): \.warning", source, re.S).group(1)
    names = dict(re.findall(r'case (\w+) = "([a-z0-9_.]+)"', source))
    assert {names[name] for name in re.findall(r"\.(\w+)", warnings)} == checker.WARNINGS


@pytest.mark.parametrize("name", FILES)
def test_golden_files_are_valid(name):
    path = GOLDEN / name
    expected = {"commit.unfinished"} if name.endswith(".partial") else set()
    report = verify(path, "--deep")
    assert codes(report) == expected, report["findings"]
    assert {finding.code for finding in checker.check(path, deep=True)} == expected
    stated = json.loads((GOLDEN / "expected.json").read_text())[name]
    assert report["content_hash"] == stated.get("contentHash")
    assert report["committed_steps"] == stated["committedSteps"]
    assert report["checked"]["datasets"] > 30 and report["checked"]["leaves"] > 40


def test_captured_traces_are_valid(any_trace):
    for options in [[], ["--deep"]]:
        report = verify(any_trace, *options)
        assert report["findings"] == [] and report["omitted"] == {}
    assert checker.check(any_trace, deep=True) == []


def test_the_kit_covers_captured_traces():
    assert {"diffusion", "guided", "causal"} <= set(TRACES)


def test_an_unfinished_capture(tmp_path, traces):
    """A trace whose writer was killed is valid, and what it lacks is a warning."""
    path = shutil.copy(GOLDEN / "unfinished.h5.partial", tmp_path / "a.h5.partial")
    report = verify(path, "--deep")
    assert report["valid"] and codes(report) == {"commit.unfinished"} and report["content_hash"] is None


def test_text_has_a_line_a_finding_and_one_that_sums_up(kit):
    entries = {entry.name: entry for entry in KIT}
    broken, whole = kit(entries["timeline.time"]), GOLDEN / "minimal.h5"
    done = attntrace("verify", "--deep", broken, whole)
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and len(lines) == 3
    assert lines[0].startswith(f"{broken}: error timeline.time: /time: ")
    assert lines[1].startswith(f"{broken}: NOT valid, 1 error, ")
    assert lines[2].startswith(f"{whole}: valid, ")
    several = json.loads(attntrace("verify", "--json", broken, whole).stdout)
    assert [report["valid"] for report in several] == [True, True], "without --deep no values are judged"


def test_findings_of_one_code_are_bounded(tmp_path):
    import h5py

    path = shutil.copy(GOLDEN / "bidirectional.h5", tmp_path / "a.h5")
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file["logsumexp"][...] = float("nan")
    report = verify(path, "--deep")
    undefined = [finding for finding in report["findings"] if finding["code"] == "value.undefined"]
    with h5py.File(path) as file:
        assert len(undefined) + report["omitted"]["value.undefined"] == file["logsumexp"].size
    assert len(undefined) == 20


def test_what_the_system_refuses_is_no_finding(tmp_path):
    done = attntrace("verify", tmp_path / "none.h5")
    assert done.returncode == 3 and done.stdout == "" and "no such file" in done.stderr
    assert attntrace("verify").returncode == 2


def test_the_checker_as_a_command(kit):
    entries = {entry.name: entry for entry in KIT}
    for path, code in [(GOLDEN / "causal.h5", 0), (kit(entries["commit.unfinished"]), 0), (kit(entries["maps.rows"]), 1)]:
        done = subprocess.run(
            [sys.executable, "-m", "checker", "--deep", str(path)], cwd=REPO / "Tests/Interop", capture_output=True,
            text=True, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1] == f"{path}: {'valid' if code == 0 else 'NOT valid'}"


def test_a_damaged_chunk_does_not_hide_the_rest(tmp_path, kit):
    """Each bad chunk is named, and what else is wrong is still found."""
    import h5py

    path = shutil.copy(GOLDEN / "bidirectional.h5", tmp_path / "a.h5")
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file["time"][1] = 0.5
        chunks = [file["maps/attention"].id.get_chunk_info(place) for place in (2, 11)]
    data = bytearray(path.read_bytes())
    for chunk in chunks:
        data[chunk.byte_offset + 5] ^= 0x40
    path.write_bytes(data)
    report = verify(path, "--deep")
    damaged = [finding for finding in report["findings"] if finding["code"] == "chunk.damaged"]
    assert [finding["object"] for finding in damaged] == ["maps/attention"] * 2
    for chunk in chunks:
        place = ", ".join(map(str, chunk.chunk_offset))
        assert any(f"[{place}]" in finding["message"] for finding in damaged)
    assert codes(report) == {"chunk.damaged", "timeline.time", "content.leaf"}


def test_a_capture_with_settings(tmp_path):
    """Selections of layers and heads, guidance and sampling together."""
    path = capture(
        tmp_path / "a.h5", "--gen-length", 8, "--block-length", 4, "--cfg-scale", 1, "--temperature", 1, "--layers",
        "0,7", "--heads", "2-3", "--record", "maps")
    assert verify(path, "--deep")["findings"] == [] and checker.check(path, deep=True) == []


VECTORS = {
    "diffusion": ["--gen-length", 12, "--block-length", 6],
    "guided": ["--gen-length", 8, "--block-length", 4, "--cfg-scale", 1],
    "selected": ["--gen-length", 8, "--layers", "1,6", "--heads", "2-3", "--queries", "0,3-9", "--map-steps", "2,5-7"],
    "causal": ["--model", "tiny-ar", "--max-new-tokens", 12],
    "causal_selected": ["--model", "tiny-ar", "--max-new-tokens", 12, "--heads", "0,5", "--queries", "1,4-9"],
}


@pytest.mark.parametrize("name", VECTORS)
def test_captured_vectors_are_valid(tmp_path, name):
    path, copy = tmp_path / "a.h5", tmp_path / "b.h5"
    # It may warn that what is rebuilt is not very exact.
    done = attntrace("capture", "--prompt", "In the beginning", *VECTORS[name], "--record", "qk", "--output", path)
    assert done.returncode == 0, done.stderr
    assert attntrace("repack", path, "--access", "time", "--output", copy).returncode == 0
    for each in [path, copy]:
        assert verify(each, "--deep")["findings"] == [] and checker.check(each, deep=True) == []


@pytest.mark.parametrize("bits", [1, 4, 7, 9])
@pytest.mark.parametrize("name", ["diffusion", "guided", "causal"])
def test_rounded_copies_are_valid(tmp_path, traces, name, bits):
    """Also those of rounded copies."""
    path = traces[name]
    for keep in sorted({9, bits}, reverse=True):
        copy = tmp_path / f"{keep}.h5"
        assert attntrace("repack", path, "--keep-bits", keep, "--output", copy).returncode == 0
        assert verify(copy, "--deep")["findings"] == [] and checker.check(copy, deep=True) == []
        path = copy
