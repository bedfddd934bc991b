"""Two small networks to prune: an MLP, and a convolutional one with batch norm and dropout."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from tombola.masks.mask import Mask
from tombola.masks.probe import Probing, prober
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import State
from tombola.seeds import stream


def mlp() -> nn.Module:
    """Weights [12, 8], [8, 12] and [3, 8]."""
    return nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(8, 12), relu1=nn.ReLU(), fc2=nn.Linear(12, 8), relu2=nn.ReLU(), out=nn.Linear(8, 3)
        )
    )


def conv() -> nn.Module:
    """Weights [4, 2, 2, 2], [6, 4, 2, 2] and [3, 24]: all inputs of a unit are a multiple of 4."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(2, 4, 2, bias=False),
            norm1=nn.BatchNorm2d(4),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(4, 6, 2, bias=False),
            norm2=nn.BatchNorm2d(6),
            relu2=nn.ReLU(inplace=True),
            flatten=nn.Flatten(),
            drop=nn.Dropout(0.5),
            out=nn.Linear(24, 3),
        )
    )


@dataclass(frozen=True, eq=False)
class Net:
    """A network with all that a pruning of it takes."""

    architecture: Architecture
    probe: Probing

    @property
    def dense(self) -> Mask:
        return Mask.dense(self.architecture.prunable_shapes)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self.dense.shapes

    def state(self, seed: int) -> State:
        """Weights as they may be after training: norm statistics and biases are not at their first values either."""
        return {name: value.clone() for name, value in _state(self, seed).items()}


@cache
def _state(of: Net, seed: int) -> State:
    rng, state = stream("state", seed), of.architecture.initial(stream("initial", seed))
    for name, value in state.items():
        if value.is_floating_point():
            state[name] = value + 0.1 * torch.from_numpy(rng.random(tuple(value.shape))).float()
    return state


@cache
def net(name: str) -> Net:
    """The network of a name, "mlp" or "conv", with a batch of twelve examples for its probes."""
    make, shape = (mlp, (8,)) if name == "mlp" else (conv, (2, 4, 4))
    arch = architecture(make, shape, 3)
    x = torch.from_numpy(stream("x", name).standard_normal((12, *shape))).float()
    y: Tensor = torch.arange(12) % 3
    return Net(arch, prober(arch, x, y))
