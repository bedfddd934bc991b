"""Whole trainings: against a plain PyTorch loop, in a stack against alone, and starts that do not fit."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from support.rounding import assert_same_in_double
from support.training_parts import CLASSES, CPU, dense, kind, recipe, sparse, start
from tombola.data.split import split
from tombola.errors import UserError
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import load_state, state_of
from tombola.training.batches import Batches, Group
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.start import Start

RECIPES = {
    "adam": recipe(weight_decay=0.01, warmup=3),
    "sgd": recipe(optimizer="sgd", lr=0.1),
    "nesterov": recipe(
        optimizer="sgd", lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01, schedule="cosine"
    ),
}


def trained_by_hand(
    arch: Architecture, each: Start, data, recipe: Recipe, validation: int
) -> dict[str, Tensor]:
    """A plain PyTorch training: one module, torch's optimizer, the mask multiplied in after every step."""
    module = arch.build()
    load_state(module, each.masked_state())
    if recipe.optimizer == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(
            module.parameters(), lr=1.0, weight_decay=recipe.weight_decay
        )
    else:
        optimizer = torch.optim.SGD(
            module.parameters(), 1.0, recipe.momentum, 0, recipe.weight_decay, recipe.nesterov
        )
    parts = split(data.n_train, validation, each.seeds.stream("split"))
    batches = Batches([Group(each.seeds, each.level, parts)], recipe.batch, CPU)
    for t in range(each.iteration, recipe.iterations):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at(t)
        rows = batches.at(t)[0]
        module.train()
        optimizer.zero_grad()
        F.cross_entropy(module(data.train(rows)), data.train_y[rows]).backward()
        for name, param in module.named_parameters():
            if param.grad is None:
                param.grad = torch.zeros_like(param)
            if name in each.mask:
                param.grad.mul_(each.mask[name])
        optimizer.step()
        with torch.no_grad():
            for name, param in module.named_parameters():
                if name in each.mask:
                    param.mul_(each.mask[name])
    return state_of(module)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("chosen", RECIPES)
@pytest.mark.parametrize("what", ["mlp", "mlp by module", "calm"])
def test_a_training_is_the_one_that_plain_pytorch_does(what: str, chosen: str) -> None:
    arch, data, engine = kind(what)
    begun = start(arch, mask=sparse(arch), iteration=2, level=3)
    result = train_stack(arch, [begun], data, RECIPES[chosen], 5, engine=engine)[0]
    assert_same_in_double(result.end, trained_by_hand(arch, begun, data, RECIPES[chosen], 5))
    assert result.iterations == 10


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("chosen", RECIPES)
@pytest.mark.parametrize("what", ["mlp", "mlp by module", "odd"])
def test_a_stack_gives_what_its_networks_give_alone(what: str, chosen: str) -> None:
    """After 40 iterations: two replicates, two levels, dense and sparse, in groups of uneven size."""
    arch, data, engine = kind(what)
    full = RECIPES[chosen].model_copy(update={"iterations": 40, "evaluate_every": 10, "curve_every": 20})
    starts = [
        start(arch, 0),
        start(arch, 0, sparse(arch, 1)),
        start(arch, 1, sparse(arch, 2, 0.2)),
        start(arch, 1, sparse(arch, 3), level=2),
        start(arch, 1, sparse(arch, 4), level=2),
    ]
    together = train_stack(arch, starts, data, full, 5, engine=engine)
    for each, result in zip(starts, together, strict=True):
        alone = train_stack(arch, [each], data, full, 5, engine=engine)[0]
        assert_same_in_double(result.end, alone.end)
        assert result.early_stop_iteration == alone.early_stop_iteration
        assert result.history["iteration"] == alone.history["iteration"]
        assert result.history["split"] == alone.history["split"]
        assert result.history["loss"] == pytest.approx(alone.history["loss"], rel=1e-8)
        assert result.history["accuracy"] == alone.history["accuracy"]


def test_networks_of_a_stack_are_not_each_others_copies() -> None:
    arch, data, engine = kind("mlp")
    starts = [start(arch, 0), start(arch, 1), start(arch, 0, level=1)]
    ends = [t.end["out.weight"] for t in train_stack(arch, starts, data, recipe(), 5, engine=engine)]
    assert not torch.allclose(ends[0], ends[1])
    assert not torch.allclose(ends[0], ends[2])  # same start, another order


@pytest.mark.parametrize("what", ["mlp", "odd"])
def test_the_same_training_twice_gives_the_same_bits(what: str) -> None:
    arch, data, engine = kind(what)
    first, again = (
        train_stack(arch, [start(arch), start(arch, 1)], data, recipe(), 5, engine=engine) for _ in range(2)
    )
    for a, b in zip(first, again, strict=True):
        assert a.history == b.history or str(a.history) == str(b.history)
        assert all(torch.equal(a.end[name], b.end[name]) for name in a.end)


def test_starts_that_do_not_fit_are_named() -> None:
    arch, data, _ = kind("calm")
    good = start(arch)

    def refused(sentence: str, state: dict[str, Tensor], mask=None) -> None:
        with pytest.raises(UserError, match=sentence):
            train_stack(arch, [good, start(arch, state=state, mask=mask)], data, recipe(), 5)

    without = OrderedDict(good.state)
    del without["head.bias"]
    refused(r"head\.bias should be \(3,\), found nothing", without)
    refused(r"head\.bias should be \(3,\), found \(4,\)", good.state | {"head.bias": torch.zeros(4)})
    no_buffer = {name: tensor for name, tensor in good.state.items() if name != "norm.running_var"}
    refused(r"norm\.running_var should be \(4,\), found nothing", no_buffer)
    refused(
        r"no 'head\.wieght'; did you mean 'head\.weight'", good.state | {"head.wieght": torch.zeros(3, 4)}
    )
    other = dense(architecture("lenet-4", (6,), CLASSES))
    refused(r"mask of .*: conv\.weight should be \(4, 2, 3, 3\), found nothing", good.state, other)
