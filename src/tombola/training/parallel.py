"""Several processes that train one network, started by torchrun: each computes its part of every batch.

What is drawn at random belongs to an example's place in the whole batch, means and deviations of batch norms are of the
whole batch, and gradients are added up, so that all processes take the steps of one, to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tombola.errors import UserError

PATIENCE = timedelta(days=7)
"""How long a process waits for the first one, which may be busy with something else."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of torchrun: its number, how many there are, and where it computes."""

    rank: int
    size: int
    device: torch.device

    def share(self, value: Any = None) -> Any:
        """What the first process hands in, in all of them. It has to be one that can be pickled."""
        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def part(self, batch: int) -> slice:
        """The examples of a batch that are this process's: as many as the others', or one more."""
        return slice(batch * self.rank // self.size, batch * (self.rank + 1) // self.size)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Add up tensors of all processes, in place: one message a type."""
        for kind in dict.fromkeys(tensor.dtype for tensor in tensors):
            alike = [tensor for tensor in tensors if tensor.dtype == kind]
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            dist.all_reduce(flat)
            for tensor, total in zip(alike, torch.split(flat, [t.numel() for t in alike]), strict=True):
                tensor.copy_(total.view(tensor.shape))

    def gathered(self, found: Mapping[int, Tensor], count: int, empty: Tensor) -> Tensor:
        """Rows of which each process has found some, by their numbers, together: [count, *empty.shape]. Nothing is
        rounded, since the others' rows are zero."""
        rows = torch.stack([found.get(number, empty) for number in range(count)])
        dist.all_reduce(rows)
        return rows


@cache
def ranks() -> Ranks | None:
    """This process among those of torchrun, which meet here; None where it is alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        return None
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    dist.init_process_group("gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl", timeout=PATIENCE)
    return Ranks(dist.get_rank(), dist.get_world_size(), device)


def size_of(ranks: Ranks | None) -> int:
    """How many train together."""
    return ranks.size if ranks else 1


def leave() -> None:
    """This process has nothing more to do with the others."""
    if dist.is_initialized():
        dist.destroy_process_group()
        ranks.cache_clear()


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; so is that of its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


class SharedNorm(_BatchNorm):
    """Batch norm whose means and deviations are those of the whole batch."""

    def _check_input_dim(self, input: Tensor) -> None:
        """What the layer that it stands for has checked."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:  # each process measures examples of its own
            return super().forward(input)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        shape = [1, -1, *(1,) * (input.dim() - 2)]
        wide = input.float() if input.dtype == torch.bfloat16 else input
        count = _total(wide.new_tensor(float(wide.numel() // wide.shape[1])))
        mean = _total(wide.sum(axes)) / count
        centred = wide - mean.view(shape)
        variance = _total((centred * centred).sum(axes)) / count
        if self.training and self.running_mean is not None:
            self._remember(mean.detach(), (variance * count / (count - 1)).detach())
        out = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics as torch does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


def _total(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return total


PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def share_norms(module: nn.Module) -> nn.Module:
    """Let the batch norms inside `module` be of the whole batch, in place. Raises UserError for kinds of one's own."""
    for name, part in module.named_modules():
        if type(part) in PLAIN:
            part.__class__ = SharedNorm
        elif isinstance(part, _BatchNorm) and type(part) is not SharedNorm:
            raise UserError(
                f"'{name}' is a {type(part).__name__}, a batch norm of one's own, which several processes of torchrun "
                "cannot take together; expected one of torch's"
            )
    return module
