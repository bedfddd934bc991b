"""The engine for any torch module: one copy of it per network, each computing on its slice of the stack."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tombola.models import Architecture
from tombola.training.dropout import Noise, draws_from_torch, swap_dropout
from tombola.training.engines.base import ENGINES, Engine
from tombola.training.stack import Stack


@ENGINES.register("modules")
class ModulesEngine(Engine):
    """Any nn.Module, network by network through autograd; what convolutions on a CPU do best with."""

    name: ClassVar[str] = "modules"
    chunk: ClassVar[int] = 120
    stack_size: ClassVar[int] = 1

    def __init__(
        self, architecture: Architecture, stack: Stack, groups: Sequence[int], dropout_keys: Sequence[int]
    ) -> None:
        self.stack, self.groups = stack, list(groups)
        self.keys = list(dropout_keys)
        self.noises = [Noise(key, stack.device) for key in dropout_keys]
        template = architecture.build()
        # torch's own noise has no counter; such networks get torch's generator seeded afresh each step.
        # Found out on the CPU, where there is one generator to watch.
        self._seeded = draws_from_torch(
            swap_dropout(copy.deepcopy(template), Noise(0, torch.device("cpu"))),
            torch.zeros(2, *architecture.input_shape),
        )
        template.to(stack.device)
        self.modules = [swap_dropout(copy.deepcopy(template), noise) for noise in self.noises]
        # A frozen parameter has no gradient, and the optimizer passes it by.
        for name, param in template.named_parameters():
            if param.requires_grad:
                stack.params[name].grad = torch.zeros_like(stack.params[name])
        self._bind()

    @staticmethod
    def holds(architecture: Architecture, device: torch.device) -> bool:
        return True

    def _bind(self) -> None:
        """Make every parameter, gradient and buffer of module r a view of slice r of the stack."""
        self._grads: list[list[tuple[nn.Parameter, Tensor]]] = []
        for r, module in enumerate(self.modules):
            own = dict(module.named_parameters())
            pairs = []
            for name, param in self.stack.params.items():
                own[name].data = param[r]
                if param.grad is not None:
                    pairs.append((own[name], param.grad[r]))
            self._grads.append(pairs)
            # Shared buffers have one name in a state and several places in the module.
            places: dict[int, list[str]] = {}
            for name, buffer in module.named_buffers(remove_duplicate=False):
                places.setdefault(id(buffer), []).append(name)
            for same in places.values():
                for name in same:
                    owner, _, leaf = name.rpartition(".")
                    module.get_submodule(owner)._buffers[leaf] = self.stack.buffers[same[0]][r]

    @torch.no_grad()
    def _gather_buffers(self, keep: bool) -> None:
        """Rebind buffers that a module assigned anew instead of updating in place; `keep` their values."""
        for r, module in enumerate(self.modules):
            for name, stacked in self.stack.buffers.items():
                owner, _, leaf = name.rpartition(".")
                parent, view = module.get_submodule(owner), stacked[r]
                found = parent._buffers[leaf]
                if found is not None and found.data_ptr() != view.data_ptr():
                    if keep:
                        view.copy_(found)
                    parent._buffers[leaf] = view

    def _own_generator(self) -> AbstractContextManager[None]:
        """A place where torch's generators may be seeded; outside of it they are as before."""
        if not self._seeded:
            return nullcontext()
        device = self.stack.device
        return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])

    def backward(self, x: Tensor, y: Tensor, iteration: int) -> None:
        with self._own_generator():
            for module, key, noise, group, pairs in zip(
                self.modules, self.keys, self.noises, self.groups, self._grads, strict=True
            ):
                noise.begin(iteration)
                if self._seeded:
                    torch.manual_seed(key ^ iteration)
                module.train()
                params = [param for param, _ in pairs]
                loss = F.cross_entropy(module(_laid_out(x[group])), y[group])
                found = torch.autograd.grad(loss, params, allow_unused=True)
                for (_, slot), gradient in zip(pairs, found, strict=True):
                    slot.zero_() if gradient is None else slot.copy_(gradient)
        self._gather_buffers(keep=True)

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        shared = x.shape[0] == 1
        outputs = []
        with self._own_generator():
            for module, key, group in zip(self.modules, self.keys, self.groups, strict=True):
                if self._seeded:  # some draw in evaluation, too
                    torch.manual_seed(key)
                module.eval()
                outputs.append(module(_laid_out(x[0 if shared else group])))
        self._gather_buffers(keep=False)  # being measured changes nothing
        return torch.stack(outputs)


def _laid_out(x: Tensor) -> Tensor:
    """Images with their channels last in memory, which convolutions on a CPU take several times faster."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
