"""Measures of function: hidden layers, predictions, errors, and the barrier between two trained networks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl
import torch
from torch import Tensor

from tombola.alignment.align import RAW, align
from tombola.alignment.network import Network
from tombola.alignment.outputs import Integers, Predictions, predictions_of
from tombola.alignment.subject import Side, Subject
from tombola.comparison.connectivity import barrier, path, steps
from tombola.comparison.measures.base import MEASURES, WHOLE, with_mean
from tombola.comparison.pairs import SCHEMA, in_order
from tombola.comparison.requests import check
from tombola.comparison.significance import Judged, judged_by_samples, judged_together
from tombola.data.resident import Resident
from tombola.errors import UserError, nearest
from tombola.models.architecture import Architecture
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
    answers: Predictions


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
    return Candidate(subject, exam, predictions_of(subject, exam.architecture, exam.data, examples))


def _check(candidates: Sequence[Candidate]) -> None:
    for other in candidates[1:]:
        if not np.array_equal(other.answers.labels, candidates[0].answers.labels):
            raise UserError(
                f"{candidates[0].subject.name} and {other.subject.name} have other test examples; what they say cannot "
                "be compared"
            )


ALPHAS = steps(11)
"""Places on the line between two networks at which the barrier is looked for."""


def alignments(asked: Asked, order: Integers | None = None) -> dict[str, float]:
    """Linear centred kernel alignment of each hidden layer, and the mean over layers that have one.

    <K, L> / (|K| |L|) with K and L the centred Gram matrices of the two (Kornblith et al. 2019, section 3); NaN for a
    layer that answers the same to all examples. `order` puts b's examples in another order.
    """
    found = {}
    for layer, k in asked.a.answers.grams.items():
        gram = asked.b.answers.grams[layer]
        found[layer] = float(np.vdot(k, gram if order is None else gram[np.ix_(order, order)]))
        if not (k.any() and gram.any()):
            found[layer] = math.nan
    return with_mean(found)


def cka(asked: Asked) -> dict[str, Judged]:
    """The alignments, beside those with the examples of one in random order."""
    examples = max((len(gram) for gram in asked.a.answers.grams.values()), default=0)
    sampled = [alignments(asked, draw().permutation(examples)) for draw in asked.draws]
    return {
        layer: judged_by_samples(value, np.array([drawn[layer] for drawn in sampled]))
        for layer, value in alignments(asked).items()
    }


def disagreement(asked: Asked) -> dict[str, Judged]:
    """Share of test examples that the two predict different classes of.

    Its null deals b's predictions anew among the test examples of each class: both keep all their errors, but no
    longer err on the same examples.
    """
    a, b = asked.a.answers, asked.b.answers
    sampled = [np.mean(a.predicted != within_classes(b, draw())) for draw in asked.draws]
    value = float(np.mean(a.predicted != b.predicted))
    return {WHOLE: judged_by_samples(value, np.array(sampled), alike=-1)}


def within_classes(answers: Predictions, rng: np.random.Generator) -> Integers:
    """The predictions in random order among the test examples of each class."""
    dealt = np.empty_like(answers.predicted)
    places = np.argsort(answers.labels, kind="stable")
    dealt[places] = answers.predicted[np.lexsort((rng.random(len(places)), answers.labels))]
    return dealt


def errors_by(measure: str) -> Callable[[Asked], dict[str, Judged]]:
    """A measure of two sets, taken of the test examples that each gets wrong.

    By chance errors fall anywhere, as many as there are: what both get wrong is then hypergeometric.
    """

    def of(asked: Asked) -> dict[str, Judged]:
        one, other = asked.a.answers.wrong, asked.b.answers.wrong
        counts = [len(one), np.count_nonzero(one), np.count_nonzero(other), np.count_nonzero(one & other)]
        return {WHOLE: judged_together(MEASURES[measure], [np.array(counts, np.float64)])}

    return of


def error_barrier(asked: Asked) -> dict[str, Judged]:
    """How much more a network on the straight line between the two errs on the test set, at most, than the two do on
    average (Frankle et al. 2020, section 2), with statistics of batch norm taken anew on training examples.

    Chance has no say in it: it stands alone. NaN for two networks that learnt from differently normalised inputs.
    """
    a, b = asked.a, asked.b
    if a.exam is not b.exam and not torch.equal(a.exam.examples, b.exam.examples):
        return {WHOLE: Judged(0, math.nan, math.nan, math.nan, math.nan)}
    one, other = (each.subject.weights(END) for each in (a, b))
    on_the_way = path(a.exam.architecture, one, other, a.exam.data, a.exam.rows, ALPHAS)
    errors = on_the_way.filter(pl.col("split") == "test")
    value = barrier(errors["error"].to_list(), errors["alpha"].to_list())
    return {WHOLE: Judged(0, value, math.nan, math.nan, math.nan)}


FUNCTIONS.register(
    "cka",
    "linear centred kernel alignment of hidden layers on training examples (Kornblith et al. 2019)",
)(Likeness(cka, "example-shuffle", hidden=True))
FUNCTIONS.register(
    "disagreement", "share of test examples that two networks predict different classes of (Fort et al. 2019)"
)(Likeness(disagreement, "class-shuffle"))
FUNCTIONS.register(
    "error-overlap", "test examples that both get wrong, of those that either does (Geirhos et al. 2020)"
)(Likeness(errors_by("jaccard"), "independent-errors"))
FUNCTIONS.register(
    "error-kappa", "agreement on which test examples are wrong, beyond that of the error rates (Cohen 1960)"
)(Likeness(errors_by("cohen-kappa"), "independent-errors"))
FUNCTIONS.register(
    "barrier",
    "test error on the line between two networks, at most, beyond that of its ends (Frankle et al. 2020)",
)(Likeness(error_barrier, null=None, ordered=True))
