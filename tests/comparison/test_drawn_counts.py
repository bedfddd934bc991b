"""Counts of nulls that are drawn without making the null: the same distribution, proven by going through all."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from support.compare_parts import random_subject
from tombola.alignment.network import Network
from tombola.alignment.words import WHOLE
from tombola.comparison.measures.base import MEASURES, Case
from tombola.comparison.nulls import NULLS
from tombola.comparison.significance import judged_by_draws
from tombola.seeds import stream

A = np.array([[1, 1, -1], [0, -1, 1]], np.int8)
B = np.array([[1, 0, 0], [-1, -1, 1]], np.int8)
DRAWN = [name for name, measure in MEASURES.items() if measure.drawn is not None]
N = 40_000


def layers(name: str) -> tuple[np.ndarray, np.ndarray]:
    return (A != 0, B != 0) if MEASURES[name].reads == "mask" else (A, B)


def test_there_are_some():
    assert {"ternary-agreement", "sign-similarity", "unit-distance"} <= set(DRAWN)


@pytest.mark.parametrize("name", DRAWN)
def test_every_table_comes_as_often_as_in_all_orders_of_the_layer(name):
    measure, (a, b) = MEASURES[name], layers(name)
    counts = measure.additive.counts
    orders = [counts(a, np.array(order).reshape(b.shape)) for order in permutations(b.reshape(-1))]
    expected = Counter(tuple(np.round(table, 9)) for table in orders)
    drawn = measure.drawn(a, b, N, stream(0, "test", name))
    assert drawn.shape == (len(orders[0]), N)
    found = Counter(tuple(np.round(table, 9)) for table in drawn.T)
    assert set(found) == set(expected)
    for table, times in expected.items():
        share = times / len(orders)
        assert abs(found[table] / N - share) < 5 * np.sqrt(share * (1 - share) / N), table


@pytest.mark.parametrize("name", DRAWN)
def test_the_whole_network_is_judged_as_by_nulls_that_are_made(name):
    measure = MEASURES[name]
    a, b = (random_subject(seed, (9, 8, 7, 3), density) for seed, density in ((1, 0.5), (2, 0.3)))
    case = Case(a, b, None if measure.reads == "mask" else "end", Network())
    judged = judged_by_draws(measure, case, 4000, stream(0, "draws", name))
    made = [NULLS[measure.null](b, stream(0, "made", name, draw)) for draw in range(1000)]
    values = [measure.of(Case(a, other, case.side, Network())) for other in made]
    for layer in (WHOLE, *a.mask):
        sampled = np.array([value[layer] for value in values])
        assert judged[layer].value == measure.of(case)[layer]
        assert judged[layer].expected == pytest.approx(sampled.mean(), abs=5 * sampled.std() / np.sqrt(1000))
        assert judged[layer].n_null == 4000


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("empty", ["a", "b", "both"])
def test_empty_layers_draw_nothing_and_do_not_fail(name, empty):
    a, b = layers(name)
    a, b = (a * 0 if empty in ("a", "both") else a), (b * 0 if empty in ("b", "both") else b)
    drawn = MEASURES[name].drawn(a, b, 3, stream(0, "none", name))
    assert (drawn == MEASURES[name].additive.counts(a, b)[:, None]).all()
