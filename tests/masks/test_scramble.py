"""Mask and dense network scrambled together: degrees, the largest weights, scales of rows and columns."""

from __future__ import annotations

import numpy as np
import torch

from tombola.masks.mask import Mask
from tombola.masks.scramble import scrambled
from tombola.seeds import stream

NAME = "fc.weight"


def uneven(rows: int = 60, columns: int = 80, density: float = 0.2) -> tuple[Mask, dict[str, torch.Tensor]]:
    """Gaussian weights whose rows and columns differ up to eightfold in scale, and the mask of the largest."""
    rng = stream("uneven")
    scale = rng.uniform(0.25, 2, (rows, 1)) * rng.uniform(0.25, 2, (1, columns))
    weights = torch.from_numpy(rng.standard_normal((rows, columns)) * scale)
    cut = weights.abs().flatten().sort(descending=True).values[round(density * weights.numel())]
    return Mask({NAME: weights.abs() > cut}), {NAME: weights, "fc.bias": torch.arange(float(rows))}


def test_degrees_stay_and_the_wiring_does_not() -> None:
    mask, dense = uneven()
    new, _ = scrambled(mask, dense, stream("a"))
    for axis in (0, 1):
        assert torch.equal(new[NAME].sum(axis), mask[NAME].sum(axis))
    assert (new[NAME] & mask[NAME]).sum() < 0.6 * mask[NAME].sum()


def test_the_new_mask_holds_the_largest_weights_of_the_new_dense_network() -> None:
    mask, dense = uneven()
    new, weights = scrambled(mask, dense, stream("a"))
    living, values = new[NAME], weights[NAME].abs()
    assert values[living].min() > values[~living].max()
    for old, scattered in ((mask[NAME], living), (~mask[NAME], ~living)):
        assert torch.equal(dense[NAME][old].sort().values, weights[NAME][scattered].sort().values)
    assert torch.equal(weights["fc.bias"], dense["fc.bias"])


def test_rows_and_columns_keep_their_scale_and_nothing_else_of_their_weights() -> None:
    mask, dense = uneven()
    _, weights = scrambled(mask, dense, stream("a"))
    old, new = dense[NAME].numpy(), weights[NAME].numpy()
    for axis in (0, 1):
        assert np.corrcoef((old**2).mean(axis), (new**2).mean(axis))[0, 1] > 0.9
    assert abs(np.corrcoef(old.flatten(), new.flatten())[0, 1]) < 0.05
    scale = np.sqrt((old**2).mean(0) * (old**2).mean(1, keepdims=True) / (old**2).mean())
    left = [np.abs(x / scale).flatten() for x in (old, new)]
    assert abs(np.corrcoef(*left)[0, 1]) < 0.08


def test_convolutions_and_what_is_given_stay_as_they_are_and_seeds_decide() -> None:
    rng = stream("conv")
    weights = torch.from_numpy(rng.standard_normal((6, 4, 3, 3)))
    mask = Mask({"conv.weight": weights.abs() > 1})
    before = weights.clone()
    one, two, other = (scrambled(mask, {"conv.weight": weights}, stream(name)) for name in ("a", "a", "b"))
    assert one[0] == two[0] != other[0]
    assert torch.equal(one[1]["conv.weight"], two[1]["conv.weight"])
    assert torch.equal(weights, before)
    assert torch.equal(one[0]["conv.weight"], one[1]["conv.weight"].abs() > 1)
    assert torch.equal(one[0]["conv.weight"].sum(0), mask["conv.weight"].sum(0))


def test_a_layer_of_zeros_or_one_that_is_all_alive_is_no_trouble() -> None:
    zeros = {"fc.weight": torch.zeros(4, 3)}
    dead = Mask({"fc.weight": torch.zeros(4, 3, dtype=torch.bool)})
    assert scrambled(dead, zeros, stream("a"))[0] == dead
    full, weights = Mask.dense({"fc.weight": (4, 3)}), {"fc.weight": torch.arange(12.0).view(4, 3)}
    new, moved = scrambled(full, weights, stream("a"))
    assert new == full
    assert sorted(moved["fc.weight"].flatten().tolist()) == list(range(12))
