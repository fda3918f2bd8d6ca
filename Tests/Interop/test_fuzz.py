"""Mutated copies of small traces: whatever is in a file, the command answers with an exit code of its own, in time and in
memory. `make fuzz` does the same with 20,000."""

import random

import pytest

from fuzzing.mutation import MUTATIONS, Original, mutated
from fuzzing.run import campaign, complaint, originals
from fuzzing.structure import blocks

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
    assert len(small) == 3
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


@pytest.mark.parametrize("answer, wrong", [
    ((0, 500, "", 0.1, 10**7, []), None),
    ((1, 0, "attntrace: a.h5: damaged: so\n", 0.1, 10**7, []), None),
    ((-11, 0, "", 0.1, 10**7, []), "signal 11"), ((64, 0, "", 0.1, 10**7, []), "exit code 64"),
    ((1, 0, "one\ntwo\n", 0.1, 10**7, []), "not one line"), ((1, 0, "", 0.1, 10**7, []), "not one line"),
    ((0, 500, "", 0.1, 2 * 10**9, []), "memory"), ((0, 500, "", 0.1, 10**7, ["core"]), "core"),
    ((1, 0, "attntrace: a.h5: damaged: reading it crashed attntrace (signal 4)\n", 0.1, 10**7, []), "outside"),
])
def test_what_counts_as_a_failure(answer, wrong):
    said = complaint("info", *answer)
    assert said is None if wrong is None else wrong in said
