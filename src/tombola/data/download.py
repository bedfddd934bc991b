"""Downloads of the public data sets: the only code in Tombola that uses the network, and only when asked.

A download is checked by the digest that its publisher's users have always checked, before anything is
written. Files that a user put there are never replaced.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from tombola.data.dataset import DATASETS
from tombola.data.locate import PLACES, data_folder
from tombola.errors import UserError, nearest
from tombola.files import write_bytes

TIMEOUT = 60.0  # seconds without a byte
CHUNK = 1 << 20

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes received so far and the bytes expected (0: not known)."""


@dataclass(frozen=True)
class Source:
    """Where a data set is published, and the MD5 of each file; `archive` is a tar file that holds them."""

    addresses: tuple[str, ...]  # mirrors, tried in this order
    files: Mapping[str, str]
    archive: tuple[str, str] | None = None  # its name and MD5


SOURCES: dict[str, Source] = {
    "mnist": Source(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion-mnist": Source(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    "kmnist": Source(
        ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
        {
            "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
            "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
            "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
            "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
        },
    ),
    "cifar10": Source(
        ("https://www.cs.toronto.edu/~kriz/",),
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
        archive=("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
    ),
    "cifar100": Source(
        ("https://www.cs.toronto.edu/~kriz/",),
        {"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        archive=("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
    ),
}


def fetch(name: str, data_dir: Path | None = None, progress: Progress | None = None) -> list[Path]:
    """Downloads what is not there yet of a public data set and returns the paths of its files.

    data_dir: None takes $TOMBOLA_DATA, else ~/.cache/tombola. Raises UserError when there is nothing to
    download under this name, a download fails or has the wrong digest (nothing is left behind then), or other
    files lie where it should go.
    """
    source = _source(name)
    below = data_folder(data_dir)
    folders = [below / folder for folder in PLACES[name].folders]
    whole = next(
        (folder for folder in folders if all(_is_right(folder, source, f) for f in source.files)), None
    )
    if whole is not None:
        return [whole / file for file in source.files]
    target = folders[0]
    missing = [file for file in source.files if not (target / file).exists()]
    for file in source.files:
        if file not in missing and not _is_right(target, source, file):
            raise UserError(
                f"{target / file}: not the published file (its MD5 is not {source.files[file]}) and never "
                "replaced; move it away to download it, or use it as it is"
            )
    for file, data in _contents(source, missing, progress):
        write_bytes(target / file, data)
    return [target / file for file in source.files]


def _source(name: str) -> Source:
    if name in SOURCES:
        return SOURCES[name]
    if name in DATASETS:
        raise UserError(f"data set '{name}' is built in; there is nothing to download")
    raise UserError(f"no download for data set '{name}'{nearest(name, SOURCES)}")


def _is_right(folder: Path, source: Source, file: str) -> bool:
    path = folder / file
    return path.is_file() and _md5(path.read_bytes()) == source.files[file]


def _contents(source: Source, files: list[str], progress: Progress | None) -> Iterator[tuple[str, bytes]]:
    """Name and checked contents of each of the files."""
    if source.archive is None:
        for file in files:
            yield file, _download(source, file, source.files[file], progress)
        return
    name, md5 = source.archive
    with tarfile.open(fileobj=io.BytesIO(_download(source, name, md5, progress))) as archive:
        # Members are read, not unpacked: no path in the archive decides where anything is written.
        for member in archive:
            file = Path(member.name).name
            stored = archive.extractfile(member) if member.isfile() and file in files else None
            if stored is not None:
                yield file, stored.read()


def _download(source: Source, file: str, md5: str, progress: Progress | None) -> bytes:
    """The file from the first mirror that serves it whole; UserError with every mirror's trouble."""
    troubles = []
    for address in source.addresses:
        url = address + file
        try:
            data = b"".join(_received(url, file, progress))
        except (OSError, HTTPException) as problem:
            troubles.append(f"{url}: {problem}")
            continue
        if _md5(data) == md5:
            return data
        troubles.append(f"{url}: {len(data)} bytes with MD5 {_md5(data)}; expected {md5}")
    raise UserError(f"cannot download {file} ({'; '.join(troubles)})")


def _received(url: str, file: str, progress: Progress | None) -> Iterator[bytes]:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        expected = int(response.headers.get("Content-Length") or 0)
        received = 0
        while chunk := response.read(CHUNK):
            received += len(chunk)
            if progress is not None:
                progress(file, received, expected)
            yield chunk


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
