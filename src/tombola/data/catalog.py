"""The data sets by name. A new one is a function here (or anywhere that is imported) under a decorator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tombola.data.arrays import read_npz
from tombola.data.cifar import read_cifar
from tombola.data.dataset import DATASETS, Dataset, Raw
from tombola.data.hugging_face import read_hugging_face
from tombola.data.idx import read_idx_dataset, read_idx_folder
from tombola.data.image_folder import read_image_folder
from tombola.data.locate import PLACES, data_folder
from tombola.data.own_files import read_csv
from tombola.errors import UserError, nearest
from tombola.seeds import stream

DIGITS_TEST = 360  # a fifth of the 1,797 images

READERS: Mapping[str, Callable[[str, str], Dataset]] = {
    "csv": read_csv,
    "hf": read_hugging_face,
    "idx": lambda name, path: read_idx_folder(name, Path(path).expanduser()),
    "images": read_image_folder,
    "npz": lambda name, path: read_npz(name, Path(path).expanduser()),
}
"""What a name of a data set in files begins with -> what reads it, given the name and what follows the colon."""


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """The data set of a name: a registered one, one in files (`READERS`), or a path that ends in .npz.

    data_dir: where registered ones are looked for; None takes $TOMBOLA_DATA, else ~/.cache/tombola. A path in
    a name is relative to the working directory. Raises UserError when it is unknown, missing or broken.
    """
    kind, colon, path = name.partition(":")
    if colon and kind in READERS:
        if not path:
            raise UserError(f"data name '{name}' has no path; expected '{kind}:PATH'")
        return READERS[kind](name, path)
    if name in DATASETS:
        return DATASETS[name](data_dir)
    if name.endswith(".npz"):
        return read_npz(name, Path(name).expanduser())
    if name == "arrays":
        raise UserError("the data set 'arrays' is handed in from Python; it cannot be loaded by name")
    in_files = (f"{kind}:PATH" for kind in READERS)
    raise UserError(f"unknown data set '{name}'{nearest(name, [*DATASETS, *in_files])}")


def locations(data_dir: Path | None = None) -> list[tuple[str, str]]:
    """For each registered data set its name and where it lies: a folder, `built in`, or `missing: ` and why.

    Looks for the files without reading them.
    """
    folder = data_folder(data_dir)
    return [(name, PLACES[name].where(folder) if name in PLACES else "built in") for name in DATASETS]


@DATASETS.register("digits")
def digits(data_dir: Path | None = None) -> Dataset:
    """Handwritten digits 1x8x8 that come with scikit-learn: 1,437 + 360 images, works offline."""
    from sklearn.datasets import load_digits  # takes a second, so only where it is asked for

    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(images.astype(np.uint8).reshape(-1, 1, 8, 8))
    y = torch.from_numpy(labels.astype(np.int64))
    # Not from a study's seed: the test set is the same for all.
    in_test = torch.zeros(len(x), dtype=torch.bool)
    in_test[torch.from_numpy(stream("digits", "test").permutation(len(x))[:DIGITS_TEST])] = True
    return Dataset(
        "digits", x[~in_test], y[~in_test], x[in_test], y[in_test], classes=10, peak=16.0, known=True
    )


@DATASETS.register("digits-28")
def digits_28(data_dir: Path | None = None) -> Dataset:
    """The digits in the shape of MNIST, 1x28x28: each pixel 3x3 of its kind, and a border of 2 pixels of 0."""
    small = digits(data_dir)

    def large(x: Raw) -> torch.Tensor:
        assert isinstance(x, torch.Tensor)
        return torch.nn.functional.pad(x.repeat_interleave(3, 2).repeat_interleave(3, 3), (2, 2, 2, 2))

    return replace(small, name="digits-28", train_x=large(small.train_x), test_x=large(small.test_x))


@DATASETS.register("mnist")
def mnist(data_dir: Path | None = None) -> Dataset:
    """Handwritten digits 1x28x28: 60,000 + 10,000 images (LeCun et al. 1998)."""
    return _idx("mnist", data_dir)


@DATASETS.register("fashion-mnist")
def fashion_mnist(data_dir: Path | None = None) -> Dataset:
    """Articles of clothing 1x28x28: 60,000 + 10,000 images (Xiao et al. 2017)."""
    return _idx("fashion-mnist", data_dir)


@DATASETS.register("kmnist")
def kmnist(data_dir: Path | None = None) -> Dataset:
    """Cursive Japanese characters 1x28x28: 60,000 + 10,000 images (Clanuwat et al. 2018)."""
    return _idx("kmnist", data_dir)


@DATASETS.register("cifar10")
def cifar10(data_dir: Path | None = None) -> Dataset:
    """Photographs 3x32x32 of 10 classes: 50,000 + 10,000 images (Krizhevsky 2009)."""
    return read_cifar("cifar10", _files("cifar10", data_dir), label_key="labels", classes=10)


@DATASETS.register("cifar100")
def cifar100(data_dir: Path | None = None) -> Dataset:
    """Photographs 3x32x32 of 100 classes: 50,000 + 10,000 images (Krizhevsky 2009)."""
    return read_cifar("cifar100", _files("cifar100", data_dir), label_key="fine_labels", classes=100)


@DATASETS.register("imagenet")
def imagenet(data_dir: Path | None = None) -> Dataset:
    """Photographs of 1,000 classes, a folder each: 1,281,167 + 50,000 images (Russakovsky et al. 2015), which stay in
    their files; 3x224x224 when they are decoded."""
    train, _ = _files("imagenet", data_dir)
    return read_image_folder("imagenet", f"{train.parent}?size=224&stream")


def _files(name: str, data_dir: Path | None) -> list[Path]:
    return PLACES[name].find(data_folder(data_dir))


def _idx(name: str, data_dir: Path | None) -> Dataset:
    return read_idx_dataset(name, _files(name, data_dir), classes=10, shape=(1, 28, 28))
