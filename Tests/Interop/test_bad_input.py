"""Bad input: an exit code that says whose turn it is, one line on stderr that names the thing and the rule, nothing else.

1 the data is bad; 2 wrong usage; 3 the system refused.
"""

import contextlib
import json
import resource
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest

from support import ATTNTRACE, MODELS, PROMPT, answer, answer_json, attntrace, capture, small_disk

DATA, USAGE, SYSTEM = 1, 2, 3


def refuses(code, *arguments, names=(), **options):
    """Runs the command; checks that it refuses with one line that has every one of `names`. The line."""
    done = attntrace(*arguments, **options)
    assert done.returncode == code, f"exit {done.returncode}, not {code}: {done.stderr}"
    assert done.stdout == ""
    assert done.stderr.endswith("\n")
    [line] = done.stderr[:-1].split("\n")
    assert line.startswith("attntrace: ")
    for name in names:
        assert str(name) in line, f"{name!r} is not in: {line}"
    return line


def refuses_capture(code, folder, *arguments, names=(), output="out.h5", **options):
    """The same for a capture, which leaves nothing behind."""
    before = sorted(path.name for path in folder.iterdir())
    line = refuses(
        code, "capture", *arguments, "--output", folder / output, names=names, **options)
    assert sorted(path.name for path in folder.iterdir()) == before, "a file was left behind"
    return line


# Models


@pytest.fixture
def model(tmp_path):
    """A copy of an embedded model, to break."""
    return shutil.copytree(MODELS / "tiny-mdm", tmp_path / "model")


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def refuses_model(code, model, names):
    return refuses_capture(code, model.parent, "--model", model, "--prompt", PROMPT, names=names)


def test_missing_model(tmp_path):
    refuses_capture(
        SYSTEM, tmp_path, "--model", tmp_path / "nowhere", "--prompt", PROMPT, names=["nowhere", "No such file"])


def test_missing_weights(model):
    (model / "model.safetensors").unlink()
    refuses_model(SYSTEM, model, [model / "model.safetensors", "No such file"])


@pytest.mark.parametrize("length", [0, 5, 100, 1000, 2_000_000])
def test_truncated_weights(model, length):
    weights = model / "model.safetensors"
    with open(weights, "r+b") as f:
        f.truncate(length)
    refuses_model(DATA, model, [weights])


def test_weights_that_are_not_safetensors(model):
    (model / "model.safetensors").write_bytes(bytes(range(256)) * 400)
    refuses_model(DATA, model, [model / "model.safetensors"])


def test_unknown_architecture(model):
    edit(model / "config.json", lambda config: config.update(architectures=["Strange"], model_type="strange"))
    refuses_model(DATA, model, [model / "config.json", "Strange", "LLaDAModelLM"])


def test_config_is_not_json(model):
    (model / "config.json").write_text("{")
    refuses_model(DATA, model, [model / "config.json"])


def test_tensor_of_the_wrong_shape(model):
    edit(model / "config.json", lambda config: config.update(mlp_hidden_size=433))
    refuses_model(DATA, model, [model / "model.safetensors", "shape", "433"])


def test_unsupported_tokenizer(model):
    edit(model / "tokenizer.json", lambda tokenizer: tokenizer["model"].update(type="Unigram"))
    refuses_model(DATA, model, [model / "tokenizer.json", "Unigram", "BPE"])


def test_weights_with_nan(model):
    weights = model / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    name, entry = next((name, entry) for name, entry in header.items() if name.endswith("attn_norm.weight"))
    first, last = entry["data_offsets"]
    raw[start + first : start + last] = b"\xff" * (last - first)
    weights.write_bytes(raw)
    refuses_model(DATA, model, ["finite"])


def test_no_tokenizer_for_a_text(model):
    (model / "tokenizer.json").unlink()
    refuses_model(USAGE, model, [model, "tokenizer.json", "ids"])


# Options of a capture


