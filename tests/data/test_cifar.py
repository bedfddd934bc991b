"""CIFAR batches: read whatever wrote them, refused when broken or when they are more than data."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.data_files import cifar_batch, write_cifar10
from tombola.data.catalog import load
from tombola.data.cifar import read_batch
from tombola.errors import UserError


@pytest.mark.parametrize("folder", ["cifar-10-batches-py", "cifar10/cifar-10-batches-py"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_batches_are_joined_in_order_and_the_last_is_the_test_set(tmp_path: Path, folder: str, protocol: int):
    write_cifar10(tmp_path / folder, protocol)
    data = load("cifar10", tmp_path)
    assert (data.classes, data.shape, len(data.train_y), len(data.test_y)) == (10, (3, 32, 32), 20, 4)
    for k in range(5):
        pixels = cifar_batch(seed=k)["data"].reshape(4, 3, 32, 32)
        assert np.array_equal(data.train_x[4 * k : 4 * k + 4].numpy(), pixels)
    assert np.array_equal(data.test_x.numpy(), cifar_batch(seed=5)["data"].reshape(4, 3, 32, 32))
    assert data.train_y.tolist() == [0, 1, 2, 3] * 5


def test_a_row_is_the_red_the_green_then_the_blue_image_row_by_row(tmp_path: Path):
    row = np.repeat(np.array([10, 20, 30], np.uint8), 1024)
    row[1] = 11  # red, first image row, second column
    row[1024 + 32] = 21  # green, second image row, first column
    (tmp_path / "b").write_bytes(pickle.dumps({"data": row[np.newaxis], "labels": [7]}, protocol=2))
    x, y = read_batch(tmp_path / "b", "labels", 10)
    assert (x[0, 0, 0, 1], x[0, 1, 1, 0], x[0, 2].min(), x[0, 2].max(), y.tolist()) == (11, 21, 30, 30, [7])


def python_2_pickle() -> bytes:
    """A batch of one grey image with label 3, in the opcodes that Python 2 wrote the published files with."""
    data = b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03K\x03aU\x04dataq\x04"
    data += b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07"
    data += b"(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87Rq\x09"
    data += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    return data + b"T" + (3072).to_bytes(4, "little") + b"\x80" * 3072 + b"tbu."


def test_the_published_files_were_written_by_python_2_and_are_read(tmp_path: Path):
    (tmp_path / "b").write_bytes(python_2_pickle())
    x, y = read_batch(tmp_path / "b", "labels", 10)
    assert (x.shape, int(x.min()), int(x.max()), y.tolist()) == ((1, 3, 32, 32), 128, 128, [3])


def test_cifar100_takes_the_fine_labels(tmp_path: Path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test"):
        batch = cifar_batch(key="fine_labels") | {
            "fine_labels": [99, 0, 50, 7],
            "coarse_labels": [1, 2, 3, 4],
        }
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    data = load("cifar100", tmp_path)
    assert (data.classes, data.train_y.tolist()) == (100, [99, 0, 50, 7])


class Malicious:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harmed",)


class Evaluating:
    def __reduce__(self) -> Any:
        return eval, ("__import__('os').mkdir('harmed')",)


@pytest.mark.parametrize("what", [Malicious(), Evaluating()])
def test_a_pickle_that_is_more_than_data_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: object
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").write_bytes(pickle.dumps(cifar_batch(extra=what), protocol=2))
    with pytest.raises(UserError, match=r"b: not a readable CIFAR python batch \(it asks for .*not data\)"):
        read_batch(tmp_path / "b", "labels", 10)
    assert not (tmp_path / "harmed").exists()


def test_arrays_of_objects_are_refused(tmp_path: Path):
    (tmp_path / "b").write_bytes(pickle.dumps(cifar_batch(extra=np.array([{}], dtype=object)), protocol=2))
    with pytest.raises(UserError, match="it holds an array of type object"):
        read_batch(tmp_path / "b", "labels", 10)


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        ([1, 2], "a list found; expected a CIFAR python batch"),
        ({"labels": [0]}, "no 'data' in this batch; it has labels"),
        (cifar_batch(key="fine_labels"), "no 'labels' in this batch; it has data, fine_labels"),
        (cifar_batch(data=np.zeros((4, 3071), np.uint8)), r"uint8 \[4, 3071\]; expected uint8 \[n, 3072\]"),
        (cifar_batch(data=np.zeros((4, 3072), np.int64)), r"int64 \[4, 3072\]; expected uint8"),
        (cifar_batch(data=[1, 2]), "'data' is list"),
        (cifar_batch(labels=[0, 1, 2]), r"\[3\] for 4 images"),
        (cifar_batch(labels=[0, 1, 2, 0.5]), "'labels' is float64"),
        (cifar_batch(labels=[0, [1, 2], 2, 0]), "'labels' is not a list of numbers"),
        (cifar_batch(n=0), "at least one image"),
        (cifar_batch(labels=[0, 1, 10, 2]), "'labels' has label 10 in row 2; expected 0 to 9"),
        (cifar_batch(labels=[-1, 1, 1, 2]), "'labels' has label -1 in row 0"),
    ],
)
def test_a_wrong_batch_is_named_with_what_is_wrong(tmp_path: Path, batch: object, sentence: str):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=4))
    with pytest.raises(UserError, match=f"data_batch_1: .*{sentence}"):
        read_batch(tmp_path / "data_batch_1", "labels", 10)


def test_every_truncation_is_a_sentence(tmp_path: Path):
    whole = python_2_pickle()
    path = tmp_path / "data_batch_1"
    for length in (*range(0, 200, 3), len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="data_batch_1: "):
            read_batch(path, "labels", 10)


def test_a_missing_batch_is_named(tmp_path: Path):
    write_cifar10(tmp_path / "cifar-10-batches-py")[3].unlink()
    with pytest.raises(
        UserError, match=r"cifar-10-batches-py lacks data_batch_4; `tombola data fetch cifar10"
    ):
        load("cifar10", tmp_path)
