"""Training: recipes, stacks of networks, the loop that trains them and the engines that compute."""

from __future__ import annotations

from tombola.training.checkpoint import Checkpoint
from tombola.training.engines import ENGINES, Engine, choose
from tombola.training.loop import train_stack
from tombola.training.memory import networks_that_fit
from tombola.training.recipe import SCHEDULES, Recipe
from tombola.training.record import NUMBERS, Trained
from tombola.training.stack import Stack, Start
from tombola.training.trainer import Trainer

__all__ = [
    "ENGINES",
    "NUMBERS",
    "SCHEDULES",
    "Checkpoint",
    "Engine",
    "Recipe",
    "Stack",
    "Start",
    "Trained",
    "Trainer",
    "choose",
    "networks_that_fit",
    "train_stack",
]
