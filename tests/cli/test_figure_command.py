from __future__ import annotations

from pathlib import Path

import pytest

from support.program import Tombola
from tombola.report.figures.base import FIGURES


def test_figures_are_listed(tombola: Tombola) -> None:
    said = tombola("figure")
    assert said.code == 0
    for name in FIGURES:
        assert name in said.out


@pytest.mark.parametrize(
    ("options", "file"),
    [([], "gap.svg"), (["--format", "pdf"], "gap.pdf"), (["--out", "x/g.png"], "x/g.png")],
)
def test_a_figure_is_written(tombola: Tombola, done: Path, options: list[str], file: str) -> None:
    said = tombola("figure", "gap", "tiny", *options)
    assert (said.code, said.out.strip()) == (0, file)
    assert Path(file).stat().st_size > 1000


def test_widths(tombola: Tombola, done: Path) -> None:
    for width, points in (("column", "240.94pt"), ("page", "504.57pt"), ("100", "283.46pt")):
        assert tombola("figure", "gap", "tiny", "--width", width).code == 0
        assert f'width="{points}"' in Path("gap.svg").read_text()


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["gapp", "tiny"], "unknown figure 'gapp'; did you mean 'gap'"),
        (["quick", "nonesuch"], "no run 'quick' under runs"),
        (["gap"], "figure 'gap' of which run?"),
        (["gap", "tinny"], "no run 'tinny' under runs"),
        (["overlap", "tiny"], "figure 'overlap' cannot be drawn: No tickets were compared yet"),
        (["gap", "tiny", "--width", "wide"], "--width is 'wide', expected column, page or millimetres"),
        (["gap", "tiny", "--width", "nan"], "--width is 'nan'"),
        (["gap", "tiny", "--format", "docx"], "cannot write a figure as '.docx'"),
        (["gap", "tiny", "--format", "pdf", "--out", "a.svg"], "leave one of them out"),
    ],
)
def test_mistakes(tombola: Tombola, done: Path, args: list[str], sentence: str) -> None:
    said = tombola("figure", *args)
    assert said.code == 2
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not list(Path().glob("*.svg"))
