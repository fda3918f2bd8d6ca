"""`import`: files in the layout of arXiv 2601.07894 made with NumPy, against what h5py reads; and files that mean harm."""

import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

import checker
from support import ATTNTRACE, answer, answer_json, attntrace

T, PROMPT, MASK = 12, 5, 99
RNG = np.random.default_rng(3)


def maps(*shape, causal=False, dtype=np.float32):
    scores = RNG.normal(size=shape) * 3
    if causal:
        scores = np.where(np.tri(shape[-1], dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True)).astype(dtype)


def members(causal=False, **more):
    """What Llada.py and, causal, Dream.py save, but for the attention."""
    common = {
        "answer_tokens": np.arange(20, 20 + T - PROMPT), "input_length": PROMPT, "num_generated_tokens": T - PROMPT,
        "question": "who?", "gold_answer": np.array(["Noah", "Noé"], dtype=object),
        "token_generation_step": np.array({5: (0, 1, 20)}, dtype=object)}
    if causal:
        common = {name: np.array(value, dtype=object) for name, value in common.items() if name != "answer_tokens"}
        common["full_sequence_ids"] = np.arange(10, 10 + T)
        common["layer_0_hidden_states"] = np.zeros((T, 4), np.float32)
    else:
        common["layer_0_attentions"] = np.array([[], []], dtype=object)
    return {**common, **more}


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def imported(folder, *options, **arrays):
    """The trace made of some arrays, checked by verify; and what the command said."""
    path = save(folder / "0_attentions.npz", **arrays)
    said = answer_json("import", path, "--output", folder / "out.h5", "--json", "--force", *options)
    answer("verify", "--deep", folder / "out.h5")
    assert not checker.check(folder / "out.h5", deep=True)
    assert sorted(entry.name for entry in folder.iterdir()) == ["0_attentions.npz", "out.h5"]
    return h5py.File(folder / "out.h5"), said


def halves(array):
    return np.asarray(array, np.float64).astype(np.float16)


def check_diffusion(f, arrays, masked):
    """arrays: (step, layer, head, query, key)."""
    arrays = np.asarray(arrays, np.float64)
    assert np.array_equal(f["maps/attention"][()], halves(arrays))
    classes = np.where(np.arange(T) < PROMPT, 0, np.where(masked, 2, 1))  # (step, query)
    for index in range(3):
        wanted = (arrays * (classes == index)[:, None, None, :, None]).sum(axis=3)
        assert np.allclose(f["received"][:, :, :, index], wanted, rtol=1e-6, atol=1e-7)
    assert np.array_equal(f["is_masked"][()], np.asarray(masked, np.uint8))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_averaged_maps(tmp_path, dtype):
    layers = {0: maps(T, T, dtype=dtype), 3: np.asfortranarray(maps(T, T, dtype=dtype))}
    f, said = imported(tmp_path, **members(**{f"layer_{n}_full_attention": a for n, a in layers.items()}))
    check_diffusion(f, np.stack([a for a in layers.values()])[None, :, None], np.zeros((1, T), bool))
    assert f["layer"][()].tolist() == [0, 3] and f["head"][()].tolist() == [0]
    assert f["token_id"][0].tolist() == [-1] * PROMPT + list(range(20, 27))
    assert set(f["unmask_step"][()]) == {-1} and np.isnan(f["confidence"][()]).all()
    origin = json.loads(f.attrs["origin"])
    assert origin["heads"] == "averaged" and origin["content"] == "average" and origin["question"] == "who?"
    assert origin["file"] == "0_attentions.npz" and len(origin["sha256"]) == 64
    assert json.loads(f.attrs["gold_answers"]) == ["Noah", "Noé"]
    exact = np.stack([np.asarray(a, np.float64) for a in layers.values()])
    assert origin["largest_rounding"] == pytest.approx(np.abs(halves(exact).astype(np.float64) - exact).max())
    assert said["left_out"] == ["layer_0_attentions", "num_generated_tokens", "token_generation_step"]
    # Analyses say that a head is the mean over heads.
    f.close()
    for command in (["sinks", "--rule", "top"], ["analyze", "--metrics", "sinks", "--rule", "top"]):
        assert "# imported: each layer's one head is the mean over the model's heads" in answer(
            command[0], tmp_path / "out.h5", *command[1:])


