"""capture --prompts: many prompts, a trace each."""

import json
import os
import re
import signal
import subprocess
import time

import h5py
import pytest

from support import ATTNTRACE, answer, answer_json, attntrace, heed_signals, read_all, root_attributes, same, text
from test_terminal import in_terminal, shell

OPTIONS = ["--gen-length", 16, "--block-length", 8, "--record", "received"]
PROMPTS = [
    {"id": "first", "prompt": "In the beginning", "answers": ["God", "the \"LORD\""]},
    {"prompt": "And it came to pass"},
    {"id": 7, "prompt": "The king of Israel"},
    {"id": "b.1_x-", "prompt": "And Moses said"},
]
IDS = ["first", "2", "7", "b.1_x-"]


def write(path, prompts):
    path.write_text("".join((p if isinstance(p, str) else json.dumps(p)) + "\n" for p in prompts))
    return path


@pytest.fixture
def prompts(tmp_path):
    return write(tmp_path / "prompts.jsonl", PROMPTS)


def run(prompts, folder, *options, code=0):
    """One JSON object a prompt, the summary, and what was said."""
    done = attntrace("capture", "--prompts", prompts, "--output", folder, "--json", *(options or OPTIONS))
    assert done.returncode == code, done.stderr
    *results, last = [json.loads(line) for line in done.stdout.splitlines()]
    return results, last["summary"], done.stderr


def assert_same(a, b):
    """Two traces hold the same; what they say of where it came from, such as the prompt's id, may differ."""
    a, b = ({name: values for name, values in read_all(path).items() if "content" not in name} for path in (a, b))
    assert a.keys() == b.keys()
    assert [name for name in a if not same(a[name], b[name])] == []


def statuses(results):
    return {result["id"]: result["status"] for result in results}


def traces(folder):
    return {path.name for path in folder.iterdir()}


def test_a_trace_a_prompt(prompts, tmp_path):
    results, summary, said = run(prompts, tmp_path / "out")
    assert [r["id"] for r in results] == IDS and [r["line"] for r in results] == [1, 2, 3, 4]
    assert set(statuses(results).values()) == {"done"}
    assert traces(tmp_path / "out") == {f"{id}.h5" for id in IDS}
    assert summary["done"] == 4 and summary["bytes"] == sum(r["bytes"] for r in results)
    for place, (id, prompt) in enumerate(zip(IDS, PROMPTS), start=1):
        path = tmp_path / "out" / f"{id}.h5"
        attributes = root_attributes(path)
        assert attributes["prompt"] == prompt["prompt"] and attributes["prompt_id"] == id
        answers = attributes.get("gold_answers")
        assert (json.loads(answers) if answers else None) == prompt.get("answers")
        # As if captured alone.
        alone = tmp_path / f"{id}.h5"
        answer("capture", "--prompt", prompt["prompt"], "--output", alone, *OPTIONS)
        assert_same(path, alone)
        assert re.search(rf"^\[{place}/4\] {re.escape(id)}: done, [\d.]+ .?B, [\d.]+ s", said, re.M)
    answer("verify", "--deep", *(tmp_path / "out" / f"{id}.h5" for id in IDS))


def test_what_is_done_is_skipped(prompts, tmp_path):
    folder = tmp_path / "out"
    run(prompts, folder)
    before = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()}
    results, summary, said = run(prompts, folder)
    assert set(statuses(results).values()) == {"skipped"} and summary["skipped"] == 4 and summary["bytes"] == 0
    assert before == {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()}
    assert said.count("skipped: finished already") == 4
    # Threads change nothing; --record auto takes what is there.
    results, _, _ = run(prompts, folder, "--gen-length", 16, "--block-length", 8, "--threads", 1)
    assert set(statuses(results).values()) == {"skipped"}
    (folder / "7.h5").unlink()
    results, summary, _ = run(prompts, folder)
    assert statuses(results) == {"first": "skipped", "2": "skipped", "7": "done", "b.1_x-": "skipped"}


