"""The rule of a pruning: which criterion, allocation and structure, and which rate each tensor gets."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from tombola import parts
from tombola.errors import UserError, nearest
from tombola.masks.allocation import allocation
from tombola.masks.structure import structure
from tombola.models.state import MATRIX
from tombola.table import Table

ROLES = ("conv", "shortcut", "linear", "output", MATRIX)
GENERAL = {"shortcut": "conv"}
"""Role -> the wider one whose rate it takes where none is given for itself."""


class PruneRule(Table):
    """How one pruning picks its weights.

    `rates` overrides `rate` for the keys it names: a role ("conv", "shortcut", "linear", "output", and "matrix" for
    what `[model] prune` opts in) or a parameter name, where `*`, `?` and `[...]` match as in file names. The output
    layer is no "linear" one; shortcuts, the 1x1 projections of a residual network, are "conv" ones unless "shortcut"
    is named as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    criterion: str = "large-final"
    """What a weight scores; the lowest scores go. A name of `tombola catalog criteria`."""
    allocation: str = "layerwise"
    """How what is pruned is shared out among the layers. A name of `tombola catalog allocations`."""
    structure: str = "weights"
    """In which groups weights go. A name of `tombola catalog structures`."""
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The share of the living weights that a level prunes."""
    rates: dict[str, Annotated[float, Field(ge=0, lt=1)]] = {}  # noqa: RUF012 (pydantic copies it)
    """Role or parameter name -> a rate of its own; 0 keeps a tensor whole."""

    @field_validator("criterion")
    @classmethod
    def _known_criterion(cls, name: str) -> str:
        parts.facts("criterion", name)
        return name

    @field_validator("allocation")
    @classmethod
    def _known_allocation(cls, name: str) -> str:
        allocation(name)
        return name

    @field_validator("structure")
    @classmethod
    def _known_structure(cls, name: str) -> str:
        structure(name)
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (
            parts.facts("criterion", self.criterion)["rounds"] > 1
            and structure(self.structure).most is not None
        ):
            raise UserError(
                f"criterion '{self.criterion}' prunes little by little and structure '{self.structure}' at one "
                "stroke; expected another criterion or structure"
            )
        return self


def rates_for(rule: PruneRule, roles: Mapping[str, str]) -> dict[str, float]:
    """The rate of every prunable parameter: exact name before pattern before role before `rule.rate`.

    Among patterns the one with the most literal characters wins. Raises UserError for a key that matches
    nothing, for equally specific patterns that disagree, and for structure "channels" of a matrix that was opted
    in: its rows are no units (they are gates of an LSTM, tokens of an embedding).
    """
    for key in rule.rates:
        known = {*roles, *roles.values(), *(GENERAL.get(role, role) for role in roles.values())}
        if key not in known and not any(fnmatchcase(name, key) for name in roles):
            if key in ROLES:
                raise UserError(f"pruning.rates: the network has no '{key}' layer")
            raise UserError(f"pruning.rates: '{key}' matches no parameter or role{nearest(key, known)}")
    rates = {name: _rate(rule, name, role) for name, role in roles.items()}
    for name, rate in rates.items():
        if rule.structure == "channels" and roles[name] == MATRIX and rate:
            raise UserError(
                f"structure 'channels' prunes units of linear layers and convolutions, and '{name}' is neither; "
                f"expected another structure, or a rate of 0 for it"
            )
    return rates


def _rate(rule: PruneRule, name: str, role: str) -> float:
    if name in rule.rates:
        return rule.rates[name]
    patterns = [key for key in rule.rates if key not in ROLES and fnmatchcase(name, key)]
    if not patterns:
        return rule.rates.get(role, rule.rates.get(GENERAL.get(role, role), rule.rate))
    closest = max(map(_literals, patterns))
    rivals = [key for key in patterns if _literals(key) == closest]
    for rival in rivals:
        if rule.rates[rival] != rule.rates[rivals[0]]:
            raise UserError(f"pruning.rates: '{rivals[0]}' and '{rival}' both match '{name}' but differ")
    return rule.rates[rivals[0]]


def _literals(pattern: str) -> int:
    return sum(character not in "*?[]" for character in pattern)