def test_sha256(tmp_path):
    import hashlib

    f, _ = imported(tmp_path, **members(layer_0_full_attention=maps(T, T)))
    assert json.loads(f.attrs["origin"])["sha256"] == hashlib.sha256(
        (tmp_path / "0_attentions.npz").read_bytes()).hexdigest()


def test_rounded_to_bfloat16_before_the_mean(tmp_path):
    heads = maps(8, T, T)
    bits = heads.view(np.uint32)
    rounded = ((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000).astype(np.uint32).view(np.float32)
    f, said = imported(tmp_path, **members(layer_0_full_attention=rounded.mean(axis=0)))
    assert said["largest_row_error"] > 1e-5
    check_diffusion(f, rounded.mean(axis=0)[None, None, None], np.zeros((1, T), bool))


@pytest.mark.parametrize("order", ["C", "F"])
def test_maps_by_head(tmp_path, order):
    layers = [np.asarray(maps(3, T, T), order=order) for _ in range(2)]
    arrays = {f"layer_{n}_full_attention_heads": a for n, a in enumerate(layers)}
    f, said = imported(
        tmp_path, **members(**arrays, layer_0_full_attention=maps(T, T), layer_0_key_states=np.zeros((1, T, 4))))
    check_diffusion(f, np.stack(layers)[None], np.zeros((1, T), bool))
    assert json.loads(f.attrs["origin"])["heads"] == "recorded" and "layer_0_key_states" in said["left_out"]
    f.close()
    f, _ = imported(
        tmp_path, "--content", "average",
        **members(**arrays, layer_0_full_attention=maps(T, T)))
    assert f["maps/attention"].shape == (1, 1, 1, T, T)


def generation(steps=4):
    """step_attention_data of a run that unmasks two positions a step, and the masks."""
    final = np.arange(10, 10 + T)
    entries, masked = [], []
    for step in range(steps):
        hidden = np.arange(T) >= PROMPT + 2 * step
        masked.append(hidden)
        entries.append({
            "step": step, "sequence": np.where(hidden, MASK, final)[None] if step % 2 else np.where(hidden, MASK, final),
            **{f"layer_{n}_attention_avg": maps(T, T) for n in (1, 0)}})
    return entries, np.array(masked), final


def objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


@pytest.mark.parametrize("shuffled", [False, True])
def test_steps_of_a_generation(tmp_path, shuffled):
    entries, masked, final = generation()
    wanted = np.array([[e[f"layer_{n}_attention_avg"] for n in (0, 1)] for e in entries])[:, :, None]
    f, _ = imported(
        tmp_path, "--mask-token-id", MASK,
        **members(step_attention_data=objects(entries[::-1] if shuffled else entries),
                  full_sequence_ids=final, layer_0_full_attention=maps(T, T)))
    check_diffusion(f, wanted, masked)
    assert f["unmask_step"][()].tolist() == [-1] * 5 + [0, 0, 1, 1, 2, 2, 3]
    assert f["final_id"][()].tolist() == final.tolist() and f["mask_count"][()].tolist() == [7, 5, 3, 1]
    f.close()
    rows = answer_json("trajectories", tmp_path / "out.h5", "--json", "--table", "presences", "--epsilon", 0.5)
    assert rows["presences"]["rows"]
    page = answer_json("sinks", tmp_path / "out.h5", "--json", "--explain", 2, 1, 0, 6)
    assert page["token"]["age"] == 2 and page["token"]["class"] == "unmasked"
    assert page["attenders"]["sum"] == pytest.approx(halves(wanted[2, 1, 0])[:, 6].astype(np.float64).sum())
    assert "missing" in page["norms"]


def test_causal(tmp_path):
    layers = [maps(T, T, causal=True) for _ in range(2)]
    f, said = imported(tmp_path, **members(
        causal=True, **{f"layer_{n}_full_attention": a for n, a in enumerate(layers)}))
    assert said["causality"] == "causal" and said["shape"] == [T - PROMPT, 2, 1, T - 1]
    exact = np.stack(layers).astype(np.float64)[:, : T - 1, : T - 1]
    assert np.array_equal(f["maps/attention"][0, :, 0], halves(exact))
    received = f["received"][()].astype(np.float64)
    assert np.allclose(received[0, :, 0, 0], exact[:, :PROMPT].sum(axis=1), rtol=1e-6)
    for step in range(1, T - PROMPT):
        assert np.allclose(received[step, :, 0, 1], exact[:, PROMPT + step - 1], rtol=1e-6)
        assert np.array_equal(f["answer/attention"][step, :, 0], halves(exact)[:, PROMPT + step - 1])
    assert f["token_id"][-1].tolist() == [*range(10, 21), -1] and f["final_id"][()].tolist() == list(range(10, 22))
    f.close()
    said = answer_json("sinks", tmp_path / "out.h5", "--json", "--unit", "ratio", "--epsilon", 0.5)
    assert said["headline"]["cumulative_sinks_per_step"] > 0


def test_pickle_protocols(tmp_path):
    """Object arrays as any of the protocols writes them, of this NumPy; and by the names of the one before."""
    entries, masked, final = generation()
    wanted = np.array([[e[f"layer_{n}_attention_avg"] for n in (0, 1)] for e in entries])[:, :, None]
    for protocol in (2, 3, 4, 5):
        for old in (False, True):
            path = save(tmp_path / "p.npz", **members(full_sequence_ids=final))
            pickled = pickle.dumps(objects(entries), protocol=protocol)
            if old and protocol < 4:
                pickled = pickled.replace(b"numpy._core.", b"numpy.core.")
            add_member(path, "step_attention_data", pickled, shape=(4,))
            answer("import", path, "--output", tmp_path / "p.h5", "--force", "--mask-token-id", MASK)
            with h5py.File(tmp_path / "p.h5") as f:
                check_diffusion(f, wanted, masked)


def add_member(path, name, pickled, shape=(), compression=zipfile.ZIP_STORED):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "a", compression) as archive:
        archive.writestr(f"{name}.npy", header.getvalue() + pickled)
    return path


