"""Loops to compare with: the one people write, the same once per core, and the best one by hand; all of them train
one network at a time."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tombola.bench import CPU, Density, Workload, random_mask
from tombola.models.architecture import Architecture
from tombola.models.state import load_state
from tombola.seeds import stream

SHIFT, SCALE = 0.4, 0.3
"""Of pixels from 0 to 1: as good as any other for random images."""


class Baseline(Protocol):
    """A loop in mid-training, whose next steps can be timed."""

    def seconds(self, steps: int) -> float:
        """Wall seconds of the whole machine per network-iteration over the next `steps`."""
        ...


def network(
    net: Architecture, density: Density, device: torch.device = CPU
) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """A masked network, and its masks as floats."""
    module = net.build()
    load_state(module, net.initial(stream("baseline")))
    module = module.to(device)
    mask = random_mask(net, density, 0)
    masks = {name: mask[name].float().to(device) for name in mask}
    for name, parameter in module.named_parameters():
        if name in masks:
            parameter.data.mul_(masks[name])
    return module, masks


class Plain:
    """The way people write it: a DataLoader, nn.Module, Adam, masks multiplied after each step, the loss read out."""

    def __init__(self, case: Workload, density: Density, device: torch.device = CPU) -> None:
        self.module, self.masks = network(case.net, density, device)
        self.device = device
        x = (case.dataset.train_x.float() / 255 - SHIFT) / SCALE
        examples = TensorDataset(x, case.dataset.train_y)
        self.loader = DataLoader(examples, case.recipe.batch, shuffle=True, drop_last=True)
        self.optimizer = torch.optim.Adam(self.module.parameters(), case.recipe.lr)
        self.batches = iter(self.loader)
        self.seconds(3)

    def seconds(self, steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            try:
                x, y = next(self.batches)
            except StopIteration:
                self.batches = iter(self.loader)
                x, y = next(self.batches)
            x, y = x.to(self.device), y.to(self.device)
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.module(x), y)
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                for name, parameter in self.module.named_parameters():
                    if name in self.masks:
                        parameter.mul_(self.masks[name])
            loss.item()
        return (time.perf_counter() - begin) / steps


class PlainPerCore:
    """The plain loop in one process a core, each with one thread: what a careful user does with several seeds."""

    def __init__(self, case: Workload, density: float) -> None:
        context = multiprocessing.get_context("fork")
        torch.set_num_threads(torch.get_num_threads())  # decided before the fork
        self.pipes: list[Connection] = []
        for _ in range(torch.get_num_threads()):
            ours, theirs = context.Pipe()
            context.Process(target=_work, args=(theirs, case, density), daemon=True).start()
            self.pipes.append(ours)
        for pipe in self.pipes:
            pipe.recv()

    def seconds(self, steps: int) -> float:
        begin = time.perf_counter()
        for pipe in self.pipes:
            pipe.send(steps)
        for pipe in self.pipes:
            pipe.recv()
        return (time.perf_counter() - begin) / steps / len(self.pipes)

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            pipe.send(0)


def _work(pipe: Connection, case: Workload, density: float) -> None:
    torch.set_num_threads(1)
    loop = Plain(case, density)
    pipe.send(None)
    while steps := pipe.recv():
        loop.seconds(steps)
        pipe.send(None)


class Tuned:
    """The best eager loop by hand: data resident as uint8, batches by index, images with their channels last, fused
    Adam, one fused mask."""

    def __init__(self, case: Workload, density: float) -> None:
        self.module, masks = network(case.net, density)
        self.x, self.y, self.batch = case.dataset.train_x, case.dataset.train_y, case.recipe.batch
        named = dict(self.module.named_parameters())
        self.masked, self.masks = [named[name] for name in masks], list(masks.values())
        self.optimizer = torch.optim.Adam(self.module.parameters(), case.recipe.lr, fused=True)
        self.order, self.at = torch.randperm(len(self.y)), 0
        self.seconds(3)

    def seconds(self, steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            if self.at + self.batch > len(self.order):
                self.order, self.at = torch.randperm(len(self.y)), 0
            rows = self.order[self.at : self.at + self.batch]
            self.at += self.batch
            x = self.x[rows].float().sub_(255 * SHIFT).div_(255 * SCALE)
            x = x.contiguous(memory_format=torch.channels_last)
            self.optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(self.module(x), self.y[rows]).backward()
            self.optimizer.step()
            torch._foreach_mul_([p.data for p in self.masked], self.masks)
        return (time.perf_counter() - begin) / steps


BASELINES: dict[str, type[Plain] | type[PlainPerCore] | type[Tuned]] = {
    "plain": Plain,
    "plain-per-core": PlainPerCore,
    "tuned": Tuned,
}
