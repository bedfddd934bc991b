"""The table of pairs: every measure of every two subjects, beside what chance gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from tombola.alignment.align import ALIGNMENTS
from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.alignment.words import RAW, Side
from tombola.comparison.exam import NULLS_OF_ANSWERS, Exam, answered
from tombola.comparison.measures.base import MEASURES, Case, Values
from tombola.comparison.nulls import NULLS
from tombola.comparison.overlay import SEEN, Overlay, Path, as_it_comes
from tombola.comparison.requests import (
    Question,
    check,
    check_exam,
    check_tensorwise,
    in_order,
    lightened,
    questions,
)
from tombola.comparison.significance import judged_by_draws, judged_by_samples, judged_exactly
from tombola.comparison.table import SCHEMA, Row, judged_rows, row
from tombola.seeds import stream


@dataclass(frozen=True)
class Setting:
    """What is the same for all pairs of a table."""

    overlay: Overlay
    n_null: int

    @property
    def network(self) -> Network:
        """The network of all."""
        return self.overlay.network

    @property
    def seed(self) -> int:
        """The root of all random numbers."""
        return self.overlay.seed


def compare(
    subjects: Sequence[Subject],
    *,
    network: Network | None = None,
    measures: Sequence[str] | None = None,
    alignments: Sequence[str] = (RAW,),
    nulls: Sequence[str] | None = None,
    n_null: int = 100,
    seed: int = 0,
    among: Callable[[Subject, Subject], bool] = lambda a, b: True,
    exam: Callable[[Subject], Exam] | None = None,
    overlay: Overlay | None = None,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> pl.DataFrame:
    """Every measure of all pairs of subjects, per layer and for the whole network (layer `all`).

    Columns: `a, b, layer, measure, side, aligned, null, n_null, value, expected, z, p`. `side` is start or
    end where weights of one side are read, else null. `b` is null for measures of one subject. In a pair, b (the
    one of the later replicate, or later in the list) is laid over a by each alignment, which needs the `network`;
    `among` says which pairs are wanted.

    `measures` are names, and families (overlap, signs, topology, weights, kernels, function) for all in them that the
    subjects hold the weights for; by default overlap and signs, which are quick. Measures of function need an `exam`:
    what a subject is asked, the same examples for all, each normalised as the subject learnt them. Their rows come
    last, and are raw for those that do not depend on the order of hidden units. `nulls` are by default each measure's
    own, for measures of function always.

    A null is in closed form (`n_null` 0) where the measure has it in that form and the pair is raw, or laid by an
    alignment that is held out (`overlay.as_it_comes`): exact expectation, deviation and p. Else `n_null` nulls are
    made of b (or where that is the same, their counts are drawn) and each is laid over a by the same alignment (for a
    measure of one subject: are made of it); `n_null` then says how many of them have a value.

    `p` is one-sided: the chance that a null is at least as alike as the two are (for a measure of one subject:
    has at least its value; for `flips`, at most). For samples it is (1 + nulls as alike) / (1 + nulls).
    `z` is (value - expected) over the null's deviation. What is undefined is null: a value without weights
    to take it from, a z where the null never varies. Pair rows describe; decisions are taken over replicates.

    An `overlay` (of the network and the seed, in their place) keeps held-out matchings for the comparison after. `told`
    hears how many pairs are done, of how many; those whose answers are compared as well count twice.

    An alignment that is held out lays each tensor by a matching of its own. Measures that read more than one tensor at
    a time have no rows under it where they came with their family, and are refused where they are asked for by name.

    Raises UserError for unknown names, equal names of subjects, masks of different networks, a measure or an
    alignment that reads weights a subject lacks, an alignment without a network, a measure of function without an exam,
    and subjects that were asked other test examples.
    """
    overlay = overlay or Overlay(network or Network(), seed)
    network = overlay.network
    check(subjects, network, alignments, n_null)
    check_tensorwise(measures, alignments)
    task = Setting(overlay, n_null)
    asked = list(questions(subjects, network, measures, nulls))
    check_exam((question.measure for question in asked), exam is not None)
    of_outputs = sorted(
        (each for each in asked if MEASURES[each.measure].of_outputs), key=lambda each: each.measure
    )
    of_tickets = [each for each in asked if not MEASURES[each.measure].of_outputs]
    light = [lightened(subject, of_tickets, alignments) for subject in subjects]
    rows = [row for subject in light for row in _own_rows(task, of_tickets, subject)]
    pairs = list(_pairs(light, among))
    exam = exam if of_outputs else None
    told(0, of := len(pairs) * (1 if exam is None else 2))
    for done, (a, b) in enumerate(pairs, start=1):
        for alignment in alignments:
            rows += _pair_rows(task, of_tickets, a, b, alignment)
        told(done, of)
    if exam is not None:
        hidden = any(MEASURES[each.measure].reads == "hidden outputs" for each in of_outputs)
        again = _pairs(answered(in_order(subjects), exam, hidden), among)
        for done, (a, b) in enumerate(again, start=len(pairs) + 1):
            for question in of_outputs:
                for alignment in alignments if MEASURES[question.measure].ordered else (RAW,):
                    rows += _pair_rows(task, [question], a, b, alignment)
            told(done, of)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _pairs(
    subjects: Sequence[Subject], among: Callable[[Subject, Subject], bool]
) -> Iterator[tuple[Subject, Subject]]:
    """The pairs that are wanted."""
    return (pair for pair in itertools.combinations(in_order(subjects), 2) if among(*pair))


def _own_rows(task: Setting, asked: Sequence[Question], subject: Subject) -> Iterator[Row]:
    """Rows of the measures that take one subject: those in closed form, then those judged by samples."""
    names = (subject.name, None)
    own = [question for question in asked if MEASURES[question.measure].subjects == 1]
    sampled = []
    for question in own:
        if MEASURES[question.measure].exact is not None:
            yield from _exact_rows(task, question, subject, subject, names)
        else:
            sampled.append(question)

    def values(other: Subject, asked: Sequence[Question], _: Path) -> dict[Question, Values]:
        return {question: _values(task, question, other, other) for question in asked}

    yield from _judged_rows(task, subject, sampled, RAW, names, values)


def _pair_rows(
    task: Setting, asked: Sequence[Question], a: Subject, b: Subject, alignment: str
) -> Iterator[Row]:
    """Rows of one pair under one alignment: those whose null need not be made, then those judged by samples of it."""
    names, sampled = (a.name, b.name), []
    asked = [question for question in asked if MEASURES[question.measure].subjects == 2]
    if ALIGNMENTS[alignment].held_out:
        asked = [question for question in asked if MEASURES[question.measure].tensorwise]

    def laid(other: Subject, asked: Sequence[Question], path: Path) -> dict[Side | None, Subject]:
        return task.overlay.laid(a, other, alignment, {question.side for question in asked}, path)

    known = [question for question in asked if as_it_comes(alignment) and _made_without_null(question)]
    placed = laid(b, known, (*names, SEEN))
    for question in asked:
        if question not in known:
            sampled.append(question)
        elif MEASURES[question.measure].exact is not None:
            yield from _exact_rows(task, question, a, placed[question.side], names, alignment)
        else:
            yield from _drawn_rows(task, question, a, placed[question.side], names, alignment)

    def values(other: Subject, asked: Sequence[Question], path: Path) -> dict[Question, Values]:
        placed = laid(other, asked, path)
        return {question: _values(task, question, a, placed[question.side]) for question in asked}

    yield from _judged_rows(task, b, sampled, alignment, names, values)


def _made_without_null(question: Question) -> bool:
    """Whether the null is known in closed form, or its counts are drawn, where units are as they come."""
    measure = MEASURES[question.measure]
    return question.null == measure.null and (measure.exact is not None or measure.drawn is not None)


def _judged_rows(
    task: Setting,
    subject: Subject,
    asked: Sequence[Question],
    alignment: str,
    names: tuple[str, str | None],
    values: Callable[[Subject, Sequence[Question], Path], dict[Question, Values]],
) -> Iterator[Row]:
    """Rows of the questions, with the values of a subject beside those of nulls made of it; a null is made once
    for all questions that it answers."""
    if not asked:
        return
    place = tuple(name for name in names if name is not None)
    seen = values(subject, asked, (*place, SEEN))
    for null in dict.fromkeys(question.null for question in asked):
        here = [question for question in asked if question.null == null]
        sampled: dict[Question, list[Values]] = {question: [] for question in here}
        if null is not None:
            make = NULLS_OF_ANSWERS.get(null) or NULLS[null]
            for draw in range(task.n_null):
                path: Path = (*place, null, draw)
                other = make(subject, stream(task.seed, "compare", "null", *path))
                for question, drawn in values(other, here, path).items():
                    sampled[question].append(drawn)
        for question in here:
            yield from _sampled_rows(question, alignment, seen[question], sampled[question], names)


def _values(task: Setting, question: Question, a: Subject, b: Subject) -> Values:
    """The answer to a question in each layer and in the whole network."""
    return MEASURES[question.measure].of(Case(a, b, question.side, task.network))


def _exact_rows(
    task: Setting,
    question: Question,
    a: Subject,
    b: Subject,
    names: tuple[str, str | None],
    alignment: str = RAW,
) -> Iterator[Row]:
    case = Case(a, b, question.side, task.network)
    for layer, judged in judged_exactly(MEASURES[question.measure], case).items():
        yield row(names, layer, question, alignment, judged)


def _drawn_rows(
    task: Setting, question: Question, a: Subject, b: Subject, names: tuple[str, str], alignment: str
) -> Iterator[Row]:
    measure, case = MEASURES[question.measure], Case(a, b, question.side, task.network)
    place = (*names, question.null or "", question.measure, question.side or "")
    rng = stream(task.seed, "compare", "draw", *place, *([] if alignment == RAW else [alignment]))
    for layer, judged in judged_by_draws(measure, case, task.n_null, rng).items():
        yield from judged_rows(names, layer, question, alignment, judged)


def _sampled_rows(
    question: Question,
    alignment: str,
    seen: Values,
    sampled: Sequence[Values],
    names: tuple[str, str | None],
) -> Iterator[Row]:
    measure = MEASURES[question.measure]
    for layer in seen:
        drawn = np.array([values[layer] for values in sampled])
        judged = judged_by_samples(seen[layer], drawn, measure.alike)
        yield from judged_rows(names, layer, question, alignment, judged)
