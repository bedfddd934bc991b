"""Consensus: how many of several tickets keep each weight, against what as many random masks would give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.alignment.words import RAW, WHOLE, Side
from tombola.comparison.measures.base import ROUNDING
from tombola.comparison.nulls import NULLS
from tombola.comparison.overlay import SEEN, Overlay, as_it_comes
from tombola.comparison.requests import check, in_order
from tombola.comparison.significance import judged_by_samples
from tombola.errors import UserError
from tombola.seeds import stream
from tombola.stats.exact import SMALLEST

Floats = NDArray[np.float64]

CONSENSUS = {
    "tickets": pl.Int64,
    "layer": pl.String,
    "aligned": pl.String,
    "null": pl.String,
    "n_null": pl.Int64,
    "quantity": pl.String,
    "kept": pl.Int64,
    "value": pl.Float64,
    "expected": pl.Float64,
    "z": pl.Float64,
    "p": pl.Float64,
}
"""Columns of the table of consensus and their types."""
WEIGHTS, DISPERSION = "weights", "dispersion"
NULL = "layer-shuffle"
Row = tuple[str | int | float | None, ...]


def consensus(
    subjects: Sequence[Subject],
    *,
    network: Network | None = None,
    alignments: Sequence[str] = (RAW,),
    n_null: int = 100,
    seed: int = 0,
    overlay: Overlay | None = None,
) -> pl.DataFrame:
    """How many weights are kept by how many of the subjects, per layer and in the whole network (layer `all`).

    Columns: `tickets` (how many subjects), `layer, aligned, null, n_null, quantity, kept, value, expected, z, p`.
    `quantity` is `weights`, a row for each number `kept` from none to all: value is how many weights so many
    tickets keep; or `dispersion`, one row: the variance over weights of how many keep them, over the variance that
    independent masks of the same counts have on average. It is 1 by chance, larger where tickets agree on what
    to keep; its p is one-sided.

    The null draws every ticket's mask anew with the same count in each layer. Raw, and laid over the first of them by
    an alignment that is held out, it is exact (`n_null` 0): the Poisson-binomial mean of the histogram and its
    variance; p takes the dispersion for normal, which the sum of overlaps tends to be in layers of many weights.
    Aligned in other ways, all subjects are laid over the first of them (in order of
    replicate), and `n_null` times layer-shuffled copies of them are laid over it in the same way.

    An `overlay` (of the network and the seed, in their place) brings matchings that were found before.

    Raises UserError as `compare` does, and for fewer than two subjects.
    """
    overlay = overlay or Overlay(network or Network(), seed)
    check(subjects, overlay.network, alignments, n_null)
    if len(subjects) < 2:
        raise UserError(f"a consensus takes two tickets at least, found {len(subjects)}")
    ordered = in_order(subjects)
    rows: list[Row] = []
    for alignment in alignments:
        if as_it_comes(alignment):
            rows += _exact(_laid(ordered, overlay, alignment), alignment)
        else:
            rows += _sampled(ordered, overlay, alignment, n_null)
    return pl.DataFrame(rows, schema=CONSENSUS, orient="row").fill_nan(None)


@dataclass(frozen=True)
class Tally:
    """Of one layer, or of several together: how many weights are kept by k subjects [k], and the sums over weights
    of the variance that is seen and of that which independent masks have on average."""

    histogram: Floats
    seen: float
    expected: float

    @classmethod
    def of(cls, masks: Sequence[NDArray[np.bool_]]) -> Tally:
        """The tally of one layer's masks."""
        kept = np.sum(masks, axis=0, dtype=np.int64)
        shares = np.array([mask.mean() for mask in masks])
        histogram = np.bincount(kept.reshape(-1), minlength=len(masks) + 1).astype(np.float64)
        return cls(histogram, float(kept.var() * kept.size), float((shares * (1 - shares)).sum() * kept.size))

    @property
    def dispersion(self) -> float:
        """The variance seen over that by chance, NaN where chance leaves none."""
        return self.seen / self.expected if self.expected > 0 else np.nan

    def plus(self, other: Tally) -> Tally:
        """Both layers together."""
        return Tally(self.histogram + other.histogram, self.seen + other.seen, self.expected + other.expected)


def tallies(subjects: Sequence[Subject]) -> dict[str, Tally]:
    """The tally of every layer, and of all together."""
    living = [subject.living() for subject in subjects]
    found = {name: Tally.of([masks[name] for masks in living]) for name in subjects[0].mask}
    whole, *rest = found.values()
    for tally in rest:
        whole = whole.plus(tally)
    return {**found, WHOLE: whole}


