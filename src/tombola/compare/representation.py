"""Measures of function: hidden layers, predictions, errors, and the barrier between two trained networks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import polars as pl
import torch

from tombola.compare.answers import Answers, Integers
from tombola.compare.connectivity import barrier, path, steps
from tombola.compare.function import END, FUNCTIONS, Asked, Likeness
from tombola.compare.measures import (
    MEASURES,
    WHOLE,
    Judged,
    judged_by_samples,
    judged_together,
    with_mean,
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


def within_classes(answers: Answers, rng: np.random.Generator) -> Integers:
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
