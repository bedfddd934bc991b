"""The `[compare]` table of a study: what its tickets are compared by once they are trained."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tombola import parts
from tombola.errors import nearest

MOST_NULLS = 100_000
Density = Annotated[float, Field(gt=0, le=1, strict=True)]


class CompareTable(BaseModel):
    """The `[compare]` table: `tombola run` compares the tickets of a run by it, and decides and reports with it.

    Left out, `densities` are those that hypotheses on measures name, else that of the sparsest level with a control;
    `arms` the ticket and those of `rewire`, `random-mask` and `reinit` that are trained there; `alignments` units as
    they come and `weights@dense-held-out`. `nulls` are drawn for each pair where chance has no closed form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    measures: tuple[str, ...] = ("jaccard", "sign-agreement")
    """Names or families of `tombola catalog measures`."""
    alignments: tuple[str, ...] = ()
    """How hidden units are matched first: names of `tombola catalog alignments`."""
    densities: tuple[Density, ...] = ()
    """At which densities tickets are compared."""
    arms: tuple[str, ...] = ()
    """Which arms are compared."""
    nulls: Annotated[int, Field(gt=0, le=MOST_NULLS, strict=True)] = 20
    """How many nulls are drawn for each pair where chance has no closed form."""

    @field_validator("measures")
    @classmethod
    def _known_measures(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return _known("measure", given)

    @field_validator("alignments")
    @classmethod
    def _known_alignments(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return _known("alignment", given)


def _known(kind: str, given: tuple[str, ...]) -> tuple[str, ...]:
    names = parts.names(kind)
    for name in given:
        if name not in names:
            raise ValueError(f"unknown {kind} '{name}'{nearest(name, names)}")
    return given
