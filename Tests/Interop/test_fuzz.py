"""Mutated copies of small traces: whatever is in a file, the command answers with an exit code of its own, in time and in
memory. `make fuzz` does the same with 20,000."""

import json
import random

import pytest

from fuzzing.mutation import MUTATIONS, Original, mutated
from fuzzing.run import campaign, complaint, originals
from fuzzing.structure import blocks, chunks, fletcher32

FILES = 200


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return originals(tmp_path_factory.mktemp("originals"))


def test_mutated_files(tmp_path):
    tally = campaign(FILES, tmp_path / "work", tmp_path / "kept", first=20261121)
    assert not tally.failures, "\n".join([tally.summary(), *tally.failures])
    assert tally.files == FILES
    # Neither refused at the door nor harmless, most of them.
    assert tally.outcomes[0] > FILES / 4 and tally.outcomes[1] > FILES / 4


def test_structure_is_found(small):
    """A fuzzer that finds no metadata would break none."""
    assert len(small) == 4
    for data in small:
        found = blocks(data)
        assert {b"OHDR", b"OCHK", b"EAHD", b"EAIB", b"FRHP", b"FHDB", b"BTHD"} <= {block.signature for block in found}
        assert len(found) > 100 and all(block.is_sealed(data) for block in found)


def test_mutations_follow_from_the_seed(small):
    bases = [Original(data) for data in small]
    first, again = ([mutated(bases, seed) for seed in range(300)] for _ in range(2))
    assert first == again
    assert {name for _, name in first} == {mutation.__name__ for mutation in MUTATIONS}
    changed = sum(data not in small for data, _ in first)
    assert changed > 270


def test_edited_metadata_passes_its_checksum(small):
    """Or libhdf5 would see none of the mutations."""
    draw = random.Random(1)
    for data in small:
        copy = bytearray(data)
        for block in draw.sample(blocks(data), 20):
            copy[block.start + 6] ^= 1
            block.seal(copy)
            assert block.is_sealed(copy)


def test_edited_chunks_pass_their_checksum(small):
    """And some are large enough for the decoder that is ours alone."""
    for data in small:
        places = chunks(data)
        assert len(places) > 5
        for start, end in places:
            assert fletcher32(data[start : end - 4]) == int.from_bytes(data[end - 4 : end], "little")
    assert max(end - start for start, end in chunks(small[3])) > 20_000


VALID = json.dumps({"valid": True, "findings": []})
BROKEN = json.dumps({"valid": False, "findings": [{"severity": "error"}]})


@pytest.mark.parametrize("name, answer, wrong", [
    ("info", (0, "text\n", "", 0.1, 10**7, []), None),
    ("info", (1, "", "attntrace: a.h5: damaged: so\n", 0.1, 10**7, []), None),
    ("info", (-11, "", "", 0.1, 10**7, []), "signal 11"), ("info", (64, "", "", 0.1, 10**7, []), "exit code 64"),
    ("info", (1, "", "one\ntwo\n", 0.1, 10**7, []), "not one line"),
    ("info", (1, "", "", 0.1, 10**7, []), "not one line"),
    ("info", (1, "text\n", "attntrace: a.h5: damaged: so\n", 0.1, 10**7, []), "on stdout"),
    ("info", (0, "text\n", "", 0.1, 2 * 10**9, []), "memory"), ("info", (0, "text\n", "", 0.1, 10**7, ["core"]), "core"),
    ("info", (1, "", "attntrace: a.h5: read.crash: reading it crashed attntrace (signal 4)\n", 0.1, 10**7, []), "outside"),
    ("verify --json", (0, VALID, "", 0.1, 10**7, []), None), ("verify --json", (1, BROKEN, "", 0.1, 10**7, []), None),
    ("verify --json", (1, VALID, "", 0.1, 10**7, []), "contradicts"),
    ("verify --json", (0, BROKEN, "", 0.1, 10**7, []), "contradicts"),
    ("verify", (1, "a.h5: error file.open: no\na.h5: NOT valid, 1 error\n", "", 0.1, 10**7, []), None),
    ("verify", (1, "a.h5: valid\n", "", 0.1, 10**7, []), "contradicts"),
    ("diff", (1, "/received: 1 | 2\ndifferent: 3 datasets compared\n", "", 0.1, 10**7, []), None),
    ("recover", (1, "", "attntrace: a.h5: damaged: so\n", 0.1, 10**7, ["copy.h5.partial"]), "left behind"),
])
def test_what_counts_as_a_failure(name, answer, wrong):
    said = complaint(name, *answer)
    assert said is None if wrong is None else wrong in said
