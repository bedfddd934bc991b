"""Masks of tasks and pruners in one initialisation: shares and chances by hand, and which are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from support.route_parts import travelling
from support.study_kit import run_tiny, tiny
from tombola.analysis.sources.similarity import IN_COMMON, _in_common, _judged, similarity_of
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.masks.mask import Mask
from tombola.runs.folder import Run


def mask(first: list[int], second: list[int]) -> Mask:
    """Layers of four and of six weights."""
    return Mask(
        {
            "a": torch.tensor([each in first for each in range(4)]),
            "b": torch.tensor([each in second for each in range(6)]),
        }
    )


def test_shares_and_chances_by_hand() -> None:
    """Layer a: 2 and 1 of 4 live, 1 in both; by chance 1/2. Layer b: 3 and 2 of 6, 1 in both; by chance 1."""
    one, other = mask([0, 1], [0, 1, 2]), mask([1], [2, 3])
    value, chance = _judged(one, other, "overlap-coefficient")
    assert value == pytest.approx(2 / 3)
    assert chance == pytest.approx((0.5 + 1) / 3)
    assert _judged(one, other, "jaccard")[0] == pytest.approx(2 / 6)


def test_what_three_have_in_common_by_hand() -> None:
    """In both layers one weight; by chance 4 x 2/4 x 1/4 x 3/4 and 6 x 3/6 x 2/6 x 1, of ten weights."""
    masks = [mask([0, 1], [0, 1, 2]), mask([1], [2, 3]), mask([1, 2, 3], [0, 1, 2, 3, 4, 5])]
    kept, chance = _in_common(masks)
    assert kept == pytest.approx(2 / 10)
    assert chance == pytest.approx((4 * 2 / 4 / 4 * 3 / 4 + 6 * 3 / 6 * 2 / 6) / 10)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two sources of the same network by other recipes, one of another; arms with and without masks of their own."""
    sources: dict[str, Any] = {
        "other": {"recipe": {"lr": 0.05}},
        "late": {"recipe": {"batch": 20}},
        "narrow": {"model": {"name": "lenet-8-8"}},
        # Starts from other weights, which says nothing.
        "elsewhere": {"model": {"options": {"init": "kaiming-normal"}}},
    }
    tables = [
        {"kind": "votes", "name": "both", "from": ["other", "late", "elsewhere"], "start": "own"},
        {"kind": "elastic", "name": "deeper", "from": "narrow"},
    ]
    table = travelling(
        *tables, sources=sources, arms=[{"name": "one-shot"}, {"name": "reinit"}], replicates=3
    )
    return run_tiny(tmp_path_factory.mktemp("alike"), table)


def test_every_two_masks_of_one_network_are_compared_in_each_replicate(run: Run) -> None:
    frame = similarity_of(run, [2])
    names = {(row["a"], row["b"]) for row in frame.iter_rows(named=True)}
    four = ["ticket", "sources/late", "sources/other", "one-shot"]
    assert {frozenset(pair) for pair in names if IN_COMMON not in pair} == {
        frozenset((a, b)) for a in four for b in four if a != b
    }
    assert set(frame["n"]) == {3}
    assert frame.select(pl.col("chance").is_between(0, 1).all()).item()
    there = next(each for each in run.ladders() if each.kind == "sources/other")
    shares = []
    for r in range(3):
        own, lent = run.mask(Cell(r, 2, "ticket", 0)), there.mask(Cell(r, 2, "ticket", 0))
        shares.append((own & lent).count() / (own | lent).count())
    row = frame.filter(
        pl.col("a") == "ticket", pl.col("b") == "sources/other", pl.col("quantity") == "jaccard"
    )
    assert row["mean"].item() == pytest.approx(sum(shares) / 3)
    assert row["low"].item() <= row["mean"].item() <= row["high"].item()


def test_what_all_tasks_keep_is_a_row_of_each_level(run: Run) -> None:
    frame = similarity_of(run).filter(pl.col("a") == IN_COMMON)
    assert frame["level"].to_list() == [1, 2]
    assert set(frame["b"]) == {"3 tasks"}
    assert (frame["mean"] <= frame["density_a"]).all()
    assert (frame["mean"] >= frame["chance"]).all(), "masks of one initialisation are alike"


def test_refusals(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no level 3 below dense, expected 1 to 2"):
        similarity_of(run, [3])
    with pytest.raises(UserError, match="no source and no arm has a mask of its own"):
        similarity_of(run_tiny(tmp_path, tiny(arms=[{"name": "reinit"}])))