@pytest.mark.parametrize("options, names", [
    (["--prompt", "word " * 200], ["128", "shorten the prompt"]),
    (["--prompt", PROMPT, "--gen-length", 120], ["128", "gen_length"]),
    (["--prompt", PROMPT, "--model", "tiny-ar", "--max-new-tokens", 120], ["128", "max_new_tokens"]),
    (["--token-ids", "1,99999"], ["99999", "vocabulary"]),
    (["--token-ids", "1,-3"], ["-3", "vocabulary"]),
    (["--token-ids", "1,x"], ["--token-ids"]),
    (["--prompt", PROMPT, "--token-ids", "1"], ["--prompt", "--token-ids", "once"]),
    ([], ["--prompt"]),
    (["--prompt", PROMPT, "--gen-length", 10, "--block-length", 4], ["gen_length", "10", "block_length", "4"]),
    (["--prompt", PROMPT, "--gen-length", 16, "--block-length", 4, "--steps", 6], ["steps", "6", "4"]),
    (["--prompt", PROMPT, "--gen-length", 0], ["gen-length", "at least 1"]),
    (["--prompt", PROMPT, "--temperature=-1"], ["temperature", "-1"]),
    (["--prompt", PROMPT, "--cfg-scale", "nan"], ["cfg_scale", "nan"]),
    (["--prompt", PROMPT, "--model", "tiny-ar", "--steps", 4], ["--steps", "autoregressive"]),
    (["--prompt", PROMPT, "--model", "tiny-ar", "--block-length", 4], ["--block-length", "autoregressive"]),
    (["--prompt", PROMPT, "--model", "tiny-ar", "--cfg-scale", 1], ["--cfg-scale", "autoregressive"]),
    (["--prompt", PROMPT, "--model", "tiny-ar", "--remasking", "random"], ["--remasking", "autoregressive"]),
    (["--prompt", PROMPT, "--layers", "1,800"], ["layer 800"]),
    (["--prompt", PROMPT, "--heads", "800"], ["head 800"]),
    (["--prompt", PROMPT, "--layers", "1,1"], ["layer 1", "twice"]),
    (["--prompt", PROMPT, "--threads", 0], ["--threads"]),
])
def test_options(tmp_path, options, names):
    refuses_capture(USAGE, tmp_path, *options, names=names)


@pytest.mark.parametrize("options, names", [
    pytest.param(["--prompt", PROMPT, "--bogus"], ["--bogus"]),
    pytest.param(["--prompt", PROMPT, "--layers", "1,x"], ["--layers", "1,x"]),
    pytest.param(["--prompt", PROMPT, "--layers", "5-2"], ["--layers", "5-2"]),
    pytest.param(["--prompt", PROMPT, "--remasking", "best"], ["--remasking", "best"]),
])
def test_options_that_the_parser_refuses(tmp_path, options, names):
    refuses_capture(USAGE, tmp_path, *options, names=names)


@pytest.mark.parametrize("arguments, name", [
    (["capture", "--prompt", PROMPT, "--bogus"], "--bogus"), (["capture", "--layers", "1,x"], "1,x"),
    (["bogus"], "bogus"), (["info"], "<trace>"), (["sinks", "a.h5", "--per"], "--per"),
])
def test_the_parser_says_what_is_wrong(tmp_path, arguments, name):
    done = attntrace(*arguments, cwd=tmp_path)
    assert done.returncode == USAGE and done.stdout == ""
    assert name in done.stderr.splitlines()[0]
    assert "--help" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_prompt_files(tmp_path):
    missing = tmp_path / "missing.txt"
    refuses_capture(SYSTEM, tmp_path, "--prompt-file", missing, names=[missing])
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"caf\xe9")
    refuses_capture(USAGE, tmp_path, "--prompt-file", latin, names=[latin, "UTF-8"])


# Where the trace goes


