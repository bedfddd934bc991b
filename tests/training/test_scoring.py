"""Scores against hand calculations, for every chunk size; and the test split, which selection never sees."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from support.training_parts import CLASSES, CPU, arrays, kind, recipe, resident, same, sparse, start
from tombola.data.arrays import from_arrays
from tombola.data.dataset import Dataset
from tombola.data.resident import chunks
from tombola.models.architecture import architecture
from tombola.training.engines.base import Engine, Job
from tombola.training.engines.select import choose
from tombola.training.loop import train_stack
from tombola.training.scoring import evaluate
from tombola.training.stack import Stack

CHUNKS = range(1, 9)
X = torch.eye(3)[torch.tensor([0, 1, 2, 2, 1, 0, 1])]  # 7 examples: no chunk of 2..6 divides them
Y = torch.tensor([0, 1, 2, 2, 1, 0, 1])


def linear(name: str, *weights: Tensor, groups: list[int] | None = None) -> Engine:
    """Networks without a hidden layer: logits = x W."""
    arch = architecture(torch.nn.Sequential(torch.nn.Linear(3, 3, bias=False)), (3,), CLASSES)
    starts = [start(arch, r, state={"0.weight": weight}) for r, weight in enumerate(weights)]
    return choose(name, arch, CPU)(
        Job(arch, Stack(arch, starts, CPU), groups or [0] * len(weights), [0] * len(weights))
    )


every_engine = pytest.mark.parametrize("name", ["mlp", "modules", "sparse"])


@every_engine
@pytest.mark.parametrize("chunk", CHUNKS)
def test_a_perfect_classifier_scores_exactly_one(
    name: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = linear(name, 10 * torch.eye(3), -10 * torch.eye(3))
    monkeypatch.setattr(engine, "chunk", chunk)
    score = evaluate(engine, lambda a, b: (X[None, a:b], Y[None, a:b]), 7)
    assert score.metric.tolist() == [1.0, 0.0]
    # The right logit is 10 above (below) both others.
    right, wrong = math.log(1 + 2 * math.exp(-10)), math.log(1 + 2 * math.exp(10))
    assert score.loss.tolist() == pytest.approx([right, wrong], rel=1e-3, abs=1e-7)
    assert score.loss.dtype == score.metric.dtype == torch.float64


@every_engine
@pytest.mark.parametrize("chunk", CHUNKS)
def test_scores_by_hand_with_groups(name: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three networks in two groups with examples and labels of their own."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 7, 3)).astype(np.float32), rng.integers(0, 3, (2, 7))
    weights = rng.standard_normal((3, 3, 3)).astype(np.float32)
    groups = [0, 0, 1]
    engine = linear(name, *map(torch.from_numpy, weights), groups=groups)
    monkeypatch.setattr(engine, "chunk", chunk)
    fetched = []

    def fetch(a: int, b: int) -> tuple[Tensor, Tensor]:
        fetched.append((a, b))
        return torch.from_numpy(x[:, a:b]), torch.from_numpy(y[:, a:b])

    score = evaluate(engine, fetch, 7)
    assert [i for a, b in fetched for i in range(a, b)] == list(range(7))
    assert all(b - a <= chunk for a, b in fetched)
    for r, g in enumerate(groups):
        logits = x[g].astype(np.float64) @ weights[r].astype(np.float64).T
        losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(7), y[g]]
        assert float(score.loss[r]) == pytest.approx(losses.mean(), rel=1e-5)
        assert float(score.metric[r]) == pytest.approx((logits.argmax(1) == y[g]).mean(), abs=1e-12)


def test_the_sum_over_many_examples_is_taken_in_double_precision() -> None:
    """4,096 losses of log 3 in one chunk: a float32 sum would be off in the seventh digit."""
    engine = linear("mlp", torch.zeros(3, 3))
    x, y = torch.ones(1, 1000, 3), torch.zeros(1, 1000, dtype=torch.int64)
    score = evaluate(engine, lambda a, b: (x[:, : b - a], y[:, : b - a]), 4096)
    assert float(score.loss[0]) == float(np.float64(np.float32(math.log(3))))


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (240, 120, [(0, 120), (120, 240)]),
        (121, 120, [(0, 60), (60, 121)]),
        (7, 3, [(0, 3), (3, 5), (5, 7)]),
        (8, 3, [(0, 3), (3, 6), (6, 8)]),
        (1, 120, [(0, 1)]),
        (100, 120, [(0, 100)]),
    ],
)
def test_chunks_by_hand(count: int, size: int, expected: list[tuple[int, int]]) -> None:
    assert chunks(count, size) == expected


class Squeezing(torch.nn.Module):
    """Takes no batch of one, in evaluation either: it would squeeze it away."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(3, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(x).squeeze()
        return out


