"""Foreign modules in training: buffers, frozen and unused parameters, the caller's own network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import tombola
from support.training_parts import CLASSES, IMAGES, arrays, calm, kind, recipe, resident, same, sparse, start
from tombola.errors import UserError
from tombola.models.architecture import architecture
from tombola.models.state import load_state, state_of
from tombola.training.foreign_noise import habits
from tombola.training.loop import train_stack

RECIPES = {
    "adam": recipe(weight_decay=0.01, warmup=3),
    "sgd": recipe(optimizer="sgd", lr=0.1),
    "nesterov": recipe(
        optimizer="sgd", lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01, schedule="cosine"
    ),
}


def test_buffers_follow_also_when_assigned_anew_and_being_measured_changes_nothing() -> None:
    arch, data, _ = kind("calm")
    begun = start(arch)
    often = train_stack(arch, [begun], data, recipe(evaluate_every=1, curve_every=1), 5)[0].end
    seldom = train_stack(arch, [begun], data, recipe(evaluate_every=12), 5)[0].end
    for name in ("mean", "norm.running_mean", "norm.running_var"):
        assert not torch.equal(often[name], begun.state[name]), name
    assert int(often["norm.num_batches_tracked"]) == 12
    assert all(torch.equal(often[name], seldom[name]) for name in often)


class Counting(nn.Module):
    """Assigns a buffer anew whenever it is called, also in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, CLASSES)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        out: Tensor = self.fc(x)
        return out


def test_a_buffer_assigned_anew_in_evaluation_is_put_back() -> None:
    _, data, _ = kind("mlp")
    arch = architecture(Counting, (6,), CLASSES)
    ends = train_stack(arch, [start(arch), start(arch, 1)], data, recipe(evaluate_every=1), 5)
    assert [float(trained.end["calls"]) for trained in ends] == [12.0, 12.0]


class Ticking(Counting):
    """Counts in place, and computes by it."""

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        out: Tensor = self.fc(x) / self.calls.clone().sqrt()
        return out


@pytest.mark.parametrize("engine", ["modules", "stacked"])
def test_a_buffer_changed_in_place_in_evaluation_is_put_back(engine: str) -> None:
    data = resident(arrays())
    arch = architecture(Ticking, (6,), CLASSES)
    often, seldom = (
        train_stack(arch, [start(arch), start(arch, 1)], data, recipe(evaluate_every=every), 5, engine=engine)
        for every in (1, 12)
    )
    for one, other in zip(often, seldom, strict=True):
        assert float(one.end["calls"]) == 12.0
        assert same(one.end, other.end)


