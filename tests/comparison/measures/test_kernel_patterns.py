"""Signed 3 x 3 kernels: codes, the overlap of their distributions, and their distance from independent places."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from support.compare_parts import random_convnet, random_subject, ternary
from tombola.alignment.subject import Subject
from tombola.comparison.measures.kernel_patterns import CODES, EMPTY, codes, dependence
from tombola.comparison.pairs import compare

CROSS = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
EDGE = [[1, 0, -1]] * 3
NONE = [[0] * 3] * 3


def kernels(name: str, *rows: list) -> Subject:
    return ternary(name, conv=[list(row) for row in rows])


def value(subjects: list[Subject], measure: str, layer: str = "all") -> float:
    return compare(subjects, measures=[measure], n_null=2).filter(layer=layer, side="end")["value"][0]


def test_codes():
    one = np.zeros((3, 9), int)
    one[1, 0], one[2, 8] = 1, -1
    assert codes(one).tolist() == [EMPTY, EMPTY + 1, EMPTY - 3**8]
    every = np.array(list(product((-1, 0, 1), repeat=9)))
    assert sorted(codes(every)) == list(range(CODES))


def test_overlap_by_hand():
    a = kernels("a", [CROSS, EDGE], [EDGE, NONE])  # 1/3 cross, 2/3 edge; the empty one is left out
    b = kernels("b", [CROSS, CROSS], [CROSS, EDGE])  # 3/4 cross, 1/4 edge
    assert value([a, b], "kernel-overlap") == pytest.approx(1 / 3 + 1 / 4)
    flipped = kernels("c", [(-np.array(EDGE)).tolist(), NONE], [NONE, NONE])
    assert value([a, flipped], "kernel-overlap") == 0  # signs count
    assert value([a, kernels("d", [EDGE, CROSS], [NONE, EDGE])], "kernel-overlap") == 1  # order does not


def test_the_whole_network_pools_its_kernels():
    a = ternary("a", c1=[[CROSS]], c2=[[EDGE], [EDGE]])  # 1/3 cross, 2/3 edge
    b = ternary("b", c1=[[EDGE]], c2=[[EDGE], [NONE]])  # all edge
    frame = compare([a, b], measures=["kernel-overlap"], n_null=2).filter(side="end")
    assert dict(frame.select("layer", "value").rows()) == {
        "c1.weight": 0, "c2.weight": 1, "all": pytest.approx(2 / 3)
    }  # fmt: skip


def test_dependence_by_hand():
    same = np.zeros((4, 9), int)
    assert dependence(same, same) == 0  # every place has one value: the model is the same point
    tied = same.copy()
    tied[:2, 0] = tied[:2, 1] = 1  # two places that live together, each in one half
    # model: 1/4 on each of the four combinations; seen: 1/2 on two of them
    assert dependence(tied, tied) == pytest.approx(1 / 2)
    free = same.copy()
    free[:2, 0] = free[::2, 1] = -1  # all four combinations once
    assert dependence(free, free) == pytest.approx(0)


def test_dependence_is_the_distance_to_the_product_of_places():
    drawn = np.random.default_rng(0).integers(-1, 2, (50, 9))
    frequencies = [[np.mean(drawn[:, place] == sign) for sign in (-1, 0, 1)] for place in range(9)]
    seen = {tuple(kernel): np.mean((drawn == kernel).all(1)) for kernel in drawn}
    model = {
        signs: np.prod([frequencies[place][sign + 1] for place, sign in enumerate(signs)])
        for signs in product((-1, 0, 1), repeat=9)
    }
    distance = sum(abs(seen.get(signs, 0) - chance) for signs, chance in model.items()) / 2
    assert dependence(drawn, drawn) == pytest.approx(distance)


def test_planted_patterns_stand_out_and_random_ones_do_not():
    rng = np.random.default_rng(0)
    patterns = np.array([CROSS, EDGE, np.array(EDGE).T])

    def drawn(name: str, seed: int) -> Subject:
        chosen = np.random.default_rng(seed).integers(0, 3, (8, 8))
        noise = rng.random((8, 8, 3, 3)) < 0.9
        return kernels(name, *(patterns[chosen] * noise).tolist())

    frame = compare([drawn("a", 1), drawn("b", 2)], measures=["kernels"], n_null=19).filter(
        layer="all", side="end"
    )
    assert (frame["p"] == 1 / 20).all()
    assert set(frame["measure"]) == {"kernel-overlap", "kernel-dependence"}
    plain = compare([random_convnet(1, 0.5), random_convnet(2, 0.5)], measures=["kernels"], n_null=19)
    assert plain.filter(layer="all", side="end")["z"].abs().max() < 3.5


def test_only_three_by_three_kernels_have_patterns():
    frame = compare([random_convnet(1, 0.5)], measures=["kernel-dependence"], n_null=2)
    assert set(frame["layer"]) == {"conv1.weight", "conv2.weight", "all"}
    assert compare([random_subject(1, (9, 5, 3), 0.5)], measures=["kernels"], n_null=2).is_empty()
