"""Targets that are numbers: trained on by squared error or a loss of one's own, measured and selected by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tombola
from tombola.data.arrays import from_arrays
from tombola.errors import UserError
from tombola.metrics import MSE
from tombola.training.scoring import Score, evaluate


class Line(nn.Module):
    """A layer and a head of as many numbers as a target has."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(3, 8), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.first(x).relu())


def drawn(outputs: int = 1, classes: bool = False) -> Any:
    """Sums of the inputs with signs, or which side of zero they are on."""
    x = torch.randn(120, 3, generator=torch.Generator().manual_seed(0))
    y = torch.stack([x[:, 0] - x[:, 1], x[:, 2] + x[:, 0]], 1)[:, :outputs]
    y = (y[:, 0] > 0).long() if classes else y
    return (x[:90], y[:90]), (x[90:], y[90:])


def recipe(**changes: Any) -> tombola.Recipe:
    known: dict[str, Any] = {"iterations": 200, "batch": 15, "evaluate_every": 20, "lr": 0.01}
    return tombola.Recipe(**{**known, "loss": "mse", "metric": "mse", **changes})


def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean absolute error: a loss of one's own."""
    return (outputs - targets).abs().mean()


class Told:
    """Two networks that answer what they are told."""

    chunk = 2
    groups = (0, 0)

    def __init__(self, answers: Tensor) -> None:
        self.answers = answers

    def logits(self, x: Tensor) -> Tensor:
        return self.answers[:, x[0, :, 0].long()]


def test_the_error_is_the_mean_of_squares_over_examples_and_numbers() -> None:
    targets = torch.tensor([[1.0, 0], [2, 0], [3, 4]])
    answers = torch.stack([targets, targets + torch.tensor([[1.0, 0], [0, 0], [3, -3]])])

    def fetch(start: int, stop: int) -> tuple[Tensor, Tensor]:
        rows = torch.arange(start, stop)
        return rows.view(1, -1, 1).float(), targets[None, rows]

    found: Score = evaluate(Told(answers), fetch, 3, MSE)
    assert found.loss.tolist() == [0, (1 + 0 + 9 + 9) / 6]
    assert found.metric.tolist() == found.loss.tolist()


@pytest.mark.parametrize("loss", ["mse", f"{__name__}:absolute"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_it_learns_and_says_the_error_that_its_weights_make(outputs: int, loss: str) -> None:
    data = drawn(outputs)
    ticket, trained = tombola.train(Line, data, recipe=recipe(loss=loss), normalisation="none", validation=20)
    assert trained.measured is not None
    assert ticket.end is not None
    (x, y) = data[1]
    module = Line(outputs)
    module.load_state_dict(ticket.export("dense", "end"))
    by_hand = (module.eval()(x) - y).square().mean().item()
    assert trained.measured["final_test_mse"] == pytest.approx(by_hand, rel=1e-5)
    assert by_hand < 0.5 * float(y.square().mean()), "it has learnt something"
    assert trained.final_test_accuracy is trained.early_stop_test_accuracy is None
    assert set(trained.history["accuracy"]) == {None}
    losses = [
        loss
        for loss, part in zip(trained.history["loss"], trained.history["split"], strict=True)
        if part == "validation"
    ]
    assert trained.early_stop_val_loss == min(losses), "selected by the squared error of the validation set"
    measured = tombola.evaluate(ticket, data, weights="end")
    assert (measured.accuracy, measured.metric) == (None, "mse")
    assert measured.loss == pytest.approx(by_hand, rel=1e-5)


def test_a_targets_shape_is_the_networks_outputs() -> None:
    (x, y), test = drawn()
    flat = from_arrays((x, y[:, 0]), (test[0], test[1][:, 0]))
    assert flat.digest == from_arrays((x, y), test).digest
    assert (flat.classes, flat.train_y.shape, flat.train_y.dtype) == (1, (90, 1), torch.float32)
    assert from_arrays((x, y.double().numpy()), test).digest == flat.digest


@pytest.mark.parametrize(
    ("data", "changes", "said"),
    [
        (drawn(), {"loss": "cross-entropy", "metric": "accuracy"}, r"labels are numbers of type float, \[90, 1\], and"),
        (drawn(classes=True), {}, "labels are classes .*; expected labels of type float"),
        (drawn(), {"engine": "sparse"}, "engine 'sparse' cannot train lenet-8-5 with recipe.loss = mse"),
        (drawn(), {"engine": "mlp"}, "engine 'mlp' cannot train lenet-8-5 with recipe.loss = mse"),
        (drawn(), {"engine": "stacked"}, "engine 'stacked' cannot train lenet-8-5 with recipe.loss = mse"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(data: Any, changes: dict[str, Any], said: str) -> None:
    engine = changes.pop("engine", "auto")
    with pytest.raises(UserError, match=said):
        tombola.train("lenet-8-5", data, recipe=recipe(**changes), engine=engine)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"metric": "mse"}, "loss = 'cross-entropy' is of classes; expected loss = 'mse' or a function of yours"),
        ({"loss": "mse"}, "loss = 'mse' is of targets that are numbers; expected metric = 'mse' with it"),
        ({"metric": "mes", "loss": "mse"}, "unknown metric 'mes'; did you mean 'mse'"),
        ({"loss": "mse2"}, "unknown loss 'mse2'; expected 'cross-entropy', 'mse', or 'package.module:function'"),
        ({"metric": "mse", "loss": "mse", "label_smoothing": 0.1}, "label_smoothing belongs to loss = 'cross-entropy'"),
    ],
)  # fmt: skip
def test_a_recipe_that_does_not_fit_together_is_said(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        tombola.Recipe(**keys)


@pytest.mark.parametrize(
    ("y", "test_y", "said"),
    [
        ([0.5, np.nan, 1, 2], [0.5], "the target of row 1 is NaN or infinite"),
        ([0.5, 1, 1, 2], [[0.5, 1]], r"targets are torch.float32 of shape \[1, 2\]; expected float32 of"),
        ([0.5, 1, 1, 2], [1], "training labels are numbers of type float and test labels classes"),
    ],
)  # fmt: skip
def test_targets_that_do_not_fit_are_named(y: Any, test_y: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        from_arrays((np.zeros((4, 2)), np.array(y)), (np.zeros((1, 2)), np.array(test_y)))
