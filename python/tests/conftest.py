"""Fixtures: small traces, captured once a session with the real command (ATTNTRACE) and the embedded models."""

import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "Tests/Interop"))

from support import attntrace as run  # noqa: E402

GOLDEN = REPO / "Tests/Golden"
DIFFUSION = ["--gen-length", 24, "--block-length", 12, "--temperature", 0.7]
CAUSAL = ["--model", "tiny-ar", "--max-new-tokens", 40, "--temperature", 0.7]
TRACES = {
    "diffusion": [*DIFFUSION, "--record", "maps", "--signals", "all"],
    "diffusion_qk": [*DIFFUSION, "--record", "qk", "--signals", "norms"],
    "causal": [*CAUSAL, "--record", "maps", "--signals", "norms"],
    "causal_qk": [*CAUSAL, "--record", "qk"],
    "causal_received": [*CAUSAL, "--record", "received"],
    "guided": [*DIFFUSION, "--record", "maps", "--cfg-scale", 1],
    "selected": [*DIFFUSION, "--layers", "1,3-4", "--heads", "0,5", "--queries", "0-7,20", "--map-steps", "0,3,5"],
    "suppressed": [*DIFFUSION, "--record", "maps", "--suppress-sinks", 2],
    "suppressed_qk": [*DIFFUSION, "--record", "qk", "--suppress-sinks", 2],
    "causal_suppressed": [*CAUSAL, "--record", "maps", "--suppress-sinks", 2],
    "causal_suppressed_qk": [*CAUSAL, "--record", "qk", "--suppress-sinks", 2],
}


PROMPT = "And it came to pass in those days, that the king of Israel went up to the house of the LORD, and said"


class Traces:
    """The path of a trace by its name; captured when first asked for."""

    def __init__(self, folder):
        self.folder = folder

    def __getitem__(self, name):
        path = self.folder / f"{name}.h5"
        if not path.exists():
            # Rebuilt maps that are far off are worth a word on stderr, and no failure.
            done = run("capture", "--prompt", PROMPT, "--output", path, *TRACES[name])
            assert done.returncode == 0, done.stderr
        return path


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    return Traces(tmp_path_factory.mktemp("traces"))


@pytest.fixture(params=sorted(GOLDEN.glob("*/*.h5*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def golden(request):
    """Each golden file of each version of the format."""
    return request.param


@pytest.fixture(scope="session")
def cohort(traces, tmp_path_factory):
    """Four traces of two models, and what they come to."""
    folder = tmp_path_factory.mktemp("cohort")
    paths = [traces[name] for name in ("diffusion", "suppressed", "causal", "causal_suppressed")]
    done = run("analyze", *paths, "--group-by", "model", "--metrics",
               "absorption,epsilon_sweep,score_by_head,sinks", "--output", folder / "out")
    assert done.returncode == 0, done.stderr
    return folder / "out"
