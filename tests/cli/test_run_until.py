"""`tombola run --until STEP`: how far a run goes, and that the next goes on from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.program import TINY, Tombola

COMPARED = TINY.replace("levels = 2", "levels = 1").replace("[[arms]]", "[compare]\n[[arms]]", 1)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(COMPARED)
    return path


def there(folder: Path) -> set[str]:
    """Which of what the steps leave there is."""
    [run] = (folder / "runs").glob("tiny-*")
    names = ("results.parquet", "compared.json", "measures.parquet", "verdicts.json", "report")
    return {name for name in names if (run / name).exists()}


def test_each_step_stops_where_it_says_and_the_next_goes_on(
    tombola: Tombola, study: Path, tmp_path: Path
) -> None:
    said = tombola("run", study, "--until", "training")
    assert said.code == 0
    assert there(tmp_path) == {"results.parquet"}
    assert "compared" not in said.err
    assert "not compared yet" in tombola("status", "tiny").out
    said = tombola("run", study, "--until", "comparison")
    assert said.code == 0
    assert there(tmp_path) == {"results.parquet", "compared.json", "measures.parquet"}
    assert "tickets are compared" in said.err
    assert "not compared yet" not in tombola("status", "tiny").out
    said = tombola("run", study)
    assert said.code == 0
    assert there(tmp_path) >= {"compared.json", "verdicts.json", "report"}


def test_a_step_that_is_none_is_refused_before_anything_is_trained(
    tombola: Tombola, study: Path, tmp_path: Path
) -> None:
    said = tombola("run", study, "--until", "comparing")
    assert said.code != 0
    for word in ("--until", "'comparing'", "training", "comparison"):
        assert word in said.err
    assert not (tmp_path / "runs").exists()
