"""Batches: whole epochs, random access, and who shares what with whom."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from support.training_parts import CPU
from tombola.data.split import split
from tombola.errors import UserError
from tombola.seeds import Seeds
from tombola.training.batches import Batches, Group

N, VALIDATION = 23, 4  # 19 examples to train on, a prime: no batch size divides it


def group(r: int = 0, level: int = 0) -> Group:
    seeds = Seeds.replicate(0, r)
    return Group(seeds, level, split(N, VALIDATION, seeds.stream("split")))


def batches(*groups: Group, batch: int = 5) -> Batches:
    return Batches(groups, batch, CPU)


def walk(these: Batches, steps: int) -> torch.Tensor:
    """Everything seen in the first steps, [G, steps * batch]."""
    return torch.cat([these.at(t) for t in range(steps)], dim=1)


@pytest.mark.parametrize("batch", [1, 2, 5, 18, 19])
def test_every_example_exactly_once_an_epoch(batch: int) -> None:
    both = [group(0), group(1)]
    seen = walk(batches(*both, batch=batch), 4 * 19 // batch + 1)
    for g, each in enumerate(both):
        expected = sorted(each.split.train.tolist())
        for epoch in range(4):
            assert sorted(seen[g, 19 * epoch : 19 * (epoch + 1)].tolist()) == expected


def test_every_batch_is_full_and_never_holds_a_validation_example() -> None:
    these = batches(group(0), group(1))
    for t in range(40):
        rows = these.at(t)
        assert rows.shape == (2, 5)
        assert rows.dtype == torch.int64
        for g in range(2):
            assert not set(rows[g].tolist()) & set(these.groups[g].split.validation.tolist())


def test_a_batch_that_straddles_takes_the_end_of_one_epoch_and_the_head_of_the_next() -> None:
    each = group()
    orders = [each.seeds.stream("order", 0, epoch).permutation(each.split.train) for epoch in (0, 1)]
    # Step 3 sees examples 15..19 of the walk: four of epoch 0 and one of epoch 1.
    assert batches(each).at(3)[0].tolist() == [*orders[0][15:], *orders[1][:1]]


def test_any_iteration_can_be_computed_without_those_before_it() -> None:
    both = (group(0), group(1))
    in_turn = [batches(*both).at(t) for t in [0]] + [batches(*both).at(t) for t in range(1, 30)]
    one = batches(*both)
    for t in [29, 3, 17, 0, 4, 3, 28, 11, *range(30)]:
        assert torch.equal(one.at(t), in_turn[t]), t
    sequential = batches(*both)
    assert all(torch.equal(sequential.at(t), in_turn[t]) for t in range(30))


def test_order_differs_between_epochs_levels_and_replicates() -> None:
    seeds = Seeds.replicate(0, 0)
    parts = split(N, VALIDATION, seeds.stream("split"))
    first = batches(Group(seeds, 0, parts), batch=19)
    orders = [first.at(0), first.at(1)]
    orders.append(batches(Group(seeds, 1, parts), batch=19).at(0))
    orders.append(batches(Group(Seeds.replicate(0, 1), 0, parts), batch=19).at(0))
    orders.append(batches(Group(Seeds.replicate(1, 0), 0, parts), batch=19).at(0))
    assert len({tuple(order[0].tolist()) for order in orders}) == 5


def test_a_group_does_not_depend_on_its_company() -> None:
    alone, company = batches(group(1, 2)), batches(group(0, 2), group(1, 2), group(1, 3))
    for t in range(12):
        assert torch.equal(alone.at(t)[0], company.at(t)[1])


def test_orders_are_random_and_not_a_shift() -> None:
    """Each example comes first about equally often: 19 of 1900 expected each 100 times, 5 deviations of 9.7."""
    seeds = Seeds.single(3)
    parts = split(N, VALIDATION, seeds.stream("split"))
    heads = [seeds.stream("order", 0, e).permutation(parts.train)[0] for e in range(1900)]
    assert np.abs(np.bincount(heads, minlength=N)[parts.train] - 100).max() < 50


def test_a_batch_larger_than_the_training_split_is_refused() -> None:
    assert batches(group(), batch=19).at(0).shape == (1, 19)
    with pytest.raises(UserError, match=r"recipe\.batch is 20, but only 19"):
        batches(group(), batch=20)


def test_only_the_epochs_in_use_are_kept() -> None:
    these = batches(group())
    walk(these, 60)
    assert len(these._epochs) <= 2
