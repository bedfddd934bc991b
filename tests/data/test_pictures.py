"""Images that stay in their files: the same bits as those in memory, whatever threads decode them."""

from __future__ import annotations

import importlib.util
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tombola.data.catalog import load
from tombola.data.dataset import Dataset
from tombola.data.decode import AREA, RATIO, crop, pillow
from tombola.data.image_folder import read_image_folder
from tombola.data.resident import Resident
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.seeds import Seeds
from tombola.training.engines.base import Demand
from tombola.training.engines.select import choose
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.start import Start

CPU = torch.device("cpu")
PILLOW = pytest.mark.skipif(
    importlib.util.find_spec("PIL") is None, reason="Pillow is not installed: no image is decoded here"
)
RECIPE = {"iterations": 7, "batch": 4, "evaluate_every": 3, "lr": 0.01}


def decode(path: Path, size: int | None, bits: int | None) -> Any:
    """Stands for Pillow; a random crop is the image less its bits, and some images take their time."""
    pixels = np.load(path)
    time.sleep(0.002 * (int(path.stem) % 3))
    return pixels if bits is None else pixels ^ np.uint8(bits & 255)


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of two classes, twelve training images of one and eleven of the other, and ten test images."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part, label, count in (
        ("train", "ant", 12),
        ("train", "bee", 11),
        ("test", "ant", 4),
        ("test", "bee", 6),
    ):
        for i in range(count):
            picture(f"pics/{part}/{label}/{i}.png", rng.integers(0, 256, (6, 5, 3)))