class Remembers(nn.Module):
    """Keeps means of the batch and of the one before, each assigned anew."""

    current: Tensor
    previous: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, CLASSES)
        self.register_buffer("current", torch.zeros(6))
        self.register_buffer("previous", torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.previous = self.current
            self.current = x.mean(0).detach()
        out: Tensor = self.fc(x)
        return out


@pytest.mark.parametrize("engine", ["modules", "stacked"])
def test_a_buffer_handed_on_has_its_value_of_before(engine: str) -> None:
    data, arch = resident(arrays()), architecture(Remembers, (6,), CLASSES)
    rules = [recipe(iterations=iterations, evaluate_every=1) for iterations in (1, 2)]
    first, second = (
        train_stack(arch, [start(arch), start(arch, 1)], data, rule, 5, engine=engine) for rule in rules
    )
    for one, two in zip(first, second, strict=True):
        assert one.end["current"].any()
        assert torch.equal(two.end["previous"], one.end["current"])
        assert not torch.equal(two.end["current"], one.end["current"])


class Captured(nn.Module):
    """A function that holds the network it was made in."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out = nn.Linear(6, 5), nn.Linear(5, CLASSES)
        self.head = lambda x: self.out(x)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.fc(x).relu())
        return out


def test_a_function_that_holds_its_network_holds_that_which_is_trained() -> None:
    data, arch = resident(arrays()), architecture(Captured, (6,), CLASSES)
    plain = architecture(
        lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, CLASSES)), (6,), CLASSES
    )
    begun = [start(arch), start(arch, 1)]
    names = dict(zip(arch.shapes, plain.shapes, strict=True))
    ours = train_stack(arch, begun, data, recipe(lr=0.1), 5, engine="modules")
    theirs = train_stack(
        plain,
        [start(plain, r, state={names[n]: t for n, t in each.state.items()}) for r, each in enumerate(begun)],
        data,
        recipe(lr=0.1),
        5,
        engine="modules",
    )
    for one, other in zip(ours, theirs, strict=True):
        assert same({names[n]: t for n, t in one.end.items()}, other.end)
    with pytest.raises(UserError, match="computes with a parameter that is not its own"):
        architecture(Captured(), (6,), CLASSES)


class Listed(nn.Module):
    """Dropout stands in a plain list as well, and forward walks that."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.drop, self.out = nn.Linear(6, 40), nn.Dropout(0.5), nn.Linear(40, CLASSES)
        self.order = [self.fc, self.drop, self.out]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.order:
            x = layer(x)
        return x


def test_dropout_in_a_plain_list_is_ours_too() -> None:
    data, arch = resident(arrays()), architecture(Listed, (6,), CLASSES)
    plain = architecture(
        lambda: nn.Sequential(nn.Linear(6, 40), nn.Dropout(0.5), nn.Linear(40, CLASSES)), (6,), CLASSES
    )
    assert not arch.ask(habits).draws
    begun = start(arch)
    names = dict(zip(arch.shapes, plain.shapes, strict=True))
    [one] = train_stack(arch, [begun], data, recipe(), 5, engine="modules")
    state = {names[n]: t for n, t in begun.state.items()}
    [other] = train_stack(plain, [start(plain, state=state)], data, recipe(), 5, engine="modules")
    assert one.history == other.history
    assert same({names[n]: t for n, t in one.end.items()}, other.end)


def test_a_parameter_that_is_not_used_stays_as_it_is() -> None:
    arch, data, _ = kind("odd")
    begun = start(arch)
    end = train_stack(arch, [begun], data, recipe(), 5)[0].end
    for name in ("idle.weight", "idle.bias"):
        assert torch.equal(end[name], begun.state[name])


class Frozen(nn.Module):
    """A fixed first layer, and one parameter of integers."""

    def __init__(self) -> None:
        super().__init__()
        self.fixed = nn.Linear(6, 5)
        self.fixed.requires_grad_(False)
        self.places = nn.Parameter(torch.arange(3), requires_grad=False)
        self.out = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.fixed(x).relu())[:, self.places]
        return out


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("chosen", RECIPES)
def test_frozen_parameters_stay_frozen(chosen: str, masked: bool) -> None:
    _, data, _ = kind("mlp")
    arch = architecture(Frozen, (6,), CLASSES)
    begun = start(arch, mask=sparse(arch) if masked else None)
    end = train_stack(arch, [begun], data, RECIPES[chosen], 5)[0].end
    for name in ("fixed.weight", "fixed.bias", "places"):
        assert torch.equal(end[name], begun.masked_state()[name]), name
    assert not torch.equal(end["out.weight"], begun.masked_state()["out.weight"])


class SharedBuffer(nn.Module):
    """One buffer under two names; the second is the one that is read."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, CLASSES)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("same", self.scale)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(x) * self.same.clone()
        if self.training:
            self.scale += 1
        return out


def test_a_shared_buffer_is_one_buffer() -> None:
    _, data, _ = kind("mlp")
    arch = architecture(SharedBuffer, (6,), CLASSES)
    begun = start(arch)
    result = train_stack(arch, [begun], data, recipe(), 5)[0]
    assert float(result.end["scale"]) == 13.0
    module = arch.build()
    load_state(module, result.end)
    x, y = data.test(0, data.n_test), data.test_y
    right = (module.eval()(x).argmax(1) == y).double().mean()
    assert result.final_test_accuracy == pytest.approx(float(right))


class Plain(nn.Module):
    """Batch norm, dropout, and its layers where torch finds them."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.2), nn.Linear(6, CLASSES)]
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def test_what_is_saved_is_what_was_trained() -> None:
    """A build that knows nothing but the saved state says of the test set what training said."""
    data, brief = arrays(), recipe(iterations=30)
    ticket, trained = tombola.train(Plain, data, recipe=brief, validation=5)
    module = architecture(Plain, (6,), CLASSES).build()
    load_state(module, ticket.weights("end"))
    module.eval()
    held = resident(data)
    right = (module(held.test(0, held.n_test)).argmax(1) == held.test_y).double().mean()
    assert trained.final_test_accuracy == pytest.approx(float(right))


def test_the_callers_network_is_left_alone() -> None:
    module = calm(IMAGES, CLASSES)
    before = state_of(module)
    _, data, _ = kind("calm")
    arch = architecture(module, IMAGES, CLASSES)
    assert module.training
    train_stack(arch, [start(arch)], data, recipe(), 5)
    after = state_of(module)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in module.parameters())
    assert module.training