def _laid(
    subjects: Sequence[Subject], overlay: Overlay, alignment: str, draw: int | None = None
) -> list[Subject]:
    """All laid over the first of them; with a draw, copies of the others that were shuffled before."""
    if alignment == RAW:
        return list(subjects)
    first, *others = subjects
    last: Side = "end" if all(subject.holds("end") for subject in subjects) else "start"
    laid = [first]
    for other in others:
        path = ("consensus", alignment, other.name, SEEN if draw is None else draw)
        if draw is not None:
            other = NULLS[NULL](other, stream(overlay.seed, "compare", "null", *path))
        laid.append(overlay.over(first, other, alignment, last, path))
    return laid


def _exact(subjects: Sequence[Subject], alignment: str) -> Iterator[Row]:
    seen = tallies(subjects)
    layers = {
        name: _moments(subjects[0].mask.size(name), [subject.mask.count(name) for subject in subjects])
        for name in subjects[0].mask
    }
    for layer, tally in seen.items():
        parts = list(layers.values()) if layer == WHOLE else [layers[layer]]
        mean, variance, spread = (sum(numbers) for numbers in zip(*parts, strict=True))
        place = (len(subjects), layer, alignment, NULL, 0)
        deviations = np.sqrt(np.maximum(variance, 0))
        for kept, (value, expected, deviation) in enumerate(
            zip(tally.histogram, mean, deviations, strict=True)
        ):
            z = (value - expected) / deviation if deviation > ROUNDING * tally.histogram.sum() else np.nan
            yield (*place, WEIGHTS, kept, value, expected, z, np.nan)
        deviation = np.sqrt(spread) / tally.expected if tally.expected > 0 else 0.0
        z = (tally.dispersion - 1) / deviation if deviation > 0 else np.nan
        p = np.nan if np.isnan(z) else max(float(ndtr(-z)), SMALLEST)
        yield (*place, DISPERSION, None, tally.dispersion, 1.0 if tally.expected > 0 else np.nan, z, p)


def _sampled(subjects: Sequence[Subject], overlay: Overlay, alignment: str, n_null: int) -> Iterator[Row]:
    """The rows where all are laid over the first: beside copies of the others, shuffled and laid over it, too."""
    seen = tallies(_laid(subjects, overlay, alignment))
    drawn = [tallies(_laid(subjects, overlay, alignment, draw)) for draw in range(n_null)]
    for layer, tally in seen.items():
        place = (len(subjects), layer, alignment, NULL)
        nulls = [each[layer] for each in drawn]
        for kept, value in enumerate(tally.histogram):
            judged = judged_by_samples(value, np.array([null.histogram[kept] for null in nulls]))
            yield (*place, judged.n_null, WEIGHTS, kept, value, judged.expected, judged.z, np.nan)
        judged = judged_by_samples(tally.dispersion, np.array([null.dispersion for null in nulls]))
        yield (*place, judged.n_null, DISPERSION, None, judged.value, judged.expected, judged.z, judged.p)


def _moments(size: int, counts: Sequence[int]) -> tuple[Floats, Floats, float]:
    """Of independent masks that keep `counts` of `size` weights each, anywhere: mean [k] and variance [k] of how many
    weights k of them keep, and the variance of the sum over weights of the variance of how many keep them.

    The last is that of twice the sum of what every two masks share, which are uncorrelated with one another: all that
    one mask tells of its overlap with a random one is its count.
    """
    both = np.zeros((len(counts) + 1,) * 2)  # [k of one weight, k of another]
    both[0, 0] = 1.0
    single = both[0].copy()
    spread, others = 0.0, max(size - 1, 1)
    for index, kept in enumerate(counts):
        share, pair = kept / size, kept * (kept - 1) / (size * others)
        single = single * (1 - share) + _up(single) * share
        apart = share - pair
        both = both * (1 - share - apart) + (_up(both) + _up(both.T).T) * apart + _up(_up(both).T).T * pair
        for other in counts[:index]:
            spread += 4 * kept * other * (size - kept) * (size - other) / (size**2 * others)
    mean = size * single
    variance = mean * (1 - single) + size * (size - 1) * (np.diagonal(both) - single**2)
    return mean, variance, spread


def _up(chances: Floats) -> Floats:
    """Chances moved up by one along the first axis: those of k become those of k + 1."""
    return np.concatenate([np.zeros_like(chances[:1]), chances[:-1]])
