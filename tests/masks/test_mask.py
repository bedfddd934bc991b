"""The mask: its algebra, its counts, and the weights under it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from support.mask_strategies import masks
from tombola.errors import UserError
from tombola.masks.mask import Mask, restore

repeatable = settings(deadline=None, derandomize=True, max_examples=50)


def mask(**bits: list[int]) -> Mask:
    return Mask({name: torch.tensor(values, dtype=torch.bool) for name, values in bits.items()})


def bits(of: Mask) -> dict[str, list[int]]:
    return {name: tensor.int().tolist() for name, tensor in of.items()}


A = {"x": [1, 1, 0, 0], "y": [1, 0]}
B = {"x": [1, 0, 1, 0], "y": [0, 0]}


def test_algebra_by_hand() -> None:
    a, b = mask(**A), mask(**B)
    assert bits(a & b) == {"x": [1, 0, 0, 0], "y": [0, 0]}
    assert bits(a | b) == {"x": [1, 1, 1, 0], "y": [1, 0]}
    assert bits(a ^ b) == {"x": [0, 1, 1, 0], "y": [1, 0]}
    assert bits(~a) == {"x": [0, 0, 1, 1], "y": [0, 1]}
    assert (a & b) <= a
    assert (a | b) >= a
    assert not a <= b
    assert a <= a
    assert bits(a) == A, "operands stay as they were"
    assert bits(b) == B


def test_counts_by_hand() -> None:
    a = mask(x=[1, 1, 0, 0], y=[1, 0], z=[0, 0])
    assert (a.count(), a.size(), a.density()) == (3, 8, 0.375)
    assert (a.count("x"), a.size("x"), a.density("x")) == (2, 4, 0.5)
    assert a.counts() == {"x": 2, "y": 1, "z": 0}
    assert a.empty_layers() == ["z"]
    assert a.shapes == {"x": (4,), "y": (2,), "z": (2,)}


def test_dense_is_full() -> None:
    dense = Mask.dense({"a": (2, 3), "b": (4,)})
    assert dense.counts() == {"a": 6, "b": 4}
    assert dense.density() == 1.0
    assert dense.empty_layers() == []


def test_equality_is_of_names_shapes_and_bits() -> None:
    assert mask(**A) == mask(**A)
    assert mask(**A) != mask(**B)
    assert mask(x=[1, 1]) != mask(y=[1, 1])
    assert mask(x=[1, 1]) != Mask({"x": torch.ones(2, 1, dtype=torch.bool)})
    assert mask(x=[1]) != {"x": torch.ones(1, dtype=torch.bool)}
    with pytest.raises(TypeError, match="unhashable"):
        hash(mask(x=[1]))


def test_names_are_sorted_whatever_order_they_came_in() -> None:
    assert list(mask(b=[1], a=[1])) == ["a", "b"]


def test_a_mask_neither_takes_nor_gives_away_its_tensors() -> None:
    source = torch.ones(3, dtype=torch.bool)
    held = Mask({"x": source})
    source[0] = False
    held["x"][1] = False
    next(iter(held.values()))[2] = False
    assert held == mask(x=[1, 1, 1])
    assert held.count() == 3


def test_a_dense_tensor_in_another_memory_format_is_read_in_c_order() -> None:
    tensor = torch.tensor([[1, 0, 0], [1, 1, 0]], dtype=torch.bool).t()
    assert bits(Mask({"x": tensor})) == {"x": [[1, 1], [0, 1], [0, 0]]}
    assert Mask({"x": tensor}).pack()["x"].tolist() == [0b001011]


@pytest.mark.parametrize(
    "operation", [Mask.__and__, Mask.__or__, Mask.__xor__, Mask.__le__], ids=["and", "or", "xor", "le"]
)
def test_masks_of_different_networks_do_not_mix(operation) -> None:
    with pytest.raises(UserError, match=r"'x' has shape \(2,\) in one and \(3,\) in the other"):
        operation(mask(x=[1, 1]), mask(x=[1, 1, 1]))
    with pytest.raises(UserError, match=r"'y' has shape none in one and \(1,\) in the other"):
        operation(mask(x=[1]), mask(x=[1], y=[1]))


def test_only_bool_tensors_are_masks() -> None:
    with pytest.raises(UserError, match=r"mask of 'x' holds torch.float32, expected torch.bool"):
        Mask({"x": torch.ones(2)})


def test_an_unknown_name_is_a_key_error_as_in_any_mapping() -> None:
    with pytest.raises(KeyError, match=r"did you mean 'fc1.weight'"):
        mask(**{"fc1.weight": [1]}).count("fc1.wieght")
    assert mask(x=[1]).get("y") is None
    assert "y" not in mask(x=[1])


@repeatable
@given(masks(number=3))
def test_the_laws_of_sets_hold(three: tuple[Mask, Mask, Mask]) -> None:
    a, b, c = three
    before = [bits(each) for each in three]
    assert ~~a == a
    assert ~(a & b) == ~a | ~b
    assert a & (b | c) == (a & b) | (a & c)
    assert a ^ b == (a | b) & ~(a & b)
    assert (a | b).count() == a.count() + b.count() - (a & b).count()
    assert a.count() + (~a).count() == a.size()
    assert (a & b) <= a <= (a | b)
    assert (a <= b) == ((a & b) == a)
    assert a.counts() == {name: sum(tensor.flatten().tolist()) for name, tensor in a.items()}
    assert [bits(each) for each in three] == before


@repeatable
@given(masks())
def test_living_and_restore_are_inverse_on_masked_states(one: tuple[Mask]) -> None:
    (held,) = one
    state: dict[str, Tensor] = {
        name: torch.arange(1.0, math.prod(shape) + 1).reshape(shape) for name, shape in held.shapes.items()
    }
    state["bias"] = torch.tensor([5.0])
    packed = held.living(state)
    assert {name: len(packed[name]) for name in held} == held.counts()
    back = restore(packed, held)
    masked = held.apply(state)
    assert back.keys() == masked.keys() == state.keys()
    assert all(torch.equal(back[name], masked[name]) for name in state)
    filled = restore(packed, held, dead=state)
    assert all(torch.equal(filled[name], state[name]) for name in state)


def test_dead_weights_are_plus_zero_also_where_they_were_negative_or_broken() -> None:
    state = {"x": torch.tensor([-1.0, math.nan, -math.inf, -2.0]), "bias": torch.tensor([math.nan])}
    masked = mask(x=[0, 0, 0, 1]).apply(state)
    assert masked["x"].tolist() == [0.0, 0.0, 0.0, -2.0]
    assert not masked["x"][:3].signbit().any()
    assert masked["bias"].isnan().all()
    masked["bias"].zero_()
    assert state["bias"].isnan().all(), "the state is not aliased"
    assert state["x"].isnan().any()


def test_living_values_come_in_c_order_and_other_tensors_whole() -> None:
    held = Mask({"x": torch.tensor([[True, False], [True, True]])})
    state = {"x": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "bias": torch.tensor([9.0, 8.0])}
    packed = held.living(state)
    assert packed["x"].tolist() == [1.0, 3.0, 4.0]
    assert packed["bias"].tolist() == [9.0, 8.0]
    assert restore(packed, held)["x"].tolist() == [[1.0, 0.0], [3.0, 4.0]]
    assert restore(packed, held, dead=-7)["x"].tolist() == [[1.0, -7.0], [3.0, 4.0]]
    packed["bias"].zero_()
    assert state["bias"].tolist() == [9.0, 8.0]


def test_states_that_do_not_fit_are_refused() -> None:
    held = mask(x=[1, 0])
    for use in (held.apply, held.living):
        with pytest.raises(UserError, match="state lacks 'x' of the mask"):
            use({"y": torch.zeros(2)})
        with pytest.raises(UserError, match=r"'x' has shape \(3,\), expected \(2,\)"):
            use({"x": torch.zeros(3)})
    with pytest.raises(UserError, match=r"'x' has shape \(2,\), expected \(1,\)"):
        restore({"x": torch.zeros(2)}, held)
    with pytest.raises(UserError, match="state lacks 'x'"):
        restore({}, held)
    with pytest.raises(UserError, match=r"'x' has shape \(3,\), expected \(2,\)"):
        restore({"x": torch.zeros(1)}, held, dead={"x": torch.zeros(3)})
