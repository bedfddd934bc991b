"""Layers that compute the weight which they multiply with: a mask on what they compute it from need not hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import Node

from tombola.errors import UserError
from tombola.models.generators import seeded
from tombola.models.trial import Calls, well_known

PRODUCTS = frozenset(
    {F.linear, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d}
)
ENDS = PRODUCTS | {F.embedding}
"""What comes out of these is an answer to inputs, whatever weights went in: a weight is not followed beyond."""

TILE = 8191
"""A pattern of zeros that repeats after so many weights, a prime, lies along no axis of them."""


def require_own_weights(name: str, module: nn.Module, prunable: Collection[str], x: Tensor) -> None:
    """Raise UserError for a prunable weight that does not reach F.linear or F.conv* as it is, where its zeros are lost.

    Found out by one forward pass with about half of each prunable weight at zero. A view of the weight passes, and a
    tensor made from it with as large a share of zeros: scaled, transposed, or cast. Weight standardisation does not.
    The module's weights are changed.
    """
    if well_known(module):
        return
    weights = {key: parameter for key, parameter in module.named_parameters() if key in prunable}
    drawn = torch.rand(TILE, generator=torch.Generator().manual_seed(0)) < 0.5
    drawn[0] = False
    with torch.no_grad():
        for parameter in weights.values():
            living = drawn.repeat(-(-parameter.numel() // TILE))[: parameter.numel()]
            parameter.mul_(living.view(parameter.shape))
    for parameter in module.parameters():  # so that autograd knows what a weight is made from
        parameter.requires_grad_(parameter.is_floating_point())
    watch = _Watch(module, weights)
    with seeded(0), warnings.catch_warnings(), watch:
        warnings.simplefilter("ignore")
        module.eval()
        try:
            module(x.clone())
        except Exception:  # it was shown to work with the weights as they are
            return
        finally:
            watch.leave()
    if watch.lost:
        layer = watch.lost[0].rpartition(".")[0] or type(module).__name__
        raise UserError(
            f"model '{name}': layer '{layer}' does not multiply with its weight but with a tensor that it computes "
            "from it (weight standardisation or the like), in which pruned weights are not zero; remove that before "
            "pruning"
        )


class _Watch(Calls):
    """Sees every F.linear and F.conv*: `lost` are the names of the weights whose zeros did not reach one."""

    def __init__(self, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.lost: list[str] = []
        self._weights = weights
        self._own = {
            tensor.untyped_storage().data_ptr() for tensor in [*module.parameters(), *module.buffers()]
        }
        self._names = {id(weight): name for name, weight in weights.items()}
        self._inside: list[str] = []
        self._ends: set[Node] = set()
        self._hooks = []
        for part in module.modules():
            name = self._names.get(id(part._parameters.get("weight")))
            if name is not None:
                self._hooks.append(part.register_forward_pre_hook(self._enters(name)))
                self._hooks.append(part.register_forward_hook(lambda *_: self._leaves()))

    def leave(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()

    def _enters(self, name: str) -> Callable[..., None]:
        return lambda *_: self._inside.append(name)

    def _leaves(self) -> None:
        self._inside.pop()

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        out = func(*args, **kwargs)
        if func in PRODUCTS:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            if weight.untyped_storage().data_ptr() not in self._own:
                self._look(weight)
        if func in ENDS and out.grad_fn is not None:
            self._ends.add(out.grad_fn)
        return out

    def _look(self, weight: Tensor) -> None:
        """At a tensor that is multiplied with and is no parameter or buffer."""
        sources = self._sources(weight.grad_fn) or self._inside[-1:]
        zeros = float((weight == 0).double().mean())
        self.lost += [
            name for name in sources if zeros < float((self._weights[name] == 0).double().mean()) - 1e-6
        ]

    def _sources(self, node: Node | None) -> list[str]:
        """The prunable weights that a tensor is made from."""
        found, seen, waiting = list[str](), set[Node](), [node]
        while waiting:
            node = waiting.pop()
            if node is None or node in seen or node in self._ends:
                continue
            seen.add(node)
            name = self._names.get(id(getattr(node, "variable", None)))
            found += [name] if name is not None else []
            waiting += [each for each, _ in node.next_functions]
        return found
