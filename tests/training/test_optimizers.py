"""Our optimizers against torch's own fused ones: the same bits, step by step; and what they do not load."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from support.training_parts import recipe
from tombola.training.optimizer import make_optimizer
from tombola.training.recipe import Recipe

RECIPES = {
    "adam": recipe(lr=0.01),
    "adam with decay": recipe(lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1),
    "sgd": recipe(optimizer="sgd", lr=0.1, weight_decay=0.1),
    "momentum": recipe(optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.1),
    "nesterov": recipe(optimizer="sgd", lr=0.1, momentum=0.9, nesterov=True),
}
every_recipe = pytest.mark.parametrize("chosen", RECIPES.values(), ids=RECIPES.keys())


def params() -> list[Tensor]:
    """Two types, whole numbers, and one that never has a gradient."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(2, 3, 5, generator=generator), torch.randn(2, 7, generator=generator).double()]
    return [*drawn, torch.arange(3), torch.ones(2)]


def give_gradients(of: list[Tensor], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for param in of[:2]:
        param.grad = torch.randn(param.shape, generator=generator, dtype=param.dtype)


def theirs(of: list[Tensor], chosen: Recipe) -> torch.optim.Optimizer:
    real = [param for param in of if param.is_floating_point()]
    if chosen.optimizer == "adam":
        return torch.optim.Adam(real, chosen.lr, chosen.betas, chosen.eps, chosen.weight_decay, fused=True)
    return torch.optim.SGD(
        real, chosen.lr, chosen.momentum, 0.0, chosen.weight_decay, chosen.nesterov, fused=True
    )


@every_recipe
def test_steps_have_the_bits_of_torchs_own(chosen: Recipe) -> None:
    ours, others = params(), params()
    optimizer, reference = make_optimizer(ours, chosen), theirs(others, chosen)
    for step in range(5):
        lr = chosen.lr / (step + 1)
        optimizer.lr = lr
        for group in reference.param_groups:
            group["lr"] = lr
        for of in (ours, others):
            give_gradients(of, step)
        optimizer.step()
        reference.step()
        assert all(torch.equal(a, b) for a, b in zip(ours, others, strict=True))
    held = optimizer.state[ours[0]]
    assert all(
        torch.equal(held[key], value)
        for key, value in reference.state[others[0]].items()
        if value is not None
    )
    assert ours[3] not in optimizer.state


@every_recipe
def test_what_is_restored_goes_on_with_the_same_bits(chosen: Recipe) -> None:
    ours = params()
    optimizer = make_optimizer(ours, chosen)
    for step in range(3):
        give_gradients(ours, step)
        optimizer.step()
    again = [param.clone() for param in ours]
    other = make_optimizer(again, chosen)
    other.restore(optimizer.tensors())
    for of, each in ((ours, optimizer), (again, other)):
        give_gradients(of, 3)
        each.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))
    assert {name.partition(".")[0] for name in other.tensors()} <= {"0", "1"}


def test_the_first_step_waits_for_no_compiler() -> None:
    """torch.optim imports torch._dynamo when an optimizer is made: about a second."""
    source = (
        "import sys, numpy as np, tombola\n"
        "from torch import nn\n"
        "from tombola.data.arrays import from_arrays\n"
        "from tombola.training.recipe import Recipe\n"
        "x, y = np.random.default_rng(0).standard_normal((20, 1, 6, 6)), np.arange(20) % 2\n"
        "net = lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 2))\n"
        "tombola.train(net, from_arrays((x, y), (x, y)), recipe=Recipe(iterations=1, batch=4), device='cpu')\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", source], check=True)
