"""All pairs at once: the same numbers as pair by pair."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from support.compare_parts import random_subject, ternary
from tombola.alignment.subject import Subject
from tombola.comparison import bulk
from tombola.comparison.bulk import overlaps
from tombola.comparison.pairs import compare
from tombola.comparison.table import SCHEMA
from tombola.errors import UserError
from tombola.masks.mask import Mask

MEASURES = ["jaccard", "overlap-coefficient", "hamming", "kept-by-both"]
KEYS = ["a", "b", "layer", "measure"]


def many(widths: tuple[int, ...] = (60, 40, 30, 10), count: int = 5) -> list[Subject]:
    return [random_subject(seed, widths, 0.05 + 0.1 * seed) for seed in range(count)]


@pytest.fixture(scope="module")
def both() -> pl.DataFrame:
    """Bulk rows beside the exact ones (suffix _right)."""
    return overlaps(many(), MEASURES).join(compare(many(), measures=MEASURES), on=KEYS)


def test_same_rows_same_columns(both):
    frame = overlaps(many(), MEASURES)
    assert frame.schema == pl.Schema(SCHEMA)
    assert len(both) == len(frame) == 10 * 4 * 4
    for column in ("side", "aligned", "null", "n_null"):
        assert both[column].eq_missing(both[f"{column}_right"]).all()


def test_values_are_the_same_and_chance_is_close(both):
    assert np.allclose(both["value"], both["value_right"], rtol=1e-14)
    large = both.filter(pl.col("layer").is_in(["fc1.weight", "all"]))
    assert np.allclose(large["expected"], large["expected_right"], rtol=2e-4)
    assert np.allclose(large["z"], large["z_right"], atol=0.02)
    told = both.filter(pl.col("p").is_not_null())
    assert len(told) > 60
    assert np.allclose(told["p"], told["p_right"], atol=5e-3)


def test_p_is_told_only_where_the_count_is_wide():
    frame = overlaps([ternary("a", fc1=[[1, 1, 0, 0]]), ternary("b", fc1=[[1, 0, 1, 0]])])
    row = frame.filter(layer="all").row(0, named=True)
    assert (row["value"], row["p"]) == (1 / 3, None)
    assert row["expected"] == pytest.approx(1 / 3, abs=0.06)


def test_blocks_add_up(monkeypatch):
    whole = overlaps(many(), MEASURES)
    monkeypatch.setattr(bulk, "BLOCK_BYTES", 32 * 5 * 3)  # three bytes of bits at a time
    assert overlaps(many(), MEASURES).equals(whole)


def test_counts_by_hand():
    rng = np.random.default_rng(0)
    bits = rng.random((7, 3, 50)) < 0.3
    subjects = [Subject(f"s{i}", Mask({"w": torch.from_numpy(each)})) for i, each in enumerate(bits)]
    frame = overlaps(subjects, ["kept-by-both"]).filter(layer="w")
    pairs = [(i, j) for i in range(7) for j in range(i + 1, 7)]
    assert frame.select("a", "b").rows() == [(f"s{i}", f"s{j}") for i, j in pairs]
    assert frame["value"].to_list() == [(bits[i] & bits[j]).sum() / 150 for i, j in pairs]


def test_empty_layers_are_undefined():
    frame = overlaps([ternary("a", fc1=[[0, 0]]), ternary("b", fc1=[[0, 0]])], ["jaccard"])
    assert frame["value"].is_null().all()
    assert frame["z"].is_null().all()


def test_mistakes():
    with pytest.raises(
        UserError, match="'unit-distance' is not one of overlap, expected one of: hamming, jaccard"
    ):
        overlaps(many(), ["unit-distance"])
    with pytest.raises(UserError, match="2 subjects are called"):
        overlaps([many()[0]] * 2)
    assert overlaps([]).is_empty()
    assert overlaps(many()[:1]).is_empty()
