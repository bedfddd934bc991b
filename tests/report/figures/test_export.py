from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from support.report_frames import tables
from tombola.errors import UserError
from tombola.report.figures.base import FIGURES
from tombola.report.figures.export import save, save_rows


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures") / "not" / "there"
    save(FIGURES["gap"](tables()), *(folder / f"gap.{kind}" for kind in ("svg", "pdf", "png", "html")))
    return folder


@pytest.mark.parametrize(
    ("kind", "start"),
    [("svg", b"<svg "), ("pdf", b"%PDF-"), ("png", b"\x89PNG\r\n\x1a\n"), ("html", b"<!DOCTYPE html>")],
)
def test_a_file_is_of_the_kind_its_name_says(saved: Path, kind: str, start: bytes) -> None:
    assert (saved / f"gap.{kind}").read_bytes().lstrip().startswith(start)


def test_text_stays_text(saved: Path) -> None:
    drawing = (saved / "gap.svg").read_text()
    assert all(f">{word}</text>" in drawing for word in ("ticket", "reinit", "dense"))


def test_the_page_of_one_figure_loads_nothing(saved: Path) -> None:
    page = (saved / "gap.html").read_text()
    assert "<script src" not in page
    assert "<link" not in page


@pytest.mark.parametrize(("name", "hint"), [("gap.svgz", "did you mean '.svg'"), ("gap", "expected one of")])
def test_another_suffix_is_refused_before_anything_is_written(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        save(FIGURES["gap"](tables()), tmp_path / "gap.svg", tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_the_data_are_saved_as_they_are_drawn(tmp_path: Path) -> None:
    save_rows(FIGURES["early-stop"](tables()), tmp_path / "early-stop.csv")
    frame = pl.read_csv(tmp_path / "early-stop.csv").sort("arm", "level")
    assert frame["arm"].to_list() == ["reinit"] * 2 + ["ticket"] * 3
    assert frame["mean"].to_list() == pytest.approx([1300, 1500, 1100, 900, 700])
    assert frame["density"].to_list() == [50, 25, 100, 50, 25]
