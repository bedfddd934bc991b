"""Spectra and 2 x 2 motifs of layers: complete, split and regular graphs by hand; networkx as an oracle."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from networkx.algorithms import bipartite

from support.compare_parts import random_subject, ternary
from tombola.comparison.measures.graph import butterflies, ramanujan, spectral_gap, two_largest
from tombola.comparison.pairs import compare

COMPLETE = np.ones((3, 4), bool)
SPLIT = np.kron(np.eye(2, dtype=bool), np.ones((2, 2), bool))
# The points and lines of the plane over GF(2): every line has 3 points, every two lines share one.
FANO = np.zeros((7, 7), bool)
for line, points in enumerate(["012", "034", "056", "135", "146", "236", "245"]):
    FANO[line, [int(point) for point in points]] = True


def test_a_complete_graph_has_one_singular_value():
    assert two_largest(COMPLETE) == (pytest.approx(12**0.5), 0)
    assert spectral_gap(COMPLETE) == 1
    assert ramanujan(COMPLETE) == 0


def test_two_parts_have_no_gap():
    assert spectral_gap(SPLIT) == pytest.approx(0)
    # degrees 2 and 2: bound 1 + 1, second singular value 2
    assert ramanujan(SPLIT) == pytest.approx(1)


def test_the_fano_plane_is_ramanujan():
    # F F' = 2 I + J, so the singular values are 3 and sqrt(2); the bound is 2 sqrt(2).
    assert spectral_gap(FANO) == pytest.approx(1 - 2**0.5 / 3)
    assert ramanujan(FANO) == pytest.approx(1 / 2)
    assert butterflies(FANO).tolist() == [0]


def test_units_without_a_weight_do_not_change_the_bound():
    padded = np.zeros((9, 11), bool)
    padded[:7, :7] = FANO
    assert ramanujan(padded) == pytest.approx(ramanujan(FANO))
    assert spectral_gap(padded) == pytest.approx(spectral_gap(FANO))


def test_where_nothing_is_defined():
    for value in (spectral_gap, ramanujan):
        assert np.isnan(value(np.zeros((3, 4), bool)))
        assert np.isnan(value(np.ones((1, 4), bool)))  # a star has one singular value
    assert np.isnan(ramanujan(np.eye(3, dtype=bool)))  # all degrees 1: the bound is 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(12, 20), (20, 12)])
def test_beside_numpy_and_networkx(seed, shape):
    living = np.random.default_rng(seed).random(shape) < 0.3
    first, second = np.linalg.svd(living.astype(float), compute_uv=False)[:2]
    assert two_largest(living) == pytest.approx((first, second))
    into, out = living.sum(1), living.sum(0)
    bound = (into[into > 0].mean() - 1) ** 0.5 + (out[out > 0].mean() - 1) ** 0.5
    assert ramanujan(living) == pytest.approx(second / bound)
    graph = nx.Graph([(f"u{i}", f"v{j}") for i, j in zip(*np.nonzero(living), strict=True)])
    units = [node for node in graph if node[0] == "u"]
    shared = [len(list(nx.common_neighbors(graph, one, two))) for one, two in combinations(units, 2)]
    assert butterflies(living).tolist() == [sum(k * (k - 1) // 2 for k in shared)]
    assert bipartite.is_bipartite(graph)


def test_motifs_by_hand():
    assert butterflies(COMPLETE).tolist() == [3 * 6]  # pairs of units times pairs of inputs
    assert butterflies(SPLIT).tolist() == [2]
    frame = compare(
        [ternary("a", fc1=COMPLETE.tolist(), fc2=SPLIT.tolist())], measures=["butterflies"], n_null=2
    )
    assert dict(frame.select("layer", "value").rows()) == {"fc1.weight": 18, "fc2.weight": 2, "all": 20}


def test_a_planted_block_has_more_motifs_than_its_rewirings():
    rng = np.random.default_rng(0)
    living = rng.random((30, 40)) < 0.15
    living[:10, :10] = rng.random((10, 10)) < 0.8
    subject = ternary("a", fc1=living.astype(float).tolist())
    row = compare([subject], measures=["butterflies"], n_null=30).filter(layer="all").row(0, named=True)
    assert row["p"] == pytest.approx(1 / 31)
    assert row["z"] > 3
    plain = compare([random_subject(1, (40, 30), 0.15)], measures=["butterflies"], n_null=30)
    assert abs(plain.filter(layer="all")["z"][0]) < 3.5
