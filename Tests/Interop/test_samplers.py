"""Each published sampler on the command line: the file it makes is whole, and says what the sampler did."""

import json
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest

from support import ATTNTRACE, PROMPT, REPO, answer, attntrace, capture, read_all, root_attributes, same

MODELS = REPO / "Tests/Fixtures/model"
IDS = ["--token-ids", "1,2,3", "--record", "maps"]
DREAM = ["--model", MODELS / "dream-sharded-f32", *IDS, "--max-new-tokens", 8]
MMADA = ["--model", MODELS / "mmada-f32", *IDS, "--gen-length", 8, "--block-length", 4]
LLADA = ["--prompt", PROMPT, "--gen-length", 16, "--block-length", 8, "--record", "maps"]
CAUSAL = ["--model", "tiny-ar", "--prompt", PROMPT, "--max-new-tokens", 12, "--record", "maps"]

RUNS = {
    "dream": DREAM,
    "dream_entropy": [*DREAM, "--alg", "entropy", "--temperature", 0.2, "--top-p", 0.95, "--alg-temp", 0.1],
    "dream_margin": [*DREAM, "--alg", "topk_margin", "--temperature", 0, "--top-k", "none", "--steps", 5, "--eps", 0.01],
    "dream_maskgit": [*DREAM, "--alg", "maskgit_plus", "--temperature", 0, "--record", "qk"],
    "dream_threshold": [*DREAM, "--threshold", 0.06, "--temperature", 0],
    "dream_masked_start": [*DREAM, "--token-ids", "70,70,3", "--alg", "entropy"],
    "mmada": MMADA,
    "mmada_guided": [*MMADA, "--cfg-scale", 1, "--temperature", 1],
    "llada_ends": [*LLADA, "--logits-eos-inf", "--confidence-eos-eot-inf", "--eot-token", 5],
    "llada_threshold": [*LLADA, "--threshold", 0.05],
    "llada_factor": [*LLADA, "--factor", 1.5],
    "llada_as_mmada": [*LLADA, "--sampler", "mmada"],
    "causal_filtered": [*CAUSAL, "--temperature", 0.8, "--top-k", 20, "--top-p", 0.9],
    "causal_penalty": [*CAUSAL, "--repetition-penalty", 1.3],
}


@pytest.mark.parametrize("name", RUNS)
def test_each_sampler_makes_a_whole_trace(tmp_path, name):
    path = tmp_path / "a.h5"
    answer("capture", *RUNS[name], "--output", path)
    answer("verify", "--deep", path)
    data, attributes = read_all(path), root_attributes(path)
    assert attributes["sampler"] == {"causal": "autoregressive"}.get(name.split("_")[0], name.split("_")[0]) or \
        name == "llada_as_mmada" and attributes["sampler"] == "mmada"
    offset = int(attributes["prediction_offset"])
    assert offset == (0 if name.startswith(("llada", "mmada")) else 1)
    prompt = len(data["position"]) - len(data["generated"])
    for place, position in enumerate(data["generated"]):
        step = data["answer/source_step"][place]
        assert step == data["unmask_step"][position]
        query = max(0, position - offset) if step >= 0 else -1
        assert data["answer/source_query"][place] == query
        if step >= 0 and "maps/attention" in data:
            row = data["maps/attention"][0 if name.startswith("causal") else step][:, :, query]
            assert same(data["answer/attention"][place], row)
    assert prompt == (3 if "--token-ids" in RUNS[name] else prompt)


def test_parallel_decoding_takes_fewer_steps_than_planned(tmp_path):
    path = capture(tmp_path / "a.h5", *LLADA[2:], "--threshold", 0.05)
    attributes = root_attributes(path)
    with h5py.File(path, "r") as f:
        steps = int(f["committed_steps"][()])
        assert f["step"].shape == (steps,) and f["is_complete"][()] == 1
        assert 2 <= steps < int(attributes["planned_steps"]) == 16
        scores, order = f["transfer_score"][()], f["unmask_step"][()]
    for step in range(steps):
        kept = scores[step][order == step]
        assert len(kept) >= 1 and (np.sort(kept)[::-1][1:] >= 0.05).all()
    assert read_all(path)["unmask_step"].max() == steps - 1


