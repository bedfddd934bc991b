"""Function: how alike two trained networks are in what they say, whatever their weights.

These measures need the architecture and the data, and read answers to examples instead of masks and weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl
from torch import Tensor

from tombola.compare.align import RAW, align
from tombola.compare.answers import Answers, answers_of
from tombola.compare.measures import MEASURES, Judged
from tombola.compare.network import Network
from tombola.compare.pairs import SCHEMA, in_order
from tombola.compare.questions import check
from tombola.compare.subject import Side, Subject
from tombola.data import Resident
from tombola.errors import UserError, nearest
from tombola.models import Architecture
from tombola.registry import Registry
from tombola.seeds import stream

FAMILY = "function"
END: Side = "end"
"""The side that is read: the trained weights."""


@dataclass(frozen=True)
class Exam:
    """What a network is asked: the test examples of `data`, and its training examples `rows` (int64 [n])."""

    architecture: Architecture
    data: Resident
    rows: Tensor

    @property
    def examples(self) -> Tensor:
        """The training examples [n, *input shape]."""
        return self.data.train(self.rows)


@dataclass(frozen=True)
class Candidate:
    """A subject, what it was asked, and what it answered."""

    subject: Subject
    exam: Exam
    answers: Answers


@dataclass(frozen=True)
class Asked:
    """Two networks, b laid over a, and the random streams of the nulls, one a draw."""

    a: Candidate
    b: Candidate
    draws: Sequence[Callable[[], np.random.Generator]]


@dataclass(frozen=True)
class Likeness:
    """A number for each layer, or for the whole network alone, beside what chance makes of it.

    `null` says by which chance, None where there is none; `hidden` whether it reads the answers of hidden layers,
    `ordered` whether it depends on the order of hidden units and so is taken under each alignment.
    """

    of: Callable[[Asked], dict[str, Judged]]
    null: str | None
    hidden: bool = False
    ordered: bool = False


FUNCTIONS: Registry[Likeness] = Registry("measure")


def split_measures(names: Sequence[str]) -> tuple[list[str] | None, list[str]]:
    """Names of measures, and of families: those that `compare` takes (None where no name is given: it has its own
    default), and those of function; the family `function` is all of them. Raises UserError for an unknown name."""
    families = {measure.family for measure in MEASURES.values()}
    known = [*MEASURES, *families, *FUNCTIONS, FAMILY]
    for name in names:
        if name not in known:
            raise UserError(f"unknown measure '{name}'{nearest(name, known)}")
    others = [name for name in names if name in MEASURES or name in families]
    functions = [name for name in FUNCTIONS if name in names or FAMILY in names]
    return others if names else None, functions


def compare_functions(
    subjects: Sequence[Subject],
    exam: Callable[[Subject], Exam],
    *,
    network: Network | None = None,
    measures: Sequence[str] | None = None,
    alignments: Sequence[str] = (RAW,),
    n_null: int = 100,
    seed: int = 0,
    among: Callable[[Subject, Subject], bool] = lambda a, b: True,
) -> pl.DataFrame:
    """The rows of `compare` (`compare.SCHEMA`) for measures of function, by default all, at side `end`.

    `exam` gives what a subject is asked: the same examples for all, each normalised as the subject learnt them. Only
    the barrier depends on the order of hidden units: it is taken under each of the `alignments`, which need the
    `network`; all else is raw. Raises UserError as `compare` does, and for a subject without trained weights, weights
    that are not of the architecture, and other test examples.
    """
    asked = {name: FUNCTIONS[name] for name in (FUNCTIONS if measures is None else measures)}
    network = network or Network()
    ordered = in_order(subjects)
    check(ordered, network, alignments, n_null)
    hidden = any(measure.hidden for measure in asked.values())
    said = [_candidate(subject, exam(subject), hidden) for subject in ordered]
    _check(said)
    rows: list[Row] = []
    for a, b in itertools.combinations(said, 2):
        if among(a.subject, b.subject):
            for alignment in alignments:
                wanted = {name: each for name, each in asked.items() if each.ordered}
                rows += _rows(
                    a, _laid(a, b, network, alignment, seed) if wanted else b, wanted, alignment, n_null, seed
                )
            rows += _rows(
                a, b, {name: each for name, each in asked.items() if not each.ordered}, RAW, n_null, seed
            )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").fill_nan(None)


Row = tuple[str | int | float | None, ...]


def _rows(
    a: Candidate, b: Candidate, measures: Mapping[str, Likeness], alignment: str, n_null: int, seed: int
) -> Iterator[Row]:
    pair = (a.subject.name, b.subject.name)
    for name, measure in measures.items():
        draws = [
            partial(stream, seed, "compare", "null", *pair, measure.null or "", draw)
            for draw in range(n_null)
        ]
        for layer, judged in measure.of(Asked(a, b, draws)).items():
            place = (*pair, layer, name, END, alignment, measure.null)
            yield (*place, judged.n_null, judged.value, judged.expected, judged.z, judged.p)


def _laid(a: Candidate, b: Candidate, network: Network, alignment: str, seed: int) -> Candidate:
    """b in the order that `compare` measures it in."""
    if alignment == RAW:
        return b
    path = ("compare", "align", alignment, END, a.subject.name, b.subject.name, "seen")
    found = align(a.subject, b.subject, network, alignment, END, stream(seed, *path))
    return replace(b, subject=network.relabelled(b.subject, found))


def _candidate(subject: Subject, exam: Exam, hidden: bool) -> Candidate:
    examples = exam.examples if hidden else None
    return Candidate(subject, exam, answers_of(subject, exam.architecture, exam.data, examples))


def _check(candidates: Sequence[Candidate]) -> None:
    for other in candidates[1:]:
        if not np.array_equal(other.answers.labels, candidates[0].answers.labels):
            raise UserError(
                f"{candidates[0].subject.name} and {other.subject.name} have other test examples; what they say cannot "
                "be compared"
            )