def test_existing_output_is_kept_or_replaced(tmp_path):
    output = tmp_path / "out.h5"
    output.write_text("precious")
    refuses_capture(USAGE, tmp_path, "--prompt", PROMPT, "--gen-length", 8, names=[output, "--force"])
    assert output.read_text() == "precious"
    # A failure keeps it, also with --force.
    refuses_capture(USAGE, tmp_path, "--prompt", PROMPT, "--layers", "99", "--force", names=["99"])
    assert output.read_text() == "precious"
    capture(output, "--gen-length", 8, "--force")
    assert answer_json("info", output, "--json")["is_complete"] is True
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


def test_existing_partial_is_kept_or_replaced(tmp_path):
    partial = tmp_path / "out.h5.partial"
    partial.write_text("precious")
    refuses_capture(USAGE, tmp_path, "--prompt", PROMPT, "--gen-length", 8, names=[partial, "--force"])
    assert partial.read_text() == "precious"
    capture(tmp_path / "out.h5", "--gen-length", 8, "--force")
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


def test_output_in_a_folder_that_is_not_there(tmp_path):
    refuses_capture(
        SYSTEM, tmp_path, "--prompt", PROMPT, "--gen-length", 8, output="nowhere/out.h5",
        names=["nowhere/out.h5", "No such file or directory"])


def test_output_is_a_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    refuses_capture(USAGE, tmp_path, "--prompt", PROMPT, output="folder", names=["folder", "not the name of a file"])


