"""Where the files of a data set are looked for, and the sentence for when they are not there."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tombola.errors import UserError


def data_folder(data_dir: Path | None = None) -> Path:
    """The data directory: the one given (`--data-dir`), else $TOMBOLA_DATA, else ~/.cache/tombola."""
    return Path(data_dir or os.environ.get("TOMBOLA_DATA") or "~/.cache/tombola").expanduser()


@dataclass(frozen=True)
class Wanted:
    """One file or folder that is needed: how messages call it, and the spellings that are accepted, best first."""

    shown: str
    spellings: tuple[str, ...]

    def inside(self, folder: Path) -> Path | None:
        """The first spelling that is in the folder."""
        return next((folder / name for name in self.spellings if (folder / name).exists()), None)


@dataclass(frozen=True)
class Place:
    """The files of a data set and the folders below the data directory that may hold them, in order."""

    name: str
    folders: tuple[str, ...]
    files: tuple[Wanted, ...]
    fetchable: bool = True

    def find(self, data_dir: Path) -> list[Path]:
        """The paths of all files, in the order of `files`, from the first folder that has them all.

        Raises UserError that names what is missing, the folders searched and the command that downloads it.
        """
        for folder in self._searched(data_dir):
            paths = [file.inside(folder) for file in self.files]
            if None not in paths:
                return [path for path in paths if path is not None]
        raise UserError(f"data set '{self.name}': {self._missing(data_dir)}{self._remedy(data_dir)}")

    def where(self, data_dir: Path) -> str:
        """The folder that holds the files, or `missing: ` and why, for a listing."""
        try:
            return str(self.find(data_dir)[0].parent)
        except UserError:
            return f"missing: not complete in {_listed(self.folders)} of {data_dir}{self._remedy(data_dir)}"

    def _searched(self, data_dir: Path) -> list[Path]:
        return [data_dir / folder for folder in self.folders]

    def _missing(self, data_dir: Path) -> str:
        fullest = max(
            self._searched(data_dir), key=lambda folder: len(self.files) - len(self._lacking(folder))
        )
        lacking = self._lacking(fullest)
        if len(lacking) < len(self.files):
            return f"the folder {fullest} lacks {_listed(lacking)}"
        return (
            f"found none of the files {_listed(file.shown for file in self.files)} "
            f"in {_listed(str(folder) for folder in self._searched(data_dir))}"
            f"{'' if data_dir.is_dir() else f' (the folder {data_dir} does not exist)'}"
        )

    def _lacking(self, folder: Path) -> list[str]:
        return [file.shown for file in self.files if file.inside(folder) is None]

    def _remedy(self, data_dir: Path) -> str:
        if not self.fetchable:
            return "; it has to be put there by hand"
        return f"; `tombola data fetch {self.name} --data-dir {shlex.quote(str(data_dir))}` downloads it"


def idx_files(ranks: Iterable[int] = (3,)) -> tuple[Wanted, ...]:
    """Training images and labels, test images and labels of an IDX data set; `ranks` are the images'."""
    return tuple(
        _idx_file(f"{part}-{kind}", ranks if kind == "images" else (1,))
        for part in ("train", "t10k")
        for kind in ("images", "labels")
    )


def _idx_file(stem: str, ranks: Iterable[int]) -> Wanted:
    # Plain before .gz: it is the faster one to read where a folder has both.
    names = [f"{stem}{dot}idx{rank}-ubyte" for rank in ranks for dot in "-."]
    return Wanted(f"{names[0]}[.gz]", tuple(name + end for end in ("", ".gz") for name in names))


def _batches(*names: str) -> tuple[Wanted, ...]:
    return tuple(Wanted(name, (name,)) for name in names)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


# Below each name: our own folder first, then the one that torchvision makes.
PLACES: dict[str, Place] = {
    place.name: place
    for place in (
        Place("mnist", ("mnist", "mnist/raw", "MNIST/raw"), idx_files()),
        Place("fashion-mnist", ("fashion-mnist", "fashion-mnist/raw", "FashionMNIST/raw"), idx_files()),
        Place("kmnist", ("kmnist", "kmnist/raw", "KMNIST/raw"), idx_files()),
        Place(
            "cifar10",
            ("cifar-10-batches-py", "cifar10/cifar-10-batches-py"),
            _batches(*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"),
        ),
        Place("cifar100", ("cifar-100-python", "cifar100/cifar-100-python"), _batches("train", "test")),
        Place("imagenet", ("imagenet", "ILSVRC/Data/CLS-LOC"), _batches("train", "val"), fetchable=False),
    )
}
