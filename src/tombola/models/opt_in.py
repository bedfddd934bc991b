"""Matrices that a study opts in to be pruned beside Linear and Conv weights, by patterns of names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.parametrize import ParametrizationList

from tombola.errors import UserError, nearest

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def opted_in(module: nn.Module, patterns: Sequence[str]) -> frozenset[str]:
    """Names, as a State has them, of the parameters that match; a shared one matches under any of its names.

    What can be pruned are floating-point parameters of two axes or more that are no bias and of no norm. Raises
    UserError, with the nearest name, for a pattern that matches no parameter, or one that cannot be pruned.
    """
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    every = dict(module.named_parameters(remove_duplicate=False))
    reasons = {name: _unfit(module, name, parameter) for name, parameter in every.items()}
    fit = [name for name, reason in reasons.items() if not reason]
    chosen: set[str] = set()
    for pattern in patterns:
        found = [name for name in every if fnmatchcase(name, pattern)]
        where = f"[model] prune: '{pattern}'"
        if not found:
            raise UserError(f"{where} matches no parameter of {type(module).__name__}{nearest(pattern, fit)}")
        for name in found:
            if reasons[name]:
                raise UserError(f"{where} matches '{name}', {reasons[name]}{nearest(name, fit)}")
        chosen |= {names[id(every[name])] for name in found}
    return frozenset(chosen)


def _unfit(module: nn.Module, name: str, parameter: nn.Parameter) -> str | None:
    """Why a parameter cannot be pruned, to go on with after its name; None where it can."""
    place, _, leaf = name.rpartition(".")
    owner = module.get_submodule(place)
    if isinstance(owner, NORMS):
        return "which belongs to a norm"
    if leaf.startswith("bias"):
        return "which is a bias"
    if parameter.dim() < 2:
        axes = f"{parameter.dim()} ax{'i' if parameter.dim() == 1 else 'e'}s"
        return f"which has {axes}, expected matrices of two or more"
    if not parameter.is_floating_point():
        return f"which holds {str(parameter.dtype).removeprefix('torch.')}, expected floating-point numbers"
    computed = (
        isinstance(owner, ParametrizationList) or f"{leaf.removesuffix('_orig')}_mask" in owner._buffers
    )
    return "from which a weight is computed; remove that before pruning" if computed else None