def picture(path: str, pixels: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("wb") as file:
        np.save(file, np.array(pixels, dtype=np.uint8))


def read(options: str = "") -> Dataset:
    return read_image_folder(f"images:pics{options}", f"pics{options}", decode)


def trained(dataset: Dataset, seed: int = 0, **changes: Any) -> Any:
    data = Resident(dataset, "standard", CPU)
    net = architecture("conv-2", data.shape, data.classes)
    starts = [
        Start(net.initial(seeds.stream("init")), Mask.dense(net.prunable_shapes), seeds)
        for seeds in (Seeds.replicate(seed, 0), Seeds.replicate(seed, 1))
    ]
    return train_stack(net, starts, data, Recipe(**{**RECIPE, **changes}), 5, engine="modules")


def same(one: Any, other: Any) -> bool:
    states = all(
        torch.equal(a.end[name], b.end[name]) for a, b in zip(one, other, strict=True) for name in a.end
    )
    return states and [each.history for each in one] == [each.history for each in other]


def test_the_data_are_the_same() -> None:
    whole, streamed = (Resident(each, "standard", CPU) for each in (read(), read("?stream")))
    assert (streamed.shape, streamed.classes, streamed.n_train, streamed.n_test) == ((3, 6, 5), 2, 23, 10)
    assert (streamed.streamed, whole.streamed) == (True, False)
    assert streamed.input == whole.input
    assert torch.equal(streamed.train_y, whole.train_y)
    assert torch.equal(streamed.test_y, whole.test_y)
    index = torch.tensor([[3, 22, 3], [0, 1, 2]])
    assert torch.equal(streamed.train(index), whole.train(index))
    assert torch.equal(streamed.test(2, 9), whole.test(2, 9))
    assert torch.equal(streamed.shown(4), whole.shown(4))


def test_where_a_folder_has_no_parts_the_same_images_are_test_images() -> None:
    for i in range(20):
        picture(f"pics2/{'ab'[i % 2]}/{i}.png", np.full((2, 2), i))
    whole, streamed = (read_image_folder(f"images:pics2{s}", f"pics2{s}", decode) for s in ("", "?stream"))
    assert torch.equal(streamed.train_y, whole.train_y)
    assert streamed.train_x.sample().tolist() == whole.train_x.tolist()


@pytest.mark.parametrize("changes", [{}, {"flip": True, "crop": 1}], ids=["plain", "augmented"])
def test_a_training_has_the_bits_of_one_in_memory(changes: dict[str, Any]) -> None:
    whole, streamed = (trained(read(options), **changes) for options in ("", "?stream"))
    assert same(whole, streamed)
    assert not same(whole, trained(read(), seed=1, **changes))


def test_random_crops_are_those_of_the_iteration_the_place_and_the_replicate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, again = (trained(read("?stream"), resized_crop=True) for _ in range(2))
    assert same(first, again)
    assert not same(first, trained(read("?stream")))
    monkeypatch.setattr(Resident, "expect", lambda *_: None)  # nothing is decoded ahead
    assert same(first, trained(read("?stream"), resized_crop=True))
    # Evaluating more often neither takes nor moves a crop.
    often = trained(read("?stream"), resized_crop=True, evaluate_every=1)
    assert all(
        torch.equal(a.end[name], b.end[name]) for a, b in zip(first, often, strict=True) for name in a.end
    )


def test_a_crop_lies_inside_and_is_as_large_as_it_may_be() -> None:
    shares, ratios = [], []
    for bits in range(-200, 200):
        left, top, wide, high = crop(300, 200, bits)
        assert 0 <= left <= 300 - wide
        assert 0 <= top <= 200 - high
        shares.append(wide * high / 60_000)
        ratios.append(wide / high)
    assert AREA[0] - 0.01 < min(shares) < 0.12
    assert 0.85 < max(shares) <= 1
    assert RATIO[0] - 0.02 < min(ratios) < 0.8
    assert 1.25 < max(ratios) < RATIO[1] + 0.02
    assert abs(np.mean(np.log(ratios))) < 0.05, "wide and high ones are as likely as each other"
    # In a strip no crop of 8% of the area fits; the largest of 4:3 in its middle is taken.
    assert crop(3000, 3, 1) == (1498, 0, 4, 3)


def test_what_cannot_be_is_said() -> None:
    net = architecture("conv-2", (3, 6, 5), 2)
    cropped = Recipe(resized_crop=True)
    with pytest.raises(
        UserError, match=r"resized_crop cuts images out of their files.*images:FOLDER\?size=224&stream"
    ):
        choose("auto", net, CPU, Demand(cropped))
    assert choose("auto", net, CPU, Demand(cropped, streamed=True)).name == "modules"
    with pytest.raises(UserError, match="engine 'sparse-conv' cannot train on images that are not in memory"):
        choose("sparse-conv", net, CPU, Demand(streamed=True))
    with pytest.raises(UserError, match="unknown option 'sise'; did you mean 'size'"):
        read("?sise=3")
    for size in ("0", "x", "-1", "5000", "²", "9" * 5000):
        with pytest.raises(UserError, match="expected pixels from 1 to 4096"):
            read(f"?size={size}")


@pytest.mark.parametrize("pixels", [np.zeros((6, 4, 3)), np.zeros((5, 6))], ids=["narrow", "turned"])
def test_an_image_that_is_not_as_the_others_is_named(pixels: Any) -> None:
    picture("pics/train/bee/7.png", pixels)
    data = Resident(read("?stream"), "unit", CPU)
    with pytest.raises(
        UserError, match=r"pics/train/bee/7.png: . x . pixels, .*; the first image of each class"
    ):
        data.train(torch.arange(23))


def test_a_grey_image_among_coloured_ones_is_coloured_and_no_coloured_one_becomes_grey() -> None:
    picture("pics/train/bee/7.png", np.full((6, 5), 9))
    every = torch.arange(23)
    streamed, whole = (Resident(read(options), "unit", CPU) for options in ("?stream", ""))
    assert torch.equal(streamed.train(every), whole.train(every))
    for label in ("ant", "bee"):
        picture(f"pics/train/{label}/0.png", np.zeros((6, 5)))
    with pytest.raises(UserError, match="pixels, coloured; the first image of each class says 6 x 5, grey"):
        Resident(read("?stream"), "unit", CPU).train(torch.arange(23))


def test_the_digest_is_of_names_and_sizes() -> None:
    before = read("?stream").digest
    assert read("?stream").digest == before
    assert read("?stream&size=5").digest != before
    Path("pics/train/bee/7.png").rename("pics/train/bee/70.png")
    renamed = read("?stream").digest
    assert renamed != before
    picture("pics/train/bee/70.png", np.zeros((6, 5)))
    assert read("?stream").digest not in (before, renamed)


@PILLOW
def test_the_middle_of_an_image_is_cut_out() -> None:
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 256, (256, 512, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")
    # The shorter side is 256 already, so nothing is resized: 16 pixels go at top and bottom, 144 at the sides.
    assert np.array_equal(pillow(Path("a.png"), 224), pixels[16:240, 144:368])
    half = pillow(Path("a.png"), 112)
    assert half.shape == (112, 112, 3)
    mean = pixels[16:240, 144:368].astype(float).mean()
    assert math.isclose(half.mean(), mean, abs_tol=1)


@PILLOW
def test_random_crops_are_parts_of_the_image() -> None:
    from PIL import Image

    across = np.broadcast_to(np.arange(200, dtype=np.uint8), (100, 200))
    Image.fromarray(np.ascontiguousarray(across)).save("a.png")
    for bits in range(20):
        left, _, wide, _ = crop(200, 100, bits)
        found = pillow(Path("a.png"), 10, bits).astype(float)
        middles = left + (np.arange(10) + 0.5) * wide / 10 - 0.5  # of the ten columns, in those of the image
        assert np.abs(found[:, 2:-2] - middles[2:-2]).max() <= 1


@PILLOW
def test_a_folder_is_trained_on_by_its_name() -> None:
    from PIL import Image

    for i in range(20):
        path = Path(f"real/{'ab'[i % 2]}/{i}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + i, 30), (10 * i, 0, 255)).save(path)
    whole, streamed = (load(f"images:real?size=8{more}") for more in ("", "&stream"))
    assert same(trained(whole), trained(streamed))


def test_imagenet_has_to_be_there() -> None:
    with pytest.raises(
        UserError, match=r"data set 'imagenet': found none of the files train, val.*put there by hand"
    ):
        load("imagenet", Path("nowhere"))
