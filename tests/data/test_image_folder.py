"""Folders of images: a folder a class; and what Pillow makes of images of every sort, and of damaged ones."""

from __future__ import annotations

import importlib.util
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tombola.data.catalog import load
from tombola.data.dataset import Dataset
from tombola.data.image_folder import read_image_folder
from tombola.errors import UserError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def image(path: str, pixels: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(b"")
    np.save(f"{path}.npy", np.array(pixels, dtype=np.uint8))


def decode(path: Path, size: int | None, bits: int | None) -> Any:
    """Stands for Pillow."""
    return np.load(f"{path}.npy")


def test_a_folder_of_images() -> None:
    grey, red = (
        np.arange(6).reshape(2, 3),
        np.stack([np.full((2, 3), 9), np.zeros((2, 3)), np.zeros((2, 3))], 2),
    )
    image("pics/train/ant/1.png", grey)
    image("pics/train/bee/1.PNG", red)
    image("pics/test/bee/2.jpg", red)
    Path("pics/train/bee/notes.txt").write_text("no image")
    data = read_image_folder("images:pics", "pics", decode)
    assert (data.shape, data.train_y.tolist(), data.test_y.tolist()) == ((3, 2, 3), [0, 1], [1])
    assert data.train_x[0].tolist() == [grey.tolist()] * 3, "grey among coloured ones"
    assert data.test_x[0, 0].tolist() == [[9] * 3] * 2
    assert data.train_x.dtype == torch.uint8


def test_a_folder_without_parts_is_split() -> None:
    for name in "ab":
        for i in range(10):
            image(f"pics/{name}/{i}.png", np.full((2, 2), i))
    data = read_image_folder("images:pics", "pics", decode)
    assert (data.shape, len(data.train_x), len(data.test_x)) == ((1, 2, 2), 16, 4)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "pics: no such folder"),
        ({"pics/train/a/1.png": (2, 2)}, "pics: has 'train' alone; expected 'train' and 'test'"),
        (
            {"pics/train/a/1.png": (2, 2), "pics/test/b/1.png": (2, 2)},
            "pics/test/b: no training images of this class",
        ),
        (
            {"pics/a/1.png": (2, 2), "pics/b/1.png": (2, 3)},
            "pics/b/1.png: 2 x 3 pixels, and pics/a/1.png has 2 x 2",
        ),
        ({"pics/1.png": (2, 2)}, "pics: no images in folders of classes"),
    ],
)
def test_a_folder_that_does_not_fit_is_named(files: dict[str, tuple[int, ...]], said: str) -> None:
    for path, shape in files.items():
        image(path, np.zeros(shape))
    with pytest.raises(UserError, match=said):
        read_image_folder("images:pics", "pics", decode)


def test_without_pillow_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    image("pics/a/1.png", np.zeros((2, 2)))
    with pytest.raises(UserError, match=r"Pillow, which is not installed: pip install 'tombola\[images\]'"):
        load("images:pics")


def test_images_of_two_depths_are_named() -> None:
    image("pics/a/1.png", np.zeros((2, 2)))
    image("pics/b/1.png", np.zeros((2, 2)))
    deep = Path("pics/b/1.png.npy")
    np.save(deep, np.zeros((2, 2), dtype=np.uint16))
    with pytest.raises(UserError, match=r"pics/b/1.png: pixels are uint16, and those of pics/a/1.png uint8"):
        read_image_folder("images:pics", "pics", decode)


def test_folders_that_are_hidden_hold_no_images() -> None:
    for part in ("train", "test"):
        for name in ("ant", "bee"):
            image(f"pics/{part}/{name}/1.png", np.zeros((2, 2)))
    image("pics/train/.ipynb_checkpoints/1.png", np.ones((2, 2)))
    image("pics/test/.cache/1.png", np.ones((2, 2)))
    image("pics/train/ant/.ipynb_checkpoints/1-checkpoint.png", np.ones((2, 2)))
    data = read_image_folder("images:pics", "pics", decode)
    assert (data.train_y.tolist(), data.test_y.tolist(), int(data.train_x.max())) == ([0, 1], [0, 1], 0)


def test_files_that_are_hidden_are_no_images() -> None:
    for part in ("train", "test"):
        for name in "ab":
            image(f"pics/{part}/{name}/1.png", np.zeros((2, 2)))
    Path("pics/train/a/._1.png").write_bytes(b"of another system")
    assert len(read_image_folder("images:pics", "pics", decode).train_x) == 2


