"""Early stopping: the first minimum of validation loss, and the very network that had it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from support.rounding import assert_same_in_double
from support.training_parts import CLASSES, arrays, kind, recipe, resident, same, sparse, start
from tombola.models.architecture import architecture
from tombola.models.state import load_state
from tombola.training.loop import train_stack
from tombola.training.record import Record
from tombola.training.scoring import Score

NAN, INF = math.nan, math.inf

# Losses at the evaluations, the place that must win (None: none), and whether the network diverged.
SCRIPTS: list[tuple[list[float], int | None, bool]] = [
    ([4.0, 3.0, 2.0, 1.0], 3, False),
    ([1.0, 2.0, 3.0, 4.0], 0, False),
    ([3.0, 1.0, 2.0, 1.5], 1, False),
    ([3.0, 1.0, 2.0, 1.0], 1, False),
    ([2.0, 2.0, 2.0, 2.0], 0, False),
    ([3.0, 1.0, 0.5, 1.0], 2, False),
    ([3.0, NAN, 2.0, 2.5], 2, False),
    ([NAN, NAN, 2.0, 2.5], 2, False),
    ([NAN, 2.0, 3.0, 2.0], 1, False),
    ([3.0, 2.0, NAN, NAN], 1, True),
    ([3.0, 2.0, INF, INF], 1, True),
    ([-INF, 1.0, 1.0, 1.0], 0, False),
    ([NAN, NAN, NAN, NAN], None, True),
    ([INF, INF, INF, NAN], None, True),
]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch):
    """Validation losses come from a table [point][network]; all else is measured."""
    score = Record._score

    def install(losses: np.ndarray) -> None:
        rows = iter(torch.from_numpy(losses).double())

        def read(self: Record, part: str) -> Score:
            if part != "validation":
                return score(self, part)
            row = next(rows)
            return Score(row, torch.zeros_like(row))

        monkeypatch.setattr(Record, "_score", read)

    return install


@pytest.mark.parametrize("begin", [0, 3])
def test_the_first_minimum_wins(begin: int, scripted) -> None:
    """All scripts as networks of one stack, from iteration 0 and rewound to 3 (evaluations 3, 4, 8, 10)."""
    arch, data, engine = kind("mlp")
    points = [0, 4, 8, 10] if begin == 0 else [3, 4, 8, 10]
    starts = [start(arch, 0, sparse(arch, r), iteration=begin) for r in range(len(SCRIPTS))]
    scripted(np.array([losses for losses, _, _ in SCRIPTS]).T)
    results = train_stack(arch, starts, data, recipe(iterations=10), 5, engine=engine)
    for (losses, place, diverged), trained in zip(SCRIPTS, results, strict=True):
        assert trained.early_stop_iteration == (None if place is None else points[place]), losses
        assert trained.early_stop_val_loss == (None if place is None else losses[place]), losses
        assert trained.diverged == diverged, losses
        assert trained.history["iteration"] == [*points[:-1], 10, 10, 10]
        assert trained.iterations == 10 - begin


@pytest.mark.parametrize("what", ["mlp", "odd"])
@pytest.mark.parametrize("begin", [0, 2])
def test_best_is_the_network_of_that_iteration(what: str, begin: int, scripted) -> None:
    """Compared with the same training stopped there, which is another program path."""
    arch, data, engine = kind(what)
    points = [begin, 3, 6, 9, 11]
    table = np.full((5, 5), 2.0)
    np.fill_diagonal(table, 1.0)  # network r is best at point r
    starts = [start(arch, 0, sparse(arch, r), iteration=begin) for r in range(5)]
    options: dict[str, Any] = {"evaluate_every": 3, "optimizer": "sgd", "momentum": 0.9, "lr": 0.1}
    scripted(table)
    results = train_stack(arch, starts, data, recipe(iterations=11, **options), 5, engine=engine)
    for r, trained in enumerate(results):
        assert trained.early_stop_iteration == points[r]
    assert same(results[0].best, starts[0].masked_state())
    assert same(results[4].best, results[4].end)
    for r in (1, 2, 3):
        scripted(np.ones((5, 5)))
        stopped = train_stack(arch, starts, data, recipe(iterations=points[r], **options), 5, engine=engine)
        assert same(results[r].best, stopped[r].end)
        assert not same(results[r].best, results[r].end)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("what", ["mlp", "odd"])
@pytest.mark.parametrize("curve", [4, 0])
def test_early_stop_accuracy_is_that_of_the_best_network_measured_apart(
    what: str, curve: int, scripted
) -> None:
    """Read off the learning curve, or measured at the end where that does not have it."""
    arch, data, engine = kind(what)
    table = np.array([[2, 2, 1], [1, 2, 2], [2, 1, 2], [2, 2, 2]], dtype=float)
    starts = [start(arch, r, sparse(arch, r)) for r in range(3)]
    scripted(table)
    results = train_stack(arch, starts, data, recipe(lr=0.1, curve_every=curve), 5, engine=engine)
    apart = []
    for trained in results:
        for state, found in (
            (trained.best, trained.early_stop_test_accuracy),
            (trained.end, trained.final_test_accuracy),
        ):
            module = arch.build()
            load_state(module, state)
            with torch.no_grad():
                guess = module.eval()(data.test(0, data.n_test)).argmax(1)
            assert found == int((guess == data.test_y).sum()) / data.n_test
            apart.append(found)
        if not curve:
            continue
        rows = range(len(trained.history["split"]))
        on_curve = [
            trained.history["accuracy"][i]
            for i in rows
            if trained.history["split"][i] == "test"
            and trained.history["iteration"][i] == trained.early_stop_iteration
        ]
        assert on_curve == [trained.early_stop_test_accuracy]
    assert len(set(apart)) > 1


@pytest.mark.parametrize(("best", "times"), [(3, 1), (2, 2)])
def test_the_test_set_is_measured_once_where_all_networks_are_best_at_the_end(
    best: int, times: int, scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    arch, data, engine = kind("mlp")
    table = np.full((4, 2), 2.0)
    table[3, 0] = table[best, 1] = 1.0
    scripted(table)
    score, parts = Record._score, list[str]()
    monkeypatch.setattr(Record, "_score", lambda self, part: parts.append(part) or score(self, part))
    train_stack(arch, [start(arch), start(arch, 1)], data, recipe(), 5, engine=engine)
    assert parts.count("test") == times


def test_the_early_stop_is_found_in_the_history() -> None:
    arch, data, engine = kind("mlp")
    starts = [start(arch, r) for r in range(3)]
    for trained in train_stack(arch, starts, data, recipe(lr=0.1, iterations=40), 5, engine=engine):
        rows = list(zip(*(trained.history[c] for c in ("iteration", "split", "loss")), strict=True))
        validation = [(t, loss) for t, part, loss in rows if part == "validation"]
        assert [t for t, _ in validation] == [*range(0, 41, 4)]
        lowest = min(loss for _, loss in validation)
        assert trained.early_stop_val_loss == lowest
        assert trained.early_stop_iteration == next(t for t, loss in validation if loss == lowest)


def test_history_has_every_split_on_the_curve_and_validation_on_the_grid() -> None:
    arch, data, engine = kind("mlp")
    chosen = recipe(iterations=10, evaluate_every=2, curve_every=4)
    history = train_stack(arch, [start(arch, iteration=3)], data, chosen, 5, engine=engine)[0].history
    rows = list(zip(history["iteration"], history["split"], strict=True))
    grid = [(t, "validation") for t in (3, 4, 6, 8, 10)]
    curve = [(t, part) for t in (4, 8, 10) for part in ("train", "test")]
    assert sorted(rows) == sorted([*grid, *curve])
    assert all(math.isfinite(v) for column in ("loss", "accuracy") for v in history[column])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("what", ["mlp", "mlp by module"])
def test_a_diverging_network_is_marked_and_leaves_the_others_alone(what: str) -> None:
    arch, data, engine = kind(what)
    broken = start(arch, 0)
    broken.state["fc1.weight"][0, 0] = NAN
    starts = [start(arch, 0), broken, start(arch, 0, sparse(arch))]
    results = train_stack(arch, starts, data, recipe(), 5, engine=engine)
    assert [trained.diverged for trained in results] == [False, True, False]
    assert results[1].early_stop_iteration is None
    assert results[1].early_stop_val_loss is None
    for r in (0, 2):
        alone = train_stack(arch, [starts[r]], data, recipe(), 5, engine=engine)[0]
        assert_same_in_double(results[r].end, alone.end)


def test_a_training_that_blows_up_keeps_its_early_stop() -> None:
    arch, data, engine = kind("mlp")
    wild = recipe(optimizer="sgd", lr=1e30)
    trained = train_stack(arch, [start(arch)], data, wild, 5, engine=engine)[0]
    assert trained.diverged
    assert trained.early_stop_iteration == 0
    assert same(trained.best, start(arch).state)
    assert not all(bool(tensor.isfinite().all()) for tensor in trained.end.values())


class Causal(nn.Module):
    """Holds -inf in a buffer, as attention masks do."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, CLASSES)
        self.register_buffer("mask", torch.full((3, 3), -INF).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        weights = self.mask.softmax(1)
        out: Tensor = self.fc(x) @ weights.mT
        return out


def test_an_infinite_buffer_is_no_divergence() -> None:
    arch = architecture(Causal, (6,), CLASSES)
    trained = train_stack(arch, [start(arch)], resident(arrays()), recipe(), 5)[0]
    assert not trained.diverged
    assert torch.equal(trained.end["mask"], torch.full((3, 3), -INF).triu(1))


def test_results_share_no_memory() -> None:
    arch, data, engine = kind("odd")
    results = train_stack(
        arch, [start(arch), start(arch, 1)], data, recipe(), 5, engine=engine, snapshot_at=0
    )
    states = [s for t in results for s in (t.end, t.best, t.snapshot) if s is not None]
    places = [tensor.untyped_storage().data_ptr() for state in states for tensor in state.values()]
    assert len(states) == 6
    assert len(set(places)) == len(places)
