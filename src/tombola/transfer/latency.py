"""How fast a masked network computes, and how fast the same network cut out, or in dense blocks: measured, not counted.

A clock on one machine tells of that machine, its threads and its batch; the counts of `cut_out` are beside it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tombola.errors import UserError
from tombola.lottery.ticket import Ticket
from tombola.models.architecture import Architecture
from tombola.seeds import stream
from tombola.transfer.cut_out import Smaller, cut_out, masked_module

LEAST_SECONDS = 0.005
"""A measurement takes so long at least: faster networks are called several times for each."""
FEW, SMALL = 0.5, 0.75
"""A layer is computed in blocks where these are at most this share as many as its rows, and hold at most this share of
its weights."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds for a batch: the `median` of `n` measurements, and their quartiles. `multiply_adds` are those of one
    example, with all weights that the network multiplies by."""

    median: float
    low: float
    high: float
    n: int
    multiply_adds: int


@dataclass(frozen=True)
class Measured:
    """What was measured: form -> latency (`masked`: the whole network with zeros in it, `cut`, and `blocks`, the cut
    network with layers in dense blocks, where it has any), for how large a batch and with how many threads."""

    forms: Mapping[str, Latency]
    batch: int
    threads: int


def measure(
    ticket: Ticket,
    architecture: Architecture,
    which: Literal["start", "end"] = "end",
    *,
    batch: int = 64,
    repeats: int = 50,
) -> Measured:
    """How long each form of a ticket's network takes for a batch of noise, with torch's threads as they are.

    The forms are measured in turns, so that what else the machine does falls on all of them. Raises UserError as
    `cut_out` does, and for less than one example or measurement.
    """
    if batch < 1 or repeats < 1:
        raise UserError(f"found a batch of {batch} and {repeats} repeats, expected 1 or more of each")
    smaller = cut_out(ticket, architecture, which)
    counts = smaller.multiply_adds
    forms: dict[str, tuple[nn.Module, int]] = {
        "masked": (masked_module(ticket, architecture, which), counts["dense"]),
        "cut": (smaller.module, counts["cut"]),
    }
    if blocked := in_blocks(smaller):
        forms["blocks"] = blocked
    noise = stream("latency", "noise").standard_normal((batch, *architecture.input_shape))
    x = torch.from_numpy(noise).to(architecture.blank(1).dtype)
    found = _in_turns({name: _caller(module, x) for name, (module, _) in forms.items()}, repeats)
    latencies = {}
    for name, seconds in found.items():
        low, median, high = (1000 * float(part) for part in np.quantile(seconds, (0.25, 0.5, 0.75)))
        latencies[name] = Latency(median, low, high, repeats, forms[name][1])
    return Measured(latencies, batch, torch.get_num_threads())


def in_blocks(smaller: Smaller) -> tuple[nn.Module, int] | None:
    """A cut network with layers in dense blocks of the same outputs, and its multiply-adds; None where no layer has few
    enough of them."""
    module, saved, uses = copy.deepcopy(smaller.module), 0, smaller.uses
    for name, part in list(module.named_modules()):
        weight = f"{name.removesuffix('.layer')}.weight"
        if weight not in uses or not _unfolds(part):
            continue
        blocks = blocks_in(part.weight.detach().flatten(1) != 0)
        size = sum(len(rows) * len(columns) for rows, columns in blocks)
        if 0 < len(blocks) <= FEW * len(part.weight) and size <= SMALL * part.weight.numel():
            parent, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(parent), leaf, Blocks(part, blocks))
            saved += uses[weight] * (part.weight.numel() - size)
    return (module, smaller.multiply_adds["cut"] - saved) if saved else None


def _unfolds(part: nn.Module) -> TypeGuard[nn.Linear | nn.Conv2d]:
    """Whether a layer is a product of its weight with its input, unfolded at most."""
    plain = isinstance(part, nn.Conv2d) and part.groups == 1 and part.padding_mode == "zeros"
    return isinstance(part, nn.Linear) or (plain and not isinstance(part.padding, str))


def blocks_in(living: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Rows that live in the same columns, [rows, columns]: the rows and the columns of each such block; none of rows in
    which nothing lives."""
    patterns, which = np.unique(living.numpy(), axis=0, return_inverse=True)
    blocks = [(np.flatnonzero(which == i), np.flatnonzero(pattern)) for i, pattern in enumerate(patterns)]
    return [(torch.from_numpy(rows), torch.from_numpy(columns)) for rows, columns in blocks if len(columns)]


class Blocks(nn.Module):
    """A linear layer or a convolution as dense products of some of its rows with some of its columns. Of a convolution
    the columns are those of its unfolded input, (channel, place in the kernel)."""

    def __init__(self, layer: nn.Linear | nn.Conv2d, blocks: Sequence[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.layer = [layer]  # not a part of it: it multiplies by the blocks alone
        flat = layer.weight.detach().flatten(1)
        self.rows, self.columns = zip(*blocks, strict=True)
        self.weights = nn.ParameterList(nn.Parameter(flat[rows][:, columns]) for rows, columns in blocks)
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """[batch, ...] to what the layer gives."""
        layer = self.layer[0]
        if isinstance(layer, nn.Linear):
            return self._products(x.unsqueeze(-1)).squeeze(-1)
        padding = layer.padding
        assert not isinstance(padding, str)
        given = zip(x.shape[2:], padding, layer.dilation, layer.kernel_size, layer.stride, strict=True)
        places = [
            (size + 2 * pad - (dilation * (kernel - 1) + 1)) // stride + 1
            for size, pad, dilation, kernel, stride in given
        ]
        columns = functional.unfold(x, layer.kernel_size, layer.dilation, padding, layer.stride)
        return self._products(columns).reshape(len(x), -1, *places)

    def _products(self, columns: Tensor) -> Tensor:
        """[batch, columns, places] to [batch, rows, places]; examples side by side, so that each block is one product
        of matrices whose rows lie together."""
        batch, count, places = columns.shape
        flat = columns.transpose(0, 1).reshape(count, batch * places)
        out = flat.new_zeros(len(self.layer[0].weight), batch * places)
        for rows, taken, weight in zip(self.rows, self.columns, self.weights, strict=True):
            out.index_copy_(0, rows, weight @ flat.index_select(0, taken))
        if self.bias is not None:
            out += self.bias.view(-1, 1)
        return out.view(-1, batch, places).transpose(0, 1)


def _caller(module: nn.Module, x: Tensor) -> Callable[[], object]:
    def call() -> object:
        with torch.inference_mode():
            return module(x)

    return call


def _in_turns(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of one call of each, so many times, in turns."""
    often = {}
    for name, call in calls.items():
        call()  # warm up
        often[name] = max(1, round(LEAST_SECONDS / max(_seconds(call, 1), 1e-9)))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            found[name].append(_seconds(call, often[name]))
    return found


def _seconds(call: Callable[[], object], times: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begin) / times
