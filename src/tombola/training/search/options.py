"""What all options in [pruning.search] have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from pydantic import BaseModel, ConfigDict

from tombola.masks.rule import PruneRule
from tombola.training.recipe import Recipe


class Options(BaseModel, ABC):
    """The [pruning.search] table of a mode; its fields are the options."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @abstractmethod
    def require(self, rule: PruneRule, recipe: Recipe) -> None:
        """Raise UserError where the mode cannot work with a pruning rule or a recipe."""
