"""Arrays from Python and .npz files."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.faults import FAULTS
from tombola.data.arrays import from_arrays
from tombola.data.catalog import load
from tombola.errors import UserError

Y = [0, 1, 0, 1]


def test_images_of_bytes_get_a_channel_and_stay_bytes():
    x = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    data = from_arrays((x, Y), (x[:1], [1]))
    assert (data.name, data.classes, data.shape, data.train_x.dtype) == ("arrays", 2, (1, 2, 3), torch.uint8)
    assert np.array_equal(data.train_x[:, 0].numpy(), x)
    assert (data.train_y.dtype, data.train_y.tolist(), data.test_y.tolist()) == (torch.int64, Y, [1])


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.float16, np.bool_])
def test_other_numbers_become_float32(kind: type):
    x = np.array([[0, 1], [1, 1], [0, 0], [1, 0]], dtype=kind)
    data = from_arrays((x, np.array(Y, dtype=np.int16)), (x, Y))
    assert (data.train_x.dtype, data.shape) == (torch.float32, (2,))
    assert data.train_x.tolist() == [[0, 1], [1, 1], [0, 0], [1, 0]]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.float64])
def test_torch_tensors_are_taken(kind: torch.dtype):
    x = torch.eye(4, dtype=kind, requires_grad=True)
    data = from_arrays((x, torch.tensor(Y)), (x, torch.tensor(Y)))
    assert torch.equal(data.train_x, torch.eye(4))


def test_the_arrays_are_copied():
    x, y = np.zeros((4, 2), np.uint8), torch.tensor(Y)
    data = from_arrays((x, y), (x, y))
    digest = data.digest
    x[:], y[:] = 9, 0
    assert int(data.train_x.max()) == 0
    assert data.train_y.tolist() == Y
    assert from_arrays((np.zeros((4, 2), np.uint8), Y), (np.zeros((4, 2), np.uint8), Y)).digest == digest


def test_arrays_that_cannot_be_written_to_or_are_not_in_order_are_taken():
    x = np.arange(8, dtype=np.uint8).reshape(2, 4).T
    x.flags.writeable = False
    assert from_arrays((x, Y), (x, Y)).train_x.tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_labels_in_a_column_are_taken():
    x = np.zeros((4, 2), np.uint8)
    assert from_arrays((x, np.array(Y)[:, np.newaxis]), (x, Y)).train_y.tolist() == Y


@pytest.mark.parametrize(
    ("train", "sentence"),
    [
        ((np.zeros((4, 2)), [0, 1, 0]), "4 examples but 3 labels"),
        ((np.zeros((4, 2)), [0, 1, 0, 3]), "go up to 3 but no example has label 2"),
        (
            (np.zeros((4, 2)), np.eye(4)[:, :2]),
            r"row 2 has 0 of 2 labels; expected one label an example",
        ),
        ((np.zeros((4, 2)), [0.0, 1.0, 0.0, 1.0]), "numbers of type float and test labels classes"),
        ((np.zeros((4, 2)), list("abab")), "labels: <U1 found; expected numbers"),
        ((np.zeros(4), Y), r"examples have shape \[4\]"),
        (([["a"]] * 4, Y), "<U1 found; expected numbers"),
        (([[1], [1, 2], [1], [1]], Y), "rows of different lengths"),
        ((np.full((4, 2), np.nan), Y), "NaN or infinity"),
        ((np.full((4, 2), 1e300), Y), "NaN or infinity"),
        ((np.zeros((4, 32, 32, 3)), Y), r"channels last; expected \[n, channels, height, width\]"),
        ((np.zeros((4, 3)), Y), "expected the same type and shape"),
        ((np.zeros((4, 2), np.uint8), Y), "expected the same type and shape"),
        (None, "a pair"),
        ((1, 2, 3), "a pair"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(train: Any, sentence: str):
    with pytest.raises(UserError, match=f"arrays.*{sentence}"):
        from_arrays(train, (np.zeros((4, 2)), Y))


def test_a_test_label_outside_the_training_classes_is_refused():
    x = np.zeros((4, 2))
    with pytest.raises(UserError, match="test part: row 3 has label 2; expected 0 to 1"):
        from_arrays((x, Y), (x, [0, 1, 0, 2]))


KERAS = ("x_train", "y_train", "x_test", "y_test")
OURS = ("train_x", "train_y", "test_x", "test_y")


def write_npz(path: Path, keys: tuple[str, ...] = KERAS) -> Path:
    x = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    np.savez(path, **dict(zip(keys, (x, np.array(Y), x[:2], np.array([1, 0])), strict=True)))
    return path


@pytest.mark.parametrize("keys", [KERAS, OURS])
@pytest.mark.parametrize("prefix", ["", "npz:"])
def test_an_npz_file_is_read(tmp_path: Path, keys: tuple[str, ...], prefix: str):
    name = f"{prefix}{write_npz(tmp_path / 'a.npz', keys)}"
    data = load(name)
    assert (data.name, data.classes, data.shape) == (name, 2, (1, 2, 3))
    assert (data.train_y.tolist(), data.test_y.tolist()) == (Y, [1, 0])
    assert torch.equal(data.test_x, data.train_x[:2])


def test_a_missing_key_is_answered_with_the_nearest(tmp_path: Path):
    path = write_npz(tmp_path / "a.npz", ("x_train", "y_trian", "x_test", "y_test"))
    with pytest.raises(UserError, match=r"a.npz: no array 'y_train'; did you mean 'y_trian'\?"):
        load(str(path))


def test_a_file_with_other_keys_is_answered_with_what_it_holds(tmp_path: Path):
    np.savez(tmp_path / "a.npz", foo=np.zeros(2))
    with pytest.raises(UserError, match="no array 'x_train'; the file holds foo"):
        load(str(tmp_path / "a.npz"))


def test_pickled_objects_in_an_npz_are_refused(tmp_path: Path):
    np.savez(tmp_path / "a.npz", x_train=np.array([{}]), y_train=Y, x_test=[[0]], y_test=[0])
    with pytest.raises(UserError, match=r"a.npz: not a readable .npz file \('x_train.npy' is of type object"):
        load(str(tmp_path / "a.npz"))


def test_a_broken_npz_is_named(tmp_path: Path):
    path = write_npz(tmp_path / "a.npz")
    whole = path.read_bytes()
    for length in (0, 3, 100, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"a.npz: not a readable .npz file"):
            load(str(path))
    flipped = bytearray(whole)
    flipped[flipped.index(b"\x01\x02\x03\x04")] ^= 0xFF
    path.write_bytes(flipped)
    with pytest.raises(UserError, match=r"a.npz: not a readable .npz file \(Bad CRC"):
        load(str(path))


def npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    """A .npy file with this header."""
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2, "little") + header.encode() + data


@pytest.mark.parametrize(
    ("member", "sentence"),
    [
        (
            npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,)}"),
            "promises 1099511627776 of uint8 in 0 bytes",
        ),
        (
            npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, -1)}", b"x"),
            "promises -1 x -1 of uint8 in 1 bytes",
        ),
        (
            npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", bytes(1 << 20)),
            "promises 1 of uint8 in 1048576 bytes",
        ),
        (
            npy("{'descr': ('|u1', (3,)), 'fortran_order': False, 'shape': (1,)}", b"abc"),
            "'x_train.npy' is of type",
        ),
        (
            npy("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (1,)}", b"a"),
            "'x_train.npy' is of type",
        ),
        (
            npy("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,)}", bytes(8)),
            "'x_train.npy' is of type datetime64",
        ),
        (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)", b"a"), ""),
        (npy("(" * 9000), ""),
        (npy("{}", b"a", version=3), "has a header of version"),
        (b"no array", ""),
    ],
)
def test_a_member_that_is_not_what_its_header_promises_is_refused(
    tmp_path: Path, member: bytes, sentence: str
):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", member)
    with pytest.raises(UserError, match=f"a.npz: not a readable .npz file .*{sentence}"):
        load(str(tmp_path / "a.npz"))


def test_a_locked_archive_and_a_strange_compression_are_named(tmp_path: Path):
    for place, value in ((6, b"\x01\x00"), (8, b"\x63\x00")):  # flags, and method, of the first member
        data = bytearray(write_npz(tmp_path / "a.npz").read_bytes())
        central = data.index(b"PK\x01\x02")
        data[place : place + 2] = data[central + place + 2 : central + place + 4] = value
        (tmp_path / "a.npz").write_bytes(data)
        with pytest.raises(UserError, match=r"a.npz: not a readable .npz file"):
            load(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("file", sorted(FAULTS.glob("npz-*")))
def test_files_that_ended_in_a_traceback_are_named(tmp_path: Path, file: Path):
    shutil.copy(file, tmp_path / "a.npz")
    (tmp_path / "a.npz").chmod(0o600)
    with pytest.raises(UserError, match=r"a.npz: (not a readable .npz file|a single array found)"):
        load(str(tmp_path / "a.npz"))


def test_a_missing_npz_and_a_single_array_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"b.npz: no such file"):
        load(str(tmp_path / "b.npz"))
    with (tmp_path / "c.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match=r"c.npz: a single array found"):
        load(str(tmp_path / "c.npz"))
