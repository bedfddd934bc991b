"""Networks in dense blocks compute what the masked ones do; what is measured says of what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from support.training_parts import IMAGES
from support.transfer_parts import made, net, pair, whole
from tombola.errors import UserError
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.seeds import stream
from tombola.transfer import latency
from tombola.transfer.cut_out import cut_out, masked_module
from tombola.transfer.latency import Blocks, blocks_in, in_blocks


def alike(ticket: Ticket, arch: Architecture, module: nn.Module) -> None:
    x = torch.from_numpy(stream(1, "x").standard_normal((3, *arch.input_shape))).float()
    with torch.no_grad():
        expected = masked_module(ticket, arch, "start")(x)
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(module(x) / scale, expected / scale, rtol=1e-5, atol=1e-5)


def test_blocks_are_rows_of_equal_columns() -> None:
    living = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0]]) > 0
    found = {tuple(rows.tolist()): columns.tolist() for rows, columns in blocks_in(living)}
    assert found == {(0, 2): [0, 2], (3,): [1]}


@pytest.mark.parametrize(
    ("name", "shape"), [("lenet-16-12", (3, 6, 6)), ("conv-2", (3, 8, 8)), ("resnet-14", (3, 8, 8))]
)
def test_a_regrouped_ticket_runs_its_blocks(name: str, shape: Any) -> None:
    arch = net(name, shape)
    ticket = made("regroup", pair(arch, 0.5), arch, groups=2, rows=2, columns=2)
    smaller = cut_out(ticket, arch, "start")
    found = in_blocks(smaller)
    assert found is not None
    module, products = found
    blocks = [part for part in module.modules() if isinstance(part, Blocks)]
    assert blocks
    assert all(len(part.weights) <= 2 for part in blocks)
    assert products < smaller.multiply_adds["cut"]
    alike(ticket, arch, module)


def test_multiply_adds_of_blocks_by_hand() -> None:
    """4 x 6 weights: rows 0 and 1 read inputs 0 to 2, rows 2 and 3 inputs 3 to 5; the output is left as it is."""
    arch = architecture("lenet-4", (6,), 2)
    living = torch.zeros(4, 6, dtype=torch.bool)
    living[:2, :3] = living[2:, 3:] = True
    ticket = Ticket(
        mask := Mask({"fc1.weight": living, "out.weight": torch.ones(2, 4) > 0}), mask.apply(whole(arch))
    )
    found = in_blocks(cut_out(ticket, arch, "start"))
    assert found is not None
    assert found[1] == 2 * 3 * 2 + 2 * 4
    alike(ticket, arch, found[0])


def test_what_has_no_blocks_runs_none() -> None:
    arch = net("lenet-16-12", (3, 6, 6))
    assert in_blocks(cut_out(pair(arch, 0.5)[0], arch, "start")) is None


def test_each_form_is_measured_and_told_with_its_counts() -> None:
    arch = net("conv-2", IMAGES)
    ticket = made("regroup", pair(arch, 0.5), arch, groups=2, rows=2, columns=2)
    found = latency.measure(ticket, arch, "start", batch=2, repeats=3)
    assert [*found.forms] == ["masked", "cut", "blocks"]
    assert (found.batch, found.threads) == (2, torch.get_num_threads())
    smaller = cut_out(ticket, arch, "start")
    assert found.forms["masked"].multiply_adds == smaller.multiply_adds["dense"]
    assert found.forms["cut"].multiply_adds == smaller.multiply_adds["cut"]
    for each in found.forms.values():
        assert each.n == 3
        assert 0 < each.low <= each.median <= each.high
    with pytest.raises(UserError, match="found a batch of 0"):
        latency.measure(ticket, arch, "start", batch=0)
