from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pypdfium2
import pytest

from support.report_frames import odd_tables, tables
from tombola.errors import UserError
from tombola.report.figures.base import FIGURES
from tombola.report.figures.export import WIDTHS, fitted, save_figure

MM = 72 / 25.4


@pytest.mark.parametrize("width", WIDTHS.values())
@pytest.mark.parametrize("name", ["accuracy-early-stop", "learning-curves", "input-map"])
def test_a_figure_has_the_width_that_was_asked_for(name: str, width: float, tmp_path: Path) -> None:
    save_figure(name, tables(), tmp_path / "a.pdf", width)
    with pypdfium2.PdfDocument((tmp_path / "a.pdf").read_bytes()) as document:
        assert len(document) == 1
        assert document[0].get_size()[0] == pytest.approx(width * MM, abs=0.5)
        text = "".join(document[0].get_textpage().get_text_range().split())
        assert (
            "validationloss" if name == "learning-curves" else "density" if "early" in name else "100%"
        ) in text


def test_the_formats_agree(tmp_path: Path) -> None:
    for suffix in (".svg", ".png", ".pdf"):
        save_figure("gap", tables(), tmp_path / f"gap{suffix}", 85)
    svg = (tmp_path / "gap.svg").read_text()
    # A browser reads points as points: 85 mm are 240.94 of them.
    assert re.search(r'<svg [^>]*width="240\.94pt"', svg)
    assert "<text" in svg
    assert "ticket" in svg
    png = (tmp_path / "gap.png").read_bytes()
    assert png[:4] == b"\x89PNG"
    # Three pixels a point.
    assert int(np.frombuffer(png[16:20], dtype=">u4")[0]) == pytest.approx(3 * 85 * MM, abs=2)


def letters(svg: bytes) -> float:
    """Height of the axis labels in points."""
    text = svg.decode()
    found = re.search(r'width="([\d.]+)pt" height="[\d.]+pt" viewBox="0 0 ([\d.]+)', text)
    assert found is not None
    return 11 * float(found[1]) / float(found[2])


@pytest.mark.parametrize("name", ["accuracy-early-stop", "learning-curves"])
def test_letters_have_one_size_whatever_the_width(name: str) -> None:
    chart = FIGURES[name](tables())
    for width in WIDTHS.values():
        assert letters(fitted(chart, width)) == pytest.approx(8, rel=0.06)


def ratio(svg: bytes) -> float:
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.decode())
    assert found is not None
    return float(found[2]) / float(found[1])


def test_a_picture_can_be_kept_low() -> None:
    chart = FIGURES["learning-curves"](tables())
    assert ratio(fitted(chart, 150)) > 0.6
    assert ratio(fitted(chart, 150, ".svg", 70)) == pytest.approx(70 / 150, rel=0.03)


def test_fitting_leaves_the_chart_as_it_is() -> None:
    chart = FIGURES["gap"](tables())
    before = chart.to_dict()
    fitted(chart, 30)
    assert chart.to_dict() == before


def test_what_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="figure 'input-map' cannot be drawn: The first layer does not see an image"
    ):
        save_figure("input-map", odd_tables()["no image"], tmp_path / "a.svg", 85)
    with pytest.raises(UserError, match=r"cannot write a figure as '\.doc'"):
        save_figure("gap", tables(), tmp_path / "a.doc", 85)
    with pytest.raises(UserError, match="unknown figure 'gpa'; did you mean 'gap'"):
        save_figure("gpa", tables(), tmp_path / "a.svg", 85)
    assert not list(tmp_path.iterdir())