def test_output_without_a_name(tmp_path):
    done = attntrace("capture", "--prompt", PROMPT, "--gen-length", 8, "--output", "", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert done.returncode == USAGE and "--output" in done.stderr


def check_what_is_left(folder):
    """After a failed write: no final name; what was committed can be read."""
    assert not (folder / "out.h5").exists()
    partial = folder / "out.h5.partial"
    if partial.exists():
        description = answer_json("info", partial, "--json")
        assert description["is_complete"] is False and description["committed_steps"] > 0
        with h5py.File(partial, "r", libver="latest", swmr=True) as f:
            steps = f["committed_steps"][()]
            assert steps == description["committed_steps"]
            maps = f["maps/attention"][:steps].astype(np.float64)
            assert np.abs(maps.sum(-1) - 1).max() < 1e-2


@pytest.mark.parametrize("limit", [20_000, 600_000, 3_000_000])
def test_a_write_that_fails(tmp_path, limit):
    """A file may not grow beyond a limit: as a full disk, but for one file."""

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    refuses(
        SYSTEM, "capture", "--prompt", PROMPT, "--gen-length", 64, "--record", "maps", "--output",
        tmp_path / "out.h5", names=[tmp_path / "out.h5", "File too large"], preexec_fn=limited)
    check_what_is_left(tmp_path)


def test_a_disk_that_is_too_small(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        refuses_capture(
            SYSTEM, disk, "--prompt", PROMPT, "--gen-length", 64, "--record", "maps", names=[disk, "MB", "free", "--no-space-check"])


def test_a_disk_that_fills_up(tmp_path):
    with small_disk(tmp_path / "disk", "80m") as disk:
        run = subprocess.Popen(
            [ATTNTRACE, "capture", "--prompt", PROMPT, "--gen-length", "100", "--record", "maps", "--layers", "0-1",
             "--output", str(disk / "out.h5")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        partial = disk / "out.h5.partial"
        while run.poll() is None and not (partial.exists() and partial.stat().st_size > 2_000_000):
            time.sleep(0.002)
        run.send_signal(signal.SIGSTOP)
        with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as filler:
            block = bytes(1 << 20)
            # A short write means that the disk is full, as an error does.
            while filler.write(block) == len(block):
                pass
        run.send_signal(signal.SIGCONT)
        out, err = run.communicate(timeout=120)
        assert run.returncode == SYSTEM, err
        assert out == ""
        [line] = err.splitlines()
        assert str(disk / "out.h5") in line and "No space left on device" in line
        check_what_is_left(disk)


# Files that are no traces


@pytest.mark.parametrize("command", ["info", "sinks", "trajectories", "compare"])
def test_files_that_are_not_traces(tmp_path, command):
    (tmp_path / "text.h5").write_text("hello\n")
    (tmp_path / "empty.h5").touch()
    (tmp_path / "folder.h5").mkdir()
    random = np.random.default_rng(1).bytes(4096)
    (tmp_path / "random.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + random)
    with h5py.File(tmp_path / "plain.h5", "w", libver=("v110", "v110")) as f:
        f["x"] = np.arange(3)
    with h5py.File(tmp_path / "later.h5", "w", libver=("v110", "v110")) as f:
        f.attrs.update({"format": "attention-trace", "format_version": "9.1", "min_reader": "9.0"})
    for name, rule in [
        ("text.h5", "not an attention trace"), ("empty.h5", "not an attention trace"), ("folder.h5", "a directory"),
        ("plain.h5", "format"), ("later.h5", "9.1"), ("random.h5", "damaged"),
    ]:
        refuses(DATA, command, tmp_path / name, names=[tmp_path / name, rule])
    refuses(SYSTEM, command, tmp_path / "nowhere.h5", names=[tmp_path / "nowhere.h5", "no such file"])


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_truncated_trace(diffusion, tmp_path, share):
    damaged = tmp_path / "damaged.h5"
    raw = diffusion.read_bytes()
    damaged.write_bytes(raw[: int(len(raw) * share)])
    for command in ["info", "sinks"]:
        refuses(DATA, command, damaged, names=[damaged])


def test_damaged_chunk(diffusion, tmp_path):
    """A flipped byte in a checked chunk is found by whoever reads it, and by nobody else."""
    damaged = tmp_path / "damaged.h5"
    raw = bytearray(diffusion.read_bytes())
    with h5py.File(diffusion, "r") as f:
        chunk = f["received"].id.get_chunk_info(5)
    raw[chunk.byte_offset + chunk.size // 2] ^= 0x10
    damaged.write_bytes(raw)
    for command in ["sinks", "trajectories"]:
        refuses(DATA, command, damaged, names=[damaged, "received", "damaged"])
    assert answer_json("info", damaged, "--json")["is_complete"] is True


@pytest.mark.parametrize("command", ["sinks", "trajectories"])
@pytest.mark.parametrize("options, names", [
    (["--rule", "nonsense"], ["nonsense", "excess"]), (["--unit", "nonsense"], ["nonsense", "sum"]),
    (["--per", "nonsense"], ["nonsense", "layer"]), (["--layers", "77"], ["layer 77", "recorded"]),
    (["--heads", "77"], ["head 77", "recorded"]), (["--unit", "window"], ["window", "causal"]),
    (["--epsilon", "nan"], ["epsilon"]), (["--rule", "top", "--count", "0"], ["count", "at least 1"]),
])
def test_options_of_analysis(diffusion, command, options, names):
    refuses(USAGE, command, diffusion, *options, names=names)


def test_results_do_not_overwrite(diffusion, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("precious")
    refuses(USAGE, "sinks", diffusion, "--format", "csv", "--output", table, names=[table, "--force"])
    assert table.read_text() == "precious"
    assert answer("sinks", diffusion, "--format", "csv", "--output", table, "--force") == ""
    assert table.read_text().count("\n") > 1
    refuses(SYSTEM, "sinks", diffusion, "--output", tmp_path / "nowhere/t", names=[tmp_path / "nowhere/t"])
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_command_without_a_terminal_says_nothing_else(diffusion, causal):
    """stdout carries the result only, stderr nothing; JSON is JSON."""
    assert answer_json("info", diffusion, "--json")["committed_steps"] == 16
    for command in ["sinks", "trajectories"]:
        assert answer_json(command, diffusion, "--json")["headline"]
        header, *rows = answer(command, diffusion, "--format", "csv").splitlines()
        assert "layer" in header.split(",")
        assert all(row.count(",") >= header.count(",") for row in rows)
    assert answer_json("compare", diffusion, causal, "--json")
    assert answer("tokenize", "--decode", answer("tokenize", "In the beginning", "--no-special-tokens").strip()) == \
        "In the beginning\n"


def test_capture_json(tmp_path):
    output = tmp_path / "out.h5"
    said = answer_json("capture", "--prompt", PROMPT, "--gen-length", 8, "--output", output, "--json")
    assert said["trace"] == str(output) and said["steps"] == 8 and said["bytes"] == output.stat().st_size
    with h5py.File(output, "r") as f:
        assert said["generated_ids"] == f["final_id"][said["prompt_length"] :].tolist()
        assert said["layers"] == f["layer"][()].tolist() and said["heads"] == f["head"][()].tolist()


@pytest.mark.parametrize("command", [[], ["capture"], ["tokenize"], ["info"], ["sinks"], ["trajectories"], ["compare"], ["import"]])
def test_help_shows_an_example(command):
    said = answer(*command, "--help")
    assert "Example" in said
    assert " ".join(["attntrace", *command]) in said.split("Example", 1)[1]


def test_embedded_models_elsewhere(tmp_path):
    """Where the embedded model is not found, the message says how to name its folder."""
    refuses(
        USAGE, "tokenize", "hello", names=["tiny-mdm", "ATTNTRACE_MODELS"], env={"ATTNTRACE_MODELS": str(tmp_path)})


LARGEST = 2**63 - 1


@pytest.mark.parametrize("arguments", [
    ["sinks", "causal", "--unit", "window", "--window", LARGEST], ["trajectories", "diffusion", "--gap", LARGEST],
    ["trajectories", "diffusion", "--reach", LARGEST], ["trajectories", "diffusion", "--unmatched-cost", LARGEST],
    ["compare", "diffusion", "causal", "--by-layer", "--layers", 99], ["sinks", "diffusion", "--rows", -1],
])
def test_numbers_beyond_reason(traces, arguments):
    arguments = [traces[a] if a in ("diffusion", "causal") else a for a in arguments]
    done = attntrace(*arguments)
    assert done.returncode == USAGE and done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_a_reach_longer_than_the_run_is_the_run(traces):
    far, near = (attntrace("trajectories", traces["diffusion"], "--reach", reach).stdout for reach in (10**9, 100))
    assert far.replace(str(10**9), "100") == near


@pytest.mark.parametrize("command", ["info", "sinks", "trajectories", "compare"])
@pytest.mark.parametrize("edit, names", [
    (lambda f: f.attrs.__setitem__("prompt_length", np.int32(0)), ["prompt_length"]),
    (lambda f: f.attrs.__setitem__("prompt_length", np.int32(2**31 - 1)), ["damaged"]),
    (lambda f: f["step"].__setitem__(3, -(2**31)), ["step"]),
    (lambda f: f["committed_steps"].__setitem__((), 10**9), ["damaged"]),
    (lambda f: f["committed_steps"].__setitem__((), -5), ["committed_steps"]),
], ids=["no-prompt", "long-prompt", "step-label", "too-many-steps", "negative-steps"])
def test_a_trace_that_lies(traces, tmp_path, command, edit, names):
    trace = tmp_path / "edited.h5"
    shutil.copy(traces["causal"], trace)
    with h5py.File(trace, "r+", libver=("v110", "v110")) as f:
        edit(f)
    refuses(DATA, command, trace, names=[trace, *names])


def test_a_result_that_cannot_be_written_is_an_error(traces):
    with open("/dev/full", "w") as full:
        for command in ["info", "sinks"]:
            done = subprocess.run([ATTNTRACE, command, str(traces["diffusion"])], stdout=full, stderr=subprocess.PIPE)
            assert done.returncode == SYSTEM and b"No space left" in done.stderr
