"""The writer without PyTorch: the filters that it applies itself, hashes, what is left after a failure, what it refuses."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "Tests/Interop"))

from checker import check  # noqa: E402
from support import attntrace as run  # noqa: E402

from attntrace import AttntraceError  # noqa: E402
from attntrace.recording import TracePlan, TraceWriter  # noqa: E402
from attntrace.recording.codec import encoded, fletcher32  # noqa: E402

ATTRIBUTES = {
    "attention_convention": "softmax", "model_name": "none", "architecture": "none", "model_configuration": "{}",
    "weights_sha256": "0" * 64, "tokenizer_sha256": "", "prediction_offset": 0, "mask_token_id": 9, "sampler": "test",
    "sampler_parameters": "{}", "seed": 2**64 - 1, "numeric_type": "float32", "kernel": "none", "threads": 1,
    "producer": "test", "command_line": "", "created_at": "2026-01-01T00:00:00Z", "prompt": "Käse \U0001f9c0"}
SHAPE = dict(
    causality="bidirectional", prompt_length=2, generated_length=3, step_count=3, layer_count=2, head_count=4,
    kv_head_count=2, head_dim=8, signals=frozenset({"maps", "received", "rows"}), text_width=8)


@pytest.mark.parametrize("kind", ["<f2", "<f4", "u1", "<i4"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (300, 301)])
@pytest.mark.parametrize("noisy", [True, False])
def test_the_library_decodes_what_is_encoded_here(tmp_path, kind, shape, noisy):
    values = np.random.default_rng(0).random(shape) ** 3 * 250
    values = values.astype(kind) if noisy else np.zeros(shape, kind)
    with h5py.File(tmp_path / "a.h5", "w") as f:
        filters = dict(shuffle=True, compression="gzip", fletcher32=True)
        f.create_dataset("ours", shape, kind, chunks=shape, **filters).id.write_direct_chunk((0, 0), encoded(values))
    with h5py.File(tmp_path / "a.h5") as f:
        np.testing.assert_array_equal(f["ours"][()], values)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 65535 * 2, 400_001])
@pytest.mark.parametrize("byte", [0, 1, 255])
def test_checksum_is_the_library_s(tmp_path, size, byte):
    data = np.full(size, byte, "u1")
    with h5py.File(tmp_path / "a.h5", "w") as f:
        if size:
            f.create_dataset("a", data=data, chunks=(size,), fletcher32=True)
            _, stored = f["a"].id.read_direct_chunk((0,))
            assert int.from_bytes(stored[-4:], "little") == fletcher32(data.tobytes())
        else:
            assert fletcher32(b"") == 0


def write_steps(writer, count):
    """Steps of uniform attention that unmask a position each."""
    plan, tokens = writer.plan, np.array([1, 2, 9, 9, 9], "i4")
    t = plan.position_count
    state = np.where(tokens == 9, -2, -1).astype("i4")
    for step in range(count):
        masked, position = tokens == 9, 2 + step
        kinds = np.where(np.arange(t) < 2, 0, np.where(masked, 2, 1))
        writer.begin_step()
        for layer in range(2):
            maps = np.full((1, 1, 4, t, t), 1 / t, "f2")
            sums = np.stack([np.full((4, t), (kinds == kind).sum() / t, "f4") for kind in range(3)], 1)
            writer.write("maps/attention", (step, layer, 0, 0, 0), maps)
            writer.write("received", (step, layer, 0, 0, 0), sums[None, None])
            for name, value in [("entropy", np.log(t)), ("logsumexp", 1), ("max_weight", 1 / t)]:
                writer.write(name, (step, layer, 0, 0), np.full((1, 1, 4, t), value, "f4"))
        row = np.where(masked, 0.5, np.nan).astype("f4")[None]
        writer.write("token_id", (step, 0), tokens[None].copy())
        writer.write("is_masked", (step, 0), masked[None].astype("u1"))
        writer.write("predicted_id", (step, 0), np.where(masked, 3, -1)[None].astype("i4"))
        for name in ["confidence", "transfer_score", "prediction_entropy"]:
            writer.write(name, (step, 0), row)
        writer.write("visible_queries", (step, 0), np.full((1, t), t, "i4"))
        for name, value in [("block", 0), ("mask_count", masked.sum()), ("time", masked[2:].sum() / 3)]:
            writer.write(name, (step,), np.array([value]))
        writer.write("answer/attention", (step, 0, 0, 0), np.full((1, 2, 4, t), 1 / t, "f2"))
        writer.write("answer/source_query", (step,), np.array([position]))
        writer.write("answer/source_step", (step,), np.array([step]))
        writer.add_vocabulary({1: "a", 2: "ß\0ß", 3: "five letters", 9: "?"})
        tokens = tokens.copy()
        tokens[position], state = 3, np.where(np.arange(t) == position, step, state).astype("i4")
        order = np.where(state >= 0, state, state)
        for name, values in [
            ("final_id", tokens), ("unmask_step", state), ("unmask_order", order), ("position_id", np.arange(t))]:
            writer.write(name, (0,), values)
        writer.commit_step()
    texts = {1: "a", 2: "ß\0ß", 3: "five letters", 9: "?"}
    return [texts[token] for token in tokens.tolist()]


def findings(path):
    return [str(finding) for finding in check(str(path), deep=True)]


def test_a_trace_is_valid_by_both_judges(tmp_path):
    path = tmp_path / "a.h5"
    writer = TraceWriter(path, TracePlan(**SHAPE), ATTRIBUTES)
    digest = writer.finish(write_steps(writer, 3))
    assert findings(path) == []
    done = run("verify", "--deep", path)
    assert done.returncode == 0 and "warning" not in done.stdout, done.stdout
    assert not list(tmp_path.glob("*.partial*"))
    with h5py.File(path) as f:
        assert f["content_sha256"][()].decode() == digest
        assert f.attrs["seed"] == 2**64 - 1 and f.attrs["prompt"].decode() == ATTRIBUTES["prompt"]
        assert f["token_text"][1].decode() == "ß\ufffdß" and f["token_text"][2].decode() == "five let"


def test_a_run_may_end_early(tmp_path):
    writer = TraceWriter(tmp_path / "a.h5", TracePlan(**SHAPE | {"step_count": 9}), ATTRIBUTES)
    texts = write_steps(writer, 2)
    # A step that was begun and never committed leaves nothing.
    writer.begin_step()
    writer.write("token_id", (2, 0), np.zeros((1, 5), "i4"))
    writer.finish(texts)
    assert findings(tmp_path / "a.h5") == []
    with h5py.File(tmp_path / "a.h5") as f:
        assert f["maps/attention"].shape[0] == f["step"].shape[0] == 2


def test_what_was_committed_survives_a_kill(tmp_path):
    path = tmp_path / "a.h5"
    program = f"""
