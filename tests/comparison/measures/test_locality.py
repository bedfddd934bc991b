"""Local receptive fields: Moran's I by hand and by a loop over pixels; which layers are images; two nulls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from support.compare_parts import random_convnet, random_subject, ternary
from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.comparison.measures.locality import locality
from tombola.comparison.pairs import compare
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture


def moran(image: np.ndarray) -> float:
    """Moran's I by its definition, over the edges of every channel's grid."""
    z = image - image.mean()
    pairs, total = 0, 0.0
    for channel in z:
        for (i, j), value in np.ndenumerate(channel):
            for k, m in ((i + 1, j), (i, j + 1)):
                if k < channel.shape[0] and m < channel.shape[1]:
                    pairs, total = pairs + 1, total + value * channel[k, m]
    return image.size / pairs * total / (z**2).sum()


def test_by_hand():
    halves = np.zeros((1, 1, 4, 4), bool)
    halves[..., 2:] = True  # z = +-1/2: of 24 pairs, 4 are mixed: (20 - 4) / 4 * 16 / 24 / 4
    assert locality(halves) == pytest.approx(2 / 3)
    checkers = (np.indices((4, 4)).sum(0) % 2 == 0)[None, None]
    assert locality(checkers) == pytest.approx(-1)


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 4, 4)])
def test_beside_a_loop_over_pixels(shape):
    images = np.random.default_rng(0).random((6, *shape)) < np.linspace(0, 1, 6)[:, None, None, None]
    some = [moran(image) for image in images if 0 < image.sum() < image.size]
    assert len(some) == 4
    assert locality(images) == pytest.approx(np.mean(some))


def test_units_with_nothing_or_everything_have_none():
    assert np.isnan(locality(np.zeros((2, 1, 3, 3), bool)))
    assert np.isnan(locality(np.ones((2, 1, 3, 3), bool)))


def patches(shared: bool) -> Subject:
    """40 units on 12 x 12 pixels that each keep a 4 x 4 patch: the same one, or anywhere."""
    rng = np.random.default_rng(0)
    masks = np.zeros((40, 12, 12))
    for unit in masks:
        i, j = (4, 4) if shared else rng.integers(0, 9, 2)
        unit[i : i + 4, j : j + 4] = 1
        unit[tuple(rng.integers(0, 12, (2, 4)))] = 1
    return ternary("a", fc1=masks.reshape(40, -1).tolist(), fc2=np.ones((3, 40)).tolist())


def test_patches_are_local_beyond_the_pixels_that_all_keep():
    for shared, beyond_pixels in ((False, True), (True, False)):
        frame = compare([patches(shared)], measures=["locality"], n_null=19)
        assert set(frame["layer"]) == {"fc1.weight", "all"}
        shuffled, rewired = (
            frame.filter(layer="all", null=null).row(0, named=True) for null in ("layer-shuffle", "rewire")
        )
        assert shuffled["p"] == 1 / 20
        assert shuffled["expected"] == pytest.approx(-1 / 143, abs=0.01)
        assert (rewired["z"] > 10) == beyond_pixels


def test_only_linear_layers_that_read_images_have_fields():
    colour = compare([random_subject(1, (27, 5, 3), 0.5)], measures=["locality"], n_null=2)
    assert set(colour["layer"]) == {"fc1.weight", "all"}
    assert compare([random_subject(1, (10, 5, 3), 0.5)], measures=["locality"], n_null=2).is_empty()
    kernels = compare([random_convnet(1, 0.5)], measures=["topology"], n_null=2)
    assert "locality" not in set(kernels["measure"])


def test_the_shape_of_the_input_is_the_networks():
    net = architecture("lenet-5-4", (2, 2, 3), 3)
    shapes = {name: net.shapes[name] for name in net.prunable}
    living = {
        name: torch.from_numpy(np.random.default_rng(0).random(shape) < 0.5) for name, shape in shapes.items()
    }
    first = net.prunable[0]
    frame = compare([Subject("a", Mask(living))], network=Network.of(net), measures=["locality"], n_null=2)
    images = living[first].numpy().reshape(-1, 2, 2, 3)
    expected = np.mean([moran(image) for image in images if 0 < image.sum() < image.size])
    assert frame.filter(layer=first)["value"][0] == pytest.approx(expected)
