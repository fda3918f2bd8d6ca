"""What `plan` says of a run is what the run takes."""

import json
import os

import h5py
import pytest

from support import MODELS, PROMPT, answer_json, attntrace, dataset_paths

RUNS = {
    "diffusion": ["--gen-length", 24, "--record", "maps"],
    "everything": ["--gen-length", 24, "--block-length", 12, "--record", "qk", "--signals", "all", "--cfg-scale", 1],
    "selected": ["--gen-length", 48, "--record", "maps", "--signals", "norms", "--layers", "1,3", "--heads", "0-3",
                 "--queries", "3,40-45", "--map-steps", "0-9"],
    "received": ["--gen-length", 48, "--record", "received"],
    "long": ["--gen-length", 100, "--record", "maps"],
    "causal": ["--model", "tiny-ar", "--gen-length", 48, "--record", "maps", "--signals", "all"],
    "causal_qk": ["--model", "tiny-ar", "--gen-length", 100, "--record", "qk"],
    "causal_rows": ["--model", "tiny-ar", "--gen-length", 48, "--record", "maps", "--queries", "0,50"],
}


@pytest.mark.parametrize("name", RUNS)
def test_sizes_are_those_of_the_trace(tmp_path, name):
    output = tmp_path / "a.h5"
    plan = answer_json("plan", "--prompt", PROMPT, "--output", output, "--json", *RUNS[name])
    assert not output.exists() and list(tmp_path.iterdir()) == []
    done = attntrace("capture", "--prompt", PROMPT, "--output", output, *RUNS[name])
    assert done.returncode == 0, done.stderr
    info = answer_json("info", "--json", output)
    planned = {entry["path"]: entry for entry in plan["datasets"]}
    found = {entry["path"]: entry for entry in info["datasets"]}
    assert planned.keys() == found.keys() and info["signals"] == plan["signals"]
    with h5py.File(output) as f:
        assert plan["steps"] == f["committed_steps"][()]
        for path, entry in found.items():
            assert planned[path]["dimensions"] == entry["dimensions"]
            if "vocab" in entry["dimensions"]:
                assert planned[path]["plain_bytes"] is None
                continue
            assert planned[path]["shape"] == entry["shape"] == list(f[path].shape), path
            assert planned[path]["plain_bytes"] == entry["plain_bytes"] == f[path].nbytes, path
        stored = {path: f[path].id.get_storage_size() for path in dataset_paths(f)}
    total = plan["trace"]
    assert total["largest_bytes"] == sum(entry["largest_bytes"] for entry in planned.values())
    # The stated factor.
    ratio = os.path.getsize(output) / total["estimated_bytes"]
    print(f"{name}: {os.path.getsize(output)} bytes, {ratio:.3f} of the estimate")
    assert 1 / 1.25 <= ratio <= 1.25
    # Where nothing is compressed, the estimate is what the file has.
    for path in ["token_id", "is_masked", "confidence", "content/leaf_path"]:
        assert planned[path]["estimated_bytes"] == stored[path], path


def test_the_table(tmp_path):
    done = attntrace("plan", "--prompt", PROMPT, "--gen-length", 100, "--output", tmp_path / "a.h5")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert any(line.startswith("received") and "step 100, layer 8, head 6, query_class 3, key 114" in line for line in lines)
    # Nothing was run: what auto would depend on is said.
    [record] = [line for line in lines if line.startswith("record ")]
    assert "qk" in record and "not probed" in record
    for name in ["--record maps", "--record qk", "--record received", "memory", "disk", "trace"]:
        assert any(name in line for line in lines), name


def test_auto_lists_what_it_may_take():
    plan = answer_json("plan", "--prompt", PROMPT, "--gen-length", 100, "--json")
    alternatives = {entry["record"]: entry for entry in plan["record"]["alternatives"]}
    assert alternatives.keys() == {"maps", "qk", "received"} and plan["record"]["is_probed"] is False
    for record, entry in alternatives.items():
        alone = answer_json("plan", "--prompt", PROMPT, "--gen-length", 100, "--json", "--record", record)
        assert alone["trace"]["largest_bytes"] == entry["largest_bytes"]
        assert alone["trace"]["estimated_bytes"] == entry["estimated_bytes"]
        assert alone["record"]["alternatives"] == []


def test_the_weights_are_not_read(tmp_path):
    for name in ["config.json", "tokenizer.json"]:
        (tmp_path / name).write_bytes((MODELS / "tiny-mdm" / name).read_bytes())
    plan = answer_json("plan", "--model", tmp_path, "--prompt", PROMPT, "--json")
    # bfloat16: two bytes of each of 3.96 million numbers, and what packing pads them by.
    assert 7_900_000 < plan["memory"]["weights"] < 8_600_000
    assert plan["memory"]["total"] == sum(plan["memory"][part] for part in ["weights", "pass", "recording", "writing"])


def test_a_disk_that_is_too_small(tmp_path):
    config = json.loads((MODELS / "tiny-mdm/config.json").read_text())
    config |= {"max_sequence_length": 1_000_000, "n_layers": 100}
    (tmp_path / "config.json").write_text(json.dumps(config))
    arguments = ["plan", "--model", tmp_path, "--token-ids", "5", "--gen-length", 900_000, "--record", "maps",
                 "--output", tmp_path / "a.h5", "--json"]
    done = attntrace(*arguments)
    # It says what would be taken, then that it cannot be.
    assert done.returncode == 3 and "are free" in done.stderr and str(tmp_path) in done.stderr
    plan = json.loads(done.stdout)
    assert plan["trace"]["largest_bytes"] > plan["disk"]["free_bytes"]
    assert attntrace(*arguments, "--no-space-check").returncode == 0


def test_numbers_beyond_64_bits_are_no_crash(tmp_path):
    config = json.loads((MODELS / "tiny-mdm/config.json").read_text())
    config |= {"max_sequence_length": 1 << 20, "n_layers": 1 << 12, "d_model": 1 << 20, "n_heads": 1 << 10,
               "n_kv_heads": 1 << 10, "mlp_hidden_size": 1 << 20}
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = attntrace("plan", "--model", tmp_path, "--token-ids", "5", "--gen-length", 1_000_000, "--record", "qk",
                     "--signals", "all", "--json", "--output", tmp_path / "a.h5")
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["trace"]["largest_bytes"] == 2**63 - 1


def test_processors_that_are_not_there():
    for command in ["plan", "capture"]:
        done = attntrace(command, "--prompt", PROMPT, "--gen-length", 8, "--affinity", "1000")
        assert done.returncode == 3 and "bound to processors [1000]" in done.stderr, done.stderr


def test_suppressed_keys_are_planned():
    plan = answer_json("plan", "--prompt", PROMPT, "--gen-length", 8, "--suppress-sinks", 2, "--json")
    assert "suppressed" in plan["signals"] and "suppressed" in {entry["path"] for entry in plan["datasets"]}
