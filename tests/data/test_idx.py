"""IDX files: every way of writing them is read, and every way of breaking them is named."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from support.data_files import idx_bytes, small_mnist, write_idx
from tombola.data.catalog import load
from tombola.data.idx import read_idx
from tombola.errors import UserError


@pytest.mark.parametrize("zipped", [True, False])
def test_bytes_are_read_in_order(tmp_path: Path, zipped: bool):
    # 0x0803, then 2 x 1 x 3 big-endian, then the six numbers: written by hand, not by our writer
    data = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 250, 251, 252])
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(data, mtime=0) if zipped else data)
    assert read_idx(path, (3,)).tolist() == [[[1, 2, 3]], [[250, 251, 252]]]


@pytest.mark.parametrize("folder", ["mnist", "mnist/raw", "MNIST/raw"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("separator", ["-", "."])
def test_mnist_is_found_as_its_publisher_and_torchvision_lay_it_out(
    tmp_path: Path, folder: str, zipped: bool, separator: str
):
    arrays = small_mnist()
    write_idx(tmp_path / folder, arrays, zipped, separator)
    data = load("mnist", tmp_path)
    assert (data.name, data.classes, data.peak, data.shape) == ("mnist", 10, 255.0, (1, 28, 28))
    for part, array in zip(
        (data.train_x[:, 0], data.train_y, data.test_x[:, 0], data.test_y), arrays, strict=True
    ):
        assert np.array_equal(part.numpy(), array)


@pytest.mark.parametrize(
    ("name", "folder"), [("fashion-mnist", "FashionMNIST/raw"), ("kmnist", "KMNIST/raw")]
)
def test_the_relatives_of_mnist_are_found_too(tmp_path: Path, name: str, folder: str):
    write_idx(tmp_path / folder, small_mnist())
    assert load(name, tmp_path).name == name


def test_any_folder_is_read_and_its_classes_counted(tmp_path: Path):
    x = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    write_idx(tmp_path / "mine", (x, np.array([2, 0, 1, 2]), x[:2], np.array([1, 1])))
    data = load(f"idx:{tmp_path / 'mine'}")
    assert (data.classes, data.shape, data.train_y.tolist()) == (3, (1, 2, 3), [2, 0, 1, 2])


@pytest.mark.parametrize(("shape", "expected"), [((4, 5), (5,)), ((4, 3, 2, 2), (3, 2, 2))])
def test_a_folder_may_hold_features_or_images_with_channels(
    tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]
):
    x = np.zeros(shape, np.uint8)
    write_idx(tmp_path, (x, np.array([0, 1, 0, 1]), x, np.array([0, 1, 0, 1])), zipped=False)
    assert load(f"idx:{tmp_path}").shape == expected


IMAGES = idx_bytes(np.zeros((2, 3, 4), np.uint8))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "0 bytes, too short"),
        (IMAGES[:10], "10 bytes, cut off in the header; expected 16 bytes"),
        (IMAGES[:-1], r"23 bytes after the header; expected 2 x 3 x 4 = 24 \(truncated\)"),
        (IMAGES + b"x", r"more than 24 bytes after the header; expected 2 x 3 x 4 = 24 \(too long\)"),
        (idx_bytes(np.zeros(5)), r"0x00000801 \(labels\) found; expected 0x00000803"),
        (b"\x00\x00\x0d\x03" + IMAGES[4:], r"0x00000d03 \(numbers that are not unsigned bytes\)"),
        (b"<!DOCTYPE html>", r"0x3c21444f \(not an IDX file\)"),
        (idx_bytes(np.zeros((0, 3, 4))), "the header says 0 x 3 x 4"),
        (gzip.compress(IMAGES, mtime=0)[:-10], "the gzip data is truncated"),
        (gzip.compress(IMAGES, mtime=0)[:-6] + b"\0\0\0\0\0\0", "cannot be read"),
        (b"\x1f\x8b\x08\x00 not gzip at all", "cannot be read"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path: Path, data: bytes, sentence: str):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"train-images-idx3-ubyte: .*{sentence}"):
        read_idx(path, (3,))


def bomb(header: bytes) -> bytes:
    """A gzip file of 1 GiB of zeros after a header, in 1 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    return b"".join(
        [packer.compress(header), *(packer.compress(zeros) for _ in range(1 << 10)), packer.flush()]
    )


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (IMAGES[:16], r"more than 24 bytes after the header; expected 2 x 3 x 4 = 24 \(too long\)"),
        (b"", r"magic number 0x00000000 \(numbers that are not unsigned bytes\) found"),
    ],
)
def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: bytes, sentence: str
):
    (tmp_path / "a").write_bytes(bomb(header))
    tracemalloc.start()
    with pytest.raises(UserError, match=sentence):
        read_idx(tmp_path / "a", (3,))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 25


