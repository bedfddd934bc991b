"""Dead weights stay dead, living ones live: after every step, in every optimizer, in everything handed out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from support.rounding import assert_same_in_double
from support.training_parts import CLASSES, arrays, kind, recipe, resident, same, sparse, start
from tombola.data.split import split
from tombola.models.architecture import architecture
from tombola.models.state import load_state
from tombola.training.batches import Batches, Group
from tombola.training.loop import train_stack
from tombola.training.optimizer import Optimizer
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack

OPTIMIZERS = {
    "adam": recipe(curve_every=4),
    "adam and decay": recipe(weight_decay=0.1, curve_every=4),
    "sgd": recipe(optimizer="sgd", lr=0.1),
    "sgd and decay": recipe(optimizer="sgd", lr=0.1, weight_decay=0.1),
    "momentum and decay": recipe(optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.1),
    "nesterov and decay": recipe(optimizer="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
}

every_optimizer = pytest.mark.parametrize("chosen", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
every_kind = pytest.mark.parametrize("what", ["mlp", "mlp by module", "odd"])

Look = Callable[[Stack, torch.optim.Optimizer], None]


@pytest.fixture
def after_each_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[Look], list[int]]:
    """Calls a function after every optimizer step; the list it returns grows by one a step."""
    settle, steps = Stack.settle, []

    def install(look: Look) -> list[int]:
        def looked_at(stack: Stack, optimizer: Optimizer) -> None:
            settle(stack, optimizer)
            look(stack, optimizer)
            steps.append(1)

        monkeypatch.setattr(Stack, "settle", looked_at)
        return steps

    return install


def states_of(optimizer: Optimizer, param: Tensor) -> dict[str, Tensor]:
    """The optimizer's tensors of a parameter's shape."""
    return {
        key: value
        for key, value in optimizer.state[param].items()
        if isinstance(value, Tensor) and value.shape == param.shape
    }


@every_kind
@every_optimizer
def test_dead_weights_and_their_optimizer_state_are_exactly_zero(
    what: str, chosen: Recipe, after_each_step
) -> None:
    arch, data, engine = kind(what)
    masks = [sparse(arch, seed, density) for seed, density in ((1, 0.5), (2, 0.1))]
    starts = [start(arch, r, mask) for r, mask in enumerate(masks)] + [start(arch, 2)]
    dead = {name: torch.stack([~m[name] for m in masks]) for name in masks[0]}
    seen, living = set(), set()

    def look(stack: Stack, optimizer: Optimizer) -> None:
        for name, places in dead.items():
            assert not stack.params[name][:2][places].any(), name
            for key, value in states_of(optimizer, stack.params[name]).items():
                seen.add(key)
                assert not value[:2][places].any(), f"{key} of {name}"
                living.add(bool(value[:2][~places].any()))

    steps = after_each_step(look)
    results = train_stack(arch, starts, data, chosen, 5, engine=engine, snapshot_at=5)
    assert len(steps) == 12
    assert (True in living) == bool(seen)  # state is kept for the others
    expected = {"exp_avg", "exp_avg_sq"} if chosen.optimizer == "adam" else set()
    assert seen == (expected if not chosen.momentum else {"momentum_buffer"})
    for mask, trained in zip(masks, results, strict=False):
        for state in (trained.end, trained.best, trained.snapshot):
            assert state is not None
            assert same(state, mask.apply(state))
            # By mask and by weights: the same number lives (random initial weights are never 0).
            assert {name: int(state[name].count_nonzero()) for name in mask} == mask.counts()


@pytest.mark.usefixtures("float64")
@every_kind
@every_optimizer
def test_dead_weights_frozen_at_a_value_keep_it(what: str, chosen: Recipe, after_each_step) -> None:
    arch, data, engine = kind(what)
    mask, values = sparse(arch, 1), arch.initial(start(arch, 7).seeds.stream("init"))
    name, other = arch.prunable[0], arch.prunable[1]
    pinned = start(arch, 0, mask, dead={name: values[name]})
    starts = [pinned, start(arch, 1, sparse(arch, 2)), start(arch, 2)]
    places = ~mask[name]
    alone = train_stack(arch, starts[1:], data, chosen, 5, engine=engine)

    def look(stack: Stack, optimizer: Optimizer) -> None:
        assert torch.equal(stack.params[name][0][places], values[name][places])
        assert not stack.params[other][0][~mask[other]].any()
        assert not stack.params[name][1][~starts[1].mask[name]].any()
        for key, value in states_of(optimizer, stack.params[name]).items():
            assert not value[0][places].any(), key
            assert not value[1][~starts[1].mask[name]].any(), key

    steps = after_each_step(look)
    results = train_stack(arch, starts, data, chosen, 5, engine=engine)
    assert len(steps) == 12
    for state in (results[0].end, results[0].best):
        assert torch.equal(state[name][places], values[name][places])
        assert values[name][places].all()
    assert not torch.equal(results[0].end[name][mask[name]], pinned.state[name][mask[name]])
    # The others train as if there were no pins.
    for each, single in zip(results[1:], alone, strict=True):
        assert_same_in_double(each.end, single.end)


def test_the_forward_pass_sees_the_value_of_a_dead_weight() -> None:
    arch, data, _ = kind("mlp")
    mask = sparse(arch, 1)
    big = {name: torch.full(arch.shapes[name], 3.0) for name in mask}
    zero, frozen = train_stack(
        arch, [start(arch, 0, mask), start(arch, 0, mask, dead=big)], data, recipe(), 5, engine="mlp"
    )
    assert zero.history["loss"][0] != frozen.history["loss"][0]


@pytest.mark.usefixtures("float64")
@every_kind
@pytest.mark.parametrize("chosen", [recipe(iterations=1), recipe(iterations=1, optimizer="sgd", lr=50.0)])
def test_one_step_changes_exactly_the_living_weights_with_a_gradient(what: str, chosen: Recipe) -> None:
    """Weights of both signs move: freezing where `w < eps` without abs would stop the negative ones."""
    if what == "odd":
        what = "calm"
    arch, data, engine = kind(what)
    begun = start(arch, 0, sparse(arch, 1, 0.6))
    before = begun.masked_state()
    parts = split(data.n_train, 5, begun.seeds.stream("split"))
    rows = Batches([Group(begun.seeds, 0, parts)], chosen.batch, data.device).at(0)[0]
    module = arch.build()
    load_state(module, before)
    names, params = zip(*module.named_parameters(), strict=True)
    loss = F.cross_entropy(module.train()(data.train(rows)), data.train_y[rows])
    gradients = dict(zip(names, torch.autograd.grad(loss, params, allow_unused=True), strict=True))

    end = train_stack(arch, [begun], data, chosen, 5, engine=engine)[0].end
    negative = positive = 0
    for name in begun.mask:
        gradient = gradients[name]
        pushed = begun.mask[name] & (
            (gradient.abs() > 1e-12) if gradient is not None else torch.zeros(()).bool()
        )
        moved = end[name] != before[name]
        assert int(moved.sum()) == int(pushed.sum()), name
        assert torch.equal(moved, pushed), name
        negative += int((moved & (before[name] < 0)).sum())
        positive += int((moved & (before[name] > 0)).sum())
    assert negative > 10
    assert positive > 10


@pytest.mark.usefixtures("float64")
def test_training_does_not_depend_on_the_sign_of_the_data_and_weights() -> None:
    """Negating inputs and first-layer weights leaves the network's function, so it must train alike."""
    arch = architecture("lenet-7-5", (6,), CLASSES)
    plain = arrays()
    flipped = resident(arrays())
    flipped._train_x, flipped._test_x = -flipped._train_x, -flipped._test_x
    flipped._shift = -flipped._shift
    begun = start(arch, 0, sparse(arch, 1))
    mirrored = start(arch, 0, begun.mask, state=begun.state | {"fc1.weight": -begun.state["fc1.weight"]})
    chosen = recipe(optimizer="sgd", lr=0.1, momentum=0.9)
    end = train_stack(arch, [begun], resident(plain), chosen, 5)[0].end
    mirror = train_stack(arch, [mirrored], flipped, chosen, 5)[0].end
    assert_same_in_double(mirror, end | {"fc1.weight": -end["fc1.weight"]})


@pytest.mark.parametrize("dead_value", [float("nan"), float("inf"), -1.0])
def test_what_a_start_holds_at_its_dead_places_does_not_matter(dead_value: float) -> None:
    arch, data, _ = kind("mlp")
    mask = sparse(arch, 1)
    clean = start(arch, 0, mask)
    dirty = {
        n: torch.where(mask[n], t, torch.tensor(dead_value)) if n in mask else t
        for n, t in clean.state.items()
    }
    first, second = (
        train_stack(arch, [each], data, recipe(), 5)[0] for each in (clean, start(arch, 0, mask, state=dirty))
    )
    assert same(first.end, second.end)
    assert first.history["loss"] != []
