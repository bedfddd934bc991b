"""What the hidden units of a network answer to examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tombola.compare.network import Network
from tombola.errors import UserError
from tombola.models import State, load_state

Answers = NDArray[np.float64]
"""[units, samples]: centred, of length 1; a sample is an example, or a place in one. Zero where constant."""


def unit_activations(network: Network, state: State) -> list[list[Answers]]:
    """For each group of units, what each layer that writes to it says of the examples, in evaluation mode.

    Layers are read as they are computed, before the nonlinearity; a norm layer counts as one that writes.
    Raises UserError where the network came without an architecture or examples.
    """
    if network.architecture is None or network.examples is None:
        raise UserError(
            "alignment by activations needs the architecture and examples; the network came without"
        )
    module = network.architecture.build()
    module.eval()
    load_state(module, state)
    said: dict[str, Tensor] = {}
    hooks = [
        module.get_submodule(layer).register_forward_hook(_keep(said, layer))
        for layer in sorted({layer for layers in _writers(network, module) for layer in layers})
    ]
    with torch.no_grad():
        module(network.examples)
    for hook in hooks:
        hook.remove()
    return [
        [_standard(_by_unit(module.get_submodule(layer), said[layer])) for layer in layers]
        for layers in _writers(network, module)
    ]


def _writers(network: Network, module: nn.Module) -> list[list[str]]:
    """For each group, the layers whose outputs are its units, in the order of its places."""
    modules = dict(module.named_modules())
    written: list[list[str]] = []
    for group in network.groups:
        layers = (name.rpartition(".")[0] for name, axis, repeat in group.places if (axis, repeat) == (0, 1))
        written.append(list(dict.fromkeys(layer for layer in layers if layer in modules)))
    return written


def _keep(said: dict[str, Tensor], layer: str) -> Any:
    def hook(_: nn.Module, __: Any, output: Tensor) -> None:
        said[layer] = output.detach().clone()  # a nonlinearity in place would write over it

    return hook


def _by_unit(layer: nn.Module, output: Tensor) -> Answers:
    """[units, samples]. Linear and LayerNorm list units last, convolutions and batch norms second."""
    axis = -1 if isinstance(layer, nn.Linear | nn.LayerNorm) else 1
    front = output.movedim(axis, 0)
    return np.asarray(front.reshape(len(front), -1).double().numpy())


def _standard(answers: Answers) -> Answers:
    centred = answers - answers.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    constant = length <= 1e-12 * np.abs(answers).max(initial=1.0)
    return np.asarray(np.where(constant, 0.0, centred / np.where(constant, 1.0, length)))
