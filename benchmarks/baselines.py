"""Loops to compare with: the one people write, and the best one by hand, each for one network at a time."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tombola.bench import random_mask
from tombola.data import Dataset
from tombola.models import Architecture, load_state
from tombola.seeds import stream


def network(net: Architecture, density: float) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """A masked network, and its masks as floats."""
    module = net.build()
    load_state(module, net.initial(stream("baseline")))
    mask = random_mask(net, density, 0)
    masks = {name: mask[name].float() for name in mask}
    for name, parameter in module.named_parameters():
        if name in masks:
            parameter.data.mul_(masks[name])
    return module, masks


class Plain:
    """The way people write it: a DataLoader, nn.Module, Adam, masks multiplied after each step, the loss read out."""

    def __init__(self, net: Architecture, dataset: Dataset, density: float, batch: int, lr: float) -> None:
        self.module, self.masks = network(net, density)
        x = (dataset.train_x.float() / 255 - 0.1307) / 0.3081
        self.loader = DataLoader(TensorDataset(x, dataset.train_y), batch, shuffle=True, drop_last=True)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr)
        self.batches = iter(self.loader)
        self.seconds(3)

    def seconds(self, steps: int) -> float:
        """Wall seconds of an iteration over the next `steps`."""
        begin = time.perf_counter()
        for _ in range(steps):
            try:
                x, y = next(self.batches)
            except StopIteration:
                self.batches = iter(self.loader)
                x, y = next(self.batches)
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


class Tuned:
    """The best eager loop by hand: data resident as uint8, batches by index, fused Adam, one fused mask."""

    def __init__(self, net: Architecture, dataset: Dataset, density: float, batch: int, lr: float) -> None:
        self.module, masks = network(net, density)
        self.x, self.y, self.batch = dataset.train_x.flatten(1), dataset.train_y, batch
        named = dict(self.module.named_parameters())
        self.masked, self.masks = [named[name] for name in masks], list(masks.values())
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr, fused=True)
        self.order, self.at = torch.randperm(len(self.y)), 0
        self.seconds(3)

    def seconds(self, steps: int) -> float:
        """Wall seconds of an iteration over the next `steps`."""
        begin = time.perf_counter()
        for _ in range(steps):
            if self.at + self.batch > len(self.order):
                self.order, self.at = torch.randperm(len(self.y)), 0
            rows = self.order[self.at : self.at + self.batch]
            self.at += self.batch
            x = self.x[rows].float().sub_(33.3).div_(78.6)
            self.optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(self.module(x), self.y[rows]).backward()
            self.optimizer.step()
            torch._foreach_mul_([p.data for p in self.masked], self.masks)
        return (time.perf_counter() - begin) / steps