import os, sys
sys.path[:0] = {[str(REPO / 'python/src'), str(Path(__file__).parent)]!r}
from test_writer import *
writer = TraceWriter({str(path)!r}, TracePlan(**SHAPE), ATTRIBUTES)
write_steps(writer, 2)
writer.begin_step()
writer._pipeline.drain()
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert [text for text in findings(f"{path}.partial") if "commit.unfinished" not in text] == []
    assert run("verify", "--deep", f"{path}.partial").returncode == 0
    assert run("recover", f"{path}.partial", "--output", tmp_path / "b.h5").returncode == 0
    assert run("verify", "--deep", tmp_path / "b.h5").returncode == 0
    with h5py.File(tmp_path / "b.h5") as f:
        assert f["committed_steps"][()] == 2


def test_nothing_is_overwritten(tmp_path):
    for name in ["a.h5", "a.h5.partial"]:
        (tmp_path / name).write_text("mine")
        with pytest.raises(FileExistsError, match="already exists"):
            TraceWriter(tmp_path / "a.h5", TracePlan(**SHAPE), ATTRIBUTES)
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    # Nor what appears while the run goes on; what was recorded is kept.
    writer = TraceWriter(tmp_path / "a.h5", TracePlan(**SHAPE), ATTRIBUTES)
    texts = write_steps(writer, 3)
    (tmp_path / "a.h5").write_text("mine")
    with pytest.raises(FileExistsError):
        writer.finish(texts)
    assert (tmp_path / "a.h5").read_text() == "mine" and (tmp_path / "a.h5.partial").exists()


def test_a_full_disk_is_said(tmp_path):
    program = f"""
import resource, signal, sys
sys.path[:0] = {[str(REPO / 'python/src'), str(Path(__file__).parent)]!r}
from test_writer import *
writer = TraceWriter({str(tmp_path / 'a.h5')!r}, TracePlan(**SHAPE | dict(prompt_length=2, generated_length=3)), ATTRIBUTES)
writer._pipeline.drain()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = os.path.getsize({str(tmp_path / 'a.h5.partial')!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 2000, size + 2000))
try:
    write_steps(writer, 3)
    writer.finish(["a"] * 5)
except OSError as error:
    print("SAID", error)
    writer.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "SAID" in done.stdout and os.strerror(errno.EFBIG) in done.stdout, (done.stdout, done.stderr)
    assert "a.h5.partial" in done.stdout


def test_what_a_writer_refuses(tmp_path):
    with pytest.raises(AttntraceError, match="@kernel.*needs"):
        TraceWriter(tmp_path / "a.h5", TracePlan(**SHAPE), {k: v for k, v in ATTRIBUTES.items() if k != "kernel"})
    with pytest.raises(AttntraceError, match="@color.*knows no"):
        TraceWriter(tmp_path / "a.h5", TracePlan(**SHAPE), ATTRIBUTES | {"color": "red"})
    for wrong in [
        {"kv_head_count": 3}, {"causality": "both"}, {"signals": frozenset({"maps", "smell"})}, {"layers": (1, 0)},
        {"layers": (2,)}, {"map_steps": ()}, {"causality": "causal", "is_guided": True}, {"generated_length": 0}]:
        with pytest.raises(ValueError):
            TracePlan(**SHAPE | wrong)
    writer = TraceWriter(tmp_path / "a.h5", TracePlan(**SHAPE), ATTRIBUTES)
    with pytest.raises(AttntraceError, match="no step"):
        writer.finish([])
    writer.close()
    (tmp_path / "a.h5.partial").unlink()
    writer = TraceWriter(tmp_path / "a.h5", TracePlan(**SHAPE | {"step_count": 1}), ATTRIBUTES)
    write_steps(writer, 1)
    with pytest.raises(AttntraceError, match="more than the 1 steps"):
        writer.begin_step()
    writer.close()


def test_other_errors_are_not_dressed_as_the_files(tmp_path):
    from attntrace.recording.writer import _explained

    mine = RuntimeError("mine")
    assert _explained(mine, tmp_path) is mine
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("a")
        with pytest.raises(ValueError) as twice:
            file.create_group("a")
    # Of the library's errors it is known where they were raised, whatever their type.
    library = RuntimeError("No space left on device").with_traceback(twice.value.__traceback__)
    assert "No space left" in str(_explained(library, tmp_path)) and isinstance(_explained(library, tmp_path), OSError)
