"""Measures of function: hidden layers, predictions, errors, and the barrier between two trained networks."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import polars as pl
import torch

from tombola.alignment.words import END, WHOLE
from tombola.comparison.connectivity import barrier, path, steps
from tombola.comparison.exam import asked
from tombola.comparison.measures.base import (
    MEASURES,
    TABLE,
    Additive,
    Case,
    Layer,
    Layerwise,
    Measure,
    Values,
)
from tombola.comparison.measures.overlap import jaccard, table
from tombola.comparison.measures.signs import kappa

ALPHAS = steps(11)
"""Places on the line between two networks at which the barrier is looked for."""

_of_outputs = partial(Measure, family="function", reads="outputs")


def grams(case: Case) -> dict[str, tuple[Layer, Layer]]:
    """The centred Gram matrices of the two, by hidden layer."""
    mine, theirs = (asked(subject).answers.grams for subject in (case.a, case.b))
    return {layer: (gram, theirs[layer]) for layer, gram in mine.items()}


def cka(k: Layer, gram: Layer) -> float:
    """Linear centred kernel alignment of a layer: <K, L> / (|K| |L|) with K and L the centred Gram matrices of the two
    (Kornblith et al. 2019, section 3); NaN for a layer that answers the same to all examples."""
    return float(np.vdot(k, gram)) if k.any() and gram.any() else math.nan


def disagreement(case: Case) -> Values:
    """Share of test examples that the two predict different classes of.

    Its null deals b's predictions anew among the test examples of each class: both keep all their errors, but no
    longer err on the same examples.
    """
    a, b = asked(case.a).answers, asked(case.b).answers
    return {WHOLE: float(np.mean(a.predicted != b.predicted))}


def errors(case: Case) -> dict[str, tuple[Layer, Layer]]:
    """The test examples that each gets wrong.

    By chance errors fall anywhere, as many as there are: what both get wrong is then hypergeometric.
    """
    return {WHOLE: (asked(case.a).answers.wrong, asked(case.b).answers.wrong)}


def error_barrier(case: Case) -> Values:
    """How much more a network on the straight line between the two errs on the test set, at most, than the two do on
    average (Frankle et al. 2020, section 2), with statistics of batch norm taken anew on training examples.

    It has no null. NaN for two networks that learnt from differently normalised inputs.
    """
    exam, other = asked(case.a).exam, asked(case.b).exam
    if exam is not other and not torch.equal(exam.examples, other.examples):
        return {WHOLE: math.nan}
    ends = case.a.weights(END), case.b.weights(END)
    between = path(exam.architecture, *ends, exam.data, exam.rows, ALPHAS).filter(pl.col("split") == "test")
    return {WHOLE: barrier(between["error"].to_list(), between["alpha"].to_list())}


MEASURES.register(
    "cka",
    "linear centred kernel alignment of hidden layers on training examples (Kornblith et al. 2019)",
)(
    Measure(
        Layerwise(grams, cka),
        family="function",
        reads="hidden outputs",
        nulls=("example-shuffle",),
        ordered=False,
    )
)
MEASURES.register(
    "disagreement", "share of test examples that two networks predict different classes of (Fort et al. 2019)"
)(_of_outputs(disagreement, nulls=("class-shuffle",), alike=-1, ordered=False))
MEASURES.register(
    "error-overlap", "test examples that both get wrong, of those that either does (Geirhos et al. 2020)"
)(_of_outputs(Additive(errors, table, jaccard), nulls=("independent-errors",), exact=TABLE, ordered=False))
MEASURES.register(
    "error-kappa", "agreement on which test examples are wrong, beyond that of the error rates (Cohen 1960)"
)(_of_outputs(Additive(errors, table, kappa), nulls=("independent-errors",), exact=TABLE, ordered=False))
MEASURES.register(
    "barrier",
    "test error on the line between two networks, at most, beyond that of its ends (Frankle et al. 2020)",
)(_of_outputs(error_barrier, nulls=()))
