"""Which measures are asked of which subjects, at which side and against which null; what cannot be asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tombola.alignment.align import ALIGNMENTS
from tombola.alignment.network import Network
from tombola.alignment.subject import DENSE, Subject, WeightsAt
from tombola.alignment.words import END, RAW, SIDES, Side
from tombola.comparison.measures.base import BY_DEFAULT, MEASURES, Measure
from tombola.comparison.measures.paths import can_be_wired
from tombola.comparison.nulls import NULLS
from tombola.errors import UserError, nearest


@dataclass(frozen=True)
class Question:
    """One measure at one side (None where it reads no weights, or both), judged by one null (None: by none)."""

    measure: str
    side: Side | None
    null: str | None


def questions(
    subjects: Sequence[Subject],
    network: Network,
    measures: Sequence[str] | None,
    nulls: Sequence[str] | None,
) -> Iterator[Question]:
    """Every measure at every side that all subjects hold, under its nulls.

    `measures` are names, and families for all in them that the subjects hold the weights for; by default the
    quick families. Without `nulls`, each measure's own; a measure of one subject whose null is in closed form has
    no other, nor have measures of function. Raises UserError for unknown names and missing weights.
    """
    for known in nulls or ():
        NULLS[known]
    for name, demanded in chosen(measures).items():
        measure = MEASURES[name]
        if measure.wired and not demanded and not can_be_wired(subjects[0].mask, network):
            continue
        sides = _sides(measure, subjects)
        if not sides and demanded:
            raise _lacking(name, measure, subjects)
        closed = measure.subjects == 1 and measure.exact is not None
        own = nulls is None or closed or measure.of_outputs
        for side in sides:
            for null in (measure.nulls or (None,)) if own else nulls or ():
                yield Question(name, side, null)


def unknown(measures: Sequence[str]) -> list[str]:
    """Which of these are the names of neither measures nor families."""
    families = {measure.family for measure in MEASURES.values()}
    return [name for name in measures if name not in MEASURES and name not in families]


def chosen(measures: Sequence[str] | None) -> dict[str, bool]:
    """The measures of names and families, in order; whether each was asked for by its own name.

    Raises UserError for a name that is neither.
    """
    quick = [name for name in MEASURES if MEASURES[name].family in BY_DEFAULT]
    if measures is None:
        return dict.fromkeys(quick, False)
    families = {MEASURES[name].family for name in MEASURES}
    found: dict[str, bool] = {}
    for asked in unknown(measures):
        raise UserError(f"unknown measure '{asked}'{nearest(asked, [*MEASURES, *families])}")
    for asked in measures:
        for name in [asked] if asked in MEASURES else MEASURES:
            if name == asked or MEASURES[name].family == asked:
                found[name] = found.get(name, False) or name == asked
    return found


def lightened(subject: Subject, asked: Sequence[Question], alignments: Sequence[str]) -> Subject:
    """The subject without the weights that nobody reads, which every null would otherwise move along."""
    reads = {MEASURES[question.measure].reads for question in asked}
    aligned = any(alignment != RAW for alignment in alignments)
    # This null moves the mask with its dense network.
    scrambled = any(question.null == "scramble" for question in asked)
    if not any("dense" in each for each in reads):
        subject = replace(subject, dense_start=None, dense=subject.dense if aligned or scrambled else None)
    if reads <= {"mask"} and not aligned:
        subject = replace(subject, start=None, end=None)
    return subject


def needs_network(measures: Sequence[str] | None) -> bool:
    """Whether one of the measures follows paths, and so has to know which layer feeds which."""
    return any(MEASURES[name].wired for name in chosen(measures))


def check_exam(measures: Iterable[str], there: bool) -> None:
    """Raises UserError for a measure of function where there is nothing that a subject could be asked."""
    for name in measures:
        if MEASURES[name].of_outputs and not there:
            raise UserError(f"measure '{name}' needs the network and the data, which only a run knows of")


def check_tensorwise(measures: Sequence[str] | None, alignments: Sequence[str]) -> None:
    """Raises UserError for a measure that is asked for by its name and cannot be taken under an alignment that lays
    each tensor by a matching of its own."""
    held_out = [alignment for alignment in alignments if ALIGNMENTS[alignment].held_out]
    for name, demanded in chosen(measures).items():
        measure = MEASURES[name]
        if held_out and demanded and not measure.tensorwise and measure.subjects == 2 and measure.ordered:
            raise UserError(
                f"measure '{name}' reads the network as a whole, and alignment '{held_out[0]}' lays each tensor by a "
                f"matching of its own; expected a measure that reads tensors one by one, such as jaccard"
            )


def in_order(subjects: Sequence[Subject]) -> list[Subject]:
    """The subjects in order of replicate, whatever their arms.

    Alignment does not treat a and b alike, and a decision that swaps the arms of a replicate must find each
    pair the way round it would have been compared.
    """
    return sorted(subjects, key=lambda subject: subject.replicate)


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


def _sides(measure: Measure, subjects: Sequence[Subject]) -> list[Side | None]:
    """The sides that a measure is taken at, None once for one that is not taken at a side; none where a subject
    lacks what it reads."""
    if measure.reads == "mask":
        return [None]
    if measure.of_outputs:
        return [END]  # a subject without trained weights says so when it is asked
    held = [side for side in SIDES if all(subject.holds(_read(measure, side)) for subject in subjects)]
    if measure.reads in ("both sides", "both dense sides"):
        return [None] if len(held) == len(SIDES) else []
    return list(held)


def _read(measure: Measure, side: Side) -> WeightsAt:
    """Which weights a measure reads at a side."""
    return DENSE[side] if "dense" in measure.reads else side


def _lacking(name: str, measure: Measure, subjects: Sequence[Subject]) -> UserError:
    """Which subject lacks which weights for a measure."""
    wanted = [_read(measure, side) for side in SIDES]
    subject = next(s for s in subjects if not all(s.holds(which) for which in wanted))
    missing = " and no ".join(which for which in wanted if not subject.holds(which))
    one_side = measure.reads in ("side", "dense side")
    needs = "those of one side, all subjects the same" if one_side else "those of both sides"
    return UserError(f"{subject.name} holds no {missing} weights; measure '{name}' reads {needs}")
