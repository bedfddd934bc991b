"""The engine for any torch module: one copy of it per network, each computing on its slice of the stack."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import torch
from torch import Tensor, nn

from tombola.metrics import METRICS
from tombola.models.architecture import Architecture
from tombola.models.generators import put_back, seed_all
from tombola.training.engines.base import ENGINES, LEAST, Demand, Job, autocast, widened
from tombola.training.engines.chain import Link
from tombola.training.engines.compact import chain_of, compact
from tombola.training.engines.steps import GradientEngine
from tombola.training.foreign_noise import habits
from tombola.training.loss import loss_of
from tombola.training.noise import Noise, swap_dropout
from tombola.training.parallel import share_norms
from tombola.training.stack import Stack


class StackMember:
    """One network of a stack as a module of its own. Its tensors are views of slice r of the stack's; those that were
    cut have memory of their own and are copied to and fro."""

    def __init__(self, module: nn.Module, stack: Stack, r: int, chain: Sequence[Link] | None) -> None:
        self.module = module
        self._bind(stack, r)
        living = {link.weight: _living(stack, r, link.weight) for link in chain or () if link.weight}
        self.places = compact(module, chain, living) if chain else {}
        own, whole = dict(module.named_parameters()), {n: t[r] for n, t in stack.tensors().items()}
        small = {**own, **dict(module.named_buffers())}
        self._copies = [(small[name].detach(), whole[name], place) for name, place in self.places.items()]
        self._buffers = {name: whole[name] for name in stack.buffers}
        # A frozen parameter has no gradient.
        slots = {name: param.grad[r] for name, param in stack.params.items() if param.grad is not None}
        self.trained = [own[name] for name in slots]
        self._slots = [(slot, self.places.get(name, ...)) for name, slot in slots.items()]

    def _bind(self, stack: Stack, r: int) -> None:
        """Make every parameter and buffer a view."""
        for name, parameter in self.module.named_parameters():
            parameter.data = stack.params[name][r]
        # Shared buffers have one name in a state and several places in the module.
        owners: dict[int, list[str]] = {}
        for name, buffer in self.module.named_buffers(remove_duplicate=False):
            owners.setdefault(id(buffer), []).append(name)
        for same in owners.values():
            for name in same:
                owner, _, leaf = name.rpartition(".")
                self.module.get_submodule(owner)._buffers[leaf] = stack.buffers[same[0]][r]

    @torch.no_grad()
    def read(self) -> None:
        """Take what was cut from the stack, as it is now."""
        for small, whole, place in self._copies:
            small.copy_(whole[place])

    def write_gradients(self, found: Sequence[Tensor | None]) -> None:
        """Put the gradients of `trained` into the stack; a layer that was never used has none. What was cut out
        stays at the zero that it began with."""
        for (slot, place), gradient in zip(self._slots, found, strict=True):
            slot[place] = 0 if gradient is None else gradient

    @torch.no_grad()
    def write_buffers(self, keep: bool) -> None:
        """Put into the stack the buffers that were cut, and bind anew those that the module assigned instead of
        updating them in place; `keep` their values."""
        anew: list[tuple[str, Tensor, Tensor]] = []
        for name, whole in self._buffers.items():
            owner, _, leaf = name.rpartition(".")
            parent = self.module.get_submodule(owner)
            found = parent._buffers[leaf]
            if found is None or found.data_ptr() == whole.data_ptr():
                continue
            anew.append((name, whole, found.clone()))  # it may be what another buffer was, as of now
            if name not in self.places:
                parent._buffers[leaf] = whole
        for name, whole, found in anew if keep else ():
            whole[self.places.get(name, ...)] = found


@ENGINES.register("modules")
class ModulesEngine(GradientEngine):
    """Any nn.Module, network by network through autograd; what convolutions on a CPU do best with.

    Units of plain chains that lead nowhere are left out of the computing (see compact.py), by the masks that the
    stack has when the engine is made.
    """

    name: ClassVar[str] = "modules"
    chunk: ClassVar[int] = 120
    stack_size: ClassVar[int] = 1
    shares: ClassVar[bool] = True

    def __init__(self, job: Job) -> None:
        architecture, stack = job.architecture, job.stack
        self.stack, self.groups, self.recipe = stack, list(job.groups), job.recipe
        self.loss, self.metric = loss_of(job.recipe), METRICS[job.recipe.metric]
        self.keys = list(job.dropout_keys)
        self.ranks = job.ranks
        self._part = job.ranks.part(job.recipe.batch) if job.ranks else slice(0, job.recipe.batch)
        part = self._part.stop - self._part.start if job.ranks else None
        self.noises = [Noise(key, stack.device, self._part.start, part) for key in self.keys]
        # Noise that is not ours has no counter; for such networks the global generators are seeded at each step.
        self._seeded = architecture.ask(habits).draws
        self._overwrites = architecture.ask(habits).overwrites
        self._remembers = architecture.ask(habits).remembers
        # Where masks move, units that lead nowhere now may do so later, and weights grow by the gradients of all.
        chain = None if stack.moving else architecture.ask(chain_of)
        # Each built anew, not copied: in a copy a function that holds `self` would hold the first one.
        modules = [architecture.build().to(stack.device) for _ in self.noises]
        for module in modules if job.ranks else ():
            share_norms(module)
        # A frozen parameter has no gradient, and the optimizer passes it by.
        for name, param in modules[0].named_parameters():
            if param.requires_grad:
                stack.params[name].grad = torch.zeros_like(stack.params[name])
        self.members = [
            StackMember(swap_dropout(module, noise), stack, r, chain)
            for r, (module, noise) in enumerate(zip(modules, self.noises, strict=True))
        ]

    @staticmethod
    def holds(architecture: Architecture, device: torch.device, demand: Demand = LEAST) -> bool:
        return True

    def _own_generator(self) -> AbstractContextManager[None]:
        """A place where the generators may be seeded; outside of it they are as before."""
        return put_back(self.stack.device) if self._seeded else nullcontext()

    def _handed(self, x: Tensor) -> Tensor:
        """A batch as a network gets it: its own copy if it writes into it."""
        return _laid_out(x.clone() if self._overwrites else x)

    def backward(self, x: Tensor, y: Tensor, iteration: int | Tensor) -> None:
        with self._own_generator():
            for member, key, noise, group in zip(
                self.members, self.keys, self.noises, self.groups, strict=True
            ):
                noise.begin(iteration)
                if self._seeded:
                    seed_all(key ^ int(iteration))
                member.read()
                member.module.train()
                with autocast(self.recipe, self.stack.device):
                    logits = member.module(self._handed(x[group]))
                loss = self.loss(widened(logits), y[group])
                if self.ranks:  # a mean over the whole batch
                    loss = loss * ((self._part.stop - self._part.start) / self.recipe.batch)
                found = torch.autograd.grad(loss, member.trained, allow_unused=True)
                member.write_gradients(found)
                member.write_buffers(keep=True)
        if self.ranks:
            self.ranks.add([param.grad for param in self.stack.params.values() if param.grad is not None])

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        shared = x.shape[0] == 1
        outputs = []
        before = {name: t.clone() for name, t in self.stack.buffers.items()} if self._remembers else {}
        with self._own_generator():
            for member, key, group in zip(self.members, self.keys, self.groups, strict=True):
                if self._seeded:  # some draw in evaluation, too
                    seed_all(key)
                member.read()
                member.module.eval()
                with autocast(self.recipe, self.stack.device):
                    outputs.append(widened(member.module(self._handed(x[0 if shared else group]))))
                member.write_buffers(keep=False)  # being measured changes nothing
        for name, tensor in before.items():
            self.stack.buffers[name].copy_(tensor)
        return torch.stack(outputs)


def _living(stack: Stack, r: int, name: str) -> Tensor:
    """Which entries of a weight of network r carry a signal: those that live, and dead ones frozen at another value
    than zero."""
    living = torch.ones_like(stack.params[name][r], dtype=torch.bool)
    if name in stack.masks:
        living = stack.masks[name][r].bool()
    if name in stack.pins:
        living = living | (stack.pins[name][r] != 0)
    return living


def _laid_out(x: Tensor) -> Tensor:
    """Images with their channels last in memory, which convolutions on a CPU take several times faster."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