def test_dreams_first_step_writes_nothing(tmp_path):
    path = tmp_path / "a.h5"
    answer("capture", *DREAM, "--alg", "entropy", "--temperature", 0, "--output", path)
    steps = read_all(path)["unmask_step"][3:]
    counts = [int((steps == step).sum()) for step in range(8)]
    assert counts[0] == 0 and counts[7] >= 1


@pytest.mark.parametrize("options", [
    [*LLADA, "--gen-length", 64, "--threshold", 0.1], [*DREAM, "--max-new-tokens", 56, "--alg", "origin"],
], ids=["llada_threshold", "dream_origin"])
def test_a_killed_run_is_taken_up(tmp_path, options):
    whole = tmp_path / "whole.h5"
    answer("capture", *options, "--output", whole)
    path = tmp_path / "a.h5"
    command = [ATTNTRACE, "capture", *map(str, options), "--output", str(path)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    partial = tmp_path / "a.h5.partial"
    while running.poll() is None and not partial.exists():
        time.sleep(0.001)
    time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    done = attntrace("capture", *options, "--output", path, "--resume", *(["--force"] if path.exists() else []))
    assert done.returncode == 0, done.stderr
    answer("verify", "--deep", path)
    assert read_all(path)["content_sha256"] == read_all(whole)["content_sha256"]


@pytest.mark.parametrize("options, said", [
    (["--alg", "entropy"], "--alg is an option of dream; the sampler here is llada"),
    (["--sampler", "dream"], "the sampler dream is for models that score a position by the row before it"),
    (["--sampler", "autoregressive"], "the sampler autoregressive is for causal models"),
    (["--top-k", "5"], "--top-k is an option of dream, autoregressive"),
    (["--threshold", "0.9", "--steps", "4"], "--steps has no meaning with --threshold"),
    (["--threshold", "0.9", "--factor", "1"], "threshold and factor exclude each other"),
    (["--confidence-eos-eot-inf"], "eot_token is 126348, outside the model's vocabulary"),
    (["--model", "tiny-ar", "--top-p", "0.9"], "need a --temperature"),
    (["--model", "tiny-ar", "--temperature", "1", "--top-p", "0"], "top_p must be above 0"),
    (["--model", "tiny-ar", "--steps", "4"], "--steps is an option of llada, mmada, dream"),
])
def test_options_that_do_not_fit(tmp_path, options, said):
    done = attntrace("capture", "--prompt", PROMPT, "--output", tmp_path / "a.h5", *options)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_generation_config_is_followed(tmp_path):
    """What a chat model's own file says is what a run does when told nothing; an option takes its place."""
    import shutil

    model = shutil.copytree(REPO / "models/tiny-ar", tmp_path / "model")
    file = model / "generation_config.json"
    file.write_text(json.dumps(dict(do_sample=True, temperature=0.7, top_p=0.8, top_k=20, eos_token_id=[1, 7])))
    path = tmp_path / "a.h5"

    def parameters(*options):
        answer("capture", "--model", model, "--prompt", PROMPT, "--max-new-tokens", 4, "--output", path, "--force", *options)
        return json.loads(root_attributes(path)["sampler_parameters"])

    told = parameters()
    assert told == dict(
        max_new_tokens=4, temperature=0.7, top_p=0.8, top_k=20, seed=0, eos_token_ids=[1, 7])
    assert parameters("--temperature", 0) == dict(max_new_tokens=4, temperature=0, seed=0, eos_token_ids=[1, 7])
    assert "top_k" not in parameters("--top-k", "none")
    file.write_text(json.dumps(dict(num_beams=4)))
    done = attntrace("capture", "--model", model, "--prompt", PROMPT, "--output", tmp_path / "b.h5")
    assert done.returncode == 1 and "generation_config.json" in done.stderr and "num_beams" in done.stderr
