"""Hypotheses: what a study claims, written down before it is run, and at which levels it will be asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self, get_args

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tombola import parts
from tombola.alignment.words import END, RAW, SIDES, WHOLE
from tombola.errors import UserError, nearest
from tombola.lottery.arms.catalog import ARMS, TICKET
from tombola.metrics import METRICS, Metric, metric_in
from tombola.stats.paired import Test
from tombola.stats.permutation import Direction

Quantity = Literal[
    "early_stop_iteration",
    "early_stop_val_loss",
    "early_stop_test_accuracy",
    "final_test_accuracy",
    "final_train_accuracy",
    "early_stop_test_mse",
    "final_test_mse",
    "final_train_mse",
]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]

NEAR = 0.1
"""How far the density of a level may be from the one that is meant, as a share of it: half a step of 20%."""


class Expectation(BaseModel):
    """An [[expect]] entry: the mean over replicates of a results column, for an arm at a density, as published.

    Accuracies are fractions, as in the results. Here and there agree when the two means differ by no more than
    `tolerance`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantity: Quantity
    """The column of the results."""
    arm: str = TICKET
    """Whose."""
    density: Annotated[float, Field(gt=0, le=1, strict=True)] = 1.0
    """The level: the one whose density is nearest."""
    value: Finite
    """What was published."""
    tolerance: Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
    """By how much the mean here may differ and agree."""
    source: str
    """Where it was published."""


DONOR_TICKET = "donor-ticket"
"""What a hypothesis calls the own ticket of a replicate's donor, which a transplant of mask and start must train as."""
DENSE = "dense"
"""What a hypothesis calls the network of level 0, whichever level the other arm is at."""
COLUMNS: tuple[str, ...] = get_args(Quantity)
GAPS = tuple(metric.gap for metric in METRICS.values())
"""Quantities made of columns of the results: by how much networks are better on training than on test examples, at the
end of training."""


def with_gap(results: pl.DataFrame) -> pl.DataFrame:
    """The results with the gap of their metric as a column: training less test accuracy, or test less training error;
    null where not trained."""
    metric = metric_in(results.columns)
    train, test = pl.col(metric.final_train), pl.col(metric.final_test)
    return results.with_columns((train - test if metric.more_is_better else test - train).alias(metric.gap))


PREFIX = "measure:"
Density = Annotated[float, Field(gt=0, le=1, strict=True)]


@dataclass(frozen=True)
class MeasureAt:
    """A measure as a quantity: at which side it is read (None where at none), by which alignment, in which layer."""

    name: str
    side: str | None = None
    aligned: str = RAW
    layer: str = WHOLE

    @property
    def registered(self) -> str:
        """The measure that computes it: the name without `-adjusted`."""
        return self.name if self.name in parts.names("measure") else self.name.removesuffix("-adjusted")

    @classmethod
    def parse(cls, text: str) -> Self:
        """`NAME[@side,aligned,layer]`, in any order: what is no side and no alignment is a layer.

        Raises UserError for an unknown measure, one taken at a side without a side, and a side for one that is not; for
        a measure of function that is not asked at the end, or aligned where the order of hidden units is all the same;
        for one that reads the network as a whole by an alignment that is held out.
        """
        name, _, rest = text.removeprefix(PREFIX).partition("@")
        measures = parts.names("measure")
        adjusted = [each for each in measures if parts.facts("measure", each)["adjusted"]]
        known = [*measures, *(f"{each}-adjusted" for each in adjusted)]
        if name not in known:
            raise UserError(f"unknown measure '{name}'{nearest(name, known)}")
        found = {"name": name}
        for part in (part.strip() for part in rest.split(",") if part.strip()):
            if "@" in part and part not in parts.names("alignment"):
                raise UserError(f"unknown alignment '{part}'{nearest(part, parts.names('alignment'))}")
            kind = "side" if part in SIDES else "aligned" if part in parts.names("alignment") else "layer"
            if kind in found:
                raise UserError(f"'{text}' has two of a kind: {found[kind]} and {part}, expected one {kind}")
            found[kind] = part
        if name in measures and parts.facts("measure", name)["of_outputs"]:
            return cls._of_function(found)
        at = cls(**found)
        facts = parts.facts("measure", at.registered)
        if parts.facts("alignment", at.aligned)["held_out"] and not facts["tensorwise"]:
            raise UserError(_whole(name, at.aligned))
        sided = facts["reads"] in ("side", "dense side")
        if sided and at.side is None:
            raise UserError(f"'{name}' is read at a side; expected {PREFIX}{name}@start or @end")
        if at.side is not None and not sided:
            raise UserError(f"'{name}' is not read at one side, found '{at.side}'; leave it out")
        return at

    @classmethod
    def _of_function(cls, found: dict[str, str]) -> Self:
        name = found["name"]
        if found.setdefault("side", END) != END:
            raise UserError(f"'{name}' is read of trained networks, found '{found['side']}'; leave it out")
        if not parts.facts("measure", name)["ordered"] and "aligned" in found:
            raise UserError(
                f"'{name}' does not depend on the order of hidden units, found '{found['aligned']}'; leave it out"
            )
        if parts.facts("alignment", found.get("aligned", RAW))["held_out"]:
            raise UserError(_whole(name, found["aligned"]))
        return cls(**found)


