"""Files that are whole or not there, and have the same bits for the same contents."""

from __future__ import annotations

import csv
import errno
import io
import os
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from tombola.errors import UserError
from tombola.files import (
    canonical,
    csv_of,
    digest_of,
    new_folder,
    read_json,
    read_parquet,
    read_parquets,
    read_tensors,
    write_bytes,
    write_json,
    write_tensors,
)

TENSORS = {
    "b": torch.arange(6, dtype=torch.float32).view(2, 3),
    "a": torch.tensor([True, False]),
    "empty": torch.zeros(0, 4),
    "scalar": torch.tensor(7, dtype=torch.int64),
    "half": torch.tensor([1.5], dtype=torch.bfloat16),
}


# --- writing ------------------------------------------------------------------------------------------------


def test_write_makes_folders_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "file"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os if name == "fsync" else Path, name, full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "file", []
    write_bytes(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append(path.read_bytes()))
    write_bytes(path, b"new contents")
    assert seen == [b"old"], "flushed before it takes the old file's place"
    assert path.read_bytes() == b"new contents"


# --- JSON ---------------------------------------------------------------------------------------------------


def test_json_has_one_text_for_one_value(tmp_path: Path) -> None:
    assert canonical({"b": [1, 2.5], "a": None}) == '{"a":null,"b":[1,2.5]}'
    write_json(tmp_path / "one.json", {"b": 1, "a": 2})
    write_json(tmp_path / "two.json", {"a": 2, "b": 1})
    assert (
        (tmp_path / "one.json").read_bytes()
        == (tmp_path / "two.json").read_bytes()
        == b'{\n "a": 2,\n "b": 1\n}\n'
    )
    assert read_json(tmp_path / "one.json") == {"a": 2, "b": 1}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_refuses_what_it_has_no_word_for(number: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file.json", {"x": number})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", None])
def test_broken_json_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


# --- tensors ------------------------------------------------------------------------------------------------


