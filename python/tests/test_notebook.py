"""The notebook runs, over traces like the demo's."""

import shutil

import pytest
from conftest import REPO
from support import attntrace as run

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")


def test_the_notebook_runs(traces, tmp_path, monkeypatch):
    pytest.importorskip("ipykernel")
    shutil.copy(traces["diffusion"], tmp_path / "mdm.h5")
    shutil.copy(traces["causal"], tmp_path / "ar.h5")
    paths = [traces[name] for name in ("diffusion", "suppressed", "causal", "causal_suppressed")]
    for arguments in (
        [*paths, "--group-by", "model", "--metrics", "absorption,answer_shares", "--output", tmp_path / "analysis"],
        [tmp_path / "mdm.h5", "--metrics", "qk_decomposition", "--output", tmp_path / "mdm-qk.json"],
    ):
        done = run("analyze", *arguments)
        assert done.returncode == 0, done.stderr
    monkeypatch.setenv("ATTNTRACE_DEMO", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(REPO / "python/src"))
    path = REPO / "python/notebooks/demo.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "committed without outputs"
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(path.parent))
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert len(pictures) == 6
