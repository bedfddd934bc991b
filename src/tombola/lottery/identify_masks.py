"""What is pruned in a state dict made elsewhere: which of its tensors are masks, and which only look like one.

1. `NAME_mask` is a mask where `NAME_orig` or `NAME`, a floating tensor, stands beside it with its shape, and it holds
   zeros and ones. Any other tensor whose name ends so is no mask: attention masks are called so as well.
2. Where no such mask is there, and all tensors of two and more axes hold zeros and ones, the file is a bare mask,
   unless one of them could be something else: an attention mask, positions, a tensor that names no weight.
3. Else the zeros of the weights are the mask. Weights are floating tensors of two and more axes, and where any has
   "weight" in the last part of its name, only those that have. An embedding's row of padding is no pruning.

Biases and norms (a weight with a bias of its own shape) are not pruning, nor are integers and booleans but by 1 and 2.
What these rules cannot tell apart is refused; what they left alone that an eye could take for a mask is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.state import State

MASK, ORIGINAL = "_mask", "_orig"
"""How torch.nn.utils.prune ends the names of a mask and of the weights under it."""
WEIGHT, BIAS, EMBEDDING = "weight", "bias", "emb"
SHOWN = 8
"""How many names a sentence lists."""
TRIANGLE = 3
"""Rows from which on a full triangle of ones is no accident of pruning."""
BARE = "; a mask has the name of its weight, and nothing but masks may be in a file of masks"


@dataclass(frozen=True)
class Pruned:
    """The mask of a state dict, its weights under their own names, masked (None: there are but masks), and what should
    be said of how they were told apart ("": nothing)."""

    mask: Mask
    weights: State | None
    said: str = ""


def pruned(state: State) -> Pruned:
    """What is pruned in a state dict, by the rules above. Raises UserError, naming tensors, where they do not tell."""
    for key, value in state.items():
        if value.layout != torch.strided or value.is_quantized:
            raise UserError(f"'{key}' is no plain tensor (expected dense floats, integers or booleans)")
    masks = _beside(state)
    if not masks and (bare := _bare(state)) is not None:
        return Pruned(bare, None)
    _require_weights(state, masks)
    weights = Mask(masks).apply(_under(state, masks))
    counted = {name: living for name, living in masks.items() if _counts(name, weights)}
    if counted:
        used = {name + end for name in counted for end in ("", MASK, ORIGINAL)}
        others = _mistakable({key: value for key, value in state.items() if key not in used}, masks)
        names = f"the masks of {_listed(counted)} are taken for pruning, "
        return Pruned(Mask(counted), weights, f"{names}{_listed(others)} for none" if others else "")
    mask = _zeros(weights, state)
    others = _mistakable({key: value for key, value in weights.items() if key not in mask}, masks)
    how = f"no mask stands beside a weight, so the zeros in {_listed(mask)} are taken for pruning"
    alive = f" ({mask.count():,} of {mask.size():,} alive)"
    return Pruned(mask, weights, how + alive + (f", those in {_listed(others)} are not" if others else ""))


# --- 1: masks beside their weights -------------------------------------------------------------------------


def _beside(state: State) -> dict[str, Tensor]:
    """Weight name -> its mask, of every mask that stands beside its weight."""
    masks = {}
    for key, value in state.items():
        name = key.removesuffix(MASK)
        under = (
            [] if name == key else [k for k in (name, name + ORIGINAL) if k in state and _floats(state[k])]
        )
        if not under:
            continue
        if state[under[0]].shape != value.shape:
            raise UserError(
                f"'{key}' has shape {tuple(value.shape)}, '{under[0]}' beside it {tuple(state[under[0]].shape)}: "
                "expected a mask of the shape of its weight"
            )
        masks[name] = _living(key, value)
    return masks


def _living(key: str, value: Tensor) -> Tensor:
    """A mask as booleans. Raises UserError for other values than zeros and ones."""
    if not _binary(value):
        found = sorted(set(value.flatten().tolist()))[:4]
        raise UserError(f"'{key}' is no mask: expected zeros and ones, found {found}")
    return value != 0


def _under(state: State, masks: Iterable[str]) -> State:
    """The state without its masks, the weights under them by their own names."""
    weights = {
        key: value for key, value in state.items() if key.removesuffix(MASK) not in masks or key in masks
    }
    for name in masks:
        if name not in weights:
            weights[name] = weights.pop(name + ORIGINAL)
    return weights


def _require_weights(state: State, masks: Iterable[str]) -> None:
    """Raise UserError for a tensor that is called the mask of a weight, and the weight is not there."""
    for key in state:
        name = key.removesuffix(MASK)
        if name != key and name not in masks and _is_called(WEIGHT, name):
            _living(key, state[key])
            raise UserError(
                f"'{key}' masks no weight: expected '{name}{ORIGINAL}' or '{name}' with its shape beside it, "
                f"found {_keys(state)}"
            )


# --- 2: nothing but masks ----------------------------------------------------------------------------------


def _bare(state: State) -> Mask | None:
    """The mask of a file of masks; None for a file that holds other values. Raises UserError where it may be both."""
    wide = {key: value for key, value in state.items() if value.ndim >= 2 and not _is_called(BIAS, key)}
    if not wide or not all(map(_binary, wide.values())):
        return None
    if all(bool(value.all()) and not key.endswith(MASK) for key, value in wide.items()):
        return None
    named = {key for key in wide if _is_called(WEIGHT, key)}
    names = [key.removesuffix(MASK) for key in wide]
    reasons: dict[str, Callable[[str], bool]] = {
        "is a triangle of ones, as attention masks are": lambda key: (
            key not in named and _triangle(wide[key])
        ),
        "holds integers wider than a byte": lambda key: not _floats(wide[key]) and wide[key].itemsize > 1,
        "does not name a weight as others do": lambda key: bool(named) and key not in named,
        "is there twice": lambda key: names.count(key.removesuffix(MASK)) > 1,
    }
    for why, applies in reasons.items():
        odd = [key for key in wide if applies(key)]
        if odd:
            raise UserError(
                f"masks cannot be told from other tensors of zeros and ones: '{odd[0]}' {why}{BARE}; "
                f"found {_keys(state)}"
            )
    return Mask({key.removesuffix(MASK): value != 0 for key, value in wide.items()})


# --- 3: zeros in weights -----------------------------------------------------------------------------------


def _zeros(weights: State, state: State) -> Mask:
    """The mask of a state dict whose weights hold zeros. Raises UserError where none does, or it cannot be told."""
    wide = {
        key: value
        for key, value in weights.items()
        if _floats(value) and not key.endswith(MASK) and _counts(key, weights)
    }
    named = {key: value for key, value in wide.items() if _is_called(WEIGHT, key)}
    chosen = named or {key: value for key, value in wide.items() if not _binary(value)}
    _require_no_other_masks(weights, chosen)
    padded = [key for key, value in chosen.items() if _padded(key, value, weights)]
    for key in padded:
        if EMBEDDING not in key.lower():
            raise UserError(
                f"the zeros of '{key}' are one whole row: padding of an embedding or a pruned unit, which cannot be "
                f"told; put a mask '{key}{MASK}' beside it and beside each pruned weight"
            )
    mask = Mask({key: value != 0 for key, value in chosen.items() if key not in padded})
    if mask.count() == mask.size():
        raise UserError(
            f"found no mask: no 'NAME{MASK}' stands beside a weight 'NAME{ORIGINAL}' or 'NAME' of its shape, and no "
            f"weight of two or more axes has a zero; found {_keys(state)}"
        )
    return mask


def _require_no_other_masks(weights: State, chosen: State) -> None:
    """Raise UserError for zeros and ones in the shape of a weight of the same module: a mask under another name."""
    for key, value in weights.items():
        if key in chosen or value.ndim < 2 or not _mixed(value) or _triangle(value):
            continue
        module = key.rpartition(".")[0]
        for name, weight in chosen.items():
            if name.rpartition(".")[0] == module and weight.shape == value.shape:
                raise UserError(
                    f"'{key}' holds zeros and ones in the shape of '{name}': if it is its mask, call it "
                    f"'{name}{MASK}', else leave it out"
                )


def _padded(name: str, value: Tensor, weights: State) -> bool:
    """Whether the zeros of a matrix without a bias are one row of several, as where an embedding pads."""
    if value.ndim != 2 or len(value) < 2 or value.shape[1] < 2 or _bias_of(name) in weights:
        return False
    dead = value == 0
    return int(dead.all(1).sum()) == 1 and int(dead.sum()) == value.shape[1]


# --- what a tensor may be ----------------------------------------------------------------------------------


def _counts(name: str, weights: State) -> bool:
    """Whether a tensor could be a pruned weight: two axes at least, no bias, no norm."""
    bias = weights.get(_bias_of(name))
    norm = bias is not None and bias.shape == weights[name].shape
    return weights[name].ndim >= 2 and not _is_called(BIAS, name) and not norm


def _mistakable(tensors: State, masks: Iterable[str]) -> list[str]:
    """The names of those that an eye could take for masks: called so, or with zeros along two and more axes."""
    return [
        key for key, value in tensors.items() if key.endswith(MASK) or key in masks or _has_holes(key, value)
    ]


def _has_holes(key: str, value: Tensor) -> bool:
    bias = _is_called(BIAS, key) and _floats(value)
    return value.ndim >= 2 and not bias and not bool(value.bool().all())


def _is_called(word: str, key: str) -> bool:
    return word in key.rpartition(".")[2]


def _bias_of(name: str) -> str:
    """The name of the bias that belongs to a weight; "" where it has none by name."""
    return name.removesuffix(WEIGHT) + BIAS if name.endswith(WEIGHT) else ""


def _floats(value: Tensor) -> bool:
    return value.is_floating_point()


def _binary(value: Tensor) -> bool:
    return bool(((value == 0) | (value == 1)).all())


def _mixed(value: Tensor) -> bool:
    """Whether it holds zeros and ones, both, and nothing else."""
    return _binary(value) and bool((value == 0).any()) and bool((value == 1).any())


def _triangle(value: Tensor) -> bool:
    """Whether its last two axes are square with ones up to the diagonal, or from it on, as attention masks have."""
    side = value.shape[-1]
    if value.shape[-2] != side or side < TRIANGLE:
        return False
    lower = torch.ones(side, side, dtype=torch.bool).tril()
    wholes = (lower, lower.T, ~lower, ~lower.T)
    return any(bool(((value != 0) == whole).all()) for whole in wholes)


def _keys(state: State) -> str:
    """The names of a file's tensors, for a sentence."""
    return _listed(state) or "no tensors at all"


def _listed(names: Iterable[str]) -> str:
    """Names between quotes, the first few of them."""
    every = list(names)
    shown = ", ".join(f"'{name}'" for name in every[:SHOWN])
    more = len(every) - SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown
