"""Ticket files: the round trip bit for bit, and what is no ticket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from support.lottery_parts import net, same, shifted, sparse
from tombola.errors import UserError
from tombola.files import read_tensors, write_tensors
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.seeds import Seeds

PROVENANCE = {"model": {"name": "lenet-20-10"}, "seed": 0, "scores": {"accuracy": 0.5, "none": None}}


def ticket(arch: Architecture | None = None, **other: Any) -> Ticket:
    arch = arch or net()
    state = arch.initial(Seeds.single(0).stream("init"))
    mask = sparse(arch, 0.4)
    parts = {"start": state, "end": mask.apply(shifted(state, 1)), "provenance": PROVENANCE}
    return Ticket(mask, **(parts | other))


@pytest.mark.parametrize("without", [[], ["start"], ["end"], ["start", "end"]], ids=str)
def test_a_file_gives_back_what_was_saved_bit_for_bit(without: list[str], tmp_path: Path) -> None:
    saved = ticket(**dict.fromkeys(without))
    saved.save(tmp_path / "deep" / "t.safetensors")
    loaded = Ticket.load(tmp_path / "deep" / "t.safetensors")
    assert loaded.mask == saved.mask
    assert loaded.provenance == PROVENANCE
    for which in ("start", "end"):
        a, b = getattr(loaded, which), getattr(saved, which)
        assert (a is None) == (b is None) == (which in without)
        if a is not None:
            assert same(a, b)
            assert {name: tensor.dtype for name, tensor in a.items()} == {n: t.dtype for n, t in b.items()}


def test_special_numbers_survive(tmp_path: Path) -> None:
    saved = ticket()
    assert saved.start is not None
    odd = torch.tensor([float("nan"), -0.0, float("inf")])
    odd = torch.cat([odd, torch.full((saved.start["fc.bias"].numel() - 3,), 1e-45)])
    saved = ticket(start=saved.start | {"fc.bias": odd})
    saved.save(tmp_path / "t.safetensors")
    found = Ticket.load(tmp_path / "t.safetensors").start
    assert found is not None
    assert torch.equal(found["fc.bias"].view(torch.int32), odd.view(torch.int32))


def test_equal_tickets_make_equal_files(tmp_path: Path) -> None:
    one = ticket()
    assert one.start is not None
    again = ticket(start=dict(reversed(one.start.items())), provenance=dict(reversed(PROVENANCE.items())))
    for name, each in (("a", one), ("b", again), ("c", one)):
        each.save(tmp_path / name)
    Ticket.load(tmp_path / "a").save(tmp_path / "d")
    files = [(tmp_path / name).read_bytes() for name in "abcd"]
    assert files[0] == files[1] == files[2] == files[3]


def test_start_and_end_may_be_the_same_tensors(tmp_path: Path) -> None:
    arch = net()
    state = arch.initial(Seeds.single(0).stream("init"))
    Ticket(sparse(arch), state, state).save(tmp_path / "t")
    loaded = Ticket.load(tmp_path / "t")
    assert loaded.start is not None
    assert loaded.end is not None
    assert same(loaded.start, loaded.end)


def test_anybody_can_read_the_trained_weights(tmp_path: Path) -> None:
    """Plain names for the trained weights; masks take a bit a weight."""
    saved = ticket()
    saved.save(tmp_path / "t")
    tensors, _ = read_tensors(tmp_path / "t")
    assert saved.end is not None
    assert same({name: t for name, t in tensors.items() if "/" not in name}, saved.end)
    assert tensors["mask/fc.weight"].dtype == torch.uint8
    assert tensors["mask/fc.weight"].shape == (8 * 12 // 8,)
    first = saved.mask["fc.weight"].flatten()[:8].tolist()
    assert int(tensors["mask/fc.weight"][0]) == sum(bit << place for place, bit in enumerate(first))


def test_a_name_with_a_slash_is_a_name(tmp_path: Path) -> None:
    state = {"a/b.weight": torch.randn(2, 3), "maskings/x": torch.randn(2)}
    mask = Mask({"a/b.weight": torch.tensor([[True, False, True], [False, True, True]])})
    Ticket(mask, state, state).save(tmp_path / "t")
    loaded = Ticket.load(tmp_path / "t")
    assert loaded.mask == mask
    assert loaded.start is not None
    assert loaded.end is not None
    assert same(loaded.start, state)
    assert same(loaded.end, state)


def test_saving_changes_nothing_in_the_ticket(tmp_path: Path) -> None:
    saved, again = ticket(), ticket()
    saved.save(tmp_path / "t")
    assert saved.start is not None
    assert saved.end is not None
    assert again.start is not None
    assert again.end is not None
    assert same(saved.start, again.start)
    assert same(saved.end, again.end)


FORMAT = {"format": "tombola-ticket-1", "provenance": {}}
BITS = {"mask/w": torch.tensor([5], dtype=torch.uint8)}


def test_the_keys_of_the_state_dict_survive_and_are_left_out_where_nobody_noted_them(tmp_path: Path) -> None:
    keys = {name: name for name in net().shapes} | {"twin.weight": "fc.weight"}
    ticket(keys=keys).save(tmp_path / "known")
    ticket().save(tmp_path / "unknown")
    assert Ticket.load(tmp_path / "known").keys == keys
    assert Ticket.load(tmp_path / "unknown").keys is None


NOT_TICKETS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda path: None, "no such file"),
    "empty": (lambda path: path.write_bytes(b""), "not a readable safetensors file"),
    "text": (lambda path: path.write_text("a ticket"), "not a readable safetensors file"),
    "other tensors": (lambda path: write_tensors(path, {"w": torch.ones(2)}), "not a ticket of Tombola"),
    "other format": (
        lambda path: write_tensors(path, BITS, FORMAT | {"format": "tombola-ticket-2", "shapes": {"w": [3]}}),
        "not a ticket of Tombola",
    ),
    "no shapes": (lambda path: write_tensors(path, BITS, FORMAT), "broken ticket"),
    "shapes of nothing": (
        lambda path: write_tensors(path, BITS, FORMAT | {"shapes": {"w": [3], "v": [3]}}),
        "broken ticket .*'v'",
    ),
    "wrong shape": (
        lambda path: write_tensors(path, BITS, FORMAT | {"shapes": {"w": [30]}}),
        "broken ticket",
    ),
    "shape is a word": (
        lambda path: write_tensors(path, BITS, FORMAT | {"shapes": {"w": "x"}}),
        "broken ticket",
    ),
    "shape is a number": (
        lambda path: write_tensors(path, BITS, FORMAT | {"shapes": {"w": 3}}),
        "broken ticket",
    ),
    "provenance in a list": (
        lambda path: write_tensors(path, BITS, FORMAT | {"shapes": {"w": [3]}, "provenance": [1]}),
        "broken ticket .*its provenance is a list, expected a table",
    ),
    "a side below zero": (
        lambda path: write_tensors(path, BITS, FORMAT | {"shapes": {"w": [-3]}, "provenance": {}}),
        "broken ticket",
    ),
    "shapes is a list": (lambda path: write_tensors(path, BITS, FORMAT | {"shapes": [3]}), "broken ticket"),
    "keys of nothing": (
        lambda path: write_tensors(path, BITS, FORMAT | {"shapes": {"w": [3]}, "keys": {"w": "w", "v": "u"}}),
        "broken ticket .*'v' stands for 'u'",
    ),
    "keys is a list": (
        lambda path: write_tensors(path, BITS, FORMAT | {"shapes": {"w": [3]}, "keys": ["w"]}),
        "broken ticket",
    ),
    "no provenance": (
        lambda path: write_tensors(path, BITS, {"format": FORMAT["format"], "shapes": {"w": [3]}}),
        "broken ticket",
    ),
}


@pytest.mark.parametrize(("make", "sentence"), NOT_TICKETS.values(), ids=NOT_TICKETS.keys())
def test_what_is_no_ticket_is_named(make: Callable[[Path], object], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    make(path)
    with pytest.raises(UserError, match=sentence) as refused:
        Ticket.load(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.999])
def test_a_truncated_ticket_is_named(share: float, tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    ticket().save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=str(path)):
        Ticket.load(path)
