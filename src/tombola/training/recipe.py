"""A recipe says how a network is trained: optimizer, schedule, batch, augmentation, evaluation grid, precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from tombola.errors import nearest
from tombola.metrics import ACCURACY, METRICS, MSE
from tombola.plugins.source import Code
from tombola.registry import Registry
from tombola.table import Table

# Strict: `lr = true` and `lr = "0.1"` are mistakes, not numbers. A whole number does for a float.
MOST_ITERATIONS = 100_000_000
"""Far beyond any training: a number above it is a slip of the hand, and would be found only when the memory is full."""
MOST_EVALUATIONS = 1_000_000
PositiveInt = Annotated[int, Field(gt=0, le=MOST_ITERATIONS, strict=True)]
Count = Annotated[int, Field(ge=0, le=MOST_ITERATIONS, strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True)]
Fraction = Annotated[float, Field(ge=0, lt=1, strict=True)]
Switch = Annotated[bool, Field(strict=True)]

CROSS_ENTROPY, SQUARED = "cross-entropy", "mse"
LOSSES = (CROSS_ENTROPY, SQUARED)
OPTIMIZERS, TORCH = ("adam", "adamw", "sgd"), "torch.optim:"
FROM_TORCH = (
    "ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD",
)  # fmt: skip
"""Optimizers of torch that step each weight by itself, so that networks in a stack do not disturb each other."""
SCHEDULES: Registry[Callable[[Recipe, int], float]] = Registry("schedule")


class Recipe(Table):
    """The [recipe] table of a study. Iterations are optimizer steps, counted from 0.

    The default is the LeNet recipe of Frankle & Carbin 2019 (Figure 2): Adam at 1.2e-3, batches of 60,
    validation every 100 iterations.

    `label_smoothing` mixes the training targets with the uniform distribution in this share (Szegedy et al. 2016,
    section 7); every loss that is reported stays plain cross-entropy. `flip` and `crop` (pixels of padding) change
    training images at random, see augment.py; images that are evaluated are whole.

    `optimizer`: "adam" (Kingma & Ba 2015), "adamw" (whose weight decay is decoupled, Loshchilov & Hutter 2019), "sgd",
    or `torch.optim:NAME` for one of torch's that treats every weight alike, with `optimizer_options` as its keywords.
    `loss` is a function of your own, `package.module:function` of logits [batch, classes] and labels [batch], whose
    scalar is trained on; what is reported and selected by stays cross-entropy. The engine `modules` computes it.

    `metric` is what networks are measured by besides: accuracy of classes, or "mse", the mean squared error of targets
    that are numbers, [batch, outputs]. With that it is also what is reported as loss and selected by, and what is
    trained on is `loss = "mse"` or a function of yours.

    `precision = "bfloat16"` runs forward and backward passes under torch's autocast; weights, optimizer state, masks,
    batch statistics and losses stay float32. Evaluation computes as training does, and its logits are cast to
    float32, so that a network is selected by what it does in the arithmetic it was trained in. A CPU that has to
    emulate it is slower with it than without; a notice says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    iterations: PositiveInt = 50_000
    """Optimizer steps of a training from iteration 0."""
    batch: PositiveInt = 60
    """Examples in a step."""
    optimizer: str = "adam"
    """What takes the steps: `adam`, `adamw`, `sgd`, or `torch.optim:NAME`."""
    optimizer_options: dict[str, bool | int | float] = {}  # noqa: RUF012 (pydantic copies it)
    """What an optimizer of torch's is made with besides."""
    loss: str = CROSS_ENTROPY
    """What is minimised: cross-entropy, `mse`, or `package.module:function` of your own."""
    metric: str = ACCURACY.name
    """What networks are measured by: `accuracy` of classes, or `mse` of targets that are numbers."""
    lr: Positive = 1.2e-3
    """The learning rate that warmup leads up to and the schedule starts from."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Adam's decay rates of the mean gradient and of its mean square."""
    eps: Positive = 1e-8
    """What Adam adds to the denominator."""
    momentum: Fraction = 0.0
    """Of `sgd`."""
    nesterov: Switch = False
    """Whether that momentum looks ahead."""
    weight_decay: Annotated[float, Field(ge=0, strict=True)] = 0.0
    """Times the weights, added to their gradients."""
    schedule: str = "constant"
    """How the learning rate goes on: a name of `tombola catalog schedules`."""
    milestones: tuple[PositiveInt, ...] = ()
    """The iterations at which `schedule = "milestones"` multiplies the learning rate by `gamma`."""
    gamma: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.1
    """What it is multiplied by there."""
    warmup: Count = 0
    """In how many iterations the learning rate rises linearly to `lr`; 0 is none."""
    label_smoothing: Fraction = 0.0
    """The share of the uniform distribution that is mixed into the training targets."""
    flip: Switch = False
    """Whether half of the training images are mirrored, anew in each step."""
    crop: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0
    """Pixels of padding that training images are shifted within, anew in each step; 0 is none."""
    resized_crop: Switch = False
    """Whether images in files are trained on as random crops of 8 to 100% of their area, resized."""
    evaluate_every: PositiveInt = 100
    """Iterations from one measurement of the validation loss to the next: the grid that early stop is found on."""
    curve_every: Count = 0
    """Iterations from one measurement of training and test set to the next, for curves; 0: at the end only."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """The arithmetic of forward and backward passes."""

    @field_validator("optimizer")
    @classmethod
    def _known_optimizer(cls, name: str) -> str:
        known = [*OPTIMIZERS, *(TORCH + each for each in FROM_TORCH)]
        if name not in known:
            raise ValueError(f"unknown optimizer '{name}'{nearest(name, known)}")
        return name

    @field_validator("loss")
    @classmethod
    def _is_a_loss(cls, name: str) -> str:
        if name not in LOSSES and ":" not in name:
            raise ValueError(
                f"unknown loss '{name}'; expected '{CROSS_ENTROPY}', '{SQUARED}', or 'package.module:function' of yours"
            )
        return name

    @field_validator("metric")
    @classmethod
    def _is_a_metric(cls, name: str) -> str:
        if name not in METRICS:
            raise ValueError(f"unknown metric '{name}'{nearest(name, METRICS)}")
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        SCHEDULES[self.schedule]
        if self.milestones and self.schedule != "milestones":
            raise ValueError(f"milestones need schedule = 'milestones', found '{self.schedule}'")
        if self.schedule == "milestones" and not self.milestones:
            raise ValueError("schedule = 'milestones' needs a list of milestones (iterations)")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, found {list(self.milestones)}")
        if self.optimizer != "sgd" and (self.momentum or self.nesterov):
            own = "adam has betas" if self.optimizer in OPTIMIZERS else "others have optimizer_options"
            raise ValueError(f"momentum and nesterov belong to optimizer = 'sgd'; {own}")
        if self.optimizer_options and not self.optimizer.startswith(TORCH):
            raise ValueError(
                f"optimizer_options belong to optimizers of torch ('{TORCH}NAME'), found '{self.optimizer}'"
            )
        if METRICS[self.metric].of_targets and self.loss == CROSS_ENTROPY:
            raise ValueError(
                f"metric = '{self.metric}' is of targets that are numbers, and loss = '{CROSS_ENTROPY}' is of classes; "
                f"expected loss = '{SQUARED}' or a function of yours"
            )
        if self.loss == SQUARED and not METRICS[self.metric].of_targets:
            raise ValueError(
                f"loss = '{SQUARED}' is of targets that are numbers; expected metric = '{MSE.name}' with it"
            )
        if self.loss != CROSS_ENTROPY and self.label_smoothing:
            raise ValueError(
                "label_smoothing belongs to loss = 'cross-entropy'; a loss of your own does its smoothing itself"
            )
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        if self.iterations // self.evaluate_every > MOST_EVALUATIONS:
            raise ValueError(
                f"{self.iterations:,} iterations are evaluated every {self.evaluate_every}, more than "
                f"{MOST_EVALUATIONS:,} times; expected a larger evaluate_every"
            )
        if self.curve_every % self.evaluate_every:
            raise ValueError(
                f"curve_every ({self.curve_every}) must be a multiple of evaluate_every ({self.evaluate_every})"
            )
        return self

    def __str__(self) -> str:
        """What is most often asked of a recipe, in one line."""
        rate = f"{self.optimizer} at {self.lr:g}, {self.schedule}"
        warm = f", warmup {self.warmup:,}" if self.warmup else ""
        images = ", flip and crop" if self.flip and self.crop else ""
        resized = ", resized crops" if self.resized_crop else ""
        return f"{self.iterations:,} iterations of {self.batch}, {rate}{warm}{images}{resized}"

    @property
    def code(self) -> list[Code]:
        """The loss, where it is one's own."""
        return [] if self.loss in LOSSES else [Code(self.loss)]

    @property
    def augments(self) -> bool:
        """Whether training images are changed at random."""
        return self.flip or self.crop > 0

    def lr_at(self, iteration: int) -> float:
        """Learning rate of the step that leads from `iteration` to `iteration + 1`.

        Warmup is linear and reaches the full rate at its last step; its first step is lr / warmup, not 0,
        so that no step is wasted.
        """
        warm = min(1.0, (iteration + 1) / self.warmup) if self.warmup else 1.0
        return self.lr * warm * SCHEDULES[self.schedule](self, iteration)

    def at_its_end(self) -> Recipe:
        """This recipe at the learning rate of its last step throughout."""
        fixed = {"lr": self.lr_at(self.iterations - 1), "schedule": "constant", "milestones": (), "warmup": 0}
        return self.model_copy(update=fixed)

    def evaluations(self, start: int = 0) -> list[int]:
        """Iterations at which validation is measured: `start`, the grid 0, N, 2N, ... above it, and the end."""
        grid = range(0, self.iterations, self.evaluate_every)
        return [start, *(t for t in grid if t > start), self.iterations]

    def curve_points(self, start: int = 0) -> list[int]:
        """Iterations at which the training and test sets are measured too: the end always, else every
        `curve_every` (0: the end only)."""
        if not self.curve_every:
            return [self.iterations]
        return [t for t in self.evaluations(start) if t % self.curve_every == 0 or t == self.iterations]


@SCHEDULES.register("constant")
def constant(recipe: Recipe, iteration: int) -> float:
    """The same learning rate throughout."""
    return 1.0


@SCHEDULES.register("milestones")
def milestones(recipe: Recipe, iteration: int) -> float:
    """Times gamma at each milestone (He et al. 2016; Frankle & Carbin 2019, App. I)."""
    passed: int = sum(iteration >= milestone for milestone in recipe.milestones)
    return recipe.gamma**passed


@SCHEDULES.register("cosine")
def cosine(recipe: Recipe, iteration: int) -> float:
    """Half a cosine from 1 down to 0 at the last iteration (Loshchilov & Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * iteration / recipe.iterations))
