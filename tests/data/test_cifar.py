"""CIFAR batches: read whatever wrote them, refused when broken or when they are more than data."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.data_files import cifar_batch, write_cifar10
from tombola.data.catalog import load
from tombola.data.cifar import read_batch
from tombola.data.locate import data_folder
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
    with pytest.raises(UserError, match="it holds an array of type O8"):
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
        (cifar_batch(labels=[0, 1, 2, 0.5]), r"'labels' is not a list of whole numbers \(row 3\)"),
        (cifar_batch(labels=[0, [1, 2], 2, 0]), r"'labels' is not a list of whole numbers \(row 1\)"),
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


def hostile_type(flags: bytes = b"K\x00", kind: bytes = b"U\x02u1", fields: bytes = b"NNN") -> bytes:
    """`python_2_pickle` whose type has other flags, another name, or a subarray or names of fields."""
    whole = python_2_pickle().replace(b"U\x02u1", kind)
    return whole.replace(
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00", fields + b"J\xff\xff\xff\xff" * 2 + flags
    )


SEGFAULT = bytes.fromhex(
    "80047d28580400000064617461636e756d70792e5f636f72652e6d756c746961727261790a5f7265636f6e7374"
    "727563740a28636e756d70790a6e6461727261790a4b00854201000000627452284a01000000284a020000004a"
    "000c000074636e756d70790a64747970650a28580200000075314b004b017452284a0300000058010000007c4e"
    "4e4e4affffffff4affffffff4a3f0000007462895d284b014b0265746258060000006c6162656c735d284b004b"
    "0165752e"
)
"""It crashed the interpreter: numpy's type is told that it holds objects (flags 63), the array that its data are a
list."""
SHAPES_UP = b"K\x01M\x00\x0c\x86"
DOUBLED = b"".join(b"q%ch%c\x86" % (k, k) for k in range(200))
"""A tuple of itself twice, 200 times over: to hash it, or to print it, takes 2^200 steps."""


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (SEGFAULT, "it sets a state that no plain array has"),
        (hostile_type(flags=b"K\x3f"), "it sets a state that no plain array has"),
        (hostile_type(fields=b"h\x08M\xff\xff\x85\x86NN"), "it sets a state that no plain array has"),
        (hostile_type(kind=b"U\x0d(999999999)u1"), r"it holds an array of type \(999999999\)u1"),
        (hostile_type(kind=b"U\x05u1,u1"), "it holds an array of type u1,u1"),
        (
            python_2_pickle().replace(SHAPES_UP, b"J\xff\xff\xff\x7fM\x00\x0c\x86"),
            "which is not what its shape says",
        ),
        (
            python_2_pickle().replace(SHAPES_UP, b"J\xff\xff\xff\xffM\x00\x0c\x86"),
            "shape is not of whole numbers",
        ),
        (bytes.fromhex("80024e72000000082e"), "it has an entry 134217728 in its memo, more than its 9 bytes"),
        (b"\x80\x02}(K\x01" + DOUBLED + b"K\x01u.", "a dict whose keys are not texts"),
        (
            b"\x80\x04c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01s\x62.",
            "it sets a state that no plain array has",
        ),
        (b"\x80\x02}\x8b\xff\xff\xff\x7f.", "not enough data in stream to read long4"),
        (b"\x80\x02}P1\n.", "it holds the opcode PERSID, which no batch has"),
        (b"\x80\x02}2.", "it holds the opcode DUP, which no batch has"),
        (b"\x80\x02(.", "its stack runs empty"),
        (b"\x80\x02h\x05.", "it asks for entry 5 of its memo, which is not there"),
        (b"\x80\x02T\xff\xff\xff\x7fab.", "but only 3 remain"),
    ],
)
def test_a_hostile_pickle_is_refused_before_numpy_sees_it(tmp_path: Path, data: bytes, sentence: str):
    (tmp_path / "b").write_bytes(data)
    with pytest.raises(UserError, match=f"b: not a readable CIFAR python batch .*{sentence}"):
        read_batch(tmp_path / "b", "labels", 10)


def test_labels_that_hold_one_another_are_refused(tmp_path: Path):
    labels: list[Any] = [0, 1, 2, 3]
    for _ in range(200):
        labels = [labels, labels, labels, labels]  # 4^200 numbers to numpy
    (tmp_path / "b").write_bytes(pickle.dumps(cifar_batch(labels=labels), protocol=2))
    with pytest.raises(UserError, match=r"'labels' is not a list of whole numbers \(row 0\)"):
        read_batch(tmp_path / "b", "labels", 10)


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_and_order_of_an_array_gives_its_numbers(tmp_path: Path, protocol: int):
    x = np.random.default_rng(1).integers(0, 256, (3, 3072), dtype=np.uint8)
    batch = {"data": np.asfortranarray(x), "labels": np.array([1, 2, 3], ">i4"), "batch_label": "one of five"}
    (tmp_path / "b").write_bytes(pickle.dumps(batch, protocol=protocol))
    read, labels = read_batch(tmp_path / "b", "labels", 10)
    assert np.array_equal(read.reshape(3, 3072), x)
    assert labels.tolist() == [1, 2, 3]


FIRST_BATCH = "bed5e83473e85b592076db2dc2b60a8b"


def test_the_real_batches_give_the_bytes_that_they_gave_to_pythons_own_unpickler():
    folder = data_folder() / "cifar-10-batches-py"
    if not (folder / "data_batch_1").is_file():
        pytest.skip(f"NO CIFAR-10 in {folder}: the batches as their publisher wrote them were not read")
    found = hashlib.md5((folder / "data_batch_1").read_bytes()).hexdigest()
    if found != FIRST_BATCH:
        pytest.skip(f"OTHER CIFAR-10 in {folder}: its first batch has MD5 {found}, expected {FIRST_BATCH}")
    images, labels = read_batch(folder / "data_batch_1", "labels", 10)
    digests = [hashlib.sha256(each.tobytes()).hexdigest()[:16] for each in (images, labels)]
    assert digests == ["ab14ff7b2ce517d2", "66145c918fed3a03"]


def test_a_missing_batch_is_named(tmp_path: Path):
    write_cifar10(tmp_path / "cifar-10-batches-py")[3].unlink()
    with pytest.raises(
        UserError, match=r"cifar-10-batches-py lacks data_batch_4; `tombola data fetch cifar10"
    ):
        load("cifar10", tmp_path)
