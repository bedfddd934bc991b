"""Objects that show themselves in a notebook: well-formed, escaped, cut with a count, without a script."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import polars as pl
import pytest
import torch

from tombola import Mask, Run, Study, Ticket
from tombola import html as views
from tombola.analysis.compare_runs import Comparison
from tombola.analysis.verdicts.matching_level import Matching
from tombola.analysis.verdicts.of_run import Verdicts

NASTY = "</td><script>alert('&')</script>"


def tree(html: str) -> ElementTree.Element:
    """The HTML, which is well-formed XML too."""
    assert "<script" not in html
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    return ElementTree.fromstring(html)


def cells(html: str) -> list[list[str]]:
    return [["".join(d.itertext()) for d in row.findall("td")] for row in tree(html).iter("tr")][1:]


def opacities(svg: str) -> list[float]:
    return [float(value) for value in re.findall(r'fill-opacity="([^"]+)"', svg)]


def mask() -> Mask:
    # 2 of 4 weights of unit 0 live, 1 of 4 of unit 1, none of unit 2: 3 of 12.
    bits = torch.zeros(3, 2, 2, dtype=torch.bool)
    bits[0, 0] = True
    bits[1, 1, 1] = True
    return Mask({"conv": bits, NASTY: torch.ones(1, 2, dtype=torch.bool)})


def test_mask_has_a_row_a_tensor_with_its_units() -> None:
    html = mask()._repr_html_()
    rows = {row[0]: row for row in cells(html)}
    assert rows["conv"][1:4] == ["3 × 2 × 2", "3", "25.00%"]
    assert rows[NASTY][1:4] == ["1 × 2", "2", "100.00%"]
    strips = dict(zip(sorted(rows), re.findall(r"<svg.*?</svg>", html), strict=True))
    assert opacities(strips["conv"]) == [0.5, 0.25, 0.0]
    assert opacities(strips[NASTY]) == [1.0]
    assert "5 of 14 weights" in html


def test_masks_of_odd_shapes() -> None:
    for shape in ((), (0,), (4,), (0, 3)):
        tree(Mask({"w": torch.ones(shape, dtype=torch.bool)})._repr_html_())
    tree(Mask({})._repr_html_())


def test_ticket_says_where_it_comes_from_and_what_it_scored() -> None:
    about = {"level": 3, "cell": NASTY, "scores": {"final_test_accuracy": 0.75}, "model": {"name": "hidden"}}
    start = {"conv": torch.zeros(3, 2, 2)}
    html = Ticket(mask(), start, None, about)._repr_html_()
    rows = {row[0]: row[1] for row in cells(html) if len(row) == 2}
    assert rows == {"level": "3", "cell": NASTY, "final_test_accuracy": "0.75", "weights": "start"}
    assert "conv" in html
    assert "tensor(" not in repr(Ticket(mask(), start))


def test_long_tables_are_cut_with_a_count() -> None:
    rows = cells(views.table(["a"], [[i] for i in range(views.MOST + 1234)]))
    assert len(rows) == views.MOST + 1
    assert rows[-1] == ["and 1,234 more"]
    assert cells(views.table(["a"], [[i] for i in range(views.MOST)]))[-1] == [str(views.MOST - 1)]


def test_strips_average_runs_of_equal_length_to_one() -> None:
    assert opacities(views.strip([0.0, 1.0] * views.BINS, "")) == [0.5] * views.BINS
    found = opacities(views.strip([0.25] * 100 + [1.0] * 100, ""))
    assert len(found) == views.BINS
    assert (found[0], found[-1]) == (0.25, 1.0)
    tree(views.strip([], NASTY))


def test_a_run_shows_how_far_it_is(tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "one")
    tree(run._repr_html_())
    run.path.mkdir(parents=True)
    assert "nothing is stored yet" in run._repr_html_()
    table = {"name": "one", "title": NASTY, "replicates": 2, "levels": 1, "arms": [{"name": "reinit"}]}
    run.write_study(
        Study.model_validate({**table, "model": {"name": "lenet-8-6"}, "data": {"name": "digits"}})
    )
    html = run._repr_html_()
    assert cells(html) == [["0", "", ""], ["1", "", ""]]
    assert "0 of 6 cells done, not finished" in html


@pytest.mark.parametrize("value", [mask(), Ticket(mask())])
def test_views_change_nothing(value: Mask | Ticket) -> None:
    before = value._repr_html_()
    assert value._repr_html_() == before


def test_a_comparison_and_verdicts_show_themselves() -> None:
    pairs = pl.DataFrame({"measure": ["jaccard", "jaccard"], "a": [NASTY, "b"], "value": [0.5, 1.0]})
    found = Comparison(pairs, None, None, ())
    assert repr(found) == "Comparison of 0 tickets by jaccard: 2 rows in .pairs"
    assert cells(found._repr_html_())[0] == ["jaccard", NASTY, "0.5"]
    matching = Matching("early_stop_test_accuracy", 0.0, 0.05, "sign-flip")
    nothing = Verdicts((), matching, (), (), "")
    assert str(nothing) in "".join(tree(nothing._repr_html_()).itertext())
