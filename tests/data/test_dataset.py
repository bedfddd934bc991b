"""Dataset and the [data] table: what is accepted, and the sentence for what is not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tombola.data.catalog import load
from tombola.data.dataset import Dataset, classes_of
from tombola.data.spec import DataSpec
from tombola.errors import UserError


def make(**changed: Any) -> Dataset:
    parts: dict[str, Any] = {
        "name": "small",
        "train_x": torch.tensor([[[[0, 1]]], [[[2, 3]]], [[[4, 5]]]], dtype=torch.uint8),
        "train_y": torch.tensor([0, 1, 0]),
        "test_x": torch.tensor([[[[6, 7]]]], dtype=torch.uint8),
        "test_y": torch.tensor([1]),
        "classes": 2,
    }
    return Dataset(**parts | changed)


def test_shape_is_that_of_one_example():
    assert make().shape == (1, 1, 2)


def test_a_data_set_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().classes = 3  # type: ignore[misc]


def test_digest_is_sixteen_hex_digits_of_the_contents_and_not_of_the_name():
    digest = make().digest
    assert len(digest) == 16
    assert int(digest, 16) >= 0
    assert make(name="other").digest == digest


@pytest.mark.parametrize(
    "changed",
    [
        {"train_y": torch.tensor([1, 1, 0])},
        {"test_y": torch.tensor([0])},
        {"test_x": torch.tensor([[[[7, 6]]]], dtype=torch.uint8)},
        {
            "train_x": torch.tensor([[[[1, 0]]], [[[2, 3]]], [[[4, 5]]]], dtype=torch.uint8),
        },
    ],
)
def test_digest_changes_with_every_part(changed: dict[str, Any]):
    assert make(**changed).digest != make().digest


def test_digest_knows_a_peak_where_no_name_fixes_it():
    assert make(peak=255.0).digest == make().digest != make(peak=16.0).digest
    assert make(peak=16.0).digest != make(peak=15.0).digest
    assert make(peak=16.0, known=True).digest == make().digest
    assert load("digits").digest == "80099697c42f8b62", "that of runs that are stored"


def test_digest_knows_types_and_shapes_apart():
    as_bytes = make(train_x=torch.zeros(3, 1, 1, 4, dtype=torch.uint8), test_x=torch.zeros(1, 1, 1, 4).byte())
    reshaped = make(train_x=torch.zeros(3, 1, 2, 2, dtype=torch.uint8), test_x=torch.zeros(1, 1, 2, 2).byte())
    as_floats = make(train_x=torch.zeros(3, 1, 1, 1), test_x=torch.zeros(1, 1, 1, 1))
    assert len({as_bytes.digest, reshaped.digest, as_floats.digest}) == 3


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"train_x": torch.zeros(3, 1, 1, 2, dtype=torch.float64)},
            "torch.float64; expected uint8 or float32",
        ),
        ({"train_x": torch.zeros(3, dtype=torch.uint8)}, r"shape \[3\]; expected \[n, features\]"),
        (
            {"test_x": torch.zeros(0, 1, 1, 2, dtype=torch.uint8)},
            r"test part: examples have shape \[0, 1, 1, 2\]",
        ),
        ({"train_y": torch.tensor([0, 1])}, "3 examples but 2 labels"),
        ({"train_y": torch.tensor([0.0, 1.0, 0.0])}, r"of shape \[3\]; expected float32 of shape \[3, 2\]"),
        ({"train_y": torch.tensor([0, 2, 0])}, "training part: row 1 has label 2; expected 0 to 1"),
        ({"test_y": torch.tensor([-1])}, "test part: row 0 has label -1"),
        ({"test_x": torch.zeros(1, 1, 2, 1, dtype=torch.uint8)}, "expected the same type and shape"),
        ({"test_x": torch.zeros(1, 1, 1, 2)}, "expected the same type and shape"),
        ({"peak": 6.0}, "largest value is 7; expected at most 6"),
        (
            {"train_x": torch.full((3, 1, 1, 2), torch.nan), "test_x": torch.zeros(1, 1, 1, 2)},
            "NaN or infinity",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(changed: dict[str, Any], sentence: str):
    with pytest.raises(UserError, match=sentence):
        make(**changed)


def test_classes_are_counted():
    assert classes_of(torch.tensor([2, 0, 1, 2]), "here") == 3


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0, 1, 3], "go up to 3 but no example has label 2"),
        ([1, 2, 3], "go up to 3 but no example has label 0"),
        ([0, 10**15], "no example has label 1"),
        ([-1, 0, 1], "label -1 found"),
        ([0, 0], "every label is 0"),
        ([], "no labels found"),
    ],
)
def test_labels_that_are_not_contiguous_are_refused(labels: list[int], sentence: str):
    with pytest.raises(UserError, match=f"^here: .*{sentence}"):
        classes_of(torch.tensor(labels, dtype=torch.int64), "here")


@pytest.mark.parametrize(
    "name",
    [
        "digits",
        "mnist",
        "fashion-mnist",
        "kmnist",
        "cifar10",
        "cifar100",
        "arrays",
        "a/b.npz",
        "npz:b",
        "idx:a",
    ],
)
def test_spec_takes_every_kind_of_name_and_has_the_papers_defaults(name: str):
    spec = DataSpec(name=name)
    assert (spec.name, spec.normalisation, spec.validation, spec.digest) == (name, "standard", 0.1, None)


@pytest.mark.parametrize("validation", [1, 5000, 0.5, 0.001])
def test_spec_keeps_counts_and_fractions_apart(validation: float):
    kept = DataSpec(name="digits", validation=validation).validation
    assert (kept, type(kept)) == (validation, type(validation))


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"name": "minst"}, "unknown data set 'minst'; did you mean 'mnist'?"),
        ({"name": "idx:"}, "'idx:' has no path; expected 'idx:PATH'"),
        ({"name": "digits", "normalisation": "unti"}, "unknown normalisation 'unti'; did you mean 'unit'?"),
        ({"name": "digits", "normalisation": 1}, "unknown normalisation 1"),
        ({"name": "digits", "digest": "abc"}, "digest is 'abc'; expected 16 hexadecimal digits"),
        *(
            ({"name": "digits", "validation": bad}, f"validation is {bad!r}; expected a count")
            for bad in (True, False, 0, -1, 0.0, 1.0, 5000.0, -0.1, float("nan"), float("inf"), "5000", None)
        ),
    ],
)
def test_spec_refuses_in_one_sentence(table: dict[str, Any], sentence: str):
    with pytest.raises(UserError) as refused:
        DataSpec(**table)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_spec_refuses_unknown_keys_and_cannot_be_changed():
    with pytest.raises(UserError, match="validaton"):
        DataSpec(name="digits", validaton=0.1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="frozen"):
        DataSpec(name="digits").name = "mnist"  # type: ignore[misc]