@pytest.mark.parametrize("other, names", [
    (["--seed", 1, *OPTIONS], "seed is 1, but 0"), (["--gen-length", 8, "--record", "received"], "gen_length"),
    ([*OPTIONS[:-1], "maps"], "signals is"), (["--model", "tiny-ar", "--gen-length", 16, "--record", "received"], "model_name"),
])
def test_other_settings_are_refused(prompts, tmp_path, other, names):
    folder = tmp_path / "out"
    run(write(prompts, PROMPTS[:1]), folder)
    write(prompts, PROMPTS[:2])
    before = (folder / "first.h5").read_bytes()
    results, summary, said = run(prompts, folder, *other, code=1)
    assert statuses(results) == {"first": "failed", "2": "done"} and summary["failed"] == 1
    assert names in results[0]["reason"] and "--force" in results[0]["reason"] and results[0]["reason"] in said
    assert (folder / "first.h5").read_bytes() == before
    # --force replaces what is of other settings, and keeps the rest.
    results, _, _ = run(prompts, folder, "--force", *other)
    assert statuses(results) == {"first": "done", "2": "skipped"}
    assert root_attributes(folder / "first.h5")["sampler_parameters"] == root_attributes(folder / "2.h5")["sampler_parameters"]


def test_another_prompt_under_the_same_id(prompts, tmp_path):
    run(prompts, tmp_path / "out")
    write(prompts, [{**PROMPTS[0], "prompt": "In the end"}, {**PROMPTS[2], "answers": ["David"]}])
    results, _, _ = run(prompts, tmp_path / "out", code=1)
    assert statuses(results) == {"first": "failed", "7": "failed"}
    # What is first compared: the answers are told before the prompt is.
    assert "prompt is" in results[0]["reason"] and "gold_answers is" in results[1]["reason"]