def test_a_promise_of_terabytes_takes_the_memory_of_what_is_there(tmp_path: Path):
    promise = IMAGES[:4] + (1 << 20).to_bytes(4, "big") * 2 + (1 << 10).to_bytes(4, "big") + bytes(100)
    for data in (promise, gzip.compress(promise, mtime=0)):
        (tmp_path / "a").write_bytes(data)
        with pytest.raises(
            UserError, match=r"100 bytes after the header; .* = 1125899906842624 \(truncated\)"
        ):
            read_idx(tmp_path / "a", (3,))


def test_what_does_not_fit_in_memory_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a").write_bytes(IMAGES)

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("tombola.data.idx._numbers", full)
    with pytest.raises(UserError, match="a: does not fit in memory"):
        read_idx(tmp_path / "a", (3,))


def test_an_unreadable_path_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=f"{tmp_path}: cannot be read"):
        read_idx(tmp_path, (3,))


@pytest.mark.parametrize(
    ("position", "array", "sentence"),
    [
        (
            1,
            np.arange(19) % 10,
            "train-labels-idx1-ubyte.gz: 19 labels found; expected 20, one for each image of",
        ),
        (3, np.arange(11) % 10, "t10k-labels-idx1-ubyte.gz: 11 labels found; expected 10"),
        (1, np.full(20, 10), "train-labels-idx1-ubyte.gz: label 10 of row 0 found; expected 0 to 9"),
        (
            3,
            np.array([0] * 9 + [255]),
            "t10k-labels-idx1-ubyte.gz: label 255 of row 9 found; expected 0 to 9",
        ),
        (
            2,
            np.zeros((10, 28, 27)),
            r"t10k-images-idx3-ubyte.gz: .*\[1, 28, 27\] found; expected \[1, 28, 28\]",
        ),
        (
            0,
            np.zeros((20, 14, 14)),
            r"train-images-idx3-ubyte.gz: .*\[1, 14, 14\] found; expected \[1, 28, 28\]",
        ),
    ],
)
def test_files_that_do_not_fit_together_are_named(
    tmp_path: Path, position: int, array: np.ndarray, sentence: str
):
    arrays = list(small_mnist())
    arrays[position] = array
    write_idx(tmp_path / "mnist", tuple(arrays))
    with pytest.raises(UserError, match=sentence):
        load("mnist", tmp_path)


def test_images_and_labels_that_are_swapped_are_named(tmp_path: Path):
    images, labels, _, _ = write_idx(tmp_path / "mnist", small_mnist())
    swapped = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    labels.write_bytes(swapped)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz: magic number 0x00000801 \(labels\)"):
        load("mnist", tmp_path)


@pytest.mark.parametrize(
    ("train_y", "test_y", "sentence"),
    [
        ([0, 1, 3, 0], [0, 1], "train-labels.*go up to 3 but no example has label 2"),
        ([1, 2, 1, 2], [1, 2], "train-labels.*no example has label 0"),
        ([0, 1, 0, 1], [0, 2], "t10k-labels.*label 2 of row 1 found; expected 0 to 1"),
    ],
)
def test_labels_of_any_folder_must_be_contiguous(
    tmp_path: Path, train_y: list[int], test_y: list[int], sentence: str
):
    write_idx(tmp_path, (np.zeros((4, 2, 2)), np.array(train_y), np.zeros((2, 2, 2)), np.array(test_y)))
    with pytest.raises(UserError, match=sentence):
        load(f"idx:{tmp_path}")


def test_an_incomplete_folder_of_the_users_is_named_without_a_download(tmp_path: Path):
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\[\.gz\]") as missing:
        load(f"idx:{tmp_path / 'none'}")
    assert "fetch" not in str(missing.value)
