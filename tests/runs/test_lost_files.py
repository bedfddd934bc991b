"""Files that a finished run has lost: every reader says which folder to delete, and the same study trains it anew."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch

from support.study_kit import contents, run_tiny, tiny, toy_data
from tombola.analysis.connection import connect_run
from tombola.errors import UserError
from tombola.files import write_tensors
from tombola.lottery.cell import Cell
from tombola.runs.cells.integrity import fault
from tombola.runs.check.damage import damages_of
from tombola.runs.folder import Run
from tombola.runs.progress import require_whole
from tombola.runs.results import results_of

DENSE, TICKET, CONTROL = Cell(0, 0, "ticket", 0), Cell(1, 1, "ticket", 0), Cell(0, 2, "reinit", 0)
FILES = (
    "cell.json", "mask.safetensors", "end.safetensors", "best.safetensors", "history.parquet", "timing.json"
)  # fmt: skip
REWINDING = tiny(pruning={"rewind": 5})
MASKS_ONLY = tiny(store={"keep": "masks"})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders that hold a run each; only copies are handed out."""
    place = tmp_path_factory.mktemp("runs")
    studies = {"plain": tiny(), "rewinding": REWINDING, "masks-only": MASKS_ONLY}
    for name, study in studies.items():
        run_tiny(place / name, study)
    return {name: place / name for name in studies}


