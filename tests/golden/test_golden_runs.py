"""Runs that an earlier Tombola made are opened, extended and reported: to the bit on their kind of processor."""

from __future__ import annotations

import importlib.util
import json
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

import tombola

HERE = Path(__file__).parent
OLD = "holds cells without digests, of an older Tombola; damage to them does not show"
pytestmark = pytest.mark.filterwarnings(f"ignore:.*{OLD}")


def _make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_make", HERE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _make()


@pytest.fixture(params=sorted(make.RUNS))
def golden(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Path]:
    """The name of a golden run, and a folder that holds it without its last level."""
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])
    with tarfile.open(HERE / f"{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return request.param, tmp_path / "runs"


def test_it_is_extended_with_the_same_bits(golden: tuple[str, Path]) -> None:
    name, out = golden
    what, settings, levels = make.RUNS[name]
    expected = json.loads((HERE / f"{name}.json").read_text())
    before = make.promised(out)
    here = make.kind_of_machine() == expected["machine"]
    try:
        tombola.run(what, out=out, settings=[*settings, f"levels={levels}"], threads=1)
    except tombola.UserError as problem:
        # A factory's own weights come from torch's generator, which gives other ones on some processors.
        if here or "other initial weights" not in str(problem):
            raise
        pytest.skip(f"torch draws otherwise here: {problem}")
    found = make.promised(out)
    kept = {path: digest for path, digest in before.items() if Path(path).name != "results.parquet"}
    assert {path: found.get(path) for path in kept} == kept, "what was there is as it was"
    assert sorted(found) == sorted(expected["files"])
    if here:
        assert found == expected["files"]
    for run, rows in make.results(out).items():
        for row, other in zip(rows, expected["results"][run], strict=True):
            same = ("replicate", "level", "arm", "draw", "density", "status", "iterations")
            assert {key: row[key] for key in same} == {key: other[key] for key in same}
            for key in ("final_test_accuracy", "final_train_accuracy"):
                assert row[key] == pytest.approx(other[key], abs=0.05)


def test_it_is_read_and_reported(golden: tuple[str, Path]) -> None:
    name, out = golden
    levels = make.RUNS[name][2]
    for folder in sorted(path.parent for path in out.rglob("results.parquet")):
        run = tombola.Run.open(folder)
        stored = pl.read_parquet(folder / "results.parquet")
        assert run.study.levels == levels - 1
        assert stored.filter(pl.col("status") != "ok").is_empty()
        assert [str(cell) for cell in run.cells()] == [
            f"r{r}/L{level:02d}/{arm}/{draw}"
            for r, level, arm, draw in stored.select("replicate", "level", "arm", "draw").iter_rows()
        ]
        with pytest.warns(tombola.errors.Notice, match=f"^{folder}: {OLD}$"):
            densities = {cell: run.ticket(cell).mask.density() for cell in run.cells()}
        assert densities == {cell: run.record(cell).density for cell in run.cells()}
