"""AdamW, optimizers of torch, and losses of one's own."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tombola
from tombola.errors import UserError
from tombola.training.optimizer import make_optimizer
from tombola.training.recipe import FROM_TORCH, Recipe

STEPS = 5


def ours(recipe: Recipe) -> tuple[Tensor, Any]:
    """A stack of two vectors after some steps, half of the second without a gradient, as where weights are dead."""
    torch.manual_seed(0)
    weights = torch.randn(2, 4, dtype=torch.float64)
    weights[1, 2:] = 0
    weights.grad = torch.zeros_like(weights)
    optimizer = make_optimizer([weights], recipe)
    for step in range(STEPS):
        weights.grad.copy_(weights + step)
        weights.grad[1, 2:] = 0
        optimizer.lr = recipe.lr / (1 + step)
        optimizer.step()
    return weights, optimizer


def theirs(name: str, recipe: Recipe, **options: Any) -> list[Tensor]:
    """The same by torch, each vector by itself."""
    found = []
    torch.manual_seed(0)
    start = torch.randn(2, 4, dtype=torch.float64)
    start[1, 2:] = 0
    for r in range(2):
        weight = start[r].clone()
        optimizer = getattr(torch.optim, name)([weight], lr=recipe.lr, **options)
        for step in range(STEPS):
            weight.grad = weight + step
            if r:
                weight.grad[2:] = 0
            optimizer.param_groups[0]["lr"] = recipe.lr / (1 + step)
            optimizer.step()
        found.append(weight)
    return found


def test_adamw_is_torchs() -> None:
    recipe = Recipe(optimizer="adamw", lr=0.1, weight_decay=0.3)
    expected = theirs("AdamW", recipe, weight_decay=0.3, fused=True)
    assert torch.allclose(ours(recipe)[0], torch.stack(expected), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(ours(Recipe(lr=0.1, weight_decay=0.3))[0], torch.stack(expected), rtol=1e-3)


@pytest.mark.parametrize("name", FROM_TORCH)
def test_networks_of_a_stack_do_not_disturb_each_other(name: str) -> None:
    recipe = Recipe(optimizer=f"torch.optim:{name}", lr=0.1)
    weights, optimizer = ours(recipe)
    takes = inspect.signature(getattr(torch.optim, name)).parameters
    decay = {"weight_decay": 0.0} if "weight_decay" in takes else {}
    assert torch.allclose(weights, torch.stack(theirs(name, recipe, **decay)), rtol=1e-12, atol=1e-12)
    assert not weights[1, 2:].any(), "dead weights stay zero"
    again, before = make_optimizer([weights], recipe), weights.clone()
    again.restore(optimizer.tensors())
    found = []
    for kept in (optimizer, again):
        weights.copy_(before)
        assert weights.grad is not None
        weights.grad.copy_(before)
        kept.lr = 0.1
        kept.step()
        found.append(weights.clone())
    assert torch.equal(*found), "what a checkpoint restores goes on alike"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("RMSprop", {"alhpa": 0.9}, "torch.optim:RMSprop has no option 'alhpa'; did you mean 'alpha'"),
        (
            "RMSprop",
            {"alpha": -1.0},
            "torch.optim:RMSprop refuses them (ValueError: Invalid alpha value: -1.0)",
        ),
        ("SGD", {"lr": 0.1}, "torch.optim:SGD has no option 'lr'"),
    ],
)
def test_options_that_do_not_fit_are_named(name: str, options: dict[str, Any], said: str) -> None:
    recipe = Recipe(optimizer=f"torch.optim:{name}", optimizer_options=options)
    with pytest.raises(UserError) as refused:
        ours(recipe)
    assert f"recipe.optimizer_options: {said}" in str(refused.value)


def test_the_recipe_has_betas_eps_and_decay_of_torchs_optimizers() -> None:
    """Also none, where torch's default is some; what the recipe leaves as it is stays torch's."""
    recipe = Recipe(optimizer="torch.optim:NAdam", lr=0.1, betas=(0.5, 0.9), eps=1e-3)
    expected = theirs("NAdam", recipe, betas=(0.5, 0.9), eps=1e-3)
    assert torch.allclose(ours(recipe)[0], torch.stack(expected), rtol=1e-12, atol=1e-12)
    bare = theirs("Adadelta", Recipe(lr=0.1))  # whose eps is 1e-6
    assert torch.allclose(
        ours(Recipe(optimizer="torch.optim:Adadelta", lr=0.1))[0], torch.stack(bare), rtol=1e-12
    )
    with pytest.raises(
        UserError, match=r"recipe\.betas: torch\.optim:SGD has no betas, expected to leave it out"
    ):
        ours(Recipe(optimizer="torch.optim:SGD", betas=(0.5, 0.9)))


RECIPE: dict[str, Any] = {"iterations": 30, "evaluate_every": 10, "lr": 0.01}


@pytest.mark.parametrize("optimizer", ["adamw", "torch.optim:RMSprop"])
@pytest.mark.parametrize("engine", ["mlp", "modules"])
def test_engines_train_by_them(optimizer: str, engine: str) -> None:
    recipe = Recipe(**RECIPE, optimizer=optimizer)
    *_, ticket = tombola.draw("lenet-12", "digits", levels=1, recipe=recipe, engine=engine)
    assert ticket.provenance["scores"]["final_test_accuracy"] > 0.3
    assert ticket.end is not None
    assert all(not ticket.end[name][~living].any() for name, living in ticket.mask.items())


def test_an_engine_that_cannot_is_named() -> None:
    with pytest.raises(
        UserError, match=r"engine 'sparse' cannot train lenet-12 with recipe.optimizer = adamw"
    ):
        tombola.train("lenet-12", "digits", recipe=Recipe(**RECIPE, optimizer="adamw"), engine="sparse")


@pytest.fixture
def losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of losses in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("my_losses.py").write_text(
        "import torch.nn.functional as F\n"
        "def same(logits, labels): return F.cross_entropy(logits, labels)\n"
        "def margin(logits, labels): return F.multi_margin_loss(logits, labels)\n"
        "def many(logits, labels): return logits\n"
        "def none(logits, labels): return 3.0\n"
        "def broken(logits, labels): return logits @ labels\n"
        "number = 7\n"
    )
    yield
    sys.modules.pop("my_losses", None)


def trained(**options: Any) -> dict[str, Tensor]:
    ticket, _ = tombola.train("lenet-12", "digits", recipe=Recipe(**RECIPE, **options), engine="modules")
    assert ticket.end is not None
    return dict(ticket.end)


def test_a_loss_of_ones_own_is_trained_on(losses: None) -> None:
    usual, same, margin = trained(), trained(loss="my_losses:same"), trained(loss="my_losses.py:margin")
    assert all(torch.equal(usual[name], same[name]) for name in usual)
    assert not torch.equal(usual["fc1.weight"], margin["fc1.weight"])
    _, scores = tombola.train("lenet-12", "digits", recipe=Recipe(**RECIPE, loss="my_losses:margin"))
    [first, *_] = [loss for loss in scores.history["loss"] if loss is not None]
    assert first > 2, "what is reported stays cross-entropy, at first about log 10, where the margin's is 0.9"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "many",
            "loss 'my_losses:many': it returned shape [60, 10], expected a scalar that follows from the logits",
        ),
        ("none", "loss 'my_losses:none': it returned type float, expected a scalar"),
        ("broken", "loss 'my_losses:broken': it failed (RuntimeError: "),
        ("number", "loss 'my_losses:number': this is of type int, expected a function"),
        ("absent", "loss 'my_losses:absent': 'my_losses' has no 'absent'"),
    ],
)
def test_a_loss_that_is_none_is_named(name: str, said: str, losses: None) -> None:
    with pytest.raises(UserError) as refused:
        trained(loss=f"my_losses:{name}")
    assert said in str(refused.value)


def test_other_engines_refuse_it_by_name(losses: None) -> None:
    with pytest.raises(
        UserError, match=r"engine 'mlp' cannot train lenet-12 with recipe.loss = my_losses:same"
    ):
        tombola.train("lenet-12", "digits", recipe=Recipe(**RECIPE, loss="my_losses:same"), engine="mlp")