pillow = pytest.mark.skipif(
    importlib.util.find_spec("PIL") is None, reason="Pillow is not installed: images are NOT decoded here"
)
GREY = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
RGB = np.stack([GREY, 255 - GREY, GREY // 2], 2)
DEEP = (np.arange(24).reshape(4, 6) * 2700).astype(np.uint16)


def stored(picture: Any, name: str, **how: Any) -> None:
    """One picture in four files, of two classes."""
    for part in ("train", "test"):
        for label in "ab":
            Path(f"pics/{part}/{label}").mkdir(parents=True, exist_ok=True)
            picture.save(f"pics/{part}/{label}/{name}", **how)


def pixels() -> Any:
    """Those of the first training image, [channels, height, width]."""
    data: Dataset = load("images:pics")
    return data.train_x[0].numpy()


@pillow
def test_what_pillow_reads() -> None:
    from PIL import Image

    last = RGB.transpose(2, 0, 1)
    coloured = {
        "RGB": Image.fromarray(RGB),
        "RGBA": Image.fromarray(np.dstack([RGB, np.full((4, 6), 255, np.uint8)])),
    }
    for picture in coloured.values():
        stored(picture, "1.png")
        assert np.array_equal(pixels(), last)
    few = Image.fromarray(RGB // 128 * 255)
    stored(few.quantize(8), "1.png")
    assert np.array_equal(pixels(), (RGB // 128 * 255).transpose(2, 0, 1)), "colours of a palette"
    for picture in (Image.fromarray(GREY), Image.fromarray(GREY).convert("LA")):
        stored(picture, "1.png")
        assert np.array_equal(pixels(), GREY[None]), "grey stays grey"
    stored(Image.fromarray(GREY > 100), "1.png")
    assert np.array_equal(pixels(), (GREY > 100)[None] * 255)


@pillow
def test_decoding_hides_no_warning_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads decode beside what else runs: a filter for all warnings, put back in another order, would stay."""
    from PIL import Image, ImageOps

    stored(Image.fromarray(GREY), "1.png")
    turn, seen = ImageOps.exif_transpose, list[Any]()

    def watched(image: Any) -> Any:
        seen.extend(each for each in warnings.filters if each[:4] == ("ignore", None, Warning, None))
        return turn(image)

    monkeypatch.setattr(ImageOps, "exif_transpose", watched)
    load("images:pics")
    assert not seen


@pillow
def test_jpeg_is_near() -> None:
    from PIL import Image

    smooth = np.linspace(0, 250, 64 * 64).reshape(64, 64).astype(np.uint8)
    stored(Image.fromarray(smooth), "1.jpg", quality=100)
    assert np.abs(pixels()[0].astype(int) - smooth).max() <= 2
    stored(Image.fromarray(np.stack([smooth] * 3, 2)).convert("CMYK"), "1.jpg", quality=100)
    assert pixels().shape == (3, 64, 64)


@pillow
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_kept(suffix: str) -> None:
    from PIL import Image

    stored(Image.fromarray(DEEP), f"1.{suffix}")
    found = load("images:pics")
    assert found.train_x.dtype == torch.float32
    assert found.train_x[0, 0].tolist() == DEEP.tolist(), "not cut off at 255"


@pillow
def test_an_image_is_turned_as_its_camera_says() -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right
    stored(Image.fromarray(RGB), "1.png", exif=exif)
    assert np.array_equal(pixels(), np.rot90(RGB, -1).transpose(2, 0, 1))


@pillow
def test_what_is_no_plain_image_is_named() -> None:
    from PIL import Image

    clear = np.dstack([RGB, np.full((4, 6), 255, np.uint8)])
    clear[0, 0, 3] = 0
    stored(Image.fromarray(clear), "1.png")
    with pytest.raises(UserError, match=r"pics/train/a/1.png: has transparent pixels; expected opaque ones"):
        load("images:pics")
    for path in Path("pics").rglob("1.png"):
        path.unlink()
    stored(Image.fromarray(GREY), "1.gif", save_all=True, append_images=[Image.fromarray(255 - GREY)])
    with pytest.raises(UserError, match=r"pics/train/a/1.gif: has 2 frames; expected one image a file"):
        load("images:pics")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def of_size(side: int) -> bytes:
    """A PNG that says that it is so large, and is not."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"0"))
        + chunk(b"IEND", b"")
    )


@pillow
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no image",
        lambda data: data[: len(data) // 2],
        lambda data: data[:45] + bytes([data[45] ^ 255]) + data[46:],
        lambda data: of_size(60_000),
        lambda data: of_size(3_000),
    ],
    ids=["empty", "text", "half", "one byte", "bomb", "hollow"],
)
def test_a_damaged_file_is_named(damage: Any) -> None:
    from PIL import Image

    stored(Image.fromarray(np.tile(RGB, (8, 8, 1))), "1.png")
    path = Path("pics/train/b/1.png")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"^pics/train/b/1.png: not a readable image \("):
        load("images:pics")
