"""The heat map of early birds: distances by hand, thinned where there are many, and read from a run."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import vl_convert

from support.report_frames import tables
from tombola.masks.mask import Mask
from tombola.report.collect import looks_of
from tombola.report.figures.base import FIGURES
from tombola.report.figures.export import VEGA_LITE, compact, rows
from tombola.report.figures.heatmaps import SHOWN, tiles
from tombola.report.tables import Looks, NothingToDrawError, Tables
from tombola.training.search.bird import Bird

BY_HAND = np.array([[0.0, 0.2, 0.3], [0.2, 0.0, 0.05], [0.3, 0.05, 0.0]])


def with_looks(**levels: np.ndarray) -> Tables:
    """Looks at iterations 10, 20, ... for levels named l1, l2, ..."""
    seen = {
        int(name[1:]): Looks([10 * (i + 1) for i in range(len(distances))], distances)
        for name, distances in levels.items()
    }
    return replace(tables(), seen=seen)


def test_a_tile_is_the_distance_between_two_looks() -> None:
    frame = rows(FIGURES["early-bird"](with_looks(l1=BY_HAND, l2=BY_HAND / 2)))
    dense = frame.filter(pl.col("panel") == "50% remain (level 1)").sort("iteration", "other")
    assert dense["iteration"].to_list() == [10, 10, 10, 20, 20, 20, 30, 30, 30]
    assert dense["other"].to_list() == [10, 20, 30] * 3
    assert dense["distance"].to_list() == [0, 0.2, 0.3, 0.2, 0, 0.05, 0.3, 0.05, 0]
    assert frame.filter(pl.col("panel") == "25% remain (level 2)")["distance"].max() == 0.15


def test_the_alternative_text_says_how_steps_shrink() -> None:
    text = FIGURES["early-bird"](with_looks(l1=BY_HAND, l2=np.zeros((1, 1)))).to_dict()["description"]
    assert "50% remain (level 1): from one of 3 masks to the next, distances go from 0.200 to 0.050." in text
    assert "25% remain (level 2): one mask alone." in text


def test_at_most_four_panels() -> None:
    picture = FIGURES["early-bird"](with_looks(**{f"l{i}": BY_HAND for i in range(1, 9)}))
    panels = picture.to_dict()["facet"]["sort"]
    assert [name[-8:-1] for name in panels] == ["level 1", "level 3", "level 6", "level 8"]


def test_many_looks_are_thinned_evenly() -> None:
    looks = Looks(list(range(1, 202)), np.zeros((201, 201)))
    found = tiles(looks, "panel")
    shown = sorted({row["iteration"] for row in found})
    assert len(found) == SHOWN**2
    assert (shown[0], shown[-1]) == (1, 201)
    assert set(np.diff(shown)) == {5, 6}  # 200 / 39 = 5.1
    assert len(tiles(Looks(list(range(SHOWN)), np.zeros((SHOWN, SHOWN))), "panel")) == SHOWN**2


def test_all_masks_alike_can_be_drawn() -> None:
    picture = FIGURES["early-bird"](with_looks(l1=np.zeros((3, 3)))).to_dict()
    assert picture["spec"]["encoding"]["color"]["scale"]["domain"] == [0, 1.0]


def test_the_renderer_takes_it() -> None:
    picture = FIGURES["early-bird"](with_looks(l1=BY_HAND, l2=np.zeros((1, 1))))
    assert vl_convert.vegalite_to_vega(compact(picture), vl_version=VEGA_LITE)["marks"]


def test_without_early_birds_there_is_nothing_to_draw() -> None:
    with pytest.raises(NothingToDrawError, match="modes 'early-bird' and 'short-rounds'"):
        FIGURES["early-bird"](tables())


def bird(level: int, distances: np.ndarray) -> Bird:
    looks = len(distances)
    times = tuple(5 * (i + 1) for i in range(looks))
    return Bird(level, Mask.dense({"a": (2, 2)}), times[-1], False, times, distances)


def test_distances_are_averaged_over_the_replicates_that_were_seen_to_the_end() -> None:
    birds = {
        0: (bird(1, BY_HAND), bird(2, BY_HAND)),
        1: (bird(1, 3 * BY_HAND), bird(2, BY_HAND[:2, :2])),
        2: (),
    }
    run: Any = SimpleNamespace(
        cells=lambda: [SimpleNamespace(replicate=r) for r in (0, 1, 2, 1)], birds=lambda r: birds[r]
    )
    looks = looks_of(run)
    assert list(looks) == [1, 2]
    assert tuple(looks[1].iterations) == (5, 10, 15)
    np.testing.assert_allclose(looks[1].distances, 2 * BY_HAND)
    np.testing.assert_array_equal(looks[2].distances, BY_HAND)
    empty: Any = SimpleNamespace(cells=list, birds=lambda r: ())
    assert looks_of(empty) == {}
