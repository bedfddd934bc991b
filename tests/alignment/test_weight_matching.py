"""Weight matching on plain states: what is read, what is not, and the best of several starts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from support.compare_parts import mlp, random_subject, shapes, shuffled
from tombola.alignment.restarts import inward
from tombola.alignment.weights import match_weights
from tombola.models.units import permute

WIDTHS = (784, 300, 100, 10)
NAMES = list(shapes(*WIDTHS))


def planted(noise: float = 1.0):
    """A dense network, a noisy copy with its units in another order, and that order."""
    network, dense = mlp(*WIDTHS), random_subject(1, WIDTHS, 0.2).dense
    rng, order = torch.Generator().manual_seed(0), shuffled(network, 3)
    noisy = {name: x + noise * torch.randn(x.shape, generator=rng) for name, x in dense.items()}
    return network, dense, permute(noisy, network.groups, order), order


def found_again(order, found) -> bool:
    return all((mine[units] == np.arange(len(units))).all() for mine, units in zip(order, found, strict=True))


@pytest.mark.parametrize("left_out", [None, "fc1.weight", "fc3.weight"])
def test_planted_order_is_found_by_the_tensors_that_may_be_read(left_out):
    network, a, b, order = planted()
    names = [name for name in NAMES if name != left_out]
    assert found_again(order, match_weights(a, b, network, names, np.random.default_rng(0)))


def test_units_as_they_come_are_too_poor_a_start_where_only_inner_layers_are_read():
    network, a, b, order = planted()
    assert not found_again(order, match_weights(a, b, network, NAMES[1:], np.random.default_rng(0), 1))
    assert found_again(order, match_weights(a, b, network, NAMES[1:], np.random.default_rng(0), 2))


def test_a_tensor_left_out_has_no_say_and_neither_has_its_bias():
    network, a, b, _ = planted()
    for name in NAMES:
        names = [each for each in NAMES if each != name]
        without = {name, name.replace("weight", "bias")}
        other = {key: torch.full_like(x, 99.0) if key in without else x for key, x in b.items()}
        one, two = (match_weights(a, x, network, names, np.random.default_rng(0)) for x in (b, other))
        assert all((x == y).all() for x, y in zip(one, two, strict=True))


def test_units_that_nothing_lists_keep_their_places():
    network = mlp(4, 3, 2)
    a, b = (random_subject(seed, (4, 3, 2), 0.5).dense for seed in (1, 2))
    assert match_weights(a, b, network, [], np.random.default_rng(0), 2)[0].tolist() == [0, 1, 2]


def test_more_starts_are_never_worse():
    network, widths = mlp(6, 8, 7, 3), (6, 8, 7, 3)
    sums = []
    for seed in range(12):
        a, b = (random_subject(2 * seed + i, widths, 0.5).dense for i in range(2))

        def matched(count: int, a=a, b=b) -> float:
            order = match_weights(a, b, network, list(shapes(*widths)), np.random.default_rng(0), count)
            laid = permute(b, network.groups, order)
            return sum(float((a[name].double() * laid[name].double()).sum()) for name in a)

        sums.append([matched(count) for count in (1, 2, 6)])
        assert sums[-1][0] <= sums[-1][1] + 1e-6
        assert sums[-1][1] <= sums[-1][2] + 1e-6
    assert np.mean([few < many - 1e-6 for few, _, many in sums]) > 0.3  # and often better


def test_inward_reads_what_is_known_in_its_place_and_the_rest_in_order_of_size():
    """Outputs are known, so hidden 2 is matched by what it writes to them; then hidden 1 by what it writes to that."""
    network = mlp(2, 2, 2, 2)
    a = {
        "fc2.weight": np.array([[5.0, 0.0], [0.0, 4.0]]),
        "fc3.weight": np.array([[1.0, 0.0], [0.0, 2.0]]),
    }
    crossed = {
        "fc2.weight": np.array([[4.0, 0.0], [0.0, 5.0]]),
        "fc3.weight": np.array([[0.0, 1.0], [2.0, 0.0]]),
    }
    assert [units.tolist() for units in inward(a, crossed, network)] == [[1, 0], [1, 0]]
    sizes = {"fc2.weight": np.array([[0.0, 1.0], [9.0, 0.0]])}  # only how much a unit holds can be told
    other = {"fc2.weight": np.array([[9.0, 0.0], [1.0, 0.0]])}
    assert inward(sizes, other, network)[1].tolist() == [1, 0]


def test_units_are_told_apart_by_what_they_hold_where_nobody_knows_where_they_hold_it():
    """By one tensor between two groups alone: sorted, each row is itself again, and no other row is."""
    network, order = mlp(3, 6, 5, 2), shuffled(mlp(3, 6, 5, 2), 1)
    weights = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 6)))
    other = permute({"fc2.weight": weights}, network.groups, order)["fc2.weight"]
    a, b = ({"fc2.weight": each.numpy()} for each in (weights, other))
    assert found_again(order, inward(a, b, network))
