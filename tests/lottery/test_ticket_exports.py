"""Tickets as PyTorch takes them: dense, in torch.nn.utils.prune's form, put on foreign checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from support.lottery_parts import lenet, net, same, shifted, sparse
from tombola.errors import UserError
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.models.state import load_state
from tombola.seeds import Seeds

PROVENANCE = {"model": {"name": "lenet-20-10"}, "seed": 0, "scores": {"accuracy": 0.5, "none": None}}


def ticket(arch: Architecture | None = None, **other: Any) -> Ticket:
    arch = arch or net()
    state = arch.initial(Seeds.single(0).stream("init"))
    mask = sparse(arch, 0.4)
    parts = {
        "start": state,
        "end": mask.apply(shifted(state, 1)),
        "provenance": PROVENANCE,
        "keys": arch.keys,
    }
    return Ticket(mask, **(parts | other))


@pytest.mark.parametrize("which", ["start", "end"])
def test_weights_are_masked_copies(which: Any) -> None:
    one = ticket()
    state = getattr(one, which)
    before = {name: tensor.clone() for name, tensor in state.items()}
    weights = one.weights(which)
    assert same(weights, one.mask.apply(state))
    assert one.mask.count() == sum(int(weights[name].count_nonzero()) for name in one.mask)
    for tensor in weights.values():
        tensor.add_(1)
    assert same(state, before)


@pytest.mark.parametrize("which", ["start", "end"])
def test_weights_that_are_not_there(which: Any) -> None:
    with pytest.raises(UserError, match=f"holds no {which} weights"):
        ticket(**{which: None}).export("dense", which)


@pytest.mark.parametrize("make", [lenet, net])
def test_a_dense_export_loads_into_the_plain_module(make: Callable[[], Architecture]) -> None:
    arch = make()
    one, module = ticket(arch), arch.build()
    module.load_state_dict(one.export("dense", "end"), strict=True)
    for name, parameter in module.named_parameters():
        if name in one.mask:
            assert not parameter[~one.mask[name]].any()
            assert one.end is not None
            assert torch.equal(parameter[one.mask[name]], one.end[name][one.mask[name]])


@pytest.mark.parametrize("make", [lenet, net])
def test_an_export_for_torch_prune_loads_into_a_module_that_torch_pruned(
    make: Callable[[], Architecture],
) -> None:
    arch = make()
    one, module = ticket(arch), arch.build()
    for name in one.mask:
        torch_prune.identity(module.get_submodule(name.rpartition(".")[0]), "weight")
    module.load_state_dict(one.export("torch-prune", "end"), strict=True)
    x = torch.randn(5, *arch.input_shape)
    found = module.eval()(x)
    plain = arch.build()
    load_state(plain, one.weights("end"))
    assert torch.equal(found, plain.eval()(x))
    for name in one.mask:
        owner = module.get_submodule(name.rpartition(".")[0])
        assert torch_prune.is_pruned(owner)
        assert torch.equal(owner.weight_mask.bool(), one.mask[name])
        torch_prune.remove(owner, "weight")
    assert same(dict(module.state_dict()), one.weights("end"))


def test_torch_prune_trains_an_export_within_the_mask() -> None:
    arch = lenet()
    one, module = ticket(arch), arch.build()
    for name in one.mask:
        torch_prune.identity(module.get_submodule(name.rpartition(".")[0]), "weight")
    module.load_state_dict(one.export("torch-prune"), strict=True)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0, momentum=0.9)
    for _ in range(3):
        module(torch.randn(4, *arch.input_shape)).square().sum().backward()
        optimizer.step()
    for name in one.mask:
        weight = module.get_submodule(name.rpartition(".")[0]).weight
        assert int(weight.count_nonzero()) <= one.mask.count(name)
        assert not weight[~one.mask[name]].any()


# --- foreign checkpoints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "net.0."])
def test_a_mask_is_put_on_a_foreign_checkpoint(prefix: str) -> None:
    one = ticket()
    assert one.start is not None
    foreign = {prefix + name: torch.randn(t.shape) for name, t in one.start.items()} | {
        "epoch": torch.tensor(3)
    }
    before = {name: tensor.clone() for name, tensor in foreign.items()}
    masked = one.apply_to(foreign)
    assert same(foreign, before)
    assert list(masked) == list(foreign)
    for name, tensor in foreign.items():
        own = name.removeprefix(prefix)
        if own in one.mask:
            assert torch.equal(masked[name], torch.where(one.mask[own], tensor, 0.0))
        else:
            assert torch.equal(masked[name], tensor)
    for tensor in masked.values():
        tensor.add_(1)
    assert same(foreign, before)


def names(*tensors: str) -> dict[str, Tensor]:
    return {name: torch.ones(2, 2) for name in tensors}


def two_layers(first: str = "0.weight", second: str = "1.weight") -> Ticket:
    bits = torch.tensor([[True, False], [False, True]])
    return Ticket(Mask({first: bits, second: bits}))


def test_the_prefix_is_one_for_all_names() -> None:
    """`0.weight` also ends `m.1.0.weight`, but only `m.` goes before every name."""
    masked = two_layers().apply_to(names("m.0.weight", "m.1.weight", "m.1.0.weight", "m.10.weight"))
    assert {name: float(t.sum()) for name, t in masked.items()} == {
        "m.0.weight": 2.0, "m.1.weight": 2.0, "m.1.0.weight": 4.0, "m.10.weight": 4.0,
    }  # fmt: skip


def test_plain_names_go_before_prefixed_ones() -> None:
    masked = two_layers().apply_to(names("0.weight", "1.weight", "ema.0.weight", "ema.1.weight"))
    assert {name: float(t.sum()) for name, t in masked.items()} == {
        "0.weight": 2.0, "1.weight": 2.0, "ema.0.weight": 4.0, "ema.1.weight": 4.0,
    }  # fmt: skip


NOT_FITTING: list[tuple[dict[str, Tensor], str]] = [
    (names("0.wieght", "other"), "no tensor '0.weight'; did you mean '0.wieght'"),
    (names("0.weight"), "no tensor '1.weight'"),
    (names("m.0.weight", "other"), "no tensor 'm.1.weight'"),
    (names("a.0.weight", "b.1.weight"), "no tensor"),
    (
        names("a.0.weight", "a.1.weight", "b.0.weight", "b.1.weight"),
        "several parts of the checkpoint: 'a.', 'b.'",
    ),
    (names("10.weight", "11.weight"), "no tensor '0.weight'"),
    ({}, "no tensor '0.weight'"),
    (names("m.0.weight", "m.1.weight", "m.1.weight_mask"), "a mask of its own, 'm.1.weight_mask', which"),
    (
        names("m.0.weight") | {"m.1.weight": torch.ones(2, 3)},
        r"m\.1\.weight has shape \(2, 3\), the mask expects \(2, 2\)",
    ),
]


@pytest.mark.parametrize(("checkpoint", "sentence"), NOT_FITTING)
def test_checkpoints_that_do_not_fit_are_named(checkpoint: dict[str, Tensor], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        two_layers().apply_to(checkpoint)


def test_a_module_dict_of_another_kind_of_layer_is_refused_by_shape() -> None:
    with pytest.raises(UserError, match="the mask expects"):
        two_layers("weight", "0.weight").apply_to({"weight": torch.ones(3), "0.weight": torch.ones(2, 2)})
    assert isinstance(nn.Linear(2, 2).weight, Tensor)