def _whole(name: str, aligned: str) -> str:
    return (
        f"'{name}' reads the network as a whole, and '{aligned}' lays each tensor by a matching of its own; expected "
        "a measure that reads tensors one by one, such as jaccard"
    )


Question = Literal["wins", "shares", "signs", "transfers", "gap"]
QUESTIONS: dict[Question, str] = {
    "wins": "Does the ticket win?",
    "shares": "Do tickets of different seeds share structure, beyond the degrees of their units?",
    "signs": "Do they share signs?",
    "transfers": "Does the match between wiring and start carry over to another start?",
    "gap": "How much of the gap is that?",
}
"""What a study is asked that holds tickets of several seeds against each other, in the order of the answer."""


class Hypothesis(BaseModel):
    """A [[hypothesis]] entry: a claim about a quantity of two arms, a and b, tested over replicates.

    `quantity` is a column of the results, `gap`, or `measure:NAME[@side,aligned,layer]`, a measure less what chance
    gives of it. `arms` are a and b; `dense` is the network of level 0. Four arms are an interaction, (a - b) - (c - d)
    in the place of a - b, of a quantity of the results. `densities` are asked at the level whose density is nearest, if
    it is within 10%; every level when left out or "all". Each is a test of its own.

    `direction` says what is claimed of a - b: `greater` than zero, `less`, `different`, or `same`. With a `margin` it
    is `greater` that a is not less than b by more than the margin ("a matches b"), `less` that it is not more; `same`
    is both, and needs one. `test` is `sign-flip`, exact where the paired differences are symmetric about the
    margin if the claim is false; or `t`, where they are normal. All tests of a `family` are decided together, at
    one `alpha`, by Holm's correction. `needs` are the names of other hypotheses, controls, that have to come out `yes`
    (at the same level, if they are asked there, else wherever they are); the claim is not resolvable without.

    `answers` says which of the questions of a study it answers (see `QUESTIONS`), the first of several mainly. With
    `share_of`, two arms c and d, the difference is also given as a share of c - d, with Fieller's interval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """What the verdict is called."""
    claim: Annotated[str, Field(min_length=1)]
    """What is claimed, as a sentence."""
    quantity: str
    """A column of the results, `gap`, or `measure:NAME[@side,aligned,layer]`."""
    arms: tuple[str, ...]
    """Two arms, a - b, or four, (a - b) - (c - d)."""
    densities: tuple[Density, ...] = ()
    """Where it is asked; every level when left out."""
    direction: Direction
    """What is claimed of the difference."""
    margin: Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)] = 0.0
    """How much of a difference does not matter."""
    test: Test = "sign-flip"
    """`sign-flip` is exact where differences are symmetric, `t` where they are normal."""
    alpha: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.05
    """How often the family may err."""
    family: Annotated[str, Field(min_length=1)] = "claims"
    """Which claims are corrected together (Holm)."""
    needs: tuple[str, ...] = ()
    """Hypotheses that must come out `yes` first: the controls."""
    answers: Question | None = None
    """Which question of the study it answers."""
    share_of: tuple[str, str] | None = None
    """Two arms c and d: the difference is given as a share of c - d too."""

    @field_validator("densities", mode="before")
    @classmethod
    def _all_is_every_level(cls, given: object) -> object:
        return () if given == "all" else given

    @field_validator("quantity")
    @classmethod
    def _known_quantity(cls, given: str) -> str:
        if given.startswith(PREFIX):
            MeasureAt.parse(given)
        elif given not in (known := [*COLUMNS, *GAPS]):
            raise ValueError(f"unknown quantity '{given}'{nearest(given, [*known, f'{PREFIX}NAME'])}")
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.arms) not in (2, 4):
            raise ValueError(
                f"hypothesis '{self.name}' is on two arms, a - b, or on four, (a - b) - (c - d), found {len(self.arms)}"
            )
        a, b, *others = self.arms
        if a == b or (others and others[0] == others[1]):
            raise ValueError(
                f"hypothesis '{self.name}' holds arm '{a if a == b else others[0]}' against itself"
            )
        if others == [a, b]:
            raise ValueError(f"hypothesis '{self.name}' holds '{a}' less '{b}' against itself")
        if others and self.measure:
            raise ValueError(
                f"hypothesis '{self.name}' is on a measure and four arms; an interaction is of a quantity of the "
                "results"
            )
        if self.direction == "same" and not self.margin:
            raise ValueError(
                f"hypothesis '{self.name}' claims that arms are the same, which needs a margin above 0: how much "
                "of a difference does not matter"
            )
        if self.direction == "different" and self.margin:
            raise ValueError(
                f"hypothesis '{self.name}' has a margin, which goes with direction 'greater', 'less' or 'same'"
            )
        if self.measure and (self.test != "sign-flip" or DENSE in self.arms):
            found = "test = 't'" if self.test != "sign-flip" else f"arm '{DENSE}'"
            raise ValueError(
                f"hypothesis '{self.name}' is on a measure, found {found}: pairs of tickets that share a replicate "
                "are not independent, so it is tested by sign-flip, between two arms of one level"
            )
        return self

    @property
    def measure(self) -> MeasureAt | None:
        """The measure that the quantity is, None where it is of the results."""
        return MeasureAt.parse(self.quantity) if self.quantity.startswith(PREFIX) else None


def check_hypotheses(hypotheses: Sequence[Hypothesis], own_arms: Collection[str]) -> None:
    """Raises UserError for two of one name, an unknown arm, a family of two alphas, and a need for a hypothesis that is
    not there or for itself, also by way of others.

    A registered arm that the study lacks is no mistake: arms are easily left out of a run. The verdict says so.
    """
    names = [each.name for each in hypotheses]
    known = {*parts.names(ARMS.kind), *own_arms, DENSE, DONOR_TICKET}
    alphas: dict[str, float] = {}
    for each in hypotheses:
        if names.count(each.name) > 1:
            raise UserError(f"hypothesis '{each.name}' is listed twice; give each a name of its own")
        for arm in (*each.arms, *(each.share_of or ())):
            if arm not in known:
                raise UserError(f"hypothesis '{each.name}': unknown arm '{arm}'{nearest(arm, known)}")
        if alphas.setdefault(each.family, each.alpha) != each.alpha:
            raise UserError(
                f"hypothesis '{each.name}' has alpha {each.alpha}, others of its family '{each.family}' have "
                f"{alphas[each.family]}; a family is corrected at one alpha"
            )
    _check_needs(hypotheses)


def check_metric(metric: Metric, quantities: Sequence[tuple[str, str]]) -> None:
    """Raises UserError for a quantity of another metric than the study's; `quantities` are (what asks for it, it)."""
    own = {*metric.columns, metric.gap}
    others = {name: other for other in METRICS.values() for name in (*other.columns, other.gap)}
    for what, quantity in quantities:
        if quantity in others and quantity not in own:
            there = others[quantity]
            places = [*there.columns, there.gap]
            meant = [*metric.columns, metric.gap][places.index(quantity)]
            better = "more" if metric.more_is_better else "less"
            raise UserError(
                f"{what} is on '{quantity}', and the study is measured by {metric.noun} (recipe.metric = "
                f"'{metric.name}'); expected '{meant}', of which {better} is better"
            )


def _check_needs(hypotheses: Sequence[Hypothesis]) -> None:
    needs = {each.name: each.needs for each in hypotheses}
    for name in needs:
        reached, ahead = set[str](), list(needs[name])
        while ahead:
            needed = ahead.pop()
            if needed not in needs:
                raise UserError(
                    f"hypothesis '{name}' needs '{needed}', which is none{nearest(needed, needs)}"
                )
            if needed == name:
                raise UserError(f"hypothesis '{name}' needs itself; a control stands on its own")
            if needed not in reached:
                reached.add(needed)
                ahead += needs[needed]
