"""A network that is cut out computes what the masked one does, with the operations that are counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from support.cases import each
from support.compact_parts import NETWORKS
from support.rounding import doubled
from support.training_parts import IMAGES
from support.transfer_parts import CLASSES, made, net, pair, random_mask, whole
from tombola.errors import UserError
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import load_state
from tombola.seeds import stream
from tombola.transfer.cost import multiply_adds
from tombola.transfer.cut_out import Shifted, Smaller, cut_out


class Subtracting(nn.Module):
    """Signals cancel in it where two masks are alike, which does not say that they are constant."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out((self.one(x) - self.two(x)).relu())
        return y


CHAINS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "lenet-5": ("lenet-5", (1, 16, 16)),
    **{name: (build, IMAGES) for name, build in NETWORKS.items()},
}


def masked(arch: Architecture, ticket: Ticket, x: Tensor) -> Tensor:
    module = arch.build().eval()
    load_state(module, ticket.weights("start"))
    with torch.no_grad():
        y: Tensor = module(x)
    return y


def inputs(arch: Architecture, count: int = 4) -> Tensor:
    x = stream(1, "x").standard_normal((count, *arch.input_shape))
    return torch.from_numpy(x).to(torch.get_default_dtype())


def operations(module: nn.Module, x: Tensor) -> int:
    """Floating-point operations as torch counts them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    return int(counter.get_total_flops())


def by_rows(arch: Architecture, seed: int) -> Mask:
    """A mask in which units lack all inputs, or all outputs, now and then."""
    mask, rng = random_mask(arch, 0.5, seed), stream(seed, "rows")
    found = {}
    for name, living in mask.items():
        rows = torch.from_numpy(rng.random(len(living)) < 0.6)
        columns = torch.from_numpy(rng.random(living.shape[1]) < 0.8)
        found[name] = living & rows.view(-1, *(1,) * (living.dim() - 1))
        found[name] &= columns.view(1, -1, *(1,) * (living.dim() - 2))
    return Mask(found)


@pytest.mark.parametrize("name", CHAINS)
def test_the_outputs_are_the_same(name: str) -> None:
    model, shape = CHAINS[name]
    arch = architecture(model, shape, CLASSES)
    smaller, shifted = 0, 0
    for seed in range(8):
        state, mask = whole(arch, seed), by_rows(arch, seed)
        ticket = Ticket(mask, mask.apply(state))
        x = inputs(arch)
        if not all(reachable(arch, mask)):
            with pytest.raises(UserError, match="no living weights lead from its input to its output"):
                cut_out(ticket, arch, "start")
            continue
        found = cut_out(ticket, arch, "start")
        torch.testing.assert_close(found.module(x), masked(arch, ticket, x), rtol=1e-5, atol=1e-5)
        assert operations(found.module, x) == 2 * len(x) * found.multiply_adds["cut"]
        assert operations(arch.build(), x) == 2 * len(x) * found.multiply_adds["dense"]
        assert found.multiply_adds["masked"] == sum(multiply_adds(arch, mask).values())
        smaller += found.multiply_adds["cut"] < found.multiply_adds["dense"]
        shifted += any(isinstance(part, Shifted) for part in found.module.modules())
    assert smaller >= 3
    assert shifted or name != "conv-2", "a convolution that pads sees constants less often at the border"


RESIDUAL = ["resnet-14", "wrn-8-1", "resnet-18"]


@pytest.mark.parametrize("name", RESIDUAL)
def test_residual_networks_are_cut_with_their_streams(name: str) -> None:
    """Batch norms with shifts, shortcuts with and without a convolution, whole channels dead here and there."""
    arch = net(name)
    for seed in range(3):
        state, mask = whole(arch, seed), by_rows(arch, seed)
        ticket = Ticket(mask, mask.apply(state))
        found, x = cut_out(ticket, arch, "start"), inputs(arch)
        expected = masked(arch, ticket, x)
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(found.module(x) / scale, expected / scale, rtol=1e-5, atol=1e-5)
        assert operations(found.module, x) == 2 * len(x) * found.multiply_adds["cut"]
        assert operations(arch.build(), x) == 2 * len(x) * found.multiply_adds["dense"]
        assert found.multiply_adds["cut"] < found.multiply_adds["dense"] / 2


def test_a_channel_of_a_stream_goes_when_all_that_write_to_it_are_dead() -> None:
    """Of the first stage of a ResNet the stem and the second convolution of each block write to one stream."""
    arch = net("resnet-14")
    state, mask = whole(arch), Mask.dense(arch.prunable_shapes)
    writers = ["conv.weight", "stage1.0.conv2.weight", "stage1.1.conv2.weight"]

    def left(dead: list[str]) -> dict[str, int]:
        bits = {n: living.clone() for n, living in mask.items()}
        for writer in dead:
            bits[writer][3] = False
        bits["stage1.0.conv1.weight"][5] = False  # within a block, which nobody else writes to
        ticket = Ticket(Mask(bits), Mask(bits).apply(state))
        found, x = cut_out(ticket, arch, "start"), inputs(arch)
        expected = masked(arch, ticket, x)
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(found.module(x) / scale, expected / scale, rtol=1e-5, atol=1e-5)
        return found.units

    for some in (writers[:1], writers[:2], writers[1:]):
        assert [left(some)[name] for name in writers] == [16, 16, 16]
    units = left(writers)
    assert [units[name] for name in writers] == [15, 15, 15]
    assert units["stage1.0.conv1.weight"] == 15
    assert units["stage2.0.conv1.weight"] == 32


def test_a_block_that_is_dead_keeps_a_unit_and_the_network_goes_on() -> None:
    arch = net("resnet-14")
    bits = dict(Mask.dense(arch.prunable_shapes).items())
    bits["stage1.0.conv2.weight"] = torch.zeros_like(bits["stage1.0.conv2.weight"])
    ticket = Ticket(Mask(bits), Mask(bits).apply(whole(arch)))
    found = cut_out(ticket, arch, "start")
    assert found.units["stage1.0.conv1.weight"] == 1
    assert found.units["stage1.0.conv2.weight"] == 16


def test_a_refilled_resnet_is_really_smaller() -> None:
    arch = net("resnet-14")
    ticket = made("refill", pair(arch, 0.4), arch)
    found, x = cut_out(ticket, arch, "start"), inputs(arch)
    expected = masked(arch, ticket, x)
    torch.testing.assert_close(found.module(x), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    report = ticket.provenance["report"]
    assert report["multiply_adds"] == found.multiply_adds
    for block in ("stage1.0", "stage2.1", "stage3.0"):  # within blocks all channels are refilled ones
        assert found.units[f"{block}.conv1.weight"] <= report["channels"][f"{block}.conv1.weight"][0]
    assert found.multiply_adds["cut"] < found.multiply_adds["dense"]


def reachable(arch: Architecture, mask: Mask) -> list[int]:
    """How many units of each layer of a chain lie on a path from the input to the output (all of the output)."""
    wires = []
    before = arch.input_shape[0]
    for name in arch.prunable:
        living = mask[name].reshape(len(mask[name]), before, -1).any(2)
        wires.append(living)
        before = len(living)
    ahead = [torch.ones(wires[0].shape[1], dtype=torch.bool)]
    for wire in wires:
        ahead.append((wire & ahead[-1]).any(1))
    behind = [torch.ones(len(wires[-1]), dtype=torch.bool)]
    for wire in reversed(wires):
        behind.append((wire & behind[-1][:, None]).any(0))
    on_path = [int((a & b).sum()) for a, b in zip(ahead, reversed(behind), strict=True)]
    return [*on_path[1:-1], len(wires[-1])]


@each("seed", range(20))
def test_what_is_left_lies_on_a_path(seed: int) -> None:
    arch = net("lenet-12-9", (1, 5, 5))
    mask = by_rows(arch, seed)
    expected = reachable(arch, mask)
    ticket = Ticket(mask, mask.apply(whole(arch)))
    if not all(expected):
        with pytest.raises(UserError):
            cut_out(ticket, arch, "start")
    else:
        assert [*cut_out(ticket, arch, "start").units.values()] == expected


def test_a_constant_channel_goes_into_the_biases_by_hand() -> None:
    """One pixel, two hidden units: the second reads nothing and gives relu(3) = 3, which counts 3 x 5 at the output."""
    arch = architecture("lenet-2", (1,), 2)
    state = {
        "fc1.weight": torch.tensor([[2.0], [0.0]]),
        "fc1.bias": torch.tensor([1.0, 3.0]),
        "out.weight": torch.tensor([[4.0, 5.0], [0.0, -1.0]]),
        "out.bias": torch.tensor([7.0, 8.0]),
    }
    mask = Mask({"fc1.weight": torch.tensor([[True], [False]]), "out.weight": state["out.weight"] != 0})
    found = cut_out(Ticket(mask, end=state), arch)
    assert {name: value.tolist() for name, value in found.module.state_dict().items()} == {
        "fc1.weight": [[2]], "fc1.bias": [1], "out.weight": [[4], [0]], "out.bias": [22, 5],
    }  # fmt: skip
    assert found.units == {"fc1.weight": 1, "out.weight": 2}
    assert found.multiply_adds == {"dense": 6, "masked": 4, "cut": 3}


def test_a_refilled_ticket_is_a_smaller_dense_network() -> None:
    arch = net("lenet-20-10", (1, 8, 8))
    ticket = made("refill", pair(arch, 0.6), arch)
    kept = ticket.provenance["report"]["channels"]
    found = cut_out(ticket, arch, "start")
    linear = [part for part in found.module.modules() if isinstance(part, nn.Linear)]
    assert [part.out_features for part in linear] == [kept["fc1.weight"][0], kept["fc2.weight"][0], CLASSES]
    assert [part.in_features for part in linear] == [64, kept["fc1.weight"][0], kept["fc2.weight"][0]]
    assert ticket.provenance["report"]["multiply_adds"] == found.multiply_adds
    assert found.multiply_adds["cut"] <= found.multiply_adds["masked"] + 10 * CLASSES


def test_vggs_and_double_precision() -> None:
    with doubled():
        arch = architecture("vgg-11", (1, 16, 16), CLASSES)
        state, mask = whole(arch), by_rows(arch, 0)
        ticket = Ticket(mask, mask.apply(state))
        found = cut_out(ticket, arch, "start")
        x = inputs(arch, 2)
        torch.testing.assert_close(found.module(x), masked(arch, ticket, x), rtol=1e-9, atol=1e-9)
        assert found.multiply_adds["cut"] < found.multiply_adds["dense"] / 2


def test_a_whole_network_stays_whole() -> None:
    arch = net("lenet-5", (1, 16, 16))
    state = whole(arch)
    found: Smaller = cut_out(Ticket(Mask.dense(arch.prunable_shapes), state), arch, "start")
    assert len(set(found.multiply_adds.values())) == 1
    assert {name: tuple(value.shape) for name, value in found.module.state_dict().items()} == arch.shapes


def test_refusals() -> None:
    arch = architecture(Subtracting, (6,), CLASSES)
    dense, half = Mask.dense(arch.prunable_shapes), torch.ones(4, 6, dtype=torch.bool)
    half[:2] = False
    with pytest.raises(UserError, match=r"nothing is cut out of it.*subtracts or multiplies"):
        cut_out(Ticket(Mask({**dense, "two.weight": half}), whole(arch)), arch, "start")
    vit = architecture("vit-8-1-64", (3, 16, 16), CLASSES)
    with pytest.raises(UserError, match="its hidden units cannot be followed"):
        cut_out(Ticket(Mask.dense(vit.prunable_shapes), whole(vit)), vit, "start")
    with pytest.raises(UserError, match="holds no end weights"):
        cut_out(pair(net("lenet-6-4"))[0], net("lenet-6-4"))
    with pytest.raises(UserError, match=r"'fc1.weight' has shape \(6, 768\), expected \(8, 768\)"):
        cut_out(pair(net("lenet-6-4"))[0], net("lenet-8-4"), "start")
