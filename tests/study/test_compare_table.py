"""The `[compare]` table of a study: what it holds left out, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from support.study_kit import tiny
from tombola.study.compare_table import CompareTable


def test_left_out_it_names_measures_and_nulls_and_leaves_the_rest_to_the_run() -> None:
    table = tiny(compare={}).compare
    assert table == CompareTable(measures=("jaccard", "sign-agreement"), nulls=20)
    assert (table.alignments, table.densities, table.arms) == ((), (), ())
    assert tiny().compare is None


def test_it_does_not_decide_what_is_trained() -> None:
    assert (
        tiny(compare={"measures": ["hamming"]}).identity() == tiny(compare={}).identity() == tiny().identity()
    )


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"measures": ["jacard"]}, "unknown measure 'jacard'.*jaccard"),
        ({"alignments": ["weights@dens"]}, "unknown alignment 'weights@dens'.*weights@dense"),
        ({"densities": [0]}, "greater than 0"),
        ({"densities": [1.5]}, "less than or equal to 1"),
        ({"nulls": 0}, "greater than 0"),
        ({"mesures": ["jaccard"]}, "mesures"),
    ],
)
def test_what_it_refuses(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny(compare=table)
