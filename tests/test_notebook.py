"""The worked notebook: it runs from an empty folder without an error or a warning, and is kept as it should be."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook.ipynb"


def test_cells_are_explained_and_outputs_kept_small() -> None:
    assert NOTEBOOK.stat().st_size < 500_000
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    kinds = [cell.cell_type for cell in notebook.cells]
    pairs = list(pairwise(kinds))
    assert ("code", "code") not in pairs
    assert kinds[0] == "markdown"
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/svg+xml" in output.get("data", {}) for output in shown)
    for output in shown:
        assert output.output_type not in ("error", "stream")
        for text in output.data.values():
            assert "<script" not in text
            assert "http" not in text.replace("http://www.w3.org/", "")  # names of SVG's own language


@pytest.mark.slow
def test_runs_without_error_or_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = tmp_path / "empty"
    place.mkdir()
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": place}}
    )
    client.execute()  # raises at the first cell that fails
    said = [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
    ]
    assert not said
