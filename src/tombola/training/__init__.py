"""Training: recipes, stacks of networks, the loop that trains them and the engines that compute."""

from __future__ import annotations

from tombola.training.checkpoint import Checkpoint
from tombola.training.engines import ENGINES, Engine, choose, seconds_compiling
from tombola.training.loop import train_stack
from tombola.training.memory import networks_that_fit
from tombola.training.precision import bfloat16_is_native
from tombola.training.recipe import SCHEDULES, Recipe
from tombola.training.record import NUMBERS, Trained
from tombola.training.search import SEARCHES, Goal, Method, Search
from tombola.training.search_dynamic import Rigl, Set
from tombola.training.search_gradual import Gradual
from tombola.training.search_moving import Moment, MovingMethod
from tombola.training.search_scores import EdgePopup, Supermask
from tombola.training.stack import Stack, Start
from tombola.training.trainer import Trainer
from tombola.training.watch import EARLY_BIRD, Bird, EarlyBirds, Watch

__all__ = [
    "EARLY_BIRD",
    "ENGINES",
    "NUMBERS",
    "SCHEDULES",
    "SEARCHES",
    "Bird",
    "Checkpoint",
    "EarlyBirds",
    "EdgePopup",
    "Engine",
    "Goal",
    "Gradual",
    "Method",
    "Moment",
    "MovingMethod",
    "Recipe",
    "Rigl",
    "Search",
    "Set",
    "Stack",
    "Start",
    "Supermask",
    "Trained",
    "Trainer",
    "Watch",
    "bfloat16_is_native",
    "choose",
    "networks_that_fit",
    "seconds_compiling",
    "train_stack",
]
