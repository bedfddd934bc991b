"""Alignment: planted permutations are found again, distances by hand and by brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from torch import nn

from support.compare_parts import mlp, random_subject, shuffled, tensors, ternary, trained_looking
from tombola.alignment.align import align
from tombola.alignment.matching import Gains, descend
from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.comparison.pairs import compare
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.models.units import UnitGroup, permute

LENET = (784, 300, 100, 10)


@pytest.mark.parametrize("by", ["weights@dense", "weights@end", "mask", "signed"])
def test_planted_permutations_are_found_again_in_lenet(by):
    network, subject = mlp(*LENET), random_subject(1, LENET, 0.1)
    order = shuffled(network, 3)
    found = align(subject, network.relabelled(subject, order), network, by)
    assert all((mine[units] == np.arange(len(units))).all() for mine, units in zip(order, found, strict=True))


def test_planted_permutations_survive_noise():
    network, subject = mlp(30, 20, 15, 5), random_subject(1, (30, 20, 15, 5), 0.5)
    rng = torch.Generator().manual_seed(0)
    noisy = {name: x + 0.4 * torch.randn(x.shape, generator=rng) for name, x in subject.dense.items()}
    order = shuffled(network, 3)
    planted = network.relabelled(replace(subject, dense=noisy), order)
    found = align(subject, planted, network, "weights@dense")
    assert all((mine[units] == np.arange(len(units))).all() for mine, units in zip(order, found, strict=True))


def test_flatten_keeps_the_places_of_a_channel_together():
    network = Network((UnitGroup(2, (("conv.weight", 0, 1), ("fc.weight", 1, 3))),))
    state = {"conv.weight": torch.tensor([[1.0], [2.0]]), "fc.weight": torch.arange(6.0)[None]}
    swapped = permute(state, network.groups, (np.array([1, 0]),))
    assert swapped["conv.weight"].flatten().tolist() == [2, 1]
    assert swapped["fc.weight"].tolist() == [[3, 4, 5, 0, 1, 2]]
    assert state["fc.weight"].tolist() == [[0, 1, 2, 3, 4, 5]]


def test_weight_matching_is_the_best_of_all_for_one_hidden_layer():
    network = mlp(3, 4, 2)
    a, b = random_subject(1, (3, 4, 2), 0.5), random_subject(2, (3, 4, 2), 0.5)
    names = ("fc1.weight", "fc1.bias", "fc2.weight")

    def product_of(order: tuple[int, ...]) -> float:
        other = permute(b.dense, network.groups, (np.array(order),))
        return float(sum((a.dense[name].double() * other[name].double()).sum() for name in names))

    best = max(permutations(range(4)), key=product_of)
    assert align(a, b, network, "weights@dense")[0].tolist() == list(best)


def test_coordinate_descent_never_makes_the_sum_smaller_and_ends():
    for seed in range(10):
        network = mlp(4, 5, 6, 3)
        a, b = (random_subject(2 * seed + i, (4, 5, 6, 3), 0.9) for i in range(2))
        mine, theirs = ({n: x.double().numpy() for n, x in s.dense.items()} for s in (a, b))

        def total(order: tuple[np.ndarray, ...], mine=mine, b=b, network=network) -> float:
            return sum(
                float((mine[n] * x.double().numpy()).sum())
                for n, x in permute(b.dense, network.groups, order).items()
            )

        found = descend(Gains(mine, theirs, network), network.identity(), np.random.default_rng(seed))
        assert total(found) > total(network.identity())
        for group, (i, j) in product(range(2), [(0, 1), (2, 3), (1, 4)]):
            other = [units.copy() for units in found]
            other[group][[i, j]] = other[group][[j, i]]
            assert total(tuple(other)) <= total(found) + 1e-9


def test_coordinate_descent_ends_where_a_tensor_lists_a_group_twice():
    loop = Network((UnitGroup(8, (("w.weight", 0, 1), ("w.weight", 1, 1))),))
    rng = np.random.default_rng(0)
    for seed in range(20):
        a, b = ({"w.weight": rng.standard_normal((8, 8))} for _ in range(2))
        found = descend(Gains(a, b, loop), loop.identity(), np.random.default_rng(seed))[0]
        matched = np.vdot(a["w.weight"], b["w.weight"][np.ix_(found, found)])
        assert matched >= np.vdot(a["w.weight"], b["w.weight"])
        assert sorted(found) == list(range(8))


def test_mask_matching_by_hand():
    """Unit sets {0,1}, {2} against {2,3}, {0,1,2}: distances 1 and 1/3, 1/2 and 2/3; crossed is best.

    The next layer is read in the order found, and outputs stay where they are.
    """
    a = ternary("a", fc1=[[1, 1, 0, 0], [0, 0, 1, 0]], fc2=[[1, 0], [0, 1]])
    b = ternary("b", fc1=[[0, 0, 1, 1], [1, 1, 1, 0]], fc2=[[0, 1], [1, 1]])
    network = mlp(4, 2, 2)
    assert align(a, b, network, "mask")[0].tolist() == [1, 0]
    frame = compare([a, b], network=network, measures=["unit-distance"], alignments=["raw", "mask"], n_null=2)
    values = {(r["aligned"], r["layer"]): r["value"] for r in frame.iter_rows(named=True)}
    assert values["mask", "fc1.weight"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert values["mask", "fc2.weight"] == pytest.approx((0 + 1 / 2) / 2)
    assert values["raw", "fc1.weight"] == pytest.approx((1 + 2 / 3) / 2)
    assert values["raw", "fc2.weight"] == pytest.approx((1 + 1 / 2) / 2)
    assert values["mask", "all"] == pytest.approx((1 / 3 + 1 / 2 + 0 + 1 / 2) / 4)


def test_units_of_equal_inputs_are_told_apart_by_where_they_lead():
    """Many units of a sparse network read one input or none, and the same: no sum of distances tells them apart."""
    widths, network = (20, 40, 30, 5), mlp(20, 40, 30, 5)
    subject = random_subject(1, widths, 0.06)
    rows = [tuple(row) for row in subject.mask["fc1.weight"].tolist()]
    assert len(set(rows)) < len(rows) - 5
    planted = network.relabelled(subject, shuffled(network, 3))
    back = network.relabelled(planted, align(subject, planted, network, "mask"))
    assert back.mask == subject.mask


def test_units_without_inputs_are_alike():
    """{0}, {} against {}, {1}: crossed, the distances are 0 and 1; as they come, 1 and 1."""
    a = ternary("a", fc1=[[1, 0], [0, 0]], fc2=[[1, 1]])
    b = ternary("b", fc1=[[0, 0], [0, 1]], fc2=[[1, 1]])
    assert align(a, b, mlp(2, 2, 1), "mask")[0].tolist() == [1, 0]


def test_signed_matching_tells_apart_what_masks_cannot():
    """Both units read the same inputs, with opposite signs; then by what they write to."""
    network = mlp(2, 2, 2)
    a = ternary("a", fc1=[[1, 1], [-1, -1]], fc2=[[1, 0], [0, 1]])
    b = ternary("b", fc1=[[-1, -1], [1, 1]], fc2=[[1, 0], [0, 1]])
    assert align(a, b, network, "signed")[0].tolist() == [1, 0]
    twins = {"fc1": [[1, 1], [1, 1]]}
    c, d = ternary("c", **twins, fc2=[[1, 0], [0, -1]]), ternary("d", **twins, fc2=[[0, 1], [-1, 0]])
    assert align(c, d, network, "signed")[0].tolist() == [1, 0]


def test_signed_matching_reads_the_side_that_is_measured():
    network = mlp(2, 2, 1)
    plain, crossed = tensors(fc1=[[1, 0], [0, 1]], fc2=[[1, 1]]), tensors(fc1=[[0, 1], [1, 0]], fc2=[[1, 1]])
    full = Mask({name: torch.ones_like(x, dtype=torch.bool) for name, x in plain.items()})
    a, b = Subject("a", full, plain, plain), Subject("b", full, plain, crossed)
    assert align(a, b, network, "signed", "start")[0].tolist() == [0, 1]
    assert align(a, b, network, "signed", "end")[0].tolist() == [1, 0]
    frame = compare([a, b], network=network, measures=["sign-similarity"], alignments=["signed"], n_null=2)
    assert set(frame.filter(measure="sign-similarity")["value"]) == {1.0}


def test_activations_match_units_that_answer_alike():
    """Units swapped and rescaled: weights differ, correlations do not."""
    made = architecture(lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)), (3,), 2)
    network = Network(
        (UnitGroup(3, (("0.weight", 0, 1), ("0.bias", 0, 1), ("2.weight", 1, 1))),),
        made,
        torch.randn(50, 3, generator=torch.Generator().manual_seed(0)),
    )
    state = trained_looking(made.build(), 1)
    order = np.array([2, 0, 1])
    other = permute(state, network.groups, (order,))
    other["0.weight"] = other["0.weight"] * torch.tensor([[3.0], [0.1], [9.0]])
    other["0.bias"] = other["0.bias"] * torch.tensor([3.0, 0.1, 9.0])
    other["0.bias"] += torch.tensor([90.0, -20.0, 50.0])  # a shift is no difference either
    mask = Mask.dense({name: tuple(state[name].shape) for name in made.prunable})
    a, b = Subject("a", mask, dense=state), Subject("b", mask, dense=other)
    found = align(a, b, network, "activations@dense")[0]
    assert (order[found] == np.arange(3)).all()
    state["0.weight"][1], state["0.bias"][1] = (
        0,
        2,
    )  # a unit that always answers the same correlates with nothing
    assert sorted(align(a, b, network, "activations@dense")[0]) == [0, 1, 2]


def test_the_same_seed_gives_the_same_alignment():
    network = mlp(40, 30, 20, 5)
    pair = [random_subject(seed, (40, 30, 20, 5), 0.9) for seed in (1, 2)]
    for by in ("weights@dense", "signed"):
        once, twice = (align(*pair, network, by, rng=np.random.default_rng(3)) for _ in range(2))
        assert all((x == y).all() for x, y in zip(once, twice, strict=True))


def test_mistakes():
    pair = [random_subject(seed, (6, 5, 3), 0.5) for seed in (1, 2)]
    with pytest.raises(UserError, match="unknown alignment 'weight@dense'; did you mean 'weights@dense'"):
        align(*pair, mlp(6, 5, 3), "weight@dense")
    with pytest.raises(UserError, match="holds no dense weights"):
        align(replace(pair[0], dense=None), pair[1], mlp(6, 5, 3), "weights@dense")
    with pytest.raises(UserError, match="needs the architecture and examples"):
        align(*pair, mlp(6, 5, 3), "activations@dense")
    with pytest.raises(UserError, match=r"'fc1.weight' has shape \(5, 6\), the network lists 4 along axis 0"):
        align(*pair, mlp(6, 4, 3), "mask")
