"""A run folder that nobody may write to is read as any other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.archive import closed
from support.program import Tombola
from support.study_kit import times

pytestmark = pytest.mark.filterwarnings("always::tombola.errors.Notice")
COMMANDS = {
    "status": ("status", "RUN"),
    "runs": ("runs", "--runs", "ARCHIVE"),
    "results": ("results", "RUN"),
    "verdicts": ("verdicts", "RUN"),
    "diff": ("diff", "RUN", "RUN"),
    "verify": ("verify", "RUN"),
    "watch": ("watch", "RUN", "--terminal"),
    "figure": ("figure", "RUN", "accuracy-final", "--out", "a.svg"),
    "compare": ("compare", "RUN", "--level", "1", "--measures", "jaccard"),
    "compare --out": ("compare", "RUN", "--level", "1", "--measures", "jaccard", "--out", "compared"),
    "report --out": ("report", "RUN", "--out", "page"),
    "report --format md --out": ("report", "RUN", "--format", "md", "--out", "paper"),
    "ticket": ("ticket", "export", "RUN/cells/r0/L01/ticket/0", "--out", "a.safetensors"),
    "ticket show": ("ticket", "show", "RUN/cells/r0/L01/ticket/0"),
}
WRITTEN = {
    "figure": "a.svg",
    "compare --out": "compared/measures.parquet",
    "report --out": "page/index.html",
    "report --format md --out": "paper/paper/paper.md",
    "ticket": "a.safetensors",
}


@pytest.fixture
def archive(done: Path, tmp_path: Path) -> Iterator[Path]:
    """A finished run in an archive."""
    run = tmp_path / "archive" / done.name
    shutil.copytree(done, run)
    shutil.rmtree(done)
    with closed(run.parent):
        yield run


@pytest.mark.parametrize("name", COMMANDS)
def test_what_only_reads_works_where_nobody_may_write(name: str, tombola: Tombola, archive: Path) -> None:
    before = times(archive)
    words = [
        word.replace("RUN", str(archive)).replace("ARCHIVE", str(archive.parent)) for word in COMMANDS[name]
    ]
    said = tombola(*words)
    assert said.code == 0, said.err
    notes = {"verdicts": "the verdicts", "compare": "the tables"}
    expected = (
        f"note: {archive}: cannot be written to (Permission denied), so {notes.get(name)} are not stored\n"
    )
    assert said.err == (expected if name in notes else "")
    assert name not in WRITTEN or Path(WRITTEN[name]).is_file()
    assert times(archive) == before


def test_what_trains_says_why_it_cannot(tombola: Tombola, archive: Path) -> None:
    said = tombola("run", "tiny.toml", "--out", archive.parent)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert str(archive) in said.err
    assert "Permission denied" in said.err
