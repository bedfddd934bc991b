"""Studies as data: typed, validated, with an identity that survives new options."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tombola.data import DataSpec
from tombola.files import canonical
from tombola.lottery import ARMS, TICKET, check_rewind
from tombola.masks import PruneRule
from tombola.models import ModelSpec
from tombola.training import Recipe

Count = Annotated[int, Field(ge=0, strict=True)]
PositiveInt = Annotated[int, Field(gt=0, strict=True)]


class Pruning(PruneRule):
    """The [pruning] table: the prune rule, when it is applied, and where weights go back to.

    `iterative` prunes the network trained at the level before; `one-shot` prunes the dense network once, to the
    same counts. `rewind` is an iteration.
    """

    mode: Literal["iterative", "one-shot"] = "iterative"
    rewind: Count = 0

    @property
    def rule(self) -> PruneRule:
        """The prune rule alone."""
        return PruneRule(**{name: getattr(self, name) for name in PruneRule.model_fields})


class ArmSpec(BaseModel):
    """An [[arms]] entry: a named arm, how many draws, and at which levels (all when left out)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    draws: PositiveInt = 1
    levels: tuple[PositiveInt, ...] | None = None

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        ARMS[name]
        return name

    @model_validator(mode="after")
    def _ticket_is_one(self) -> Self:
        if self.name == TICKET and (self.draws != 1 or self.levels is not None):
            raise ValueError("the ticket has one draw, at every level")
        return self


class StoreSpec(BaseModel):
    """The [store] table: which weights are kept on disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: Literal["all", "living", "masks"] = "living"


class Study(BaseModel):
    """A whole experiment. `levels = n` means levels 0..n, 0 being the dense network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "study"
    title: str = ""
    seed: Count = 0
    replicates: PositiveInt = 3
    levels: Count = 10
    model: ModelSpec
    data: DataSpec
    recipe: Recipe = Recipe()
    pruning: Pruning = Pruning()
    arms: tuple[ArmSpec, ...] = ()
    store: StoreSpec = StoreSpec()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_rewind(self.pruning.rewind, self.recipe.iterations)
        names = [arm.name for arm in self.arms]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"arm '{name}' is listed twice; use draws = n for repetitions")
        return self

    def arms_at(self, level: int) -> list[tuple[str, int]]:
        """(name, draws) of the arms at a level."""
        return [(arm.name, arm.draws) for arm in self.arms if arm.levels is None or level in arm.levels]

    def identity(self) -> str:
        """8 hex digits of what decides a cell's bits: seed, model, data, recipe, pruning and the kept weights.

        What can be extended or changed without changing a cell is left out, and options at their default do
        not enter, so an old id stays valid when an option is added.
        """
        deciding = {"seed", "model", "data", "recipe", "pruning", "store"}
        content = self.model_dump(mode="json", include=deciding, exclude_defaults=True)
        return hashlib.sha256(canonical(content).encode()).hexdigest()[:8]

    @property
    def folder(self) -> str:
        """Name of the run folder: `<name>-<identity>`."""
        return f"{self.name}-{self.identity()}"

    def to_toml(self) -> str:
        """The whole resolved spec, defaults included."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def widened(self, other: Study) -> Study:
        """This study with the levels, replicates and arms of both: what a run folder holds after an extension.

        Draws are the larger number, and an arm is at the levels of either.
        """
        arms = {arm.name: arm for arm in other.arms}
        for arm in self.arms:
            old = arms.get(arm.name)
            if old is not None:
                either = (
                    None if None in (arm.levels, old.levels) else {*(arm.levels or ()), *(old.levels or ())}
                )
                levels = None if either is None else tuple(sorted(either))
                arm = ArmSpec(name=arm.name, draws=max(arm.draws, old.draws), levels=levels)
            arms[arm.name] = arm
        return self.model_copy(
            update={
                "levels": max(self.levels, other.levels),
                "replicates": max(self.replicates, other.replicates),
                "arms": tuple(arms.values()),
            }
        )