def test_several_files(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"{name}.npz", **members(layer_0_full_attention=maps(T, T)))
    said = answer_json("import", tmp_path / "a.npz", tmp_path / "b.npz", "--output", tmp_path / "traces", "--json")
    assert [entry["output"] for entry in said] == [str(tmp_path / "traces/a.h5"), str(tmp_path / "traces/b.h5")]
    for entry in said:
        answer("verify", "--deep", entry["output"])


def refused(folder, path, *options, code=1):
    """What is said of a file that cannot be imported; nothing is left behind."""
    done = attntrace("import", path, "--output", folder / "out.h5", *options)
    assert done.returncode == code and done.stdout == "", (done.returncode, done.stderr)
    assert not list(folder.glob("out.h5*")) and not list(folder.glob(".attntrace*"))
    return done.stderr


class Harm:
    """Whatever a pickle asks to be called with."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ["posix.system", "builtins.eval", "subprocess.Popen", "os.remove"])
def test_no_pickle_is_run(tmp_path, protocol, name):
    marker = tmp_path / "was_here"
    harm = {
        "posix.system": Harm(os.system, f"touch {marker}"), "builtins.eval": Harm(eval, f"open({str(marker)!r}, 'w')"),
        "subprocess.Popen": Harm(subprocess.Popen, ["touch", str(marker)]),
        "os.remove": Harm(os.remove, str(marker))}[name]
    path = add_member(
        save(tmp_path / "h.npz", **members()), "step_attention_data", pickle.dumps(objects([harm]), protocol), (1,))
    said = refused(tmp_path, path)
    # Python writes some modules by other names, protocol 2 by those of Python 2.
    assert "is a pickle that asks for" in said
    assert f'.{name.split(".")[1]}", which is not data; nothing of it is run' in said
    assert not marker.exists()


def frame(*parts):
    return b"\x80\x04" + b"".join(parts) + b"."


HOSTILE = {
    "recursion": (frame(b"]\x94h\x00a"), "has an entry that is no dictionary"),
    "deep": (frame(b"]" * 300_000 + b"a" * 299_999), "has an entry that is no dictionary"),
    "tuples": (frame(b")" + b"\x85" * 900_000), "more than 1000000 values"),
    "doubling": (frame(b"]\x94" + b"(h\x00h\x00h\x00h\x00t\x94" * 300_000), "more than 1000000 values"),
    "huge_text": (frame(b"\x8d" + struct.pack("<Q", 1 << 62)), "ends too early"),
    "negative_length": (frame(b"\x8d" + struct.pack("<Q", (1 << 64) - 1)), "with a length of"),
    "huge_bytes": (frame(b"B" + struct.pack("<I", 0xffffffff)), "ends too early"),
    "huge_number": (frame(b"\x8b" + struct.pack("<I", 1 << 30)), "a number of 1073741824 bytes"),
    "empty_stack": (frame(b"a"), "takes what is not there"), "no_mark": (frame(b"t"), "takes what is not there"),
    "no_memo": (frame(b"h\x07"), "never kept"), "persistent": (frame(b"Q"), "0x51"), "extension": (frame(b"\x82\x01"), "0x82"),
    "object": (frame(b"\x81"), "0x81"), "instance": (frame(b"i"), "0x69"), "out_of_band": (frame(b"\x97"), "0x97"),
    "not_ended": (b"\x80\x04]", "ends too early"), "two_values": (frame(b"]]"), "does not end with one value"),
    "protocol": (b"\x80\x09N.", "protocol 9"), "text_protocol": (b"(lp0\n.", "no pickle of protocol 2"),
    "trailing": (frame(b"]") + b"more", "goes on for 4 bytes"),
    "array_too_short": (
        pickle.dumps(np.zeros(4), 4).replace(b"K\x04\x85", b"K\x05\x85"), "not as long as its shape says"),
    "array_twice": (frame(
        b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
        b"b"), "no tuple"),
    "called_oddly": (frame(b"cnumpy\ndtype\n]R"), "calls dtype in an unknown way"),
    "name_without_end": (frame(b"c" + b"x" * 5000), "name without end"),
    "big_endian": (pickle.dumps(np.zeros(3, ">f4"), 4), "big-endian"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(tmp_path, name):
    pickled, message = HOSTILE[name]
    path = add_member(save(tmp_path / "h.npz", **members()), "step_attention_data", pickled, (1,))
    assert message in refused(tmp_path, path)


def npy(header, body=b"", version=(1, 0)):
    text = header if isinstance(header, bytes) else header.encode()
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + body


def headed(descr="'<f4'", shape="(2, 2)", more=""):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, {more}}}\n"


BAD_ARRAYS = {
    "no_magic": (b"nothing here at all", "no NumPy array"), "empty": (b"", "ends too early"),
    "version": (npy(headed(), version=(9, 0)), "version 9.0"),
    "huge_header": (npy(headed(), version=(2, 0))[:8] + struct.pack("<I", 1 << 31), "header of 2147483648 bytes"),
    "not_a_dict": (npy("[1, 2]"), "cannot be read"), "extra_key": (npy(headed(more="'evil': 1, ")), "cannot be read"),
    "twice": (npy(headed(more="'shape': (1,), ")), "cannot be read"), "negative": (npy(headed(shape="(-1, 2)")), "cannot be read"),
    "overflow": (npy(headed(shape="(4294967296, 4294967296)")), "was announced"),
    "too_short": (npy(headed(), bytes(12)), "was announced"), "too_long": (npy(headed(), bytes(20)), "was announced"),
    "big_endian": (npy(headed("'>f4'"), bytes(16)), "little-endian"), "structured": (npy(headed("[('a', '<f4')]"), bytes(16)), "cannot be read"),
    "complex": (npy(headed("'<c8'"), bytes(32)), "little-endian"), "axes": (npy(headed(shape="(" + "1, " * 40 + ")"), bytes(4)), "40 axes"),
    "integers": (npy(headed("'<i4'"), bytes(16)), "sum to 0"), "not_square": (npy(headed(shape="(1, 4)"), bytes(16)), "is of shape"),
    "no_rows": (npy(headed(shape="(0, 0)")), "is of shape"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays(tmp_path, name):
    content, message = BAD_ARRAYS[name]
    path = save(tmp_path / "b.npz", **members())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("layer_0_full_attention.npy", content)
    assert message in refused(tmp_path, path)


@pytest.mark.parametrize("weights, message", [
    (np.full((T, T), np.nan, np.float32), "no probability"), (np.full((T, T), 0.2, np.float32), "sum to 2.4"),
    (np.full((T, T), -0.1, np.float32), "no probability"), (np.zeros((T, T), np.float32), "sum to 0.0"),
])
def test_what_is_no_attention(tmp_path, weights, message):
    path = save(tmp_path / "w.npz", **members(layer_0_full_attention=weights))
    said = refused(tmp_path, path)
    assert message in said and "layer_0_full_attention" in said and "row 0" in said


def test_what_is_lacking(tmp_path):
    path = save(tmp_path / "n.npz", **members())
    assert "holds no attention" in refused(tmp_path, path)
    path = save(tmp_path / "n.npz", **members(layer_0_full_attention=maps(T, T)))
    assert "holds no heads; it holds average" in refused(tmp_path, path, "--content", "heads")
    assert "is not causal" in refused(tmp_path, path, "--causality", "causal", code=2)
    assert "a prompt of 12" in refused(tmp_path, path, "--prompt-length", 12, code=2)
    path = save(tmp_path / "n.npz", layer_0_full_attention=maps(T, T))
    assert "--prompt-length" in refused(tmp_path, path)
    entries, _, _ = generation()
    path = save(tmp_path / "n.npz", **members(step_attention_data=objects(entries)))
    assert "--mask-token-id" in refused(tmp_path, path)
    path = save(tmp_path / "n.npz", **members(layer_0_full_attention=maps(T, T), layer_1_full_attention=maps(9, 9)))
    assert "is of shape [9, 9]" in refused(tmp_path, path)
    (tmp_path / "z.npz").write_bytes(b"not a zip")
    assert "no zip file" in refused(tmp_path, tmp_path / "z.npz")
    assert "cannot open" in refused(tmp_path, tmp_path / "nowhere.npz", code=3)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
def test_whole_numbers_and_truth_values(tmp_path, dtype):
    f, _ = imported(tmp_path, **members(layer_0_full_attention=np.eye(T, dtype=dtype)))
    with f:
        assert f.attrs["causality"] == b"causal"
        np.testing.assert_array_equal(f["maps/attention"][0, 0, 0], np.eye(T - 1))


def test_token_ids_that_do_not_fit_are_said(tmp_path):
    arrays = members(layer_0_full_attention=maps(T, T), full_sequence_ids=np.arange(T - 2))
    arrays["answer_tokens"] = np.arange(50)
    f, said = imported(tmp_path, **arrays)
    with f:
        assert (f["final_id"][()] == -1).all() if "final_id" in f else (f["token_id"][()] == -1).all()
        left_out = json.loads(f.attrs["origin"])["left_out"]
    for text in (f"answer_tokens (50 ids where {T - PROMPT} were generated)",
                 f"full_sequence_ids ({T - 2} ids where maps are of {T})"):
        assert text in said["left_out"] and text in left_out


def test_no_import_takes_the_place_of_its_file(tmp_path):
    path = save(tmp_path / "a.npz", **members(layer_0_full_attention=maps(T, T)))
    before = path.read_bytes()
    done = attntrace("import", path, "--output", path, "--force")
    assert done.returncode == 2 and "over what is read" in done.stderr and path.read_bytes() == before


def test_an_existing_trace_stays(tmp_path):
    path = save(tmp_path / "a.npz", **members(layer_0_full_attention=maps(T, T)))
    (tmp_path / "out.h5").write_text("mine")
    done = attntrace("import", path, "--output", tmp_path / "out.h5")
    assert done.returncode == 2 and "--force" in done.stderr and (tmp_path / "out.h5").read_text() == "mine"


def test_compressed_and_damaged(tmp_path):
    arrays = members(layer_0_full_attention=maps(T, T))
    np.savez_compressed(tmp_path / "c.npz", **arrays)
    answer("import", tmp_path / "c.npz", "--output", tmp_path / "c.h5")
    data = bytearray((tmp_path / "c.npz").read_bytes())
    path = save(tmp_path / "s.npz", **arrays)
    stored = bytearray(path.read_bytes())
    at = stored.find(np.float32(arrays["layer_0_full_attention"][3, 3]).tobytes())
    stored[at + 1] ^= 1
    path.write_bytes(stored)
    assert "layer_0_full_attention.npy" in refused(tmp_path, path)
    path.write_bytes(data[: len(data) // 2])
    assert "no zip file" in refused(tmp_path, path)


def test_memory_stays_small(tmp_path):
    """60 MB of maps and 40 MB of pickled ones in far less memory."""
    size = 800
    uniform = np.full((size, size), 1 / size, np.float32)
    arrays = {f"layer_{n}_full_attention": uniform for n in range(24)}
    path = save(tmp_path / "m.npz", **members(**arrays))
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)" \
        "; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    said = subprocess.run(
        [sys.executable, "-c", code, ATTNTRACE, "import", path, "--prompt-length", "5", "--output", tmp_path / "m.h5"],
        capture_output=True, text=True, check=True)
    assert int(said.stdout) < 150_000, f"{said.stdout} kB"


def mutated(data, rng):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        if not data:
            break
        at = rng.randrange(len(data))
        kind = rng.randrange(4)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.choice([0, 1, 0x28, 0x2e, 0x52, 0x62, 0x94, 0x7f, 0x80, 0xff])
        elif kind == 2:
            del data[at:at + rng.randrange(1, 9)]
        else:
            data[at:at] = data[max(0, at - rng.randrange(1, 9)):at]
    return bytes(data)


def test_mutated_files(tmp_path):
    """Every mutation ends with a trace or a sentence: never a crash, never a scratch file. IMPORT_FUZZ=5000 of them."""
    entries, _, final = generation(2)
    whole = save(tmp_path / "whole.npz", **members(full_sequence_ids=final)).read_bytes()
    pickled = pickle.dumps(objects(entries), 4)
    rng = random.Random(5)
    count = int(os.environ.get("IMPORT_FUZZ", 90))

    def one(index):
        path = tmp_path / f"{index}.npz"
        path.write_bytes(whole)
        if index % 3:
            add_member(path, "step_attention_data", mutations[index], (2,))
        else:
            add_member(path, "step_attention_data", pickled, (2,))
            path.write_bytes(mutated(path.read_bytes(), random.Random(index)))
        done = attntrace(
            "import", path, "--output", tmp_path / f"{index}.h5", "--mask-token-id", MASK, timeout=60)
        assert done.returncode in (0, 1, 2), (index, done.returncode, done.stderr)
        assert "crash" not in done.stderr and "memory" not in done.stderr, (index, done.stderr)
        assert done.returncode == 0 or done.stderr.startswith("attntrace: "), (index, done.stderr)
        path.unlink()
        (tmp_path / f"{index}.h5").unlink(missing_ok=True)
        return done.returncode

    mutations = [mutated(pickled, rng) for _ in range(count)]
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(one, range(count)))
    assert codes.count(0) > 0 and codes.count(1) > count // 4
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["whole.npz"]
