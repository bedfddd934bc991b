"""A contrast as a share of that of two other arms: of what, over which replicates, and where there is none."""

from __future__ import annotations

import polars as pl
import pytest

from support.simulated import Place, claim, decide_all, frame_of, row, study_of
from tombola.analysis.verdicts.verdict import Verdict
from tombola.runs.results import SCHEMA
from tombola.stats.ratio import ratio_interval

SHARE = claim(share_of=["ticket", "random-mask"])
PART, WHOLE = [0.01, 0.02, 0.01, 0.02], [0.02, 0.03, 0.04, 0.03]


def found(of: list[float | None], part: list[float] = PART) -> Verdict:
    """The ticket at 0.9; reinit by `part` and random-mask by `of` below it."""
    values: dict[Place, list[float | None]] = {
        (3, "ticket"): [0.9] * len(part),
        (3, "reinit"): [0.9 - each for each in part],
        (3, "random-mask"): [None if each is None else 0.9 - each for each in of],
    }
    return decide_all(study_of(SHARE, replicates=len(part)), frame_of(values))[0]


def test_it_is_the_ratio_of_means_with_fiellers_interval() -> None:
    one, by = found([*WHOLE]), ratio_interval(PART, WHOLE)
    assert by is not None
    assert one.share_of == "ticket less random-mask"
    assert one.share == pytest.approx(0.06 / 0.12)
    assert (one.share_low, one.share_high) == pytest.approx((by.low, by.high))


def test_it_is_taken_where_all_arms_have_a_value_and_the_difference_where_its_own_have() -> None:
    one = found([*WHOLE, None], [*PART, 0.34])
    assert one.n == 5
    assert one.difference == pytest.approx(0.4 / 5)
    assert one.share == pytest.approx(0.06 / 0.12)


def test_where_the_whole_may_be_0_there_is_none() -> None:
    one = found([0.02, -0.02, 0.02, -0.01])
    assert (one.share, one.share_low, one.share_high) == (None, None, None)
    assert one.difference == pytest.approx(0.015)


def test_where_an_early_stop_was_not_reached_there_is_none() -> None:
    """Of the whole's arm one training stops at its last evaluation: its stop may lie anywhere beyond."""
    asked = claim(quantity="early_stop_iteration", share_of=["ticket", "random-mask"], direction="less")
    stops = {
        "ticket": [300, 310, 290, 305],
        "reinit": [500, 520, 510, 490],
        "random-mask": [800, 820, 790, 1000],
    }
    for end, there in ((1000, False), (None, True)):
        rows = [
            row(r, (3, arm), early_stop_iteration=value, early_stop_at_end=value == end)
            for arm, values in stops.items()
            for r, value in enumerate(values)
        ]
        [one] = decide_all(study_of(asked, replicates=4), pl.DataFrame(rows, schema=SCHEMA))
        assert [each is not None for each in (one.share, one.share_low, one.share_high)] == [there] * 3
