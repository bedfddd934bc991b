"""SET and RigL, worked out by hand, and what they have to keep."""

from __future__ import annotations

import math

import pytest
import torch

from tombola.errors import UserError
from tombola.files import digest_of
from tombola.masks.mask import Mask
from tombola.seeds import stream
from tombola.training.search.dynamic import drop_fraction, rigl_update, set_update

MASK = Mask({"a": torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0]]) > 0, "b": torch.tensor([1, 0, 1]) > 0})
WEIGHTS = {
    "a": torch.tensor([[-0.1, 5.0, -4.0, 0.2], [0.0, 0.0, 0.0, 0.0]]),
    "b": torch.tensor([-3.0, 0.0, 2.0]),
}
GRADIENT = {
    "a": torch.tensor([[0.5, 100.0, 100.0, 0.0], [0.1, -7.0, 0.2, 0.3]]),
    "b": torch.tensor([100.0, 0.5, 9.0]),
}


def bits(mask: Mask) -> dict[str, list[int]]:
    return {name: tensor.int().flatten().tolist() for name, tensor in mask.items()}


def test_rigl_by_hand() -> None:
    # a: half of four die, 0.1 and 0.2; of the then dead, slopes 0.5, 0, 0.1, 7, 0.2, 0.3: 7 and 0.5 grow, and so the
    # first weight lives on. b: half of two die, 2; slopes 0.5 and 9: it lives on.
    after = rigl_update(MASK, WEIGHTS, GRADIENT, 0.5, stream(0))
    assert bits(after) == {"a": [1, 1, 1, 0, 0, 1, 0, 0], "b": [1, 0, 1]}


def test_set_drops_the_smallest_and_grows_any() -> None:
    seen = set()
    for seed in range(60):
        after = set_update(MASK, WEIGHTS, 0.25, stream(seed))
        assert after.counts() == MASK.counts()
        # A quarter of four: 0.1 dies; of the then five dead ones any grows.
        row = bits(after)["a"]
        assert row[1:4] == [1, 1, 1]
        seen.add(row.index(1) if row[0] else row.index(1, 4))
    # 60 fair draws miss one of five places with a chance of 5 * 0.8**60, below one in ten thousand.
    assert seen == {0, 4, 5, 6, 7}


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_counts_are_kept_and_operands_stay(fraction: float) -> None:
    before = digest_of(MASK), digest_of(WEIGHTS), digest_of(GRADIENT)
    for after in (
        set_update(MASK, WEIGHTS, fraction, stream(0)),
        rigl_update(MASK, WEIGHTS, GRADIENT, fraction, stream(0)),
    ):
        assert after.counts() == MASK.counts()
        assert (after == MASK) or fraction
    assert (digest_of(MASK), digest_of(WEIGHTS), digest_of(GRADIENT)) == before
    assert set_update(MASK, WEIGHTS, 1.0, stream(0)) == set_update(MASK, WEIGHTS, 1.0, stream(0))


def test_whole_and_empty_tensors_stay_whole_and_empty() -> None:
    mask = Mask({"a": torch.ones(2, 4) > 0, "b": torch.zeros(3) > 0})
    assert set_update(mask, WEIGHTS, 0.5, stream(0)) == mask
    assert rigl_update(mask, WEIGHTS, GRADIENT, 0.5, stream(0)) == mask


def test_equal_slopes_are_drawn() -> None:
    flat = {name: torch.ones_like(value) for name, value in GRADIENT.items()}
    assert (
        len({tuple(bits(rigl_update(MASK, WEIGHTS, flat, 0.25, stream(seed)))["a"]) for seed in range(60)})
        == 5
    )


def test_the_share_falls_along_a_cosine_and_is_zero_after_three_quarters() -> None:
    # 1000 iterations: zero at 750, half of 0.3 at 375, cos(pi / 3) = 1/2 at 250.
    found = [drop_fraction(t, 1000) for t in (0, 250, 375, 749, 750, 751, 1000)]
    assert found[:3] == pytest.approx([0.3, 0.15 * 1.5, 0.15])
    assert found[3] == pytest.approx(0.15 * (1 - math.cos(math.pi / 750)))
    assert found[4:] == [0.0, 0.0, 0.0]
    assert drop_fraction(5, 10, start=0.5, until=1.0) == pytest.approx(0.25)


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match=r"fraction of weights to replace is 1.5, expected 0 to 1"):
        set_update(MASK, WEIGHTS, 1.5, stream(0))
    with pytest.raises(UserError, match="weights lack 'b'"):
        set_update(MASK, {"a": WEIGHTS["a"]}, 0.5, stream(0))
    with pytest.raises(UserError, match=r"gradient: 'b' has shape \(2,\), expected \(3,\)"):
        rigl_update(MASK, WEIGHTS, GRADIENT | {"b": torch.zeros(2)}, 0.5, stream(0))
    for broken in (math.nan, math.inf):
        with pytest.raises(UserError, match="weights of 'b' are not all finite"):
            set_update(MASK, WEIGHTS | {"b": torch.tensor([1.0, 0.0, broken])}, 0.5, stream(0))
        with pytest.raises(UserError, match="gradient of 'b' are not all finite"):
            rigl_update(MASK, WEIGHTS, GRADIENT | {"b": torch.tensor([1.0, broken, 1.0])}, 0.5, stream(0))
    dead = WEIGHTS | {"b": torch.tensor([1.0, math.nan, 2.0])}
    assert set_update(MASK, dead, 0.5, stream(0)).counts() == MASK.counts(), "a dead weight may hold anything"
