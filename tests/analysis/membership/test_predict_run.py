"""Prediction of a run's tickets: what networks are after k steps, what is stored, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from support.study_kit import run_tiny, tiny, toy_data
from tombola.analysis.membership.prediction import (
    Prediction,
    beyond,
    calibration,
    estimates,
    predict_run,
    prediction_of,
)
from tombola.analysis.membership.young import Replicates
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.runs.folder import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    study = tiny(replicates=4, arms=[], pruning={"rate": 0.3, "rewind": 4}, data={"split": "study"})
    return run_tiny(tmp_path_factory.mktemp("predicted"), study)


def told(run: Run, **options: Any) -> Prediction:
    return predict_run(run, dataset=toy_data(), device="cpu", **options)


def test_first_steps_are_those_of_the_run(run: Run) -> None:
    """At 0 the initial weights, at `rewind` the snapshot, at the last the end: the very bits, in a stack of all."""
    states = Replicates.of(run, dataset=toy_data(), device="cpu").after([4, 20, 0])
    for r in range(4):
        dense = Cell(r, 0, "ticket", 0)
        record = run.record(dense)
        assert record.rewind is not None
        expected = {0: run.start(dense), 4: run.start_weights(record.rewind), 20: run.weights(dense, "end")}
        for k, state in expected.items():
            assert all(torch.equal(states[r][k][name], state[name]) for name in state), (r, k)


def test_tickets_in_the_order_of_others(run: Run) -> None:
    """Aligned to its own weights, a ticket of the same start would be itself; units of others move with degree."""
    found = Replicates.of(run, dataset=toy_data(), device="cpu")
    states = found.after([20])
    same = dict.fromkeys(states, states[0][20])
    assert all(mask == found.masks[b] for (_, b), mask in found.aligned(same).items())
    apart = found.aligned({r: states[r][20] for r in states})
    assert any(mask != found.masks[b] for (_, b), mask in apart.items())
    for (_, b), mask in apart.items():
        inputs = mask["fc1.weight"].sum(0)
        assert torch.equal(inputs, found.masks[b]["fc1.weight"].sum(0)), "inputs stay where they are"


def test_what_is_stored_and_read(run: Run) -> None:
    found = told(run, level=1, steps=[0, 10])
    stored = prediction_of(run)
    assert stored is not None
    assert stored.values.equals(found.values)
    assert stored.reliability.equals(found.reliability)
    assert set(found.values["level"]) == {1}
    assert set(found.values["steps"]) == {0, 10}
    late = estimates(found).filter(steps=10, layer="all")
    assert set(late["by"]) == {"|w| at start", "|w| after k", "logistic", "boosting", "shuffled labels"}
    assert set(late["n"]) == {4}
    assert late.filter(by="|w| after k")["mean"][0] > 0.75, "most of what is trained is seen half-way"
    assert "|w| after k" not in set(estimates(found).filter(steps=0)["by"])
    again = told(run, level=1, steps=[0, 10])
    assert again.values.equals(found.values)


def test_means_gains_and_calibration_by_hand() -> None:
    values = pl.DataFrame(
        {
            "level": 1,
            "steps": 5,
            "by": ["model"] * 3 + ["plain"] * 3,
            "layer": "all",
            "replicate": [0, 1, 2, 2, 1, 0],
            "quantity": "auc",
            "feature": "",
            "value": [0.7, 0.8, 0.9, 0.6, 0.7, 0.6],
        }
    )
    tenths = pl.DataFrame(
        {
            "level": 1,
            "steps": 5,
            "by": "model",
            "replicate": [0, 1],
            "tenth": 3,
            "weights": [10, 30],
            "said": [0.3, 0.34],
            "lived": [0.5, 0.1],
        }
    )
    found = Prediction(values, tenths)
    row = estimates(found).filter(by="model").row(0, named=True)
    assert (row["n"], row["mean"]) == (3, pytest.approx(0.8))
    # t(2) = 4.3027, a deviation of 0.1, sqrt(3): 0.248; cut at 1.
    assert (row["low"], row["high"]) == (pytest.approx(0.8 - 0.2484, abs=1e-4), 1.0)
    gain = beyond(found, "model", "plain").row(0, named=True)
    # 0.7 - 0.6, 0.8 - 0.7, 0.9 - 0.6, each on its own replicate.
    assert gain["mean"] == pytest.approx(0.5 / 3)
    off = calibration(found).row(0, named=True)
    assert (off["weights"], off["said"], off["lived"]) == (40, pytest.approx(0.33), pytest.approx(0.2))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": 0}, "--level 0: expected a level with tickets, 1 to 2"),
        ({"level": 3}, "--level 3: expected a level with tickets, 1 to 2"),
        ({"steps": [21]}, "--steps 21: expected 0 to the recipe's 20 iterations"),
    ],
)
def test_refusals(run: Run, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        told(run, **options)


def test_two_replicates_do_not_do(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(arms=[], levels=1))
    assert prediction_of(run) is None
    with pytest.raises(UserError, match="prediction needs 3 replicates with a ticket at least, found 2"):
        told(run, steps=[0])
    assert prediction_of(run) is None
