"""Which block of a target is a copy of which: the paper's networks worked out by hand, and all small cases."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from support.cases import each
from tombola.errors import UserError
from tombola.models.resnet import LAYOUTS
from tombola.models.vgg import GROUPS
from tombola.transfer.elastic import Explicit, Scheme, block_map

SCHEMES: tuple[Scheme, ...] = ("appending", "interpolation")


def resnets(one: int, other: int, blocks: Scheme | Explicit) -> tuple[int, ...]:
    """The map of a stage, which is that of all three."""
    found = block_map(LAYOUTS[one][1], LAYOUTS[other][1], blocks)
    assert len(found) == 3
    assert len(set(found)) == 1
    return found[0]


@pytest.mark.parametrize(
    ("one", "other", "appending", "interpolation"),
    [
        (14, 20, (0, 1, 1), (0, 1, 1)),
        (20, 32, (0, 1, 2, 1, 2), (0, 1, 1, 2, 2)),
        (32, 20, (0, 1, 2), (0, 1, 3)),
        (14, 56, (0, *(8 * (1,))), (0, *(8 * (1,)))),
        (32, 56, (0, 1, 2, 3, 4, 1, 2, 3, 4), (0, 1, 1, 2, 2, 3, 3, 4, 4)),
        (56, 14, (0, 1), (0, 1)),
        (20, 20, (0, 1, 2), (0, 1, 2)),
        (20, 56, (0, 1, 2, 1, 2, 1, 2, 1, 2), (0, 1, 1, 1, 1, 2, 2, 2, 2)),
        # 7 blocks from 5: of the four that can be repeated, the earlier two are.
        (32, 44, (0, 1, 2, 3, 4, 1, 2), (0, 1, 1, 2, 2, 3, 4)),
    ],
)
def test_residual_networks(
    one: int, other: int, appending: tuple[int, ...], interpolation: tuple[int, ...]
) -> None:
    assert resnets(one, other, "appending") == appending
    assert resnets(one, other, "interpolation") == interpolation


def test_the_map_of_the_authors_code_is_interpolation() -> None:
    given = [[0], [1, 2], [3, 4], [5, 6], [7, 8]]
    assert resnets(32, 56, [given]) == resnets(32, 56, "interpolation")


@pytest.mark.parametrize("blocks", SCHEMES)
def test_vggs(blocks: Scheme) -> None:
    assert block_map(GROUPS[13], GROUPS[16], blocks) == ((0, 1), (0, 1), (0, 1, 1), (0, 1, 1), (0, 1, 1))
    last = (0, 1, 2, 1) if blocks == "appending" else (0, 1, 1, 2)
    assert block_map(GROUPS[16], GROUPS[19], blocks) == ((0, 1), (0, 1), last, last, last)
    assert block_map(GROUPS[16], GROUPS[13], blocks) == 5 * ((0, 1),)


@each("sizes", product(range(2, 12), range(1, 25)))
def test_of_any_sizes(sizes: tuple[int, int]) -> None:
    have, need = sizes
    maps = [block_map([have], [need], blocks)[0] for blocks in SCHEMES]
    for found in maps:
        assert len(found) == need
        assert found[0] == 0
        assert all(0 < unit < have for unit in found[1:])
        times = [found.count(unit) for unit in range(1, have)]
        assert max(times) - min(times) <= 1, "distinct blocks before repeated ones"
        if need >= have:
            assert times == sorted(times, reverse=True), "earlier blocks are repeated first"
        else:
            assert all(a < b for a, b in pairwise(found)), "none twice, in their order"
        back: list[list[int]] = [[place for place in range(need) if found[place] == u] for u in range(have)]
        assert block_map([have], [need], [back])[0] == found
    assert sorted(maps[0]) == list(maps[1]) or need < have
    if need >= have:
        assert list(maps[1]) == sorted(maps[1])


@pytest.mark.parametrize("blocks", SCHEMES)
def test_a_first_block_alone_is_not_repeated(blocks: Scheme) -> None:
    assert block_map([1], [1], blocks) == ((0,),)
    with pytest.raises(UserError, match="stage 2 of the source has its first unit alone"):
        block_map([2, 1], [2, 3], blocks)


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ([[[0], [1]]], "unit 2 of the target is given no source"),
        ([[[0], [1, 2], [2]]], "unit 2 of the target is given two sources"),
        ([[[0], [1, 3]]], "the target has units 0 to 2, found 3"),
        ([[[0], [1, -1]]], "the target has units 0 to 2, found -1"),
        ([[[1], [0, 2]]], "the first unit goes to the first and to no other, found 0 to 1"),
        ([[[0], [1], [2], []]], "found lists for 4 source units, expected 3 at most"),
        ([[[0], [1, 2]], [[0], [1, 2]]], "found maps for 2 stages, expected 3, or one for all"),
    ],
)
def test_maps_that_do_not_fill_the_target(blocks: Explicit, said: str) -> None:
    with pytest.raises(UserError, match=said):
        block_map([3, 3, 3], [3, 3, 3], blocks)
