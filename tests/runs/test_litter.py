"""What killed processes leave behind is swept by the next one, and links are neither in the way nor written through."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from support.study_kit import contents, no_leftovers, run_tiny, tiny
from tombola.analysis.verdicts.of_run import verdicts_of, write_verdicts
from tombola.files import STALE, write_bytes
from tombola.lottery.cell import Cell
from tombola.report.page.compose import write_page
from tombola.runs.folder import Run

LITTER = (
    ".verdicts.json.0123abcd.tmp", ".study.toml.0123abcd.tmp", "report/figures/.a.svg.0123abcd.tmp",
    "starts/.0.safetensors.0123abcd.tmp", "cells/r0/L00/ticket/0/.early-bird-L01.safetensors.0123abcd.tmp",
)  # fmt: skip


def leave(run: Run, name: str, age: float = 0.0) -> Path:
    path = run.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_run_sweeps_all_of_its_folder(made: Run) -> None:
    for name in LITTER:
        leave(made, name)
    run_tiny(made.path.parent)
    assert no_leftovers(made.path)


def test_other_commands_sweep_what_is_old(made: Run, quick_pictures: None) -> None:
    old = [leave(made, name, STALE + 1) for name in (LITTER[0], LITTER[2])]
    new = [leave(made, f"{name}x.tmp") for name in (LITTER[0], LITTER[2])]
    write_verdicts(made, verdicts_of(made))
    write_page(made)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in new), "another process may be writing it"


def test_links_are_swept_and_not_what_they_point_to(made: Run, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("mine")
    for name in (".a.0123abcd.tmp", "starts/.b.0123abcd.tmp", "cells/r0/L00/ticket/.0.0123abcd.tmp"):
        (made.path / name).symlink_to(kept)
    run_tiny(made.path.parent)
    assert no_leftovers(made.path)
    assert (kept / "file").read_text() == "mine"


def test_a_link_to_nothing_in_the_place_of_a_cell_or_a_start_makes_way(made: Run, tmp_path: Path) -> None:
    before, cell = contents(made.path), Cell(1, 2, "reinit", 0)
    start = made.start_file(made.record(cell).start.digest)  # type: ignore[union-attr]
    shutil.rmtree(made.folder(cell))
    start.unlink()
    made.folder(cell).symlink_to(tmp_path / "nothing")
    start.symlink_to(tmp_path / "nothing either")
    run = run_tiny(made.path.parent)
    assert contents(run.path) == before
    assert not start.is_symlink()
    assert not run.folder(cell).is_symlink()
    assert not (tmp_path / "nothing").exists()
    assert not (tmp_path / "nothing either").exists()


def test_a_link_beside_a_cells_files_is_let_be(made: Run, tmp_path: Path) -> None:
    (made.folder(Cell(0, 0, "ticket", 0)) / "notes").symlink_to(tmp_path / "nothing")
    run_tiny(made.path.parent, tiny(levels=3))
    more = tiny(name="more", levels=0, arms=[])
    taken = run_tiny(tmp_path / "more", more, dense_from=[made])
    assert "copied_from" in (taken.folder(Cell(0, 0, "ticket", 0)) / "timing.json").read_text()


def test_a_full_disk_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_bytes(tmp_path / "a" / "b", b"data")
    assert caught.value.filename == str(tmp_path / "a")
    assert list((tmp_path / "a").iterdir()) == []
