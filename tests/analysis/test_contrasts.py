"""The tickets of runs against each other: which levels are compared, and the paired differences, by hand."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from tombola.analysis.contrasts import contrasts
from tombola.study.diff import diff_many
from tombola.study.spec import Study


def frame(values: dict[float, list[float]], arm: str = "ticket", status: str = "ok") -> pl.DataFrame:
    """Density -> accuracy of each replicate, densest first from level 1 on."""
    return pl.DataFrame(
        [
            {
                "replicate": r,
                "level": level,
                "arm": arm,
                "draw": 0,
                "status": status,
                "density": density,
                "early_stop_test_accuracy": value,
            }
            for level, (density, accuracies) in enumerate(values.items(), 1)
            for r, value in enumerate(accuracies)
        ]
    )


def test_each_run_is_against_the_first_at_the_sparsest_density_both_have() -> None:
    first = frame({0.5: [0.9] * 3, 0.25: [0.80, 0.90, 0.80], 0.1: [0.1] * 3})
    second = frame({0.5: [0.9] * 3, 0.26: [0.82, 0.96, 0.84]})
    third = frame({0.5: [0.7, 0.7, 0.7]})
    found = contrasts({"a": first, "b": second, "c": third})
    assert [claim.sentence for claim in found] == [
        "b against a, ticket at 25.0%, test accuracy at early stop",
        "c against a, ticket at 50.0%, test accuracy at early stop",
    ]
    # Differences 2, 6 and 4 points: mean 4, deviation 2, half the interval 4.30265 * 2 / sqrt(3) = 4.96827.
    assert (found[0].mean, found[0].n, found[0].unit) == (pytest.approx(4), 3, "pp")
    assert found[0].low == pytest.approx(4 - 4.96827, abs=1e-3)
    assert found[0].high == pytest.approx(4 + 4.96827, abs=1e-3)
    assert (found[1].mean, found[1].low) == (pytest.approx(-20), pytest.approx(-20))


def test_replicates_are_paired_and_those_of_one_run_alone_are_left_out() -> None:
    [claim] = contrasts({"a": frame({0.5: [0.5, 0.6]}), "b": frame({0.5: [0.6, 0.8, 0.9]})})
    assert (claim.n, claim.mean) == (2, pytest.approx(15))


def test_other_arms_dense_networks_and_failures_do_not_count() -> None:
    first = frame({0.5: [0.5, 0.6]})
    dense = first.with_columns(level=pl.lit(0), density=pl.lit(1.0))
    for other in (
        frame({0.5: [0.9]}, arm="reinit"),
        frame({0.5: [0.9]}, status="diverged"),
        dense,
        first.clear(),
    ):
        assert contrasts({"a": first, "b": other}) == []
        assert contrasts({"a": other, "b": first}) == []
    assert contrasts({"a": first}) == []


def test_densities_further_apart_than_half_a_step_are_not_compared() -> None:
    assert contrasts({"a": frame({0.5: [0.5]}), "b": frame({0.56: [0.5]})}) == []
    assert len(contrasts({"a": frame({0.5: [0.5]}), "b": frame({0.54: [0.5]})})) == 1


def test_what_is_different_between_many() -> None:
    def study(**changes: Any) -> Study:
        return Study.model_validate({"model": {"name": "lenet-8-6"}, "data": {"name": "digits"}, **changes})

    found = diff_many([study(seed=1), study(seed=1, levels=3), study(seed=2)])
    assert found == {"seed": [1, 1, 2], "levels": [10, 3, 10]}
    assert diff_many([study(), study()]) == {}
    options = diff_many([study(model={"name": "lenet-8-6", "options": {"dropout": 0.5}}), study()])
    assert options["model.options.dropout"] == [0.5, None]


def test_on_ladders_with_small_steps_the_nearest_rungs_are_compared() -> None:
    """45% and 49% are within 10% of each other, but 49% has a rung of its own in both, and 45% in the first alone."""
    first = frame({0.54: [0.7], 0.49: [0.8], 0.45: [0.5]})
    [claim] = contrasts({"a": first, "b": frame({0.54: [0.7], 0.49: [0.9]})})
    assert claim.sentence == "b against a, ticket at 49.0%, test accuracy at early stop"
    assert claim.mean == pytest.approx(10)
    [claim] = contrasts({"a": frame({0.45: [0.5]}), "b": frame({0.45: [0.6], 0.42: [0.9]})})
    assert claim.mean == pytest.approx(10)
