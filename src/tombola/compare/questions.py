"""Which measures are asked of which subjects, at which side and against which null; what cannot be asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tombola.compare.align import ALIGNMENTS, RAW
from tombola.compare.measures import MEASURES, Measure
from tombola.compare.network import Network
from tombola.compare.nulls import NULLS
from tombola.compare.subject import SIDES, Side, Subject
from tombola.errors import UserError


@dataclass(frozen=True)
class Question:
    """One measure at one side (None where it reads no weights, or both), judged by one null."""

    measure: str
    side: Side | None
    null: str


def questions(
    subjects: Sequence[Subject], measures: Sequence[str] | None, nulls: Sequence[str] | None
) -> Iterator[Question]:
    """Every measure at every side that all subjects hold, under its nulls.

    Without `measures`, all that the subjects hold the weights for; without `nulls`, each measure's own. A
    measure of one subject has one null. Raises UserError for unknown names and missing weights.
    """
    sides = [side for side in SIDES if all(subject.holds(side) for subject in subjects)]
    for null in nulls or ():
        NULLS[null]
    for name in MEASURES if measures is None else measures:
        measure = MEASURES[name]
        if not _readable(measure, sides):
            if measures is not None:
                raise _lacking(name, measure, subjects)
            continue
        for side in sides if measure.reads == "side" else [None]:
            for null in [measure.null] if nulls is None or measure.subjects == 1 else nulls:
                yield Question(name, side, null)


def check(subjects: Sequence[Subject], network: Network, alignments: Sequence[str], n_null: int) -> None:
    """Raises UserError where the subjects cannot be compared, or not by these alignments."""
    for alignment in alignments:
        ALIGNMENTS[alignment]
        if alignment != RAW and not network.groups:
            raise UserError(
                f"alignment '{alignment}' needs the hidden units of the network, and none are given"
            )
    if n_null < 1:
        raise UserError(f"n_null is {n_null}, expected at least 1")
    for name, times in Counter(subject.name for subject in subjects).items():
        if times > 1:
            raise UserError(f"{times} subjects are called '{name}'; names tell the rows of the table apart")
    for subject in subjects[1:]:
        try:
            _ = subject.mask & subjects[0].mask
        except UserError as problem:
            raise UserError(f"{subjects[0].name} and {subject.name} cannot be compared: {problem}") from None
    network.check(subjects)


def _readable(measure: Measure, sides: Sequence[Side]) -> bool:
    needed = {"mask": 0, "side": 1, "both sides": 2}[measure.reads]
    return len(sides) >= needed


def _lacking(name: str, measure: Measure, subjects: Sequence[Subject]) -> UserError:
    """Which subject lacks which weights for a measure."""
    subject = next(s for s in subjects if not all(s.holds(side) for side in SIDES))
    missing = " and no ".join(side for side in SIDES if not subject.holds(side))
    needs = (
        "those of both sides" if measure.reads == "both sides" else "those of one side, all subjects the same"
    )
    return UserError(f"{subject.name} holds no {missing} weights; measure '{name}' reads {needs}")