@pytest.mark.parametrize("name", ["modules", "stacked"])
@pytest.mark.parametrize("count", [1, 5, 7])
def test_no_network_sees_a_batch_of_one(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    arch = architecture(Squeezing, (3,), CLASSES)
    stack = Stack(arch, [start(arch, 0, state={"fc.weight": 10 * torch.eye(3)})], CPU)
    engine = choose(name, arch, CPU)(Job(arch, stack, [0], [0]))
    monkeypatch.setattr(engine, "chunk", 3)
    score = evaluate(engine, lambda a, b: (X[None, a:b], Y[None, a:b]), count)
    assert score.metric.tolist() == [1.0]
    assert score.loss.tolist() == pytest.approx([math.log(1 + 2 * math.exp(-10))], rel=1e-3)


def with_test(labels: Tensor | None = None, examples: Tensor | None = None) -> Dataset:
    plain = arrays()
    return from_arrays(
        (plain.train_x, plain.train_y),
        (
            plain.test_x if examples is None else examples,
            plain.test_y if labels is None else labels,
        ),
    )


def test_selection_never_sees_the_test_split() -> None:
    arch, _, engine = kind("mlp")
    starts = [start(arch), start(arch, 1, sparse(arch))]
    chosen = recipe(curve_every=4, lr=0.1, iterations=30)
    plain = arrays()
    trainings = [
        train_stack(arch, starts, resident(dataset), chosen, 5, engine=engine)
        for dataset in (
            with_test(),
            with_test(labels=(plain.test_y + 1) % CLASSES),
            with_test(examples=100 + plain.test_x),
            with_test(plain.test_y[:3], plain.test_x[:3]),
        )
    ]
    for other in trainings[1:]:
        for a, b in zip(trainings[0], other, strict=True):
            assert same(a.end, b.end)
            assert same(a.best, b.best)
            assert (a.early_stop_iteration, a.early_stop_val_loss) == (
                b.early_stop_iteration,
                b.early_stop_val_loss,
            )
            assert a.final_train_accuracy == b.final_train_accuracy
            for column in ("iteration", "loss", "accuracy"):
                one, two = (
                    [v for v, s in zip(t.history[column], t.history["split"], strict=True) if s != "test"]
                    for t in (a, b)
                )
                assert one == two
    tests = [[trained.final_test_accuracy for trained in each] for each in trainings]
    assert tests[0] != tests[1]
    assert {t.early_stop_iteration for t in trainings[0]} - {0, 30}  # there was something to select


def test_history_scores_each_split_on_its_own_examples() -> None:
    """Validation examples mislabelled on purpose: a network that learns the rest is wrong on them alone."""
    base = arrays(n=60, n_test=30)
    begun = start(architecture("lenet-7-5", (6,), CLASSES))
    from tombola.data.split import split

    held = split(60, 15, begun.seeds.stream("split")).validation
    labels = base.train_y.clone()
    labels[torch.from_numpy(held)] = (labels[torch.from_numpy(held)] + 1) % CLASSES
    data = resident(from_arrays((base.train_x * 0 + 5 * torch.nn.functional.one_hot(base.train_y, 6), labels),
                                (5 * torch.nn.functional.one_hot(base.test_y, 6).float(), base.test_y)))  # fmt: skip
    arch = architecture("lenet-7-5", (6,), CLASSES)
    trained = train_stack(arch, [begun], data, recipe(iterations=60, lr=0.05, curve_every=4), 15)[0]
    last = dict(zip(trained.history["split"][-3:], trained.history["accuracy"][-3:], strict=True))
    assert last == {"train": 1.0, "validation": 0.0, "test": 1.0}
    assert (trained.final_train_accuracy, trained.final_test_accuracy) == (1.0, 1.0)
