"""Published numbers beside those found: the mean over replicates at the nearest level, and a plain verdict."""

from __future__ import annotations

import polars as pl
import pytest
from pydantic import ValidationError

from tombola.analysis.verdicts.published import expectations
from tombola.runs.results import SCHEMA
from tombola.study.claims import Expectation
from tombola.study.load import parse_study

SOURCE = "Somebody 2019, table 1"
# Two draws of one replicate are averaged first: replicate 0 has 0.90, replicates 1 and 3 have 0.80 and 0.85.
ROWS = [
    (0, 1, "reinit", 0, 0.5, 0.88, "ok"),
    (0, 1, "reinit", 1, 0.5, 0.92, "ok"),
    (1, 1, "reinit", 0, 0.5, 0.80, "ok"),
    (2, 1, "reinit", 0, 0.5, 0.10, "diverged"),
    (3, 1, "reinit", 0, 0.5, 0.85, "ok"),
    (0, 0, "ticket", 0, 1.0, 0.95, "ok"),
]


def frame() -> pl.DataFrame:
    keys = ("replicate", "level", "arm", "draw", "density", "final_test_accuracy", "status")
    rows = [dict(zip(keys, row, strict=True)) for row in ROWS]
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in rows], schema=SCHEMA)


def expected(**other: object) -> Expectation:
    fields = {"quantity": "final_test_accuracy", "value": 0.85, "tolerance": 0.01, "source": SOURCE}
    return Expectation.model_validate(fields | other)


def test_the_mean_over_replicates_at_the_nearest_level() -> None:
    (found,) = expectations(frame(), [expected(arm="reinit", density=0.52)])
    assert (found.n, found.density) == (3, 0.5)
    assert found.mean == pytest.approx(0.85)
    # The deviation of 0.9, 0.8 and 0.85 is 0.05; t(2, 97.5%) is 4.30265.
    assert found.low == pytest.approx(0.85 - 4.30265 * 0.05 / 3**0.5, abs=1e-4)
    assert found.high == pytest.approx(0.85 + 4.30265 * 0.05 / 3**0.5, abs=1e-4)
    assert found.agrees
    assert "85.00% ± 1.00% in Somebody 2019" in str(found)
    assert "n = 3: agrees" in str(found)


@pytest.mark.parametrize(
    ("value", "agrees"), [(0.8601, False), (0.8599, True), (0.8401, True), (0.8399, False)]
)
def test_agreement_is_a_matter_of_the_tolerance(value: float, agrees: bool) -> None:
    (found,) = expectations(frame(), [expected(arm="reinit", density=0.5, value=value)])
    assert found.agrees is agrees


def test_what_was_not_measured_is_said() -> None:
    far, other = expectations(frame(), [expected(arm="reinit", density=0.4), expected(arm="shuffle")])
    for found in (far, other):
        assert found.agrees is None
        assert str(found).endswith("not measured here")


def test_one_replicate_has_no_interval() -> None:
    (found,) = expectations(frame(), [expected(value=0.94)])
    assert (found.low, found.high) == (None, None)
    assert "here 95.00%, n = 1: agrees" in str(found)


@pytest.mark.parametrize(
    "wrong", [{"quantity": "accuracy"}, {"density": 0.0}, {"tolerance": -1.0}, {"value": "1"}]
)
def test_a_wrong_entry_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        expected(**wrong)


def test_expectations_do_not_change_a_run() -> None:
    text = 'model = {name = "lenet-8-4"}\ndata = {name = "digits"}\n'
    entry = (
        f'[[expect]]\nquantity = "final_test_accuracy"\nvalue = 0.9\ntolerance = 0.1\nsource = "{SOURCE}"\n'
    )
    with_one, without = parse_study(text + entry, "a"), parse_study(text, "b")
    assert with_one.expect[0].source == SOURCE
    assert with_one.identity() == without.identity()
    assert parse_study(with_one.to_toml(), "c") == with_one
