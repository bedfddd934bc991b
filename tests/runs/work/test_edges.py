"""What a cell needs before it can be trained, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from support.route_parts import by, travelling
from support.study_kit import tiny
from tombola.runs.cells.name import cell_named
from tombola.runs.work.edges import drawn_together, kin, needs
from tombola.study.ladders import ladders_of
from tombola.study.spec import Study


def needed(study: Study, cell: str) -> set[str]:
    """The needs of a cell of a run, as 'donors:r0/L01/ticket/0' where they are beside it."""
    found = needs(study, cell_named(cell), ladders_of(study))
    return {f"{part}:{need}" if part else str(need) for part, need in found}


CASES: dict[str, tuple[dict[str, Any], str, set[str]]] = {
    "a dense network": ({}, "r1/L00/ticket/0", set()),
    "level 1": ({}, "r1/L01/reinit/0", {"r1/L00/ticket/0"}),
    "further down": ({}, "r1/L02/ticket/0", {"r1/L01/ticket/0"}),
    "beside an arm with its own ladder": (
        {"arms": [{"name": "fresh", "draws": 2}, {"name": "reinit"}]},
        "r0/L02/reinit/0",
        {"r0/L01/ticket/0", "r0/L01/fresh/0", "r0/L01/fresh/1"},
    ),
    "with a partner": (
        {"arms": [{"name": "partner"}]},
        "r1/L02/ticket/0",
        {"r1/L01/ticket/0", "r0/L01/ticket/0"},
    ),
    "trained on and on": (
        {"pruning": {"mode": "continued"}},
        "r0/L02/reinit/0",
        {"r0/L01/ticket/0", "r0/L01/continued/0"},
    ),
    "after a search": (
        {"pruning": {"mode": "gradual"}},
        "r0/L01/reinit/0",
        {"r0/L00/ticket/0", "r0/L01/gradual/0"},
    ),
    "a search": ({"pruning": {"mode": "gradual"}}, "r0/L02/gradual/0", {"r0/L01/ticket/0"}),
    "a ticket that is not rewound": (
        {"pruning": {"after": "learning-rate"}},
        "r0/L01/reinit/0",
        {"r0/L00/ticket/0", "r0/L01/ticket/0"},
    ),
    "from donors and the twin": (
        {
            "arms": [{"name": "donor"}, {"name": "twin", "levels": [1]}],
            "data": {"split": "study"},
            "donors": 3,
        },
        "r1/L02/donor/0",
        {"r1/L01/ticket/0", *(f"donors:r{r}/L02/ticket/0" for r in range(3)), "twins:r1/L01/ticket/0"},
    ),
    "beside arms that take from donors": (
        {"arms": [{"name": "donor"}], "data": {"split": "study"}},
        "r1/L02/ticket/0",
        {"r1/L01/ticket/0"},
    ),
}


@pytest.mark.parametrize(("changes", "cell", "expected"), CASES.values(), ids=CASES)
def test_needs(changes: dict[str, Any], cell: str, expected: set[str]) -> None:
    assert needed(tiny(**changes), cell) == expected


def test_routes_need_the_ladders_that_they_take_from() -> None:
    study = travelling(by("elastic"), by("votes"), by("refill"))
    below = {"r1/L01/ticket/0"}
    assert needed(study, "r1/L02/by-elastic-random/0") == below | {"sources/narrow:r1/L02/ticket/0"}
    assert needed(study, "r1/L02/by-votes/0") == below | {f"donors:r{r}/L02/ticket/0" for r in (0, 1)}
    assert needed(study, "r1/L02/by-refill/0") == below
    fewer = travelling(by("elastic"), sources={"narrow": {"model": {"name": "lenet-8-8"}, "replicates": 1}})
    assert needed(fewer, "r1/L02/by-elastic/0") == below | {"sources/narrow:r0/L02/ticket/0"}


def test_kin_are_partners_where_an_arm_swaps_masks() -> None:
    assert kin(tiny(replicates=4), [1, 2]) == {1, 2}
    assert kin(tiny(replicates=4, arms=[{"name": "partner"}]), [1, 2]) == {0, 1, 2, 3}


def test_searches_are_drawn_before_the_other_cells_of_their_level() -> None:
    groups = drawn_together(tiny(levels=1, pruning={"mode": "gradual"}, arms=[]))
    assert [[str(cell) for cell in group] for group in groups] == [
        ["r0/L00/ticket/0", "r1/L00/ticket/0"],
        ["r0/L01/gradual/0", "r1/L01/gradual/0"],
        ["r0/L01/ticket/0", "r1/L01/ticket/0"],
    ]
