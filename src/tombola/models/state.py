"""The state of a module: every parameter and buffer by name, and which of the parameters can be pruned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from tombola.errors import UserError, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn


SHORTCUTS = frozenset({"shortcut", "downsample"})
"""What the module that holds the projection of a residual shortcut is called, here and in torchvision."""

MATRIX = "matrix"
"""The role of a matrix that was opted in."""

State: TypeAlias = "dict[str, Tensor]"
"""Every parameter (shared ones once) and every buffer of a module, by name: detached copies on the CPU."""


def prunable(module: nn.Module, prune: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the Linear and Conv weights, by type, and of the matrices that the patterns in `prune` opt in; in module
    order, a shared weight is named once.

    Grouped, depthwise, dilated and transposed convolutions count, and a weight that a Linear layer shares
    with an embedding. All else stays dense unless it is opted in (see `opted_in`): embeddings, recurrent cells,
    parameters a module holds itself (the input projections of nn.MultiheadAttention are such). Biases and norms
    are never prunable.

    Raises UserError where a layer computes its weight from other parameters (weight norm, torch's own
    pruning): a mask on such a weight would not hold; and for patterns that opt in nothing that can be pruned.
    """
    return tuple(_layers(module, prune))


def roles_of(module: nn.Module, prune: Sequence[str] = ()) -> dict[str, str]:
    """Prunable name -> its role: what pruning rates can name it by.

    "output" is the last Linear or Conv weight, where it is a Linear one; the other Linear weights are "linear".
    A 1x1 convolution inside of a module called `shortcut` or `downsample` is a "shortcut", the others "conv".
    A rate for "conv" holds for shortcuts as well, unless they have one of their own. What was opted in is a "matrix".
    """
    roles = {name: _role(name, layer) for name, layer in _layers(module, prune).items()}
    last = next((name for name in reversed(roles) if roles[name] != MATRIX), None)
    if last is not None and roles[last] == "linear":
        roles[last] = "output"
    return roles


def _role(name: str, layer: nn.Module | None) -> str:
    from torch.nn.modules.conv import _ConvNd

    if layer is None:
        return MATRIX
    if not isinstance(layer, _ConvNd):
        return "linear"
    pointwise = math.prod(layer.kernel_size) == 1
    return "shortcut" if pointwise and SHORTCUTS.intersection(name.split(".")) else "conv"


def state_of(module: nn.Module) -> State:
    """Copies of every parameter and buffer on the CPU; training the module on leaves them as they are."""
    return {name: place.detach().to("cpu", copy=True) for name, place in _places(module).items()}


def state_dict_names(module: nn.Module) -> dict[str, str]:
    """Each key of `module.state_dict()` -> the name that a State has for its tensor.

    Second names of a shared tensor are keys too; a buffer that is not persistent has none.
    """
    names = {id(tensor): name for name, tensor in _places(module).items()}
    kept = module.state_dict(keep_vars=True).items()
    return {key: names[id(tensor)] for key, tensor in kept if id(tensor) in names}


def frozen_in(module: nn.Module) -> frozenset[str]:
    """Names of the parameters that are not trained: `requires_grad` is False."""
    return frozenset(name for name, parameter in module.named_parameters() if not parameter.requires_grad)


def require_memory_of_their_own(name: str, module: nn.Module) -> None:
    """Raise UserError for two parameters that share memory without being one: here they would be trained apart; and for
    a buffer or another tensor that is a parameter's memory, and would not follow its training."""
    from torch.nn.parameter import is_lazy

    from tombola.models.hidden import hidden

    first: dict[int, str] = {}
    for key, parameter in module.named_parameters():
        if is_lazy(parameter) or not parameter.numel():
            continue
        other = first.setdefault(parameter.data_ptr(), key)
        if other != key:
            raise UserError(
                f"model '{name}': '{other}' and '{key}' are two parameters that share memory, expected one parameter "
                f"under both names (tie them as in `b.weight = a.weight`)"
            )
    places = [(f"buffer '{key}'", [buffer]) for key, buffer in module.named_buffers()] + [
        (str(each), each.tensors) for each in hidden(module)
    ]
    own = {id(parameter) for parameter in module.parameters()}
    lying = {
        parameter.untyped_storage().data_ptr(): key
        for key, parameter in module.named_parameters()
        if not is_lazy(parameter) and parameter.numel()
    }
    for place, tensors in places:
        for tensor in tensors:
            if is_lazy(tensor) or not tensor.numel() or id(tensor) in own:
                continue
            if owner := lying.get(tensor.untyped_storage().data_ptr()):
                raise UserError(
                    f"model '{name}': {place} shares its memory with parameter '{owner}' and would not follow its "
                    "training here; expected the parameter itself to be read in forward"
                )


def load_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy the values into the module's own tensors; the state and the module share no memory afterwards.

    Raises UserError for an unknown, missing or mis-shaped name, before anything is changed.
    """
    import torch

    places = _places(module)
    network = type(module).__name__
    for name, value in state.items():
        if name not in places:
            raise UserError(f"state holds '{name}', which {network} does not have{nearest(name, places)}")
        if value.shape != places[name].shape:
            raise UserError(
                f"state of {network}: '{name}' has shape {tuple(value.shape)}, "
                f"expected {tuple(places[name].shape)}"
            )
    for name in places:
        if name not in state:
            raise UserError(f"state lacks '{name}' of {network}{nearest(name, state)}")
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(state[name])


def _places(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _layers(module: nn.Module, prune: Sequence[str]) -> dict[str, nn.Module | None]:
    """Weight name -> its Linear or Conv layer, None for what was opted in. The name is the one `named_parameters`
    gives, so a State has it too."""
    from tombola.models.opt_in import opted_in

    names = {id(parameter): name for name, parameter in module.named_parameters()}
    weights = {
        names[id(_weight(place, layer))] for place, layer in module.named_modules() if _is_layer(layer)
    }
    chosen = opted_in(module, prune) - weights
    layers: dict[str, nn.Module | None] = {}
    for place, layer in module.named_modules():
        if _is_layer(layer):
            layers.setdefault(names[id(_weight(place, layer))], layer)
        own = [names[id(parameter)] for parameter in layer.parameters(recurse=False)]
        layers |= {name: None for name in own if name in chosen}
    return layers


def _is_layer(layer: nn.Module) -> bool:
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    return isinstance(layer, nn.Linear | _ConvNd)


def _weight(place: str, layer: nn.Module) -> nn.Parameter:
    weight = layer._parameters.get("weight")
    if weight is None:
        raise UserError(
            f"layer '{place or type(layer).__name__}' computes its weight from other tensors "
            "(weight norm or another parametrisation); remove that before pruning"
        )
    return weight
