"""Statistics over replicates, by hand: draws first, t-intervals, claims, and frames with nothing in them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.study_kit import run_tiny, tiny
from tombola.analysis.contrasts import claimed, claims, diff_results
from tombola.runs.folder import Run
from tombola.runs.results import SCHEMA, by_replicate, histories, results_of, summary
from tombola.study.diff import diff_many
from tombola.text import with_interval
from tombola.training.trained import NUMBERS

# The 0.975 quantile of Student's t at 2 degrees of freedom, from a printed table.
T_2 = 4.303


def row(replicate: int, level: int, arm: str = "ticket", draw: int = 0, **values: Any) -> dict[str, Any]:
    """A row of results; density is 0.5 to the power of the level."""
    numbers = dict.fromkeys(NUMBERS) | {"status": "ok", "iterations": 100, "density": 0.5**level} | values
    return {"replicate": replicate, "level": level, "arm": arm, "draw": draw, **numbers}


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA)


def test_draws_are_averaged_within_the_replicate_first() -> None:
    # Replicate 0 has three draws, replicate 1 only one: each counts once.
    table = frame(
        row(0, 1, "reinit", 0, final_test_accuracy=0.1),
        row(0, 1, "reinit", 1, final_test_accuracy=0.2),
        row(0, 1, "reinit", 2, final_test_accuracy=0.3),
        row(1, 1, "reinit", 0, final_test_accuracy=0.8),
    )
    assert by_replicate(table, "final_test_accuracy")["final_test_accuracy"].to_list() == pytest.approx(
        [0.2, 0.8]
    )
    (found,) = summary(table, "final_test_accuracy").to_dicts()
    assert (found["arm"], found["level"], found["density"], found["n"]) == ("reinit", 1, 0.5, 2)
    assert found["mean"] == pytest.approx(0.5)
    assert (found["low"], found["high"]) == (None, None), "two replicates have no interval"


def test_a_t_interval_of_three_by_hand() -> None:
    table = frame(*(row(r, 0, final_test_accuracy=value) for r, value in enumerate((0.90, 0.92, 0.97))))
    (found,) = summary(table, "final_test_accuracy").to_dicts()
    # Mean 0.93; squares 0.0009 + 0.0001 + 0.0016 = 0.0026; deviation sqrt(0.0013) = 0.036056.
    half = T_2 * 0.036056 / 1.732051
    assert found["mean"] == pytest.approx(0.93)
    assert 0.93 + half > 1, "so that it is cut at 100%"
    assert (found["low"], found["high"]) == (pytest.approx(0.93 - half, rel=1e-4), 1.0)
    assert with_interval(found, 100, 2) == "93.00 [84.04, 100.00]"


def test_one_replicate_has_no_interval() -> None:
    table = frame(
        row(0, 1, "reinit", 0, final_test_accuracy=0.1), row(0, 1, "reinit", 1, final_test_accuracy=0.3)
    )
    (found,) = summary(table, "final_test_accuracy").to_dicts()
    assert (found["n"], found["low"], found["high"]) == (1, None, None)
    assert found["mean"] == pytest.approx(0.2)


def test_what_was_not_measured_is_left_out_and_not_zero() -> None:
    table = frame(
        row(0, 1, final_test_accuracy=0.5),
        row(1, 1, final_test_accuracy=None, status="collapsed"),
        row(0, 2, final_test_accuracy=None, status="collapsed"),
    )
    (found,) = summary(table, "final_test_accuracy").to_dicts()
    assert (found["level"], found["n"], found["mean"]) == (1, 1, 0.5)


def test_the_order_of_rows_does_not_matter() -> None:
    rows = [
        row(r, level, arm, final_test_accuracy=r + level / 7)
        for r in (2, 0, 1)
        for level in (1, 0)
        for arm in "ba"
    ]
    one = summary(frame(*rows), "final_test_accuracy")
    assert one.equals(summary(frame(*reversed(rows)), "final_test_accuracy"))
    assert one.select("arm", "level").rows() == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


# --- claims -------------------------------------------------------------------------------------------------


def study_rows(replicates: int = 3) -> list[dict[str, Any]]:
    """Levels 0..3 (densities 1, 1/2, 1/4, 1/8; nearest to 21.07% is level 2), reinit at levels 1 and 2."""
    rows = []
    for r in range(replicates):
        for level, accuracy, stop in ((0, 0.90, 100), (1, 0.91, 90), (2, 0.92, 50), (3, 0.99, 10)):
            rows.append(
                row(
                    r,
                    level,
                    early_stop_test_accuracy=accuracy + r * level / 100,
                    early_stop_iteration=stop + 10 * r,
                )
            )
        for level in (1, 2):
            for draw in (0, 1):
                value = 0.80 + draw / 10 + r / 100
                rows.append(
                    row(r, level, "reinit", draw, early_stop_test_accuracy=value, early_stop_iteration=200)
                )
    return rows


def test_claims_by_hand() -> None:
    accuracy, stop, reinit = claims(frame(*study_rows()))
    # Level 2 against dense: 2, 4 and 6 points; deviation 2.
    assert "25.0%" in accuracy.sentence
    assert "dense" in accuracy.sentence
    assert (accuracy.n, accuracy.unit) == (3, "pp")
    assert accuracy.mean == pytest.approx(4)
    assert accuracy.low == pytest.approx(4 - T_2 * 2 / math.sqrt(3), rel=1e-3)
    assert accuracy.high == pytest.approx(4 + T_2 * 2 / math.sqrt(3), rel=1e-3)
    assert str(accuracy).endswith("n = 3: too close to say")
    # 50 for 100, 60 for 110, 70 for 120: the ratio of means, 180 for 330. Both vary by 10 together, so Fieller's q are
    # where (60 - 110 q)^2 = T_2^2 (10 - 10 q)^2 / 3.
    assert stop.unit == "%"
    assert stop.mean == pytest.approx(100 * (180 / 330 - 1))
    t = T_2 * 10 / math.sqrt(3)
    low, high = (60 - t) / (110 - t), (60 + t) / (110 + t)
    assert (stop.low, stop.high) == pytest.approx((100 * (low - 1), 100 * (high - 1)), rel=1e-3)
    assert str(stop).endswith(": less")
    # The sparsest level that both have is 2: tickets 0.92, 0.94, 0.96 against 0.85, 0.86, 0.87.
    assert "25.0%" in reinit.sentence
    assert "reinit" in reinit.sentence
    assert reinit.mean == pytest.approx((7 + 8 + 9) / 3)
    assert str(reinit).endswith(": more")


def test_levels_are_picked_by_rule_and_not_by_effect() -> None:
    # Level 3 has by far the largest difference, and is not claimed.
    assert not [claim for claim in claims(frame(*study_rows())) if "12.5%" in claim.sentence]
    # Densities as near to 21.07% on both sides: the earlier level.
    rows = [
        row(0, level, density=density, early_stop_test_accuracy=0.9, early_stop_iteration=5)
        for level, density in ((0, 1.0), (1, 0.2107 + 0.05), (2, 0.2107 - 0.05))
    ]
    assert "26.1%" in claims(frame(*rows))[0].sentence


def test_claims_of_two_replicates_have_no_interval() -> None:
    found = claims(frame(*study_rows(replicates=2)))
    assert str(found[0]) == (
        "ticket at 25.0% against dense, test accuracy at early stop: +3.00 pp (2 replicates: no interval)"
    )
    assert {(claim.low, claim.high) for claim in found} == {(None, None)}


def test_a_difference_is_cut_at_a_hundred_points() -> None:
    # 90, 80 and 100 points: mean 90, deviation 10, half 4.303 * 10 / sqrt(3) = 24.84
    [claim] = claimed("a", [(0.9, 0.0), (0.8, 0.0), (1.0, 0.0)], "pp")
    assert (claim.low, claim.high) == (pytest.approx(90 - 24.84, abs=0.01), 100)
    # 50, 80 and 95% fewer iterations: mean -75, deviation 22.91, half 56.92
    [claim] = claimed("b", [(50, 100), (20, 100), (5, 100)], "%")
    assert (claim.low, claim.high) == (-100, pytest.approx(-75 + 56.92, abs=0.02))


def test_claims_of_one_replicate_have_no_interval() -> None:
    found = claims(frame(*study_rows(replicates=1)))
    assert len(found) == 3
    for claim in found:
        assert (claim.n, claim.low, claim.high) == (1, None, None)
        assert "one replicate: no interval" in str(claim)


def test_only_replicates_with_both_sides_are_paired() -> None:
    rows = [r for r in study_rows() if not (r["replicate"] == 1 and r["level"] == 0)]
    accuracy = claims(frame(*rows))[0]
    assert (accuracy.n, accuracy.mean) == (2, pytest.approx(4))
    nobody = [r for r in study_rows(1) if r["level"] != 0]
    assert len(claims(frame(*nobody))) == 1, "no dense network, no claim against it"


def test_a_dense_network_that_stops_at_once_gives_no_division() -> None:
    rows = [row(0, 0, early_stop_iteration=0), row(0, 2, early_stop_iteration=5)]
    assert claims(frame(*rows)) == []


# --- nothing there ------------------------------------------------------------------------------------------


def test_empty_frames(tmp_path: Path) -> None:
    run = Run(tmp_path)
    empty = results_of(run)
    assert (empty.height, empty.columns) == (0, [*SCHEMA, "seconds"])
    for value in NUMBERS:
        found = summary(empty, value)
        assert (found.height, found.columns) == (0, ["arm", "level", "density", "n", "mean", "low", "high"])
    assert claims(empty) == []
    curves = histories(run)
    assert curves.height == 0
    assert curves.columns == [
        "replicate", "level", "arm", "draw", "density", "iteration", "split", "loss", "accuracy",
    ]  # fmt: skip
    assert diff_results(empty, empty).height == 0


def test_results_of_a_run_in_order_and_with_the_promised_keys(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    table = results_of(run)
    assert set(table.columns) >= {
        "replicate", "level", "arm", "draw", "density", "early_stop_iteration", "early_stop_val_loss",
        "early_stop_test_accuracy", "final_test_accuracy", "final_train_accuracy", "iterations", "seconds",
    }  # fmt: skip
    keys = table.select("replicate", "level", "arm", "draw")
    assert keys.rows() == sorted(keys.rows())
    assert table["density"].to_list() == [run.mask(cell).density() for cell in run.cells()]
    assert (table["seconds"] > 0).all()
    assert "seconds" not in results_of(run, timed=False).columns
    curves = histories(run)
    assert curves.schema.names() == histories(Run(tmp_path / "none")).schema.names()
    assert dict(curves.schema) == dict(histories(Run(tmp_path / "none")).schema)


# --- diff ---------------------------------------------------------------------------------------------------


def test_curves_are_those_of_each_cell_however_many_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_tiny(tmp_path, tiny(levels=1))
    one_by_one = [
        run.history(cell).with_columns(replicate=pl.lit(cell.replicate), level=pl.lit(cell.level))
        for cell in run.cells()
    ]
    expected = pl.concat(one_by_one)
    for at_once in (1, 4, 500):
        monkeypatch.setattr("tombola.runs.cells.cells.AT_ONCE", at_once)
        assert histories(Run(run.path)).select(expected.columns).rows() == expected.rows()
    monkeypatch.setattr("tombola.runs.cells.cells.read_parquets", lambda *_: None)
    assert histories(Run(run.path)).select(expected.columns).rows() == expected.rows()


def test_a_run_at_rest_is_of_one_moment(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(levels=0))
    other, before = Run(run.path), run.cells()
    with other.at_rest():
        run_tiny(tmp_path, run.study.model_copy(update={"replicates": 3}))
        assert other.cells() == before == list(other.records())
        with other.at_rest():
            assert other.cells() == before
        assert other.cells() == before
    assert len(other.cells()) == 3


def test_specs_differ_in_the_keys_that_differ() -> None:
    assert diff_many([tiny(), tiny()]) == {}
    assert diff_many([tiny(), tiny(recipe={"lr": 0.5}, pruning={"rates": {"output": 0.1}}, seed=3)]) == {
        "recipe.lr": [0.01, 0.5],
        "pruning.rates": [{}, None],
        "pruning.rates.output": [None, 0.1],
        "seed": [0, 3],
    }


def test_results_differ_by_means_over_replicates() -> None:
    a = frame(
        *(row(r, 1, early_stop_test_accuracy=0.5 + r / 10, early_stop_iteration=10 * r) for r in (0, 1))
    )
    b = frame(
        row(0, 1, early_stop_test_accuracy=0.7, early_stop_iteration=40),
        row(0, 2, early_stop_test_accuracy=0.7, early_stop_iteration=40),
    )
    (found,) = diff_results(a, b).to_dicts()
    assert (found["arm"], found["level"], found["density"]) == ("ticket", 1, 0.5)
    assert (found["test_a"], found["test_b"]) == (pytest.approx(0.55), pytest.approx(0.7))
    assert (found["stop_a"], found["stop_b"]) == (pytest.approx(5), pytest.approx(40))
