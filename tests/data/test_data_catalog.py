"""Data sets by name: the embedded one, where files are looked for, and the real ones where they lie."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from support.data_files import small_mnist, write_idx
from tombola.data.catalog import load, locations
from tombola.data.dataset import DATASETS
from tombola.data.locate import data_folder
from tombola.data.resident import statistics
from tombola.errors import UserError


def test_the_names_are_those_of_the_plan_and_each_has_a_line():
    assert {"digits", "mnist", "fashion-mnist", "kmnist", "cifar10", "cifar100"} <= set(DATASETS)
    assert all(DATASETS.describe(name) for name in DATASETS)


def test_digits_are_complete_and_in_scikit_learns_order():
    from sklearn.datasets import load_digits

    data, (images, labels) = load("digits"), load_digits(return_X_y=True)
    assert (data.shape, data.classes, data.peak) == ((1, 8, 8), 10, 16.0)
    assert (data.train_x.dtype, len(data.train_y), len(data.test_y)) == (torch.uint8, 1437, 360)
    rng = np.random.Generator(np.random.Philox(key=digits_key()))
    test = np.sort(rng.permutation(1797)[:360])
    assert np.array_equal(data.test_x.flatten(1).numpy(), images[test])
    assert np.array_equal(data.test_y.numpy(), labels[test])
    assert np.array_equal(data.train_x.flatten(1).numpy(), np.delete(images, test, axis=0))
    assert np.array_equal(data.train_y.numpy(), np.delete(labels, test))


def digits_key() -> int:
    """The stream of the names "digits", "test" as DESIGN defines it: 128 bits of SHA-256 over the path."""
    import hashlib

    return int.from_bytes(hashlib.sha256(b'["digits","test"]').digest()[:16], "little")


def test_the_test_set_of_digits_is_the_same_for_every_seed():
    torch.manual_seed(1)
    first = load("digits").digest
    torch.manual_seed(2)
    np.random.default_rng(3).random(10)
    assert load("digits").digest == first


def test_the_data_directory_is_the_argument_then_the_environment_then_the_cache(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("TOMBOLA_DATA", "/from/environment")
    assert data_folder(Path("given")) == Path("given")
    assert data_folder() == Path("/from/environment")
    monkeypatch.setenv("TOMBOLA_DATA", "")
    assert data_folder() == Path.home() / ".cache" / "tombola"
    monkeypatch.delenv("TOMBOLA_DATA")
    assert data_folder() == Path.home() / ".cache" / "tombola"
    assert data_folder(Path("~/x")) == Path.home() / "x"


def test_load_reads_from_the_environments_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_idx(tmp_path / "mnist", small_mnist())
    monkeypatch.setenv("TOMBOLA_DATA", str(tmp_path))
    assert len(load("mnist").train_y) == 20


def test_missing_data_names_files_folders_and_the_command(tmp_path: Path):
    with pytest.raises(UserError) as missing:
        load("fashion-mnist", tmp_path)
    sentence = str(missing.value)
    for part in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        assert part in sentence
    for folder in ("fashion-mnist", "fashion-mnist/raw", "FashionMNIST/raw"):
        assert str(tmp_path / folder) in sentence
    assert f"`tombola data fetch fashion-mnist --data-dir {tmp_path}`" in sentence


def test_a_missing_data_directory_is_said_to_be_missing(tmp_path: Path):
    with pytest.raises(
        UserError, match=rf"\(the folder {tmp_path / 'none'} does not exist\); `tombola data fetch"
    ):
        load("mnist", tmp_path / "none")


def test_the_command_in_the_sentence_can_be_pasted_into_a_shell(tmp_path: Path):
    with pytest.raises(UserError, match=r"--data-dir '.*my data'`"):
        load("mnist", tmp_path / "my data")


def test_an_incomplete_folder_is_named_rather_than_all_of_them(tmp_path: Path):
    write_idx(tmp_path / "MNIST" / "raw", small_mnist())[1].unlink()
    with pytest.raises(
        UserError, match=r"MNIST/raw lacks train-labels-idx1-ubyte\[\.gz\]; `tombola"
    ) as missing:
        load("mnist", tmp_path)
    assert "t10k" not in str(missing.value)


def test_a_complete_folder_is_taken_behind_an_incomplete_one(tmp_path: Path):
    write_idx(tmp_path / "mnist", small_mnist())[0].unlink()
    write_idx(tmp_path / "MNIST" / "raw", small_mnist(30))
    assert len(load("mnist", tmp_path).train_y) == 30


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("minst", "unknown data set 'minst'; did you mean 'mnist'"),
        ("cifar-10", "unknown data set 'cifar-10'; did you mean 'cifar10'"),
        ("", "unknown data set ''"),
        ("arrays", "handed in from Python"),
        ("idx:", "'idx:' has no path"),
        ("npz:", "'npz:' has no path"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, sentence: str):
    with pytest.raises(UserError, match=sentence):
        load(name)


def test_locations_has_every_data_set_with_its_folder_or_what_is_missing(tmp_path: Path):
    write_idx(tmp_path / "MNIST" / "raw", small_mnist())
    write_idx(tmp_path / "kmnist", small_mnist())[2].unlink()
    places = dict(locations(tmp_path))
    assert set(places) == set(DATASETS)
    assert places["digits"] == "built in"
    assert places["mnist"] == str(tmp_path / "MNIST" / "raw")
    assert places["kmnist"].startswith("missing: ")
    assert places["cifar10"].startswith("missing: ")
    assert "cifar-10-batches-py" in places["cifar10"]
    assert str(tmp_path) in places["cifar10"]


# name, training size, mean and deviation on the scale 0..1, as the community quotes them
REAL = [
    ("mnist", 60_000, [0.1307], [0.3081]),
    ("fashion-mnist", 60_000, [0.2860], [0.3530]),
    ("cifar10", 50_000, [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
]


@pytest.mark.parametrize(("name", "size", "mean", "deviation"), REAL)
def test_the_real_data_have_the_known_sizes_and_statistics(
    name: str, size: int, mean: list[float], deviation: list[float]
):
    if not os.environ.get("TOMBOLA_DATA"):
        pytest.skip(f"TOMBOLA_DATA is not set: the real {name} was not tested")
    if dict(locations())[name].startswith("missing"):
        pytest.skip(f"{name} is not in $TOMBOLA_DATA: the real one was not tested")
    data = load(name)
    assert (len(data.train_y), len(data.test_y)) == (size, 10_000)
    # MNIST alone has classes of different sizes: 980 zeros and 1,135 ones in its test set
    expected = [980, 1135] if name == "mnist" else [1000, 1000]
    assert torch.bincount(data.test_y)[:2].tolist() == expected
    shift, scale = statistics(data, "standard")
    assert (shift / 255).tolist() == pytest.approx(mean, abs=6e-5)
    assert (scale / 255).tolist() == pytest.approx(deviation, abs=6e-5)


def test_digits_in_the_shape_of_mnist_are_the_same_images_each_pixel_three_by_three() -> None:
    small, large = load("digits"), load("digits-28")
    assert large.shape == (1, 28, 28)
    assert torch.equal(large.test_y, small.test_y)
    assert torch.equal(large.train_x[:, :, 2:26:3, 3:26:3], small.train_x)
    assert int(large.train_x.sum()) == 9 * int(small.train_x.sum())
    assert int(large.train_x[:, :, :2].sum()) == int(large.train_x[..., 26:].sum()) == 0
