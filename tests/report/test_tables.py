from __future__ import annotations

import polars as pl
import pytest

from support.report_frames import results_frame, spoilt, tables
from tombola.report.tables import NothingToDrawError, with_gap


def test_gap_is_training_minus_test_at_the_end() -> None:
    # (test + 0.03) - (test - 0.05)
    assert with_gap(results_frame())["gap"].to_list() == pytest.approx([0.08] * 14)


def test_a_summary_leaves_out_what_has_no_mean() -> None:
    gone = spoilt(results_frame(), pl.col("level") == 2, "collapsed")
    assert tables(gone).summary("final_test_accuracy")["level"].unique().to_list() == [0, 1]


def test_a_summary_of_nothing_says_so() -> None:
    with pytest.raises(NothingToDrawError, match="No finished cell has a value of 'final test accuracy'"):
        tables(spoilt(results_frame(), pl.lit(True), "diverged")).summary("final_test_accuracy")


def test_densities_by_level() -> None:
    assert tables().densities() == {0: 1.0, 1: 0.5, 2: 0.25}


def test_maps_without_an_image_say_so() -> None:
    with pytest.raises(NothingToDrawError, match="does not see an image"):
        tables(masks_map=None).maps()
