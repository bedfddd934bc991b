"""Networks that are plain sequences of layers, whose functions can be read off their parts."""

from __future__ import annotations

from torch import nn


def plain(module: nn.Module) -> bool:
    """Whether a network is a sequence that computes what its parts say: no forward of its own, no hooks, and every
    parameter is trained and stands in one place."""
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    places = [id(param) for _, param in module.named_parameters(remove_duplicate=False)]
    frozen = any(not param.requires_grad for param in module.parameters())
    return _is_sequence(module) and not (hooked or frozen or len(set(places)) < len(places))


def leaves(module: nn.Module, name: str = "") -> list[tuple[str, nn.Module]]:
    """The layers of nested sequences in the order of computing, with their names; a layer that stands in several
    places is there several times."""
    if not _is_sequence(module):
        return [(name, module)]
    inner = module._modules.items()  # not named_children, which leaves out the second place
    return [leaf for key, part in inner if part for leaf in leaves(part, f"{name}.{key}".lstrip("."))]


def _is_sequence(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
