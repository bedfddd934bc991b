"""Early stops at the last evaluation: counted by arm and level, and said beside every number that they bound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from support.simulated import claim, decide_all, row, study_of
from support.study_kit import run_tiny, tiny
from tombola.analysis.contrasts import claims
from tombola.analysis.verdicts import wording
from tombola.lottery.cell import Cell
from tombola.runs.cells.record import CellRecord
from tombola.runs.results import SCHEMA, results_of, summary
from tombola.runs.stops import ends, ends_among, ends_in_words, marked
from tombola.training.trained import NUMBERS, Trained


def stops(arm: str, level: int, *at_end: bool | None, status: str = "ok") -> list[dict[str, Any]]:
    """A cell a replicate; None has no early stop."""
    return [
        row(
            r,
            (level, arm),
            status=status,
            early_stop_iteration=None if last is None else 100 if last else 50 + r,
            early_stop_at_end=last,
            early_stop_test_accuracy=0.9,
        )
        for r, last in enumerate(at_end)
    ]


FRAME = pl.DataFrame(
    [
        *stops("ticket", 0, True, True, False),
        *stops("ticket", 3, False, False, False),
        *stops("reinit", 3, True, None, False),
        *stops("random-mask", 3, True, True, True, status="diverged"),
    ],
    schema=SCHEMA,
)


def test_the_last_evaluation_is_the_first_iteration_and_all_that_followed() -> None:
    plain = dict.fromkeys(("start", "rewind", *NUMBERS))
    dense = CellRecord(cell=Cell(0, 0, "ticket", 0), status="ok", density=1.0, **plain | {"iterations": 100})
    assert replace(dense, early_stop_iteration=100).stops_at_end(0) is True
    assert replace(dense, early_stop_iteration=80).stops_at_end(0) is False
    assert replace(dense, early_stop_iteration=100, iterations=90).stops_at_end(10) is True  # rewound to 10
    assert dense.stops_at_end(0) is None


def test_they_are_counted_by_arm_and_level() -> None:
    assert ends(FRAME) == {("ticket", 0): (2, 3), ("ticket", 3): (0, 3), ("reinit", 3): (1, 2)}
    assert (
        ends_among(FRAME, [("ticket", 0), ("reinit", 3)]) == "no minimum before the end in 3 of 5 trainings"
    )
    assert ends_among(FRAME, [("ticket", 3)]) == ""
    assert ends(FRAME.drop("early_stop_at_end")) == {}


def test_a_number_is_marked_where_some_stopped_at_the_end() -> None:
    assert marked("1500 ± 20", (3, 5)) == "1500 ± 20 †3/5"
    assert marked("1500", (0, 5)) == marked("1500", None) == "1500"


def test_one_sentence_says_what_the_mark_means() -> None:
    assert ends_in_words(FRAME) == (
        "In 3 of 8 trainings (†k/n: in k of n) the early stop is the last evaluation: with more iterations the "
        "validation loss might have fallen further. Their mean iteration is therefore at least what is shown, and has "
        "no interval."
    )
    assert ends_in_words(FRAME.filter(level=3, arm="ticket")) == ends_in_words(FRAME.clear()) == ""


def test_a_mean_has_no_interval_where_some_are_not_reached() -> None:
    found = {(row["arm"], row["level"]): row for row in summary(FRAME, "early_stop_iteration").to_dicts()}
    assert found["ticket", 0] | {"density": 1} == {
        "arm": "ticket", "level": 0, "density": 1, "n": 3, "mean": 84.0, "low": None, "high": None,
    }  # fmt: skip
    assert found["ticket", 3]["low"] is not None
    assert summary(FRAME, "early_stop_test_accuracy")["low"].null_count() == 0, "accuracies keep theirs"


def test_claims_on_iterations_say_so() -> None:
    accuracy, iterations, *_ = claims(FRAME)
    assert not accuracy.note
    assert str(iterations).endswith("% (n = 3: no interval); no minimum before the end in 2 of 6 trainings")


def test_verdicts_on_iterations_say_so() -> None:
    about = {"quantity": "early_stop_iteration", "arms": ["ticket", "dense"]}
    accuracy = claim("accuracy", arms=["ticket", "dense"])
    of_iterations, of_accuracy = decide_all(study_of(claim(**about), accuracy, replicates=3), FRAME)
    assert (of_iterations.row()["at_end"], of_iterations.row()["trainings"]) == (2, 6)
    assert wording.estimate(of_iterations).endswith(
        "n = 3, no minimum before the end in 2 of 6 trainings, where the last iteration counts"
    )
    assert (of_iterations.low, of_iterations.effect, of_iterations.test) == (None, None, "sign")
    assert wording.test_of(of_iterations).startswith("sign test, above: p = 1, p = 1 by Holm")
    assert (of_accuracy.row()["at_end"], "not reached" in wording.estimate(of_accuracy)) == (None, False)


def test_a_network_trained_alone_knows_its_own() -> None:
    numbers = {"early_stop_val_loss": 0.1, "early_stop_test_accuracy": 0.9, "final_test_accuracy": 0.9}
    history = {"iteration": [0, 10, 20, 20], "split": ["validation", "validation", "validation", "test"]}
    at = {
        stop: Trained(
            {}, {}, None, history, stop, final_train_accuracy=1, iterations=20, diverged=False, **numbers
        )
        for stop in (None, 10, 20)
    }
    assert [trained.stops_at_end for trained in at.values()] == [False, False, True]


def test_a_run_too_short_to_stop_early(tmp_path: Path) -> None:
    run = run_tiny(
        tmp_path, tiny(recipe={"iterations": 4, "evaluate_every": 2, "lr": 1e-4}, pruning={"rewind": 1})
    )
    frame = results_of(run)
    assert frame["early_stop_at_end"].all()
    assert frame.filter(pl.col("level") > 0)["iterations"].unique().to_list() == [3], "from iteration 1 on"
    assert ends(frame)["ticket", 0][0] == run.study.replicates