def start(*arguments):
    return subprocess.Popen(
        [ATTNTRACE, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, preexec_fn=heed_signals)


def wait_for_steps(path, process):
    """Until a partial file is there that has steps."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, process.stderr.read()
        said = attntrace("info", path, "--json")
        if said.returncode == 0 and json.loads(said.stdout)["committed_steps"] >= 2:
            return
        time.sleep(0.01)
    raise AssertionError("no step was committed")


# Guidance makes it slow without making it large.
LONG = ["--gen-length", 96, "--cfg-scale", 1, "--record", "received", "--threads", 1]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_and_taken_up(prompts, tmp_path, how):
    folder = tmp_path / "out"
    write(prompts, PROMPTS[:2])
    batch = start("capture", "--prompts", prompts, "--output", folder, *LONG)
    wait_for_steps(folder / "2.h5.partial", batch)
    batch.send_signal(how)
    _, said = batch.communicate(timeout=60)
    assert batch.returncode == -how
    if how != signal.SIGKILL:
        assert "stopping after this step" in said
        assert re.search(r"attntrace: stopped: 1 done, 0 skipped, 0 failed of 2 prompts.*the same command goes on", said)
    assert traces(folder) >= {"first.h5", "2.h5.partial"} and "2.h5" not in traces(folder)
    results, summary, _ = run(prompts, folder, *LONG)
    assert statuses(results) == {"first": "skipped", "2": "done"}
    assert results[1]["resumed_from_step"] >= 2 and summary["resumed"] == 1
    assert traces(folder) == {"first.h5", "2.h5"}
    alone = tmp_path / "alone.h5"
    answer("capture", "--prompt", PROMPTS[1]["prompt"], "--output", alone, *LONG)
    assert_same(folder / "2.h5", alone)


def killed(prompts, tmp_path):
    """The folder of a batch of one prompt that was killed on its way."""
    folder = tmp_path / "out"
    write(prompts, PROMPTS[:1])
    batch = start("capture", "--prompts", prompts, "--output", folder, *LONG)
    wait_for_steps(folder / "first.h5.partial", batch)
    batch.kill()
    batch.communicate()
    return folder


def test_a_partial_of_other_settings(prompts, tmp_path):
    folder = killed(prompts, tmp_path)
    results, _, _ = run(prompts, folder, "--seed", 5, *LONG, code=1)
    assert "seed is 5, but 0" in results[0]["reason"] and traces(folder) == {"first.h5.partial"}
    results, _, _ = run(prompts, folder, "--seed", 5, "--force", *LONG)
    assert results[0]["resumed_from_step"] is None and traces(folder) == {"first.h5"}


@pytest.mark.parametrize("selection", [["--layers", "0,2"], ["--heads", 1]])
def test_suppressed_sinks_of_a_selection_begin_again(prompts, tmp_path, selection):
    """What the last step suppressed is not all in the trace: the same command goes on by beginning the prompt again."""
    folder, path = tmp_path / "out", tmp_path / "alone.h5"
    options = [*LONG, "--suppress-sinks", 2, *selection]
    write(prompts, PROMPTS[:1])
    one = ["capture", "--prompt", PROMPTS[0]["prompt"], "--output", path, *options]
    batch, alone = start("capture", "--prompts", prompts, "--output", folder, *options), start(*one)
    for process, partial in [(batch, folder / "first.h5.partial"), (alone, f"{path}.partial")]:
        wait_for_steps(partial, process)
        process.send_signal(signal.SIGTERM)
    for process in [batch, alone]:
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGTERM
    # Another run is not thrown away for it.
    results, _, _ = run(prompts, folder, "--seed", 1, *options, code=1)
    assert "seed is 1, but 0" in results[0]["reason"] and traces(folder) == {"first.h5.partial"}
    results, summary, said = run(prompts, folder, *options)
    assert results[0]["status"] == "done" and results[0]["resumed_from_step"] is None and summary["resumed"] == 0
    assert "first: " in said and "first.h5: begins again: " in said and traces(folder) == {"first.h5"}
    done = attntrace(*one, "--resume")
    assert done.returncode == 0 and "begins again" in done.stderr
    assert_same(folder / "first.h5", path)


def test_one_that_does_not_repeat_is_forced(prompts, tmp_path):
    folder = killed(prompts, tmp_path)
    partial = folder / "first.h5.partial"
    # As if another machine had computed its last step.
    with h5py.File(partial, "r", libver="latest", swmr=True) as f:
        step = int(f["committed_steps"][()]) - 1
        info = f["confidence"].id.get_chunk_info_by_coord((step, 0))
        place = int((f["confidence"][step] > 0).argmax())
    raw = bytearray(partial.read_bytes())
    raw[info.byte_offset + 4 * place] ^= 1
    partial.write_bytes(raw)
    results, _, _ = run(prompts, folder, *LONG, code=1)
    assert f"step {step}, run again, does not give" in results[0]["reason"] and "--force" in results[0]["reason"]
    results, _, _ = run(prompts, folder, "--force", *LONG)
    assert results[0]["status"] == "done" and results[0]["resumed_from_step"] is None


def test_a_signal_sent_twice_at_once_is_one(prompts, tmp_path):
    """As timeout(1) does; a second one later ends the program at once."""
    folder = tmp_path / "out"
    write(prompts, PROMPTS[:1])
    batch = start("capture", "--prompts", prompts, "--output", folder, *LONG)
    wait_for_steps(folder / "first.h5.partial", batch)
    # Both are pending when it runs again: they reach it one after the other.
    batch.send_signal(signal.SIGSTOP)
    batch.send_signal(signal.SIGTERM)
    batch.send_signal(signal.SIGINT)
    batch.send_signal(signal.SIGCONT)
    _, said = batch.communicate(timeout=60)
    assert batch.returncode < 0 and "stopped: 0 done" in said, said


def test_bound_processors_are_all_for_the_writer(prompts, tmp_path):
    """Its threads are started by one that is bound to a single processor."""
    usable = sorted(os.sched_getaffinity(0))[:2]
    if len(usable) < 2:
        pytest.skip("there is one processor")
    folder = tmp_path / "out"
    write(prompts, PROMPTS[:1])
    asked = ",".join(map(str, usable))
    options = [*LONG[:-2], "--affinity", asked, "--record", "maps"]
    batch = start("capture", "--prompts", prompts, "--output", folder, *options)
    wait_for_steps(folder / "first.h5.partial", batch)
    masks = [os.sched_getaffinity(int(thread)) for thread in os.listdir(f"/proc/{batch.pid}/task")]
    batch.kill()
    batch.communicate()
    assert {usable[0]} in masks and {usable[1]} in masks and set(usable) in masks, masks


@pytest.mark.parametrize("blocks", ["file", "folder"])
def test_a_folder_that_cannot_be(prompts, tmp_path, blocks):
    (tmp_path / "out").write_text("")
    folder = tmp_path / "out" if blocks == "file" else tmp_path / "out" / "more"
    done = attntrace("capture", "--prompts", prompts, "--output", folder, *OPTIONS)
    assert done.returncode == 3 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"attntrace: {folder}: cannot create the folder: ") and "Error" not in done.stderr


@pytest.mark.parametrize("line, names", [
    (b'{"prompt": "a\xff"}', "is not valid UTF-8"), (b'{"prompt": "a\\ud800"}', "half a surrogate pair"),
    (b'{"id": 1e400, "prompt": "a"}', "id is a number that is not an integer"),
    (b'{"prompt": "a", "prompt": "b"}', 'the key "prompt" twice'),
    (b'{"prompt": "a", "documents": [{"text": "b", "text": "c"}]}', 'the key "text" twice'),
])
def test_lines_that_are_not_quite_json(tmp_path, line, names):
    (tmp_path / "p.jsonl").write_bytes(b'{"prompt": "good"}\n' + line + b"\n")
    done = attntrace("capture", "--prompts", tmp_path / "p.jsonl", "--output", tmp_path / "out", *OPTIONS)
    assert done.returncode == 1 and f"p.jsonl:2: " in done.stderr and names in done.stderr, done.stderr


def test_one_that_is_being_written_is_left_alone(prompts, tmp_path):
    folder = tmp_path / "out"
    write(prompts, PROMPTS[:1])
    batch = start("capture", "--prompts", prompts, "--output", folder, *LONG)
    wait_for_steps(folder / "first.h5.partial", batch)
    batch.send_signal(signal.SIGSTOP)
    try:
        for options in (LONG, [*LONG, "--force"], [*LONG, "--seed", 2, "--force"]):
            results, _, _ = run(prompts, folder, *options, code=1)
            assert "another capture is writing it now" in results[0]["reason"]
    finally:
        batch.send_signal(signal.SIGCONT)
    batch.communicate(timeout=60)
    assert batch.returncode == 0 and traces(folder) == {"first.h5"}


def test_documents_that_resume(prompts, tmp_path):
    """Regions survive a kill."""
    folder = tmp_path / "out"
    line = {"id": "d", "prompt": "And he said", "documents": [{"text": "The king went up.", "gold": True}]}
    write(prompts, [line])
    batch = start("capture", "--prompts", prompts, "--output", folder, *LONG)
    wait_for_steps(folder / "d.h5.partial", batch)
    batch.kill()
    batch.communicate()
    results, _, _ = run(prompts, folder, *LONG)
    assert results[0]["resumed_from_step"] >= 2
    run(prompts, tmp_path / "other", *LONG)
    assert_same(folder / "d.h5", tmp_path / "other" / "d.h5")
    assert "region" in read_all(folder / "d.h5")
    answer("verify", "--deep", folder / "d.h5")


def test_shards(tmp_path):
    prompts = write(tmp_path / "p.jsonl", [{"prompt": f"Chapter {i}"} for i in range(1, 8)])
    seen = []
    short = ["--gen-length", 4, "--record", "received"]
    for i in (1, 2, 3):
        results, summary, _ = run(prompts, tmp_path / "out", "--shard", f"{i}/3", *short)
        assert [r["line"] for r in results] == list(range(i, 8, 3)) and summary["prompts"] == len(results)
        assert set(statuses(results).values()) == {"done"}
        seen += [r["id"] for r in results]
    assert sorted(seen) == [str(i) for i in range(1, 8)]
    results, summary, _ = run(prompts, tmp_path / "out", *short)
    assert summary["skipped"] == 7
    # More jobs than prompts: some have nothing to do.
    results, summary, _ = run(prompts, tmp_path / "out", "--shard", "9/9", *short)
    assert results == [] and summary["prompts"] == 0


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_bad_shards(prompts, tmp_path, shard):
    done = attntrace("capture", "--prompts", prompts, "--output", tmp_path / "out", f"--shard={shard}")
    assert done.returncode == 2 and "shard" in done.stderr and not (tmp_path / "out").exists()


def test_a_failure_does_not_stop_the_rest(prompts, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.1_x-.h5").write_text("not a trace")
    write(prompts, [*PROMPTS[:2], {"id": "long", "prompt": "word " * 300}, *PROMPTS[2:]])
    results, summary, said = run(prompts, tmp_path / "out", code=1)
    assert statuses(results) == {"first": "done", "2": "done", "long": "failed", "7": "done", "b.1_x-": "failed"}
    assert summary["failed"] == 2
    assert f"{prompts}:3: long: " in said and "the model takes 128" in said
    assert f"{prompts}:5: b.1_x-: " in said and "not an attention trace" in said
    # Said, and counted, for people as well.
    done = attntrace("capture", "--prompts", prompts, "--output", tmp_path / "out", *OPTIONS)
    assert done.returncode == 1
    assert done.stdout.startswith("0 done, 3 skipped, 2 failed (long, b.1_x-) of 5 prompts; 0 B, ")
    results, _, _ = run(prompts, tmp_path / "out", "--force", *OPTIONS, code=1)
    assert [r["id"] for r in results if r["status"] == "done"] == ["b.1_x-"]


DOCUMENT = {"text": "The king went up."}


@pytest.mark.parametrize("line, names", [
    ("{", "JSON"), ("[1]", "an array, not an object"), ('"text"', "a string, not an object"),
    ({}, "neither prompt nor messages"), ({"prompt": 3}, "prompt is an integer; it must be a string"),
    ({"prompt": "a", "messages": []}, "both prompt and messages"), ({"prompt": "a", "promt": "b"}, 'a field "promt"'),
    ({"messages": []}, "none of role user"), ({"messages": [{"role": "user"}]}, "messages[0].content is missing"),
    ({"messages": [{"role": "user", "content": "a", "name": "b"}]}, 'messages[0] has a field "name"'),
    ({"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}], "system": "c"}, "system is given twice"),
    ({"prompt": "a", "system": "b"}, "a system's text is for a conversation"), ({"prompt": "a", "answers": "b"}, "answers is a string; it must be a list"),
    ({"prompt": "a", "answers": [1]}, "answers[0] is an integer"), ({"prompt": "a", "id": ""}, "cannot name a file"),
    ({"prompt": "a", "id": "../a"}, "cannot name a file"), ({"prompt": "a", "id": ".a"}, "cannot name a file"),
    ({"prompt": "a", "id": "-a"}, "cannot name a file"), ({"prompt": "a", "id": "ä"}, "cannot name a file"),
    ({"prompt": "a", "id": "a" * 201}, "cannot name a file"), ({"prompt": "a", "id": 1.5}, "id is a number"),
    ({"prompt": "a", "id": "2"}, 'id "2" is that of line 2 too'), ({"prompt": "a", "documents": [{"title": "b"}]}, "documents[0].text is missing"),
    ({"prompt": "a", "documents": [{"text": ""}]}, "documents[0].text is empty"),
    ({"prompt": "a", "documents": ["b"]}, "documents[0] is a string; it must be an object"),
    ({"prompt": "a", "documents": [{**DOCUMENT, "gold": 1}]}, "documents[0].gold is an integer"),
    ({"prompt": "a", "documents": [{**DOCUMENT, "score": 1}]}, 'documents[0] has a field "score"'),
    ({"prompt": "{documents} {documents}", "documents": [DOCUMENT]}, "says {documents} 2 times"),
])
def test_bad_lines(tmp_path, line, names):
    """Every line is looked at before the model is loaded."""
    prompts = write(tmp_path / "p.jsonl", [PROMPTS[0], PROMPTS[1], "", line])
    for command in ("capture", "plan"):
        done = attntrace(command, "--prompts", prompts, "--output", tmp_path / "out", *OPTIONS)
        assert done.returncode == 1 and done.stdout == "" and not (tmp_path / "out").exists()
        assert done.stderr.startswith(f"attntrace: {prompts}:4: ") and names in done.stderr
        assert done.stderr.count("\n") == 1


def test_bad_files_and_options(prompts, tmp_path):
    def refused(code, *arguments):
        done = attntrace("capture", *arguments)
        assert done.returncode == code and done.stdout == ""
        return done.stderr

    assert "no such file" in refused(3, "--prompts", tmp_path / "none", "--output", tmp_path / "out").lower()
    assert "not a file" in refused(3, "--prompts", tmp_path, "--output", tmp_path / "out")
    (tmp_path / "empty").write_text("\n\n")
    assert "holds no prompt" in refused(1, "--prompts", tmp_path / "empty", "--output", tmp_path / "out")
    (tmp_path / "latin").write_bytes(b'{"prompt": "\xe9"}\n')
    assert "latin:1: " in refused(1, "--prompts", tmp_path / "latin", "--output", tmp_path / "out")
    assert "--output" in refused(2, "--prompts", prompts)
    assert "--prompts" in refused(2, "--prompts", prompts, "--prompt", "a", "--output", tmp_path / "out")
    assert "--prompts" in refused(2, "--prompt", "a", "--shard", "1/2", "--output", tmp_path / "out")
    # An option that the model does not have is wrong for every prompt.
    said = refused(2, "--prompts", prompts, "--model", "tiny-ar", "--steps", 3, "--output", tmp_path / "out")
    assert "--steps" in said and said.count("\n") == 1


def test_line_breaks_and_marks_of_other_systems(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "a", "prompt": "one"}\r\n \r\n{"prompt": "two"}')
    results, _, _ = run(path, tmp_path / "out", "--gen-length", 4)
    assert [(r["id"], r["line"]) for r in results] == [("a", 1), ("3", 3)]


def regions(path):
    """Text of each region's prompt tokens, its kind, and whether it is gold."""
    with h5py.File(path) as f:
        texts = dict(zip(f["vocab_id"][()], text(f["vocab_text"][()])))
        ids, of = f["final_id"][()], f["region"][()]
        length = int(f.attrs["prompt_length"])
        names, kinds = text(f["region_name"][()]), text(f["region_kind"][()])
        said = ["".join(texts[id] for id, r in zip(ids[:length], of[:length]) if r == n) for n in range(len(names))]
        return list(zip(names, kinds, map(bool, f["region_gold"][()]), said))


def words(text):
    return text.replace("Ġ", " ").replace("Ċ", "\n").replace("<|startoftext|>", "")


def test_documents(tmp_path):
    documents = [{"title": "Kings", "text": "The king went up."}, {"text": "And David sang.", "gold": True}]
    prompts = write(tmp_path / "p.jsonl", [
        {"id": "before", "prompt": "Who sang?", "documents": documents},
        {"id": "inside", "prompt": "Read: {documents}\nWho sang?", "documents": documents},
        {"id": "none", "prompt": "Read: {documents}\nWho sang?", "documents": []},
        {"id": "plain", "prompt": "Read: {documents}"},
    ])
    run(prompts, tmp_path / "out", "--gen-length", 4)
    prompt = {id: root_attributes(tmp_path / "out" / f"{id}.h5")["prompt"] for id in ("before", "inside", "none", "plain")}
    joined = "Kings\nThe king went up.\n\nAnd David sang."
    assert prompt == {
        "before": f"{joined}\n\nWho sang?", "inside": f"Read: {joined}\nWho sang?", "none": "Read: \nWho sang?",
        "plain": "Read: {documents}"}
    for id in ("before", "inside"):
        found = [(name, kind, gold, words(said).strip()) for name, kind, gold, said in regions(tmp_path / "out" / f"{id}.h5")]
        assert ("Kings", "document", False, "Kings\nThe king went up.") in found
        assert ("document 2", "document", True, "And David sang.") in found
        assert found[-1][1] == "answer"
    assert "region" not in read_all(tmp_path / "out" / "plain.h5")


def test_conversations(tmp_path):
    prompts = write(tmp_path / "p.jsonl", [
        {"id": "c", "system": "Be.", "messages": [{"role": "user", "content": "Who?"}], "documents": [{"text": "He."}]}])
    run(prompts, tmp_path / "out", "--gen-length", 4, "--record", "received", "--chat-template", "llada")
    attributes = root_attributes(tmp_path / "out" / "c.h5")
    assert attributes["prompt"] == (
        "<|startoftext|><|start_header_id|>system<|end_header_id|>\n\nBe.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHe.\n\nWho?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n")
    # --chat and --system are for the lines that do not say it themselves.
    write(prompts, [{"id": "own", "system": "Be.", "prompt": "Who?"}, {"id": "option", "prompt": "Who?"}])
    run(prompts, tmp_path / "out", "--gen-length", 4, "--chat", "--system", "Do.", "--chat-template", "mmada")
    said = [root_attributes(tmp_path / "out" / f"{id}.h5")["prompt"] for id in ("own", "option")]
    header = "<|start_header_id|>{}<|end_header_id|>\n"
    assert said == [
        f"<|startoftext|>{header.format('system')}{system}<|eot_id|>{header.format('user')}Who?<|eot_id|>"
        + header.format("assistant") for system in ("Be.", "Do.")]
    kinds = [kind for _, kind, _, _ in regions(tmp_path / "out" / "c.h5")]
    assert kinds[0] == "template" and {"system", "user", "document", "answer"} <= {*kinds}


def test_plan_of_a_batch(prompts, tmp_path):
    said = answer_json("plan", "--prompts", prompts, "--json", *OPTIONS)
    assert [p["id"] for p in said["prompts"]] == IDS and not (tmp_path / "out").exists()
    alone = [answer_json("plan", "--prompt", p["prompt"], "--json", *OPTIONS) for p in PROMPTS]
    assert [p["largest_bytes"] for p in said["prompts"]] == [a["trace"]["largest_bytes"] for a in alone]
    assert said["estimated_bytes"] == sum(a["trace"]["estimated_bytes"] for a in alone)
    assert said["memory"] == max(a["memory"]["total"] for a in alone)
    assert "4 traces: up to " in answer("plan", "--prompts", prompts, *OPTIONS)
    write(prompts, [*PROMPTS, {"id": "long", "prompt": "word " * 300}])
    done = attntrace("plan", "--prompts", prompts, *OPTIONS)
    assert done.returncode == 1 and f"{prompts}:5: long: " in done.stderr and "4 traces" in done.stdout


def test_on_a_terminal(prompts, tmp_path):
    """One line, written over; what stays is the failure and the summary."""
    write(prompts, [*PROMPTS[:2], {"id": "long", "prompt": "word " * 300}, *PROMPTS[2:]])
    command = shell("capture", "--prompts", prompts, "--output", tmp_path / "out", *OPTIONS)
    said = in_terminal(f"{command}; test $? = 1", columns=120)
    shown = re.findall(r"\rprompt (\d)/5 (\S+)  step (\d+)/16  [\d.]+ steps/s  (\d+ s) left\x1b\[K", said)
    assert [*dict.fromkeys(id for _, id, _, _ in shown)] == IDS
    assert shown[-1][3] == "0 s" and [int(n) for n, _, _, _ in shown] == sorted(int(n) for n, _, _, _ in shown)
    plain = [line.rsplit("\r", 1)[-1] for line in said.replace("\x1b[K", "").replace("\r\n", "\n").rstrip("\n").split("\n")]
    assert len(plain) == 2 and plain[0].startswith(f"attntrace: {prompts}:3: long: ") and "4 done" in plain[1]


def test_one_run_says_what_it_did(tmp_path):
    path = tmp_path / "out.h5"
    options = ["--prompt", "In the beginning", "--gen-length", 96, "--threads", 1, "--output", path]
    capture = start("capture", *options)
    wait_for_steps(f"{path}.partial", capture)
    capture.send_signal(signal.SIGINT)
    out, said = capture.communicate(timeout=60)
    assert capture.returncode == -signal.SIGINT and out == ""
    kept = int(re.search(rf"stopped after step (\d+) of 96, which are kept in {re.escape(str(path))}.partial: ", said)[1])
    assert "--resume goes on" in said
    assert answer_json("info", f"{path}.partial", "--json")["committed_steps"] == kept
    first, why, resumed, *_ = answer("capture", "--resume", *options).splitlines()
    assert first.startswith(f"{path}: 96 steps x ")
    assert why.startswith("recorded as ") and "as it was begun" in why and resumed == f"resumed after step {kept} of 96"
    # Again: nothing is left to do.
    before = path.stat().st_mtime_ns
    said = answer("capture", "--resume", *options)
    assert "finished already, with the same settings" in said and path.stat().st_mtime_ns == before
    assert answer_json("capture", "--resume", "--json", *options)["status"] == "skipped"
    refused = attntrace("capture", "--resume", "--seed", 4, *options)
    assert refused.returncode == 2 and "seed is 4, but 0" in refused.stderr
    assert attntrace("capture", *options).returncode == 2


def test_a_line_break_at_the_end_of_a_prompt_file(tmp_path):
    for name, content, prompt in [
        ("unix", b"Line\n", "Line"), ("windows", b"Line\r\n", "Line"), ("two", b"Line\n\n", "Line\n"), ("bare", b"Line", "Line")]:
        (tmp_path / name).write_bytes(content)
        answer("capture", "--prompt-file", tmp_path / name, "--gen-length", 4, "--output", tmp_path / f"{name}.h5")
        assert root_attributes(tmp_path / f"{name}.h5")["prompt"] == prompt
