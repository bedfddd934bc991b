from __future__ import annotations

import polars as pl
import pytest

from support.report_frames import history_frame, results_frame, tables
from tombola.report.figures.base import FIGURES
from tombola.report.figures.curves import POINTS, chosen_levels, evaluations, mean_curves
from tombola.report.figures.export import rows
from tombola.report.tables import NothingToDrawError

LADDER = [0.8**level for level in range(16)]  # 3: 51.2%, 7: 21.0%, 12: 6.9%, 15: 3.5%


def ladder(controls: tuple[int, ...], levels: range = range(16)) -> pl.DataFrame:
    cells = [("ticket", level) for level in levels] + [("reinit", level) for level in controls]
    return pl.DataFrame([{"level": level, "arm": arm, "density": LADDER[level]} for arm, level in cells])


@pytest.mark.parametrize(
    ("history", "levels"),
    [
        (ladder(tuple(range(1, 16))), [0, 3, 7, 15]),
        (ladder(()), [0, 3, 7, 15]),
        (
            ladder((4, 12)),
            [0, 4, 12],
        ),  # only where there is something to compare with; 21% lies nearer to 41%
        (ladder((), range(1)), [0]),
        (ladder((), range(2)), [0, 1]),
        (ladder((), range(1, 16)), [3, 7, 15]),
    ],
)
def test_levels_are_dense_half_a_fifth_and_sparsest(history: pl.DataFrame, levels: list[int]) -> None:
    assert chosen_levels(history) == levels


def test_draws_are_averaged_before_replicates() -> None:
    # Replicate 0 has draws 1 and 3 (mean 2), the others one draw, 4 and 6: mean 4, not 14/4. Deviation 2, and half an
    # interval 4.302653 * 2 / sqrt(3) = 4.96828: no loss is below 0, nor its interval.
    cells = [(0, 0, 1.0), (0, 1, 3.0), (1, 0, 4.0), (2, 0, 6.0)]
    history = pl.DataFrame(
        [
            {"replicate": r, "draw": d, "arm": "a", "level": 1, "iteration": 100, "loss": loss}
            for r, d, loss in cells
        ]
    )
    found = mean_curves(history, "loss", 1.0).row(0, named=True)
    assert (found["n"], found["mean"], found["low"]) == (3, 4.0, 0.0)
    assert found["high"] == pytest.approx(4 + 4.96828, rel=1e-5)
    two = mean_curves(history.filter(pl.col("replicate") < 2), "loss", 1.0).row(0, named=True)
    assert (two["n"], two["mean"], two["low"], two["high"]) == (2, 3.0, None, None)


def test_bands_of_accuracies_end_at_100_percent() -> None:
    # 96, 98 and 100%: mean 98, half an interval 4.968.
    history = pl.DataFrame(
        [
            {"replicate": r, "draw": 0, "arm": "a", "level": 1, "iteration": 100, "accuracy": 0.96 + 0.02 * r}
            for r in range(3)
        ]
    )
    found = mean_curves(history, "accuracy", 100.0).row(0, named=True)
    assert (found["low"], found["high"]) == (pytest.approx(98 - 4.96828, rel=1e-5), 100.0)


def test_a_curve_keeps_its_first_point_and_few_others() -> None:
    history = pl.DataFrame({"iteration": range(0, 100_100, 100), "loss": 1.0}).with_columns(
        replicate=0, draw=0, arm=pl.lit("a"), level=1
    )
    iterations = mean_curves(history, "loss", 1.0)["iteration"].sort()
    assert iterations[0] == 0
    assert POINTS / 2 < len(iterations) <= POINTS


def test_the_test_split_is_not_drawn() -> None:
    assert rows(FIGURES["learning-curves"](tables()))["mean"].max() == 2.0  # the test split's loss is 9


def test_dense_is_in_every_panel_and_the_panels_are_named() -> None:
    frame = rows(FIGURES["learning-curves"](tables()))
    panels = ["dense (100%)", "50% remain (level 1)", "25% remain (level 2)"]
    chart = FIGURES["learning-curves"](tables()).to_dict()
    assert chart["facet"]["sort"] == panels
    arms = {panel: set(frame.filter(pl.col("panel") == panel)["arm"]) for panel in panels}
    assert arms == {
        panels[0]: {"dense"},
        panels[1]: {"dense", "ticket", "reinit"},
        panels[2]: {"dense", "ticket", "reinit"},
    }


def test_values_of_the_curves() -> None:
    frame = rows(FIGURES["learning-curves"](tables())).filter(pl.col("iteration") == 1000)
    assert frame["mean"].to_list() == pytest.approx([0.55] * len(frame))
    accuracy = rows(FIGURES["learning-curves-accuracy"](tables())).filter(
        (pl.col("iteration") == 1000) & (pl.col("arm") == "ticket") & pl.col("panel").str.contains("level 1")
    )
    assert accuracy["mean"].to_list() == pytest.approx([12.0])  # 1 - (0.92 + 0.01 - 0.05)


def test_a_loss_that_is_not_finite_or_not_positive_is_left_out() -> None:
    history = history_frame(results_frame())
    at_end = (pl.col("iteration") == 1000) & (pl.col("arm") == "reinit")
    for bad in (float("nan"), float("inf"), 0.0):
        spoilt = history.with_columns(loss=pl.when(at_end).then(bad).otherwise("loss"))
        seen, whole = (
            set(evaluations(tables(history=spoilt), value).select("arm", "iteration").iter_rows())
            for value in ("loss", "accuracy")
        )
        assert seen == whole - {("reinit", 1000)}
        assert ("reinit", 1000) in whole


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        (None, "No history of the training was kept"),
        (history_frame(results_frame()).filter(pl.col("split") == "test"), "no finite validation loss"),
    ],
)
def test_without_curves_it_says_why(history: pl.DataFrame | None, reason: str) -> None:
    with pytest.raises(NothingToDrawError, match=reason):
        FIGURES["learning-curves"](tables(history=history))


def test_the_alternative_text_gives_the_best_value_of_each_arm() -> None:
    text = FIGURES["learning-curves"](tables()).to_dict()["description"]
    assert "50% remain (level 1): dense 0.5500, ticket 0.5500, reinit 0.5500." in text


def test_a_curve_of_one_point_is_none() -> None:
    first = history_frame(results_frame()).filter(pl.col("iteration") == 0)
    with pytest.raises(NothingToDrawError, match="past its first iteration"):
        FIGURES["learning-curves"](tables(history=first))