@pytest.fixture
def a_run(runs: dict[str, Path], tmp_path: Path) -> Callable[[str], Run]:
    """A copy of one of them, to spoil."""

    def copy(name: str) -> Run:
        shutil.copytree(runs[name], tmp_path / name)
        [path] = (tmp_path / name).iterdir()
        return Run(path)

    return copy


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def other(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


def lost(path: Path) -> None:
    path.unlink()


def advised(run: Run, path: Path, look: Callable[[Run], object]) -> Path:
    """The folder that a reader says to delete, of a sentence that names the path."""
    with pytest.raises(UserError) as caught:
        look(run)
    sentence = str(caught.value)
    assert (
        str(path) in sentence or path.name == "cell.json"
    )  # without its record it is the folder that is named
    assert "\n" not in sentence
    said = re.search(r"; delete (\S+) and run the study again, which trains this cell anew$", sentence)
    assert said, sentence
    return Path(said[1])


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("cell", [DENSE, TICKET, CONTROL], ids=str)
def test_what_is_said_is_what_helps(a_run: Callable[[str], Run], cell: Cell, file: str) -> None:
    run = a_run("rewinding")
    before = contents(run.path)
    path = run.folder(cell) / file
    lost(path)
    longer = REWINDING.model_copy(update={"levels": 3})
    folder = advised(run, path, lambda run: run_tiny(run.path.parent, longer))
    assert contents(run.path) == {name: bits for name, bits in before.items() if run.path / name != path}
    assert folder == run.folder(cell)
    shutil.rmtree(folder)
    run_tiny(run.path.parent, REWINDING)
    assert contents(run.path) == before


@pytest.mark.parametrize("how", [cut, emptied, other, lost])
@pytest.mark.parametrize("file", FILES)
def test_results_are_not_made_beside_a_broken_file(
    a_run: Callable[[str], Run], file: str, how: Callable[[Path], None]
) -> None:
    run = a_run("plain")
    path = run.folder(TICKET) / file
    how(path)
    if how is other and path.suffix != ".json":  # of the right size: who reads it finds that
        assert [each.path for each in damages_of(run)] == [path]
    else:
        assert advised(run, path, results_of) == run.folder(TICKET)


@pytest.mark.parametrize("name", ["plain", "rewinding"])
def test_a_lost_start_comes_back_with_the_cell_that_wrote_it(a_run: Callable[[str], Run], name: str) -> None:
    run = a_run(name)
    study, before = run.study, contents(run.path)
    wrote = set()
    for digest in [run.record(cell).start.digest for cell in (DENSE, TICKET, CONTROL)]:
        path = run.start_file(digest)
        lost(path)
        folder = advised(Run(run.path), path, results_of)
        wrote.add(folder.relative_to(run.path / "cells").as_posix())
        shutil.rmtree(folder)
        run_tiny(run.path.parent, study)
        assert contents(run.path) == before
    # Tickets go back to what the dense network of their replicate had; a reinitialised network has weights of its own.
    assert wrote == {"r0/L00/ticket/0", "r1/L00/ticket/0", "r0/L02/reinit/0"}


@pytest.mark.parametrize("how", [cut, emptied, other, lost])
def test_a_broken_start_is_named_by_who_reads_it(
    a_run: Callable[[str], Run], how: Callable[[Path], None]
) -> None:
    run = a_run("plain")
    path = run.start_file(run.record(CONTROL).start.digest)
    how(path)
    assert advised(run, path, results_of) == run.folder(CONTROL)
    assert advised(run, path, lambda run: run.start(CONTROL)) == run.folder(CONTROL)


@pytest.mark.parametrize("file", ["mask.safetensors", "end.safetensors", "history.parquet", "timing.json"])
def test_a_file_of_the_right_length_with_other_contents_is_named_by_who_reads_it(
    a_run: Callable[[str], Run], file: str
) -> None:
    run = a_run("plain")
    path = run.folder(TICKET) / file
    if path.suffix == ".safetensors":
        write_tensors(path, {"fc1.weight": torch.zeros(3, dtype=torch.uint8)}, {"shapes": "none"})
    else:
        path.write_bytes(b'{"seconds": "many"}' if path.suffix == ".json" else b"PAR1 and then PAR1")
    reads = {
        "mask.safetensors": lambda run: run.mask(TICKET),
        "end.safetensors": lambda run: run.weights(TICKET, "end"),
        "history.parquet": lambda run: run.history(TICKET),
        "timing.json": results_of,
    }
    assert fault(path) == ""
    assert advised(run, path, reads[file]) == run.folder(TICKET)


def test_a_replicate_of_a_run_that_kept_masks_only_can_be_trained_again_from_dense_alone(
    a_run: Callable[[str], Run],
) -> None:
    run = a_run("masks-only")
    before = contents(run.path)
    path = run.folder(DENSE) / "mask.safetensors"
    lost(path)
    shutil.rmtree(advised(run, path, results_of))
    run_tiny(run.path.parent, MASKS_ONLY)
    assert contents(run.path) == before
    lost(run.folder(TICKET) / "mask.safetensors")
    with pytest.raises(
        UserError, match=rf"mask\.safetensors: is missing; the weights .*, so move {run.path} away"
    ):
        results_of(Run(run.path))


def test_weights_that_a_study_does_not_keep_are_not_missed(a_run: Callable[[str], Run]) -> None:
    run = a_run("masks-only")
    require_whole(run)
    with pytest.raises(UserError, match=r"end\.safetensors: these weights were not kept"):
        run.weights(TICKET, "end")


@pytest.mark.parametrize("what", ["mask", "start"])
def test_a_donor_that_has_lost_files_is_passed_over(
    a_run: Callable[[str], Run], tmp_path: Path, what: str
) -> None:
    donor = a_run("plain")
    more = tiny(name="more", levels=0, arms=[])
    assert "copied_from" in timing_of(run_tiny(tmp_path / "one", more, dense_from=[donor]))
    start = donor.start_file(donor.record(DENSE).start.digest)
    lost(start if what == "start" else donor.folder(DENSE) / "mask.safetensors")
    taken = run_tiny(tmp_path / "two", more, dense_from=[Run(donor.path)])
    require_whole(taken)
    assert "copied_from" not in timing_of(taken)


def timing_of(run: Run) -> str:
    return (run.folder(DENSE) / "timing.json").read_text()


def test_a_copy_that_lost_a_file_is_made_again_by_connecting(a_run: Callable[[str], Run]) -> None:
    run = a_run("plain")

    def connected(run: Run) -> pl.DataFrame:
        options = {"levels": [1], "kinds": ["instability"], "alphas": 3}
        return connect_run(run, dataset=toy_data(), device="cpu", **options).pairs

    pairs = connected(run)
    copy = run.path / "connect/copy-1/cells/r0/L01/ticket/0"
    lost(copy / "end.safetensors")
    with pytest.raises(UserError) as caught:
        connected(run)
    assert str(caught.value) == (
        f"{copy}/end.safetensors: is missing; delete {copy} and connect again, which trains this copy anew"
    )
    shutil.rmtree(copy)
    assert connected(run).equals(pairs)


def test_the_end_of_a_file_tells_whether_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for tensors in ({}, {"a": torch.ones(2, 3)}, {"a": torch.ones(0), "b": torch.ones(5, dtype=torch.bool)}):
        write_tensors(path, tensors, {"some": "metadata"})
        assert fault(path) == ""
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            assert fault(path) == "is cut short, or another kind of file"
        path.write_bytes(whole + b"x")
        assert fault(path)
