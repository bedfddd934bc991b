"""Data sets in files of one's own: tables, Hugging Face data sets on disk."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tombola.data import own_files
from tombola.data.catalog import load
from tombola.data.spec import DataSpec
from tombola.errors import UserError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(**columns: list[Any]) -> None:
    pl.DataFrame(columns).write_csv("a.csv")


def test_a_table_with_its_parts() -> None:
    table(
        w=[1, 2, 3, 4],
        kind=["cat", "ant", "cat", "ant"],
        h=[0.5, 1.5, 2.5, 3.5],
        part=["train", "train", "test", "val"],
    )
    data = load("csv:a.csv?label=kind&split=part")
    assert data.train_x.tolist() == [[1, 0.5], [2, 1.5]]
    assert data.train_y.tolist() == [1, 0], "classes are numbered in the order of their names"
    assert data.test_x.tolist() == [[3, 2.5], [4, 3.5]]


def test_a_fifth_are_test_examples_always_the_same() -> None:
    table(x=list(range(20)), y=[0, 1] * 10)
    one, other = load("csv:a.csv"), load("csv:a.csv")
    assert (len(one.train_x), len(one.test_x), one.digest) == (16, 4, other.digest)
    assert sorted([*one.train_x[:, 0].tolist(), *one.test_x[:, 0].tolist()]) == list(range(20))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("csv:none.csv", "none.csv: no such file"),
        ("csv:a.csv", r"which column holds the labels\? expected 'csv:a.csv\?label=COLUMN', one of: x, kind, word"),
        ("csv:a.csv?label=kin", "a.csv: no column 'kin'; did you mean 'kind'"),
        ("csv:a.csv?lable=kind", r"csv:a.csv\?lable=kind: unknown option 'lable'; did you mean 'label'"),
        ("csv:a.csv?label=kind", "a.csv: column 'word' has type String; expected numbers"),
        ("csv:a.csv?label=kind&split=word", "a.csv: row 1 is of part 'a'; expected 'train' or 'test'"),
        ("csv:", "data name 'csv:' has no path; expected 'csv:PATH'"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit_is_named(name: str, said: str) -> None:
    table(x=[1, 2], kind=[0, 1], word=["a", "b"])
    with pytest.raises(UserError, match=said):
        load(name)


def test_an_empty_field_is_named() -> None:
    Path("a.csv").write_text("x,label\n1,0\n,1\n")
    with pytest.raises(UserError, match=r"a.csv: column 'x' has 1 empty fields"):
        load("csv:a.csv")


@pytest.mark.parametrize("empty", ["", '""'])
def test_an_empty_label_is_no_class(empty: str) -> None:
    Path("a.csv").write_text(f"w,kind\n1,cat\n2,ant\n3,{empty}\n4,{empty}\n")
    with pytest.raises(
        UserError, match=r"a.csv: row 3 has an empty label in column 'kind'; expected a class"
    ):
        load("csv:a.csv?label=kind")


def test_a_label_that_is_not_a_number_is_no_class() -> None:
    """NaN is unequal to itself, so that each would be a class of its own."""
    Path("a.csv").write_text("w,label\n1,0.0\n2,1.0\n3,NaN\n4,NaN\n5,1.0\n")
    with pytest.raises(UserError, match=r"a.csv: row 3 has an empty label in column 'label'"):
        load("csv:a.csv")


def saved(folder: str, **columns: Any) -> None:
    """A part as `datasets` saves it: a stream of Arrow, and a state that names it."""
    Path(folder).mkdir(parents=True)
    with Path(folder, "data-00000-of-00001.arrow").open("wb") as file:
        pl.DataFrame(columns).write_ipc_stream(file)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_indices_files": None}
    Path(folder, "state.json").write_text(json.dumps(state))
    Path(folder).parent.joinpath("dataset_dict.json").write_text(
        json.dumps({"splits": ["train", "validation"]})
    )


def test_a_hugging_face_data_set_on_disk() -> None:
    saved("hf/train", pixels=[[[1, 2], [3, 4]], [[5, 6], [7, 8]]], label=[0, 1])
    saved("hf/validation", pixels=[[[0, 0], [0, 1]]], label=[1])
    data = load("hf:hf")
    assert data.train_x.tolist() == [[[[1, 2], [3, 4]]], [[[5, 6], [7, 8]]]]
    assert (data.train_y.tolist(), data.test_y.tolist()) == ([0, 1], [1])


def test_columns_of_numbers_stand_side_by_side() -> None:
    for part in ("train", "validation"):
        saved(f"hf/{part}", a=[1.0, 2.0], kind=[0, 1], b=[3, 4])
    assert load("hf:hf?label=kind").train_x.tolist() == [[1, 3], [2, 4]]


def test_columns_are_matched_by_name() -> None:
    saved("hf/train", a=[1.0, 2.0], b=[3.0, 4.0], label=[0, 1])
    saved("hf/validation", b=[6.0], label=[1], a=[5.0])
    assert load("hf:hf").test_x.tolist() == [[5, 6]]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"c": [6.0], "a": [5.0], "label": [1]}, "hf/validation: no column 'b'"),
        ({"a": [5.0], "b": [6.0]}, "hf/validation: no column 'label'"),
        (
            {"a": [5.0], "b": [6.0], "label": [1], "c": [6.0]},
            "hf/validation: column 'c' is not in the training split; expected a, b and label",
        ),
    ],
)
def test_other_columns_than_those_of_the_training_split_are_named(columns: Any, said: str) -> None:
    saved("hf/train", a=[1.0, 2.0], b=[3.0, 4.0], label=[0, 1])
    saved("hf/validation", **columns)
    with pytest.raises(UserError, match=said):
        load("hf:hf")


def test_an_option_that_is_not_known_is_named() -> None:
    for part in ("train", "validation"):
        saved(f"hf/{part}", a=[1.0, 2.0], label=[0, 1])
    with pytest.raises(UserError, match="unknown option 'lable'; did you mean 'label'"):
        load("hf:hf?lable=a")


def test_encoded_images_are_refused_by_name() -> None:
    for part in ("train", "validation"):
        saved(f"hf/{part}", image=[{"bytes": b"x"}, {"bytes": b"y"}], label=[0, 1])
    with pytest.raises(
        UserError, match=r"hf/train: column 'image' is of type Struct.*images: save their pixels"
    ):
        load("hf:hf")


@pytest.mark.parametrize("code", [-6, -9, 0])
def test_a_table_that_ends_its_reader_is_named(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "validation"):
        saved(f"hf/{part}", a=[1.0, 2.0], label=[0, 1])
    ended = subprocess.CompletedProcess([], code)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    if code == 0:
        assert load("hf:hf").classes == 2
    else:
        with pytest.raises(UserError, match=r"hf/train: not readable \(its tables are damaged\)"):
            load("hf:hf")


def test_a_state_cannot_name_files_elsewhere() -> None:
    saved("hf/train", a=[1], label=[0])
    saved("hf/validation", a=[1], label=[0])
    Path("hf/train/state.json").write_text(json.dumps({"_data_files": [{"filename": "../../secret.arrow"}]}))
    with pytest.raises(UserError, match="its examples are picked out of other files"):
        load("hf:hf")


def test_studies_name_them() -> None:
    assert DataSpec(name="csv:a.csv?label=kind").name == "csv:a.csv?label=kind"
    with pytest.raises(ValueError, match="unknown data set 'cvs:a'"):
        DataSpec(name="cvs:a")
    assert own_files.FIFTH == 5
