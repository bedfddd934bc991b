"""Rewound networks go on exactly where they were: state, schedule, order of the data, noise."""

from __future__ import annotations

import pytest
import torch

from support.training_parts import CPU, kind, recipe, same, sparse, start
from tombola.files import digest_of
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.trained import Trained

# Plain SGD remembers nothing, so a network put back to iteration k must end as if it had never stopped.
MEMORYLESS = {
    "constant": recipe(optimizer="sgd", lr=0.1, iterations=15),
    "warmup": recipe(optimizer="sgd", lr=0.1, iterations=15, warmup=9),
    "milestones": recipe(
        optimizer="sgd", lr=0.1, iterations=15, schedule="milestones", milestones=(3, 9), weight_decay=0.1
    ),
    "cosine": recipe(optimizer="sgd", lr=0.1, iterations=15, schedule="cosine"),
}
every_kind = pytest.mark.parametrize("what", ["mlp", "mlp sparse", "mlp by module", "odd"])


def run(what: str, chosen: Recipe, **options: int) -> list[Trained]:
    arch, data, engine = kind(what)
    return train_stack(arch, [start(arch), start(arch, 1)], data, chosen, 5, engine=engine, **options)


# On the grid of evaluations and off it, at both ends; and on both sides of what happens in each schedule.
BACK = {"constant": (0, 1, 4, 7, 14), "warmup": (7, 14), "milestones": (1, 7, 14), "cosine": (4, 14)}


@every_kind
@pytest.mark.parametrize(("schedule", "k"), [(name, k) for name, ks in BACK.items() for k in ks])
def test_a_dense_network_put_back_to_k_ends_with_the_same_bits(what: str, schedule: str, k: int) -> None:
    (arch, data, engine), chosen = kind(what), MEMORYLESS[schedule]
    whole = run(what, chosen, snapshot_at=k)
    again = [start(arch, r, state=trained.snapshot, iteration=k) for r, trained in enumerate(whole)]
    for a, b in zip(train_stack(arch, again, data, chosen, 5, engine=engine), whole, strict=True):
        assert same(a.end, b.end)
        assert a.iterations == 15 - k
        assert b.iterations == 15
        assert a.history["iteration"][0] == k
        later = [i for i, t in enumerate(a.history["iteration"]) if t % 4 == 0 or t == 15]
        offset = len(b.history["loss"]) - len(a.history["loss"])
        assert [a.history["loss"][i] for i in later] == [b.history["loss"][i + offset] for i in later]


@every_kind
def test_the_snapshot_is_the_state_of_that_iteration(what: str) -> None:
    """The same as the end of a training stopped there, off the grid as well as on it."""
    for k in (1, 4, 6):
        whole = run(what, recipe(), snapshot_at=k)
        for trained, stopped in zip(whole, run(what, recipe(iterations=k)), strict=True):
            assert trained.snapshot is not None
            assert same(trained.snapshot, stopped.end)
            assert not same(trained.snapshot, trained.end)


def test_snapshot_zero_is_the_start_and_none_is_none() -> None:
    arch, _, _ = kind("odd")
    assert same(run("odd", recipe(), snapshot_at=0)[0].snapshot, start(arch).state)
    assert run("odd", recipe())[0].snapshot is None


@every_kind
def test_a_snapshot_changes_nothing(what: str) -> None:
    for a, b in zip(run(what, recipe(), snapshot_at=6), run(what, recipe()), strict=True):
        assert same(a.end, b.end)
        assert a.history == b.history


@pytest.mark.parametrize("what", ["mlp", "odd"])
def test_training_begins_from_the_stored_state_bit_for_bit(what: str) -> None:
    arch, _, _ = kind(what)
    stored = run(what, recipe(), snapshot_at=6)[0].snapshot
    assert stored is not None
    mask = sparse(arch)
    begun = Stack(arch, [start(arch, 3), start(arch, 0, mask, state=stored)], CPU).state(1)
    assert begun.keys() == stored.keys()
    for name, tensor in begun.items():
        assert tensor.dtype == stored[name].dtype
        if name in mask:
            assert torch.equal(tensor[mask[name]], stored[name][mask[name]]), name
            assert not tensor[~mask[name]].any(), name
        else:  # biases, norm parameters, running statistics, counters
            assert torch.equal(tensor, stored[name]), name
    moved = [name for name in stored if not torch.equal(stored[name], start(arch).state[name])]
    assert {"out.bias" if what == "mlp" else "norm.running_var"} <= set(moved)


@every_kind
def test_training_leaves_the_stored_state_as_it_was(what: str) -> None:
    arch, data, engine = kind(what)
    stored = run(what, recipe(), snapshot_at=6)[0].snapshot
    assert stored is not None
    before = digest_of(stored)
    ends = []
    for _ in range(2):
        both = [start(arch, 0, sparse(arch), state=stored, iteration=6, level=1) for _ in range(2)]
        result = train_stack(arch, both, data, recipe(lr=0.1), 5, engine=engine)
        assert digest_of(stored) == before
        for state in (result[0].end, result[0].best):
            for tensor in state.values():
                tensor.add_(1)  # what comes out is not the stored state either
        assert digest_of(stored) == before
        ends.append(result[1].end)
    assert same(*ends)


@pytest.mark.parametrize("what", ["mlp", "odd"])
def test_the_optimizer_is_empty_after_rewinding(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arch, data, engine = kind(what)
    stored = run(what, recipe(), snapshot_at=6)[0].snapshot
    silence, seen = Stack.silence, []
    settle = Stack.settle
    first: list[dict[str, torch.Tensor]] = []

    def silenced(self: Stack) -> None:
        silence(self)
        if not first:
            first.append({name: p.grad.clone() for name, p in self.params.items() if p.grad is not None})

    def settled(self: Stack, optimizer: torch.optim.Optimizer) -> None:
        settle(self, optimizer)
        seen.append({name: dict(optimizer.state[p]) for name, p in self.params.items()})
        seen[-1] = {
            name: {key: value.clone() for key, value in state.items()} for name, state in seen[-1].items()
        }

    monkeypatch.setattr(Stack, "silence", silenced)
    monkeypatch.setattr(Stack, "settle", settled)
    begun = start(arch, 0, sparse(arch), state=stored, iteration=6, level=1)
    train_stack(arch, [begun], data, recipe(), 5, engine=engine)
    assert len(seen) == 6
    for name, state in seen[0].items():
        # Adam from nothing: one step counted, moments (1 - beta) g and (1 - beta) g^2 of the first gradient alone.
        assert float(state["step"]) == 1
        torch.testing.assert_close(state["exp_avg"], 0.1 * first[0][name])
        torch.testing.assert_close(state["exp_avg_sq"], 0.001 * first[0][name] ** 2)


def test_networks_of_a_stack_begin_at_one_iteration() -> None:
    arch, data, engine = kind("mlp")
    with pytest.raises(ValueError, match="begin at one iteration"):
        train_stack(arch, [start(arch), start(arch, iteration=2)], data, recipe(), 5, engine=engine)
