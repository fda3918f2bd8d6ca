"""Fixtures: small traces, captured once a session with the real command and the embedded models."""

import pytest

from browsing import chromium
from support import capture

DIFFUSION = ["--gen-length", 16, "--block-length", 8, "--record", "maps"]
TRACES = {
    "diffusion": DIFFUSION,
    "guided": [*DIFFUSION, "--cfg-scale", 1],
    "fewer_steps": ["--gen-length", 16, "--block-length", 8, "--steps", 6, "--temperature", 1, "--seed", 3],
    "random": [*DIFFUSION, "--remasking", "random"],
    "causal": ["--model", "tiny-ar", "--max-new-tokens", 16, "--record", "maps"],
    "received": ["--gen-length", 16, "--block-length", 8, "--record", "received"],
    "selected": [*DIFFUSION, "--layers", "1,3-4", "--heads", "0,5"],
    "causal_selected": ["--model", "tiny-ar", "--max-new-tokens", 8, "--layers", "7", "--heads", "2-3"],
}


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    """The path of a trace by its name; captured when first asked for."""
    folder = tmp_path_factory.mktemp("traces")

    class Traces:
        def __getitem__(self, name):
            path = folder / f"{name}.h5"
            return path if path.exists() else capture(path, *TRACES[name])

    return Traces()


@pytest.fixture(params=TRACES)
def any_trace(request, traces):
    """Each of the traces in turn."""
    return traces[request.param]


@pytest.fixture
def diffusion(traces):
    return traces["diffusion"]


@pytest.fixture
def causal(traces):
    return traces["causal"]


@pytest.fixture(scope="session")
def browser():
    """One headless Chromium for all pages: a process has one driver of it."""
    with chromium() as each:
        yield each
