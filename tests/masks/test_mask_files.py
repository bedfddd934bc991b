"""Packed bits and mask files: what is written comes back, and what is not a mask is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings

from support.mask_strategies import masks
from tombola.errors import UserError
from tombola.files import read_tensors, write_tensors
from tombola.masks.mask import Mask


def test_packed_bits_by_hand() -> None:
    # Nine weights: the first eight fill a byte from its lowest bit, the ninth starts the next.
    tensor = torch.tensor([1, 0, 0, 0, 0, 0, 1, 1, 1], dtype=torch.bool).reshape(3, 3)
    packed = Mask({"x": tensor}).pack()
    assert packed["x"].dtype == torch.uint8
    assert packed["x"].tolist() == [1 + 64 + 128, 1]
    assert torch.equal(Mask.unpack(packed, {"x": (3, 3)})["x"], tensor)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(masks())
def test_packing_loses_nothing(one: tuple[Mask]) -> None:
    (mask,) = one
    packed = mask.pack()
    assert Mask.unpack(packed, mask.shapes) == mask
    assert all(len(packed[name]) == (mask.size(name) + 7) // 8 for name in mask)


@pytest.mark.parametrize(
    ("packed", "sentence"),
    [
        ({"x": [1]}, r"'x' of shape \(3, 3\) holds torch.uint8 \(1,\), expected 2 bytes"),
        ({"x": [1, 1, 0]}, "expected 2 bytes"),
        ({"x": [255, 0b10]}, "bits set beyond its 9 weights"),
        ({"x": [1, 1], "y": [1]}, "'y' has no shape"),
        ({}, "'x' has a shape but no bits"),
    ],
)
def test_bits_that_no_mask_packs_to_are_refused(packed, sentence) -> None:
    tensors = {name: torch.tensor(values, dtype=torch.uint8) for name, values in packed.items()}
    with pytest.raises(UserError, match=sentence):
        Mask.unpack(tensors, {"x": (3, 3)})


def test_bits_of_another_type_are_refused() -> None:
    with pytest.raises(UserError, match=r"holds torch.float32"):
        Mask.unpack({"x": torch.zeros(2)}, {"x": (3, 3)})


@pytest.fixture
def mask() -> Mask:
    return Mask({"fc.weight": torch.arange(10).reshape(2, 5) % 3 == 0, "conv.weight": torch.ones(1) > 0})


def test_a_file_holds_packed_bits_and_shapes(mask: Mask, tmp_path: Path) -> None:
    mask.save(tmp_path / "mask.safetensors")
    assert Mask.load(tmp_path / "mask.safetensors") == mask
    tensors, metadata = read_tensors(tmp_path / "mask.safetensors")
    assert metadata == {"shapes": {"conv.weight": [1], "fc.weight": [2, 5]}}
    # Weights 0, 3, 6, 9 live.
    assert tensors["fc.weight"].tolist() == [1 + 8 + 64, 2]


def test_equal_masks_are_equal_files_and_load_in_equal_order(mask: Mask, tmp_path: Path) -> None:
    other = Mask({name: mask[name] for name in reversed(list(mask))})
    mask.save(tmp_path / "a")
    other.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert list(Mask.load(tmp_path / "a")) == list(mask) == list(other)


def test_files_that_are_no_mask_are_named(mask: Mask, tmp_path: Path) -> None:
    path = tmp_path / "mask.safetensors"
    with pytest.raises(UserError, match=r"mask.safetensors"):
        Mask.load(path)
    path.write_bytes(b"not a file of ours")
    with pytest.raises(UserError, match=r"mask.safetensors"):
        Mask.load(path)
    mask.save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"mask.safetensors"):
        Mask.load(path)
    weights = {"fc.weight": torch.zeros(2, 5)}
    for metadata in (
        None,
        {"shapes": 3},
        {"shapes": {"fc.weight": "2x5"}},
        {"shapes": {"fc.weight": [2, -5]}},
    ):
        write_tensors(path, weights, metadata)
        with pytest.raises(UserError, match=r"mask.safetensors: not a mask file .expected packed bits"):
            Mask.load(path)
    write_tensors(path, weights, {"shapes": {"fc.weight": [2, 5]}})
    with pytest.raises(UserError, match=r"mask.safetensors: not a mask file .*holds torch.float32"):
        Mask.load(path)
