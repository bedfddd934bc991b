"""What a trained network says of examples: its predictions, and how alike its hidden layers find two examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.data.resident import Resident, chunks
from tombola.errors import UserError
from tombola.models.architecture import Architecture
from tombola.models.state import MATRIX, State, load_state

Integers = NDArray[np.int64]
Gram = NDArray[np.float32]
"""[examples, examples]: inner products of a layer's centred answers to two examples, with sum of squares 1; zero
where the layer answers the same to all."""

AT_ONCE = 500
"""Test examples of one forward pass."""


@dataclass(frozen=True)
class Predictions:
    """The labels of the test examples, what the network predicts of each, and the Gram matrices of its hidden layers,
    by the name of their weight."""

    labels: Integers
    predicted: Integers
    grams: Mapping[str, Gram] = field(default_factory=dict)

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which test examples the network gets wrong."""
        return np.not_equal(self.predicted, self.labels)


def predictions_of(
    subject: Subject, architecture: Architecture, data: Resident, examples: Tensor | None = None
) -> Predictions:
    """What the subject's end weights say of the test examples of `data`, in evaluation mode; with training `examples`
    [examples, *input shape], also the Gram matrices of its hidden layers on them.

    Raises UserError for a subject without end weights, and for weights that are not of the architecture.
    """
    module = architecture.build()
    module.eval()
    load_state(module, subject.weights("end"))
    with torch.no_grad():
        said = [module(data.test(start, stop)).argmax(1) for start, stop in chunks(data.n_test, AT_ONCE)]
    grams = {} if examples is None else _grams(module, architecture, examples)
    return Predictions(data.test_y.numpy(), torch.cat(said).numpy(), grams)


def _grams(module: nn.Module, architecture: Architecture, examples: Tensor) -> dict[str, Gram]:
    """Those of every linear layer and convolution but the one that makes the logits, before the nonlinearity."""
    grams: dict[str, Gram] = {}
    hooks = []
    for name in architecture.prunable:
        if architecture.roles[name] not in ("output", MATRIX):
            layer = module.get_submodule(name.rpartition(".")[0])
            hooks.append(
                layer.register_forward_hook(lambda _, __, out, name=name: grams.update({name: gram(out)}))
            )
    with torch.no_grad():
        module(examples)
    for hook in hooks:
        hook.remove()
    return grams


def gram(answers: Tensor) -> Gram:
    """The Gram matrix of answers [examples, ...]; the places of an image and its channels count alike."""
    rows = answers.flatten(1).double()
    centred = rows - rows.mean(0)
    inner = centred @ centred.T
    length = float(inner.norm())
    constant = length <= 1e-12 * float(rows.square().sum())
    return np.asarray((inner * 0 if constant else inner / length).float().numpy())


Activations = NDArray[np.float64]
"""[units, samples]: centred, of length 1; a sample is an example, or a place in one. Zero where constant."""


def unit_activations(network: Network, state: State) -> list[list[Activations]]:
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

    def writes(name: str, axis: int) -> bool:
        """Whether the axis is that of a layer's outputs: a transposed convolution has them second in its weight."""
        layer, _, tensor = name.rpartition(".")
        turned = tensor == "weight" and isinstance(modules.get(layer), _ConvTransposeNd)
        return axis == (1 if turned else 0)

    for group in network.groups:
        layers = (
            name.rpartition(".")[0]
            for name, axis, repeat in group.places
            if repeat == 1 and writes(name, axis)
        )
        written.append(list(dict.fromkeys(layer for layer in layers if layer in modules)))
    return written


def _keep(said: dict[str, Tensor], layer: str) -> Any:
    def hook(_: nn.Module, __: Any, output: Tensor) -> None:
        said[layer] = output.detach().clone()  # a nonlinearity in place would write over it

    return hook


def _by_unit(layer: nn.Module, output: Tensor) -> Activations:
    """[units, samples]. Linear and LayerNorm list units last, convolutions and batch norms second."""
    axis = -1 if isinstance(layer, nn.Linear | nn.LayerNorm) else 1
    front = output.movedim(axis, 0)
    return np.asarray(front.reshape(len(front), -1).double().numpy())


def _standard(answers: Activations) -> Activations:
    centred = answers - answers.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    constant = length <= 1e-12 * np.abs(answers).max(initial=1.0)
    return np.asarray(np.where(constant, 0.0, centred / np.where(constant, 1.0, length)))
