"""Raw overlap of very many masks at once: all pairs from one matrix product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.alignment.words import RAW, WHOLE
from tombola.comparison.measures.base import MEASURES, TABLE, Measure
from tombola.comparison.requests import check, in_order
from tombola.comparison.table import SCHEMA
from tombola.errors import UserError
from tombola.stats.exact import SMALLEST

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

BLOCK_BYTES = 2**26
"""Memory for the block of masks that is multiplied at a time. A block has fewer than 2^24 columns, so that
sums of zeros and ones are exact in single precision."""
WIDE_ENOUGH = 5.0
"""Deviation of a count from which on its tail is told by the normal distribution's."""


def overlaps(subjects: Sequence[Subject], measures: Sequence[str] = ("jaccard",)) -> pl.DataFrame:
    """The raw rows of `compare` for measures of overlap, of thousands of masks.

    Values are exact. Expectation and deviation take the count that both keep for normal, with its exact mean
    and variance (three-point Gauss-Hermite quadrature): relative errors of 2e-4 and less for layers of some
    thousand weights. `p` is the normal tail with continuity correction, within 0.005 of the exact one or
    nearer, and is null where the count's deviation is below 5: there `compare` has exact ones.

    Raises UserError as `compare` does, and for a measure that is not one of overlap.
    """
    check(subjects, Network(), (RAW,), 1)
    chosen = {name: _overlap(name) for name in measures}
    ordered = in_order(subjects)
    names = pl.Series("name", [subject.name for subject in ordered], pl.String)
    rows, columns = np.triu_indices(len(ordered), 1)
    pairs = {"a": names.gather(rows), "b": names.gather(columns)}
    tables: list[pl.DataFrame] = []
    whole = np.zeros((4, len(rows))), np.zeros(len(rows)), np.zeros(len(rows))
    for layer, size, both in _shared(ordered):
        kept = np.diagonal(both)
        counts = np.array(
            [np.full(len(rows), size), kept[rows], kept[columns], both[rows, columns]], np.float64
        )
        mean, variance = _moments(counts)
        for total, part in zip(whole, (counts, mean, variance), strict=True):
            total += part
        tables += [_table(pairs, layer, name, chosen[name], counts, mean, variance) for name in chosen]
    tables += [_table(pairs, WHOLE, name, chosen[name], *whole) for name in chosen]
    return pl.concat(tables)


def _shared(subjects: Sequence[Subject]) -> Iterator[tuple[str, int, Integers]]:
    """Each layer, its size, and how many of its weights every two subjects both keep [subjects, subjects]."""
    packed = [subject.mask.pack() for subject in subjects]
    for layer in subjects[0].mask if subjects else ():
        bits = np.stack([each[layer].numpy() for each in packed])
        both = np.zeros((len(subjects),) * 2, dtype=np.int64)
        width = min(max(BLOCK_BYTES // (32 * len(subjects)), 1), 2**20)  # bytes of 8 weights of 4 bytes each
        for first in range(0, bits.shape[1], width):
            block = np.unpackbits(bits[:, first : first + width], axis=1).astype(np.float32)
            both += (block @ block.T).astype(np.int64)
        yield layer, subjects[0].mask.size(layer), both


def _moments(counts: Floats) -> tuple[Floats, Floats]:
    """Hypergeometric mean and variance of what both keep."""
    size, a, b, _ = counts
    mean = a * b / np.maximum(size, 1)
    return mean, mean * (size - a) * (size - b) / np.maximum(size * (size - 1), 1)


def _table(
    pairs: Mapping[str, pl.Series],
    layer: str,
    name: str,
    measure: Measure,
    counts: Floats,
    mean: Floats,
    variance: Floats,
) -> pl.DataFrame:
    """The rows of one measure in one layer."""

    def at(both: Floats) -> Floats:
        return measure.additive.value(np.array([*counts[:3], both]))

    deviation = np.sqrt(variance)
    low, middle, high = (at(mean + step * deviation) for step in (-(3**0.5), 0.0, 3**0.5))
    expected = (low + 4 * middle + high) / 6
    spread = np.sqrt(((low - expected) ** 2 + 4 * (middle - expected) ** 2 + (high - expected) ** 2) / 6)
    value = measure.additive.value(counts)
    z = np.divide(value - expected, spread, out=np.full_like(value, np.nan), where=spread > 0)
    wide = deviation >= WIDE_ENOUGH
    tail = np.divide(mean - counts[3] + 0.5, deviation, out=np.full_like(value, np.nan), where=wide)
    numbers = {"value": value, "expected": expected, "z": z, "p": np.maximum(ndtr(tail), SMALLEST)}
    words = {"layer": layer, "measure": name, "side": None, "aligned": RAW, "null": measure.null, "n_null": 0}
    return (
        pl.DataFrame({**pairs, **numbers})
        .fill_nan(None)
        .with_columns(pl.lit(word, SCHEMA[key]).alias(key) for key, word in words.items())
        .select(*SCHEMA)
    )


def _overlap(name: str) -> Measure:
    measure = MEASURES[name]
    if measure.reads != "mask" or measure.exact is not TABLE:
        fitting = ", ".join(
            key for key in MEASURES if MEASURES[key].reads == "mask" and MEASURES[key].exact is TABLE
        )
        raise UserError(f"measure '{name}' is not one of overlap, expected one of: {fitting}")
    return measure
