"""Downloads, from files on this machine: checked before they are written, never over what is there."""

from __future__ import annotations

import hashlib
import io
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from support.data_files import small_mnist, write_cifar10, write_idx
from tombola.data.catalog import load
from tombola.data.dataset import DATASETS
from tombola.data.download import SOURCES, Source, fetch
from tombola.data.locate import PLACES
from tombola.errors import UserError


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A publisher of a small MNIST; returns its folder."""
    paths = write_idx(tmp_path / "publisher", small_mnist())
    source = Source((f"file://{tmp_path}/publisher/",), {path.name: md5(path) for path in paths})
    monkeypatch.setitem(SOURCES, "mnist", source)
    return tmp_path / "publisher"


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A publisher of a small CIFAR-10 in a tar file that also holds a readme; returns its folder."""
    paths = write_cifar10(tmp_path / "publisher" / "batches")
    archive = tmp_path / "publisher" / "cifar.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in paths:
            tar.add(path, f"cifar-10-batches-py/{path.name}")
        readme = tarfile.TarInfo("../../readme.html")
        readme.size = 4
        tar.addfile(readme, io.BytesIO(b"text"))
    files = {path.name: md5(path) for path in paths}
    source = Source((f"file://{tmp_path}/publisher/",), files, (archive.name, md5(archive)))
    monkeypatch.setitem(SOURCES, "cifar10", source)
    return archive


def refuse_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("something was downloaded")

    monkeypatch.setattr(urllib.request, "urlopen", opened)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_is_fetched_is_found(tmp_path: Path, mnist: Path):
    paths = fetch("mnist", tmp_path / "data")
    assert {path.name for path in paths} == {path.name for path in mnist.iterdir()}
    assert sorted(files_below(tmp_path / "data")) == sorted(paths)
    assert len(load("mnist", tmp_path / "data").train_y) == 20


def test_an_archive_is_unpacked_into_the_files_alone(tmp_path: Path, cifar: Path):
    paths = fetch("cifar10", tmp_path / "data")
    assert sorted(files_below(tmp_path / "data")) == sorted(paths)
    assert len(load("cifar10", tmp_path / "data").train_y) == 20
    assert not list(tmp_path.rglob("readme.html"))


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_nothing_is_downloaded_twice(
    tmp_path: Path, mnist: Path, cifar: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    first = fetch(name, tmp_path / "data")
    refuse_the_network(monkeypatch)
    assert fetch(name, tmp_path / "data") == first


def test_what_another_program_downloaded_is_used(
    tmp_path: Path, mnist: Path, monkeypatch: pytest.MonkeyPatch
):
    write_idx(tmp_path / "data" / "MNIST" / "raw", small_mnist())
    for path in mnist.iterdir():  # gzip writes the time into the file
        (tmp_path / "data" / "MNIST" / "raw" / path.name).write_bytes(path.read_bytes())
    refuse_the_network(monkeypatch)
    assert {path.parent for path in fetch("mnist", tmp_path / "data")} == {
        tmp_path / "data" / "MNIST" / "raw"
    }


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_only_what_is_missing_is_written(tmp_path: Path, mnist: Path, cifar: Path, name: str):
    paths = fetch(name, tmp_path / "data")
    kept = paths[0].stat().st_mtime_ns, paths[0].stat().st_ino
    paths[2].unlink()
    assert fetch(name, tmp_path / "data") == paths
    assert paths[2].is_file()
    assert (paths[0].stat().st_mtime_ns, paths[0].stat().st_ino) == kept


def test_a_wrong_digest_leaves_nothing_behind(tmp_path: Path, mnist: Path):
    for path in mnist.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        UserError, match=r"cannot download train-images-idx3-ubyte.gz \(file://.*expected [0-9a-f]{32}"
    ):
        fetch("mnist", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_wrong_archive_leaves_nothing_behind(tmp_path: Path, cifar: Path):
    cifar.write_bytes(cifar.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"cannot download cifar.tar.gz"):
        fetch("cifar10", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_next_mirror_is_asked(tmp_path: Path, mnist: Path, monkeypatch: pytest.MonkeyPatch):
    source = SOURCES["mnist"]
    monkeypatch.setitem(
        SOURCES, "mnist", Source((f"file://{tmp_path}/gone/", *source.addresses), source.files)
    )
    assert len(fetch("mnist", tmp_path / "data")) == 4


def test_an_unreachable_publisher_is_a_sentence(tmp_path: Path, mnist: Path):
    (mnist / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"cannot download train-labels-idx1-ubyte.gz \(file://"):
        fetch("mnist", tmp_path / "data")
    # the image file came before: whole, and kept for the next attempt
    assert [path.name for path in files_below(tmp_path / "data")] == ["train-images-idx3-ubyte.gz"]


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_file_of_the_users_is_never_replaced_nor_refused(
    tmp_path: Path, mnist: Path, cifar: Path, name: str
):
    paths = fetch(name, tmp_path / "data")
    if name == "mnist":
        write_idx(paths[0].parent, small_mnist(40))
    else:
        paths[0].write_bytes(paths[1].read_bytes())
    mine = paths[0].read_bytes()
    with pytest.raises(
        UserError, match=f"{paths[0].name}: not the published file .* never replaced; move it away"
    ):
        fetch(name, tmp_path / "data")
    assert paths[0].read_bytes() == mine
    load(name, tmp_path / "data")  # no digest is asked of it here


def test_progress_is_told(tmp_path: Path, mnist: Path):
    told: list[tuple[str, int, int]] = []
    fetch("mnist", tmp_path / "data", progress=lambda *what: told.append(what))
    size = (mnist / "train-images-idx3-ubyte.gz").stat().st_size
    assert told[0] == ("train-images-idx3-ubyte.gz", size, size)
    assert len(told) == 4


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("digits", "'digits' is built in; there is nothing to download"), ("minst", "did you mean 'mnist'")],
)
def test_a_name_without_a_download_is_a_sentence(tmp_path: Path, name: str, sentence: str):
    with pytest.raises(UserError, match=sentence):
        fetch(name, tmp_path)


def test_every_source_delivers_just_what_its_reader_looks_for():
    assert set(SOURCES) == {name for name, place in PLACES.items() if place.fetchable} <= set(DATASETS)
    for name, source in SOURCES.items():
        spellings = [file.spellings for file in PLACES[name].files]
        assert len(source.files) == len(spellings)
        assert all(file in accepted for file, accepted in zip(source.files, spellings, strict=True))
