"""Regrouping: rows that are alike, worked out by hand, and the dense blocks that they make."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from support.cases import each
from support.transfer_parts import made, net, pair
from tombola.errors import UserError
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.seeds import stream
from tombola.transfer.regroup import blocks_of, row_groups

LIVING = np.array(
    [
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 1],
        [1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1],
        [0, 0, 0, 0, 0, 0],
        [1, 0, 1, 0, 0, 0],
    ],
    dtype=bool,
)
"""Five rows with weights in two groups: three to a group. Row 0 has the most, and shares 2 of 3 with rows 2 and 5."""


def test_groups_by_hand() -> None:
    assert [group.tolist() for group in row_groups(LIVING, 2)] == [[0, 2, 5], [1, 3]]
    assert [group.tolist() for group in row_groups(LIVING, 5)] == [[0], [1], [2], [3], [5]]
    assert [group.tolist() for group in row_groups(LIVING, 1)] == [[0, 1, 2, 3, 5]]
    assert row_groups(np.zeros((3, 2), dtype=bool), 2) == []
    # To the first row the second is alike by 1/4, though all of it lies in the first; the third by 3/5.
    rows = np.array([[1, 1, 1, 1, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 1]], dtype=bool)
    assert [group.tolist() for group in row_groups(rows, 2)] == [[0, 2], [1]]


@pytest.mark.parametrize(
    ("rows", "columns", "share", "blocks"),
    [
        (2, 2, 0.5, [([0, 2, 5], [0, 1, 2]), ([1, 3], [3, 4, 5])]),
        (2, 2, 1.0, [([1, 3], [4, 5])]),  # of the first group only one column is whole
        (3, 2, 0.5, [([0, 2, 5], [0, 1, 2])]),
        (2, 1, 1.0, [([0, 2, 5], [0]), ([1, 3], [4, 5])]),
        (4, 1, 0.1, []),
        (2, 4, 0.1, []),
    ],
)
def test_blocks_by_hand(
    rows: int, columns: int, share: float, blocks: list[tuple[list[int], list[int]]]
) -> None:
    found = blocks_of(LIVING, 2, rows, columns, share)
    assert [(group.tolist(), taken.tolist()) for group, taken in found] == blocks


@each("seed", range(30))
def test_groups_are_a_partition_into_equal_parts(seed: int) -> None:
    rng = stream(seed, "rows")
    living = rng.random((int(rng.integers(1, 40)), 12)) < rng.uniform(0, 0.4)
    groups = int(rng.integers(1, 10))
    found = row_groups(living, groups)
    full = np.flatnonzero(living.any(1))
    assert len(found) <= groups
    assert sorted(row for group in found for row in group) == full.tolist()
    sizes = {len(group) for group in found[:-1]}
    assert len(sizes) <= 1
    assert not found or len(found[-1]) <= len(found[0])


def test_rows_that_were_mixed_up_are_found_again() -> None:
    """Four kinds of rows that share nothing, eight of each, in random order."""
    rng = stream(0, "mixed")
    kinds = rng.permutation(np.repeat(np.arange(4), 8))
    living = np.repeat(np.eye(4, dtype=bool), 5, axis=1)[kinds]
    living[np.arange(32), 5 * kinds + rng.integers(5, size=32)] = False
    for group in row_groups(living, 4):
        assert len(set(kinds[group])) == 1
    blocks = blocks_of(living, 4, 8, 5, 0.5)
    assert [(len(group), len(columns)) for group, columns in blocks] == 4 * [(8, 5)]


ARCH = architecture("lenet-6-4", (6,), 2)


def tickets() -> list[Ticket]:
    dense = pair(ARCH)[1]
    assert dense.start is not None
    shapes = ARCH.prunable_shapes
    mask = Mask(
        {
            **{name: torch.eye(*shape) > 0 for name, shape in shapes.items()},
            "fc1.weight": torch.from_numpy(LIVING),
        }
    )
    return [Ticket(mask, mask.apply(dense.start)), dense]


OPTIONS = {"groups": 2, "rows": 2, "columns": 2, "share": 0.6}
"""Two of three rows, and both of two, have to have a column: rows 0, 2, 5 take three, rows 1 and 3 the last two."""


def test_a_layer_without_a_block_is_left_as_it_is() -> None:
    ticket = made("regroup", tickets(), ARCH, **OPTIONS)
    expected = np.zeros_like(LIVING)
    expected[np.ix_([0, 2, 5], [0, 1, 2])] = True
    expected[np.ix_([1, 3], [4, 5])] = True
    assert np.array_equal(ticket.mask["fc1.weight"].numpy(), expected)
    for name in (
        "fc2.weight",
        "out.weight",
    ):  # on a diagonal no column has two weights; the output is not regrouped
        assert torch.equal(ticket.mask[name], tickets()[0].mask[name])
    assert ticket.provenance["report"]["blocks"] == {"fc1.weight": [[3, 3], [2, 2]], "fc2.weight": []}
    dense = tickets()[1].start
    assert dense is not None
    assert ticket.start is not None
    assert torch.equal(ticket.start["fc1.weight"], ticket.mask.apply(dense)["fc1.weight"])


def test_no_block_at_all_gives_the_ticket_back_and_needs_no_dense_network() -> None:
    assert made("regroup", tickets()[:1], ARCH).mask == tickets()[0].mask
    with pytest.raises(UserError, match="route 'regroup': pruned weights come to life again"):
        made("regroup", tickets()[:1], ARCH, **OPTIONS)
    fresh = made("regroup", tickets()[:1], ARCH, weights="reinit", **OPTIONS)
    assert fresh.mask.counts() == {"fc1.weight": 13, "fc2.weight": 4, "out.weight": 2}


def test_convolutions_are_matrices_of_channels_by_all_their_inputs() -> None:
    arch = net("resnet-14")
    source = pair(arch, 0.6)
    ticket = made("regroup", source, arch, groups=2, rows=4, columns=4)
    for name, blocks in ticket.provenance["report"]["blocks"].items():
        matrix = ticket.mask[name].reshape(len(ticket.mask[name]), -1).numpy()
        if blocks:
            assert matrix.sum() == sum(rows * columns for rows, columns in blocks)
            assert len({row.tobytes() for row in matrix if row.any()}) <= len(blocks)
    assert any(ticket.provenance["report"]["blocks"].values())
