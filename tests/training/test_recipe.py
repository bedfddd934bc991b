"""Recipes: learning rates and evaluation grids worked out by hand, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pydantic
import pytest

from tombola.errors import UserError
from tombola.training.recipe import SCHEDULES, Recipe


def test_the_default_is_the_lenet_recipe_of_the_paper() -> None:
    recipe = Recipe()
    assert (recipe.iterations, recipe.batch, recipe.optimizer, recipe.lr) == (50_000, 60, "adam", 1.2e-3)
    assert (recipe.evaluate_every, recipe.schedule, recipe.warmup, recipe.weight_decay) == (
        100,
        "constant",
        0,
        0,
    )


RATES: list[tuple[dict[str, Any], dict[int, float]]] = [
    ({"lr": 0.5}, {0: 0.5, 99: 0.5}),
    ({"lr": 1.0, "warmup": 4}, {0: 0.25, 1: 0.5, 2: 0.75, 3: 1.0, 4: 1.0, 99: 1.0}),
    ({"lr": 1.0, "warmup": 1}, {0: 1.0}),
    (
        {"lr": 8.0, "schedule": "milestones", "milestones": (10, 20), "gamma": 0.5},
        {0: 8.0, 9: 8.0, 10: 4.0, 19: 4.0, 20: 2.0, 99: 2.0},
    ),
    (
        {"lr": 8.0, "schedule": "milestones", "milestones": (1,), "gamma": 0.5, "warmup": 4},
        {0: 2.0, 1: 2.0, 2: 3.0, 3: 4.0, 4: 4.0},
    ),
    ({"lr": 2.0, "schedule": "cosine"}, {0: 2.0, 50: 1.0, 25: 1 + math.sqrt(0.5), 75: 1 - math.sqrt(0.5)}),
    ({"lr": 2.0, "schedule": "cosine", "warmup": 100}, {49: 0.5 * (1 + math.cos(math.pi * 0.49))}),
]


@pytest.mark.parametrize(("options", "expected"), RATES)
def test_learning_rates_by_hand(options: dict[str, Any], expected: dict[int, float]) -> None:
    recipe = Recipe(iterations=100, **options)
    assert {t: recipe.lr_at(t) for t in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_starts_at_the_full_rate_and_stays_within_it(name: str) -> None:
    recipe = Recipe(
        iterations=30,
        lr=0.1,
        schedule=name,
        milestones=(5, 9) if name == "milestones" else (),
        evaluate_every=5,
    )
    rates = [recipe.lr_at(t) for t in range(30)]
    assert rates[0] == 0.1
    assert all(0 < rate <= 0.1 for rate in rates)
    assert SCHEDULES.describe(name)


GRIDS = [
    # iterations, N, start, expected
    (10, 5, 0, [0, 5, 10]),
    (10, 4, 0, [0, 4, 8, 10]),
    (10, 4, 3, [3, 4, 8, 10]),
    (10, 4, 4, [4, 8, 10]),
    (10, 4, 9, [9, 10]),
    (10, 100, 0, [0, 10]),
    (1, 1, 0, [0, 1]),
]


@pytest.mark.parametrize(("iterations", "every", "start", "expected"), GRIDS)
def test_evaluations_by_hand(iterations: int, every: int, start: int, expected: list[int]) -> None:
    assert Recipe(iterations=iterations, evaluate_every=every).evaluations(start) == expected


CURVES = [
    # iterations, N, curve_every, start, expected
    (10, 2, 0, 0, [10]),
    (10, 2, 4, 0, [0, 4, 8, 10]),
    (12, 2, 4, 0, [0, 4, 8, 12]),
    (10, 2, 2, 0, [0, 2, 4, 6, 8, 10]),
    (10, 2, 4, 3, [4, 8, 10]),
    (10, 2, 4, 4, [4, 8, 10]),
    (10, 2, 4, 9, [10]),
]


@pytest.mark.parametrize(("iterations", "every", "curve", "start", "expected"), CURVES)
def test_curve_points_by_hand(
    iterations: int, every: int, curve: int, start: int, expected: list[int]
) -> None:
    recipe = Recipe(iterations=iterations, evaluate_every=every, curve_every=curve)
    assert recipe.curve_points(start) == expected
    assert set(expected) <= set(recipe.evaluations(start))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"iterations": 0}, "iterations"),
    ({"iterations": 1.5}, "iterations"),
    ({"iterations": True}, "iterations"),
    ({"iterations": "100"}, "iterations"),
    ({"batch": 0}, "batch"),
    ({"lr": 0}, "lr"),
    ({"lr": -1e-3}, "lr"),
    ({"lr": float("inf")}, "lr"),
    ({"lr": float("nan")}, "lr"),
    ({"weight_decay": -1}, "weight_decay"),
    ({"weight_decay": float("inf")}, "weight_decay"),
    ({"eps": 0}, "eps"),
    ({"betas": (0.9, 1.0)}, "betas"),
    ({"betas": (0.9,)}, "betas"),
    ({"optimizer": "sgd", "momentum": 1.0}, "momentum"),
    ({"optimizer": "sgdm"}, "optimizer"),
    ({"momentum": 0.9}, "belong to optimizer = 'sgd'"),
    ({"nesterov": True}, "belong to optimizer = 'sgd'"),
    ({"optimizer": "sgd", "nesterov": True}, "nesterov needs a momentum"),
    ({"schedule": "cosinus"}, "did you mean 'cosine'"),
    ({"schedule": "milestones"}, "needs a list of milestones"),
    ({"milestones": (10,)}, "milestones need schedule = 'milestones'"),
    ({"schedule": "cosine", "milestones": (10,)}, "found 'cosine'"),
    ({"schedule": "milestones", "milestones": (20, 10)}, "must rise"),
    ({"schedule": "milestones", "milestones": (10, 10)}, "must rise"),
    ({"schedule": "milestones", "milestones": (0, 10)}, "milestones"),
    ({"schedule": "milestones", "milestones": (5,), "gamma": 0}, "gamma"),
    ({"schedule": "milestones", "milestones": (5,), "gamma": 1.5}, "gamma"),
    ({"warmup": -1}, "warmup"),
    ({"evaluate_every": 0}, "evaluate_every"),
    ({"evaluate_every": 100, "curve_every": 150}, "must be a multiple of evaluate_every"),
    ({"curve_every": -100}, "curve_every"),
    ({"precision": "float16"}, "precision"),
    ({"learning_rate": 0.1}, "learning_rate"),
    ({"label_smoothing": 1.0}, "label_smoothing"),
    ({"label_smoothing": -0.1}, "label_smoothing"),
    ({"crop": -1}, "crop"),
    ({"crop": 1.5}, "crop"),
]

NUMBERS = ("lr", "eps", "momentum", "weight_decay", "gamma", "label_smoothing")
COUNTS = ("iterations", "batch", "warmup", "evaluate_every", "curve_every", "crop")
REFUSED += [({name: value}, name) for name in (*NUMBERS, *COUNTS) for value in (True, "0", "0.1", None)]
REFUSED += [({name: value}, name) for name in ("flip", "nesterov") for value in (1, "true", "yes", None)]
REFUSED += [({"betas": (True, 0.9)}, "betas"), ({"milestones": (True,)}, "milestones")]


@pytest.mark.parametrize(("options", "sentence"), REFUSED, ids=str)
def test_what_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Recipe(**options)


def test_whole_numbers_do_for_any_number() -> None:
    recipe = Recipe(lr=1, weight_decay=0, gamma=1, label_smoothing=0, betas=(0, 0), optimizer="adam")
    assert (recipe.lr, recipe.weight_decay, recipe.gamma) == (1.0, 0.0, 1.0)


def test_options_that_came_later_do_nothing_by_default_and_leave_no_trace() -> None:
    later = {"label_smoothing": 0.0, "flip": False, "crop": 0, "precision": "float32"}
    assert Recipe(**later) == Recipe()
    assert Recipe(**later).model_dump(mode="json", exclude_defaults=True) == {}
    assert not Recipe().augments


@pytest.mark.parametrize("options", [{"flip": True}, {"crop": 1}, {"flip": True, "crop": 4}], ids=str)
def test_recipes_that_augment(options: dict[str, Any]) -> None:
    assert Recipe(**options).augments


def test_a_recipe_does_not_change() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Recipe().lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"optimizer": "adamww"}, "Recipe: optimizer: unknown optimizer 'adamww'; did you mean 'adamw'?"),
        ({"optimizer": "torch.optim:Adagard"}, "optimizer 'torch.optim:Adagard'; did you mean 'torch.optim:Adagrad'?"),
        ({"optimizer": "torch.optim:LBFGS"}, "unknown optimizer 'torch.optim:LBFGS'"),
        ({"optimizer": "adamw", "momentum": 0.9}, "momentum and nesterov belong to optimizer = 'sgd'; adam has betas"),
        ({"optimizer_options": {"alpha": 0.9}}, "optimizer_options belong to optimizers of torch"),
        ({"loss": "mae"}, "Recipe: loss: unknown loss 'mae'; expected 'cross-entropy', 'mse', or 'package.module:func"),
        ({"loss": "a:b", "label_smoothing": 0.1}, "Recipe: label_smoothing belongs to loss = 'cross-entropy'"),
        ({"lr": "x"}, "Recipe: lr is 'x': input should be a valid number"),
        ({"itertaions": 3}, "Recipe: unknown key 'itertaions'; did you mean 'iterations'?"),
    ],
)  # fmt: skip
def test_a_mistake_in_python_is_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        Recipe(**options)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_recipe_says_how_images_are_changed() -> None:
    assert str(Recipe()).endswith("adam at 0.0012, constant")
    assert str(Recipe(flip=True, crop=4)).endswith(", flip and crop")
    assert str(Recipe(flip=True, resized_crop=True)).endswith(", constant, resized crops")
