"""What a trained network says of examples: its predictions, and how alike its hidden layers find two examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tombola.compare.subject import Subject
from tombola.data import Resident
from tombola.models import MATRIX, Architecture, load_state
from tombola.training.evaluate import chunks

Integers = NDArray[np.int64]
Gram = NDArray[np.float32]
"""[examples, examples]: inner products of a layer's centred answers to two examples, with sum of squares 1; zero
where the layer answers the same to all."""

AT_ONCE = 500
"""Test examples of one forward pass."""


@dataclass(frozen=True)
class Answers:
    """The labels of the test examples, what the network predicts of each, and the Gram matrices of its hidden layers,
    by the name of their weight."""

    labels: Integers
    predicted: Integers
    grams: Mapping[str, Gram] = field(default_factory=dict)

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which test examples the network gets wrong."""
        return np.not_equal(self.predicted, self.labels)


def answers_of(
    subject: Subject, architecture: Architecture, data: Resident, examples: Tensor | None = None
) -> Answers:
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
    return Answers(data.test_y.numpy(), torch.cat(said).numpy(), grams)


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