def test_tensors_come_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    write_tensors(path, TENSORS, {"kept": "all", "shapes": {"b": [2, 3]}})
    tensors, metadata = read_tensors(path)
    assert metadata == {"kept": "all", "shapes": {"b": [2, 3]}}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_equal_tensors_have_equal_files(tmp_path: Path) -> None:
    metadata = {"one": 1, "two": 2, "three": 3}
    write_tensors(tmp_path / "one", TENSORS, metadata)
    turned = {name: TENSORS[name].clone() for name in reversed(TENSORS)}
    turned["b"] = TENSORS["b"].t().contiguous().t()  # the same numbers, laid out otherwise
    write_tensors(tmp_path / "two", turned, dict(reversed(metadata.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_tensors_that_share_memory_can_be_written(tmp_path: Path) -> None:
    whole = torch.arange(4.0, requires_grad=True)
    write_tensors(tmp_path / "file", {"whole": whole, "part": whole[:2]})
    assert torch.equal(read_tensors(tmp_path / "file")[0]["part"], torch.tensor([0.0, 1.0]))


def test_a_file_of_somebody_else_has_no_metadata(tmp_path: Path) -> None:
    save_file({"x": torch.ones(2)}, tmp_path / "theirs.safetensors")
    tensors, metadata = read_tensors(tmp_path / "theirs.safetensors")
    assert metadata is None
    assert torch.equal(tensors["x"], torch.ones(2))


def test_anybody_can_read_ours(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file.safetensors", {"x": torch.ones(2)}, {"a": 1})
    assert torch.equal(load_file(tmp_path / "file.safetensors")["x"], torch.ones(2))


@pytest.mark.parametrize("kind", ["absent", "empty", "text", "truncated header", "truncated data", "folder"])
def test_a_broken_tensor_file_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    write_tensors(path, TENSORS)
    content = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind != "absent":
        pieces = {
            "empty": b"",
            "text": b"hello there",
            "truncated header": content[:20],
            "truncated data": content[:-1],
        }
        path.write_bytes(pieces[kind])
    with pytest.raises(UserError) as caught:
        read_tensors(path)
    assert str(path) in str(caught.value)


def test_metadata_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    save_file({"x": torch.ones(2)}, path, {"tombola": "{"})
    with pytest.raises(UserError, match="not a readable safetensors file"):
        read_tensors(path)


# --- digests ------------------------------------------------------------------------------------------------


def test_a_digest_is_of_names_types_shapes_and_bytes() -> None:
    base = {"x": torch.tensor([1.0, 2.0]), "y": torch.zeros(2)}
    others = [
        {"z": base["x"], "y": base["y"]},
        {"x": base["y"], "y": base["x"]},
        {"x": base["x"].view(2, 1), "y": base["y"]},
        {"x": base["x"].double(), "y": base["y"]},
        {"x": base["x"], "y": torch.tensor([0.0, -0.0])},
        {"x": base["x"], "y": torch.zeros(2, dtype=torch.int32)},
        {"x": base["x"]},
        {},
    ]
    digests = [digest_of(tensors) for tensors in [base, *others]]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in digests)


def test_a_digest_does_not_see_order_or_layout() -> None:
    matrix = torch.arange(6.0).view(2, 3)
    one = digest_of({"x": matrix, "y": torch.ones(1)})
    assert one == digest_of({"y": torch.ones(1), "x": matrix.t().contiguous().t()})
    assert one == digest_of({"x": matrix.clone().requires_grad_(), "y": torch.ones(1)})
    assert digest_of({"x": torch.tensor(1.0)}) != digest_of({"x": torch.tensor([1.0])})


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "cell"

    def broken_off() -> None:
        with new_folder(place) as half:
            (half / "one").write_text("1")
            assert not place.exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken_off()
    assert list(place.parent.iterdir()) == []
    with new_folder(place) as whole:
        (whole / "one").write_text("1")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "deep", "deep/cell", "deep/cell/one",
    ]  # fmt: skip


def test_csv_keeps_numbers_and_makes_no_formula() -> None:
    frame = pl.DataFrame(
        {
            "text": ["=1+2", "+x", "-x", "@SUM(A1)", "\t=1", "-0.5", "+2", "a=b", ""],
            "number": [-1.0, 2.0, None, 0.0, 1e300, -0.5, 3.0, 4.0, 5.0],
        }
    ).with_columns(pl.Series("kind", ["=a", "b"] + ["b"] * 7, dtype=pl.Enum(["=a", "b"])))
    rows = list(csv.reader(io.StringIO(csv_of(frame))))
    assert [row[0] for row in rows[1:]] == [
        "'=1+2",
        "'+x",
        "'-x",
        "'@SUM(A1)",
        "'\t=1",
        "-0.5",
        "+2",
        "a=b",
        "",
    ]
    assert [row[1] for row in rows[1:4]] == ["-1.0", "2.0", ""]
    assert [row[2] for row in rows[1:3]] == ["'=a", "b"]
    assert csv_of(pl.DataFrame({"=x": [1]})) == "'=x\n1\n"


def test_a_panic_of_polars_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panics(path: Path) -> None:
        raise pl.exceptions.PanicException("out of bounds\nmore")  # no Exception to Python

    monkeypatch.setattr(pl, "read_parquet", panics)
    with pytest.raises(UserError, match=r"a.parquet: not a readable parquet file \(out of bounds\)$"):
        read_parquet(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 100_000, "nested more than 32 deep"),
        ("[" * 33 + "]" * 33, "nested more than 32 deep"),
        ("9" * 5000, "a whole number of more than 64 bits"),
        ("9" * 20, "a whole number of more than 64 bits"),
        ('{"\\ud800": 1}', "half a character"),
        ("[NaN]", "it holds NaN, which is no number"),
        ("[-Infinity]", "it holds -Infinity, which is no number"),
    ],
)
def test_json_that_no_later_step_could_hold_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=rf"a\.json: not a readable JSON file \(.*{sentence}"):
        read_json(tmp_path / "a.json")


# --- many tables at once ----------------------------------------------------------------------------------------

COLUMNS = {"a": pl.Int64, "b": pl.String}


def tables_in(folder: Path) -> list[Path]:
    """Files with one row, none, and two; the name of one would be a pattern elsewhere."""
    frames = [([1], ["x"]), ([], []), ([2, 3], ["y", "z"])]
    paths = [folder / name for name in ("one", "none[0]", "two*")]
    for path, (a, b) in zip(paths, frames, strict=True):
        pl.DataFrame({"a": a, "b": b}, schema=COLUMNS).write_parquet(path)
    return paths


def test_tables_are_read_together_in_their_order(tmp_path: Path) -> None:
    paths = tables_in(tmp_path)
    found = read_parquets([*paths[::-1]], COLUMNS)
    assert found is not None
    assert found[0].rows() == [(2, "y"), (3, "z"), (1, "x")]
    assert found[0].schema == pl.Schema(COLUMNS)
    assert found[1] == [2, 0, 1]


def test_of_tables_that_are_not_all_alike_none_is_read_together(tmp_path: Path) -> None:
    paths = tables_in(tmp_path)
    for wrong in ({"a": [1.5], "b": ["x"]}, {"a": [1]}, {"a": [1], "b": ["x"], "c": [0]}):
        pl.DataFrame(wrong).write_parquet(paths[1])
        assert read_parquets(paths, COLUMNS) is None
        assert read_parquets(paths[1:2], COLUMNS) is None
    paths[1].write_bytes(b"PAR1 and no more")
    assert read_parquets(paths, COLUMNS) is None
    paths[1].unlink()
    assert read_parquets(paths, COLUMNS) is None
