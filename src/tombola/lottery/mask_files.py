"""Masks in files: our own masks and tickets, and checkpoints made elsewhere, whatever their names went through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from tombola.errors import UserError, nearest, notice
from tombola.files import digest_of, read_tensors
from tombola.lottery.checkpoint import read_checkpoint
from tombola.lottery.identify_masks import MASK, pruned
from tombola.lottery.ticket import Ticket, is_ticket
from tombola.masks.mask import Mask
from tombola.models.state import State

COMPILED, PARALLEL = "_orig_mod.", "module."
"""What torch.compile puts into names, and DataParallel before them."""
PARAMETRIZED, ORIGINAL = "parametrizations", "original"
"""How torch.nn.utils.parametrize names what a weight is computed from."""
SHOWN = 8
"""Names that a sentence lists."""


@dataclass(frozen=True)
class MaskFile:
    """The mask of a file, and the weights that it holds beside it."""

    mask: Mask
    start: State | None = None
    end: State | None = None


def read_mask_file(path: Path) -> MaskFile:
    """The mask, and the weights where there are any, of a file: a mask or ticket of Tombola, or a state dict as
    `.safetensors` or torch.save (read without executing anything) with masks beside its weights, nothing but masks, or
    zeros in its weights. What of it is a mask is decided by the rules of `identify_masks.pruned`, and a notice says
    what was taken for one where others could be meant.

    Names lose `module.` and `_orig_mod.`, masks in parametrizations count as masks beside weights, half precision
    becomes float32, sparse tensors dense, and a tensor that is there under two names is one. Weights of others are end
    weights. Raises UserError, in one sentence, for anything else.
    """
    if path.suffix == ".safetensors" and path.exists():
        if is_ticket(path):
            ticket = Ticket.load(path)
            return MaskFile(ticket.mask, ticket.start, ticket.end)
        tensors, metadata = read_tensors(path)
        if isinstance(metadata, dict) and "shapes" in metadata:
            return MaskFile(Mask.load(path))
    else:
        tensors = read_checkpoint(path)
    try:
        found = pruned(_once(_with_masks_beside(_plainly_named(tensors))))
    except UserError as problem:
        raise UserError(f"{path}: {problem}") from None
    if found.said:
        notice(f"{path}: {found.said}")
    return MaskFile(found.mask, end=found.weights)


def ticket_in(path: Path) -> Ticket:
    """A ticket file of Tombola, or the mask of another file as a ticket that knows nothing but that file's name. Raises
    UserError as `read_mask_file` does."""
    if path.suffix == ".safetensors" and path.exists() and is_ticket(path):
        return Ticket.load(path)
    found = read_mask_file(path)
    return Ticket(found.mask, found.start, found.end, {"file": path.name})


def fitted(mask: Mask, shapes: Mapping[str, tuple[int, ...]], where: str) -> Mask:
    """The mask of a file for a network whose prunable weights have these shapes. Names may have a prefix; weights that
    the file has no mask for stay whole.

    Raises UserError, with the names found and the nearest, for a mask that fits none of the weights, and for one of
    another shape.
    """
    prefixes = {
        key.removesuffix(name) for key in mask for name in shapes if key == name or key.endswith(f".{name}")
    }
    prefix = max(sorted(prefixes), key=lambda each: sum(each + name in mask for name in shapes), default="")
    strange = [key for key in mask if key.removeprefix(prefix) not in shapes or not key.startswith(prefix)]
    if not prefixes or strange:
        odd = (strange or list(mask))[0]
        more = f" and {len(mask) - SHOWN:,} more" if len(mask) > SHOWN else ""
        found = ", ".join(f"'{key}'" for key in list(mask)[:SHOWN])
        raise UserError(
            f"{where}: its mask of '{odd}' is of no prunable weight of the network{nearest(odd, shapes)}; found masks "
            f"of {found}{more}"
        )
    fits = Mask.dense(shapes)
    found_for = {name: mask[prefix + name] for name in shapes if prefix + name in mask}
    for name, living in found_for.items():
        if tuple(living.shape) != tuple(shapes[name]):
            raise UserError(
                f"{where}: its mask of '{prefix}{name}' has shape {tuple(living.shape)}, the network's weight "
                f"{tuple(shapes[name])}"
            )
    return Mask({**dict(fits.items()), **found_for})


def file_digest(path: Path) -> str:
    """16 hex digits of the mask in a file. Raises UserError as `read_mask_file` does."""
    return digest_of(dict(read_mask_file(path).mask.items()))


def _plainly_named(state: State) -> State:
    """Names without what wrappers put before them; half precision as float32. Raises UserError for names that are one
    then."""
    plain: dict[str, torch.Tensor] = {}
    wrapped = bool(state) and all(key.replace(COMPILED, "").startswith(PARALLEL) for key in state)
    for key, value in state.items():
        name = key.replace(COMPILED, "")
        name = name.removeprefix(PARALLEL) if wrapped else name
        if name in plain:
            raise UserError(f"'{key}' is there twice, with and without '{COMPILED}'")
        plain[name] = value.float() if value.is_floating_point() and value.itemsize < 4 else value
    return plain


def _with_masks_beside(state: State) -> State:
    """Weights and masks in parametrizations by the names that torch.nn.utils.prune gives them.

    Raises UserError for a weight that is computed from several tensors, or by a parametrization without a mask.
    """
    plain = dict(state)
    for key, value in state.items():
        place, _, leaf = key.rpartition(".")
        module, _, name = place.rpartition(".")
        if f".{PARAMETRIZED}." not in f".{key}" or not leaf.startswith(ORIGINAL):
            continue
        beside = [other for other in state if other.startswith(f"{place}.") and other != key]
        masks = [other for other in beside if state[other].shape == value.shape and _binary(state[other])]
        if leaf != ORIGINAL or len(masks) != 1 or beside != masks:
            raise UserError(
                f"'{place}' computes its weight from {', '.join(repr(each) for each in (key, *beside))}; expected one "
                "mask of its shape beside it, or the weight itself (parametrize.remove_parametrizations)"
            )
        whole = f"{module.removesuffix(PARAMETRIZED)}{name}"
        plain[whole], plain[whole + MASK] = plain.pop(key), plain.pop(masks[0])
    return plain


def _binary(value: torch.Tensor) -> bool:
    return bool(((value == 0) | (value == 1)).all())


def _once(state: State) -> State:
    """Without second names of a tensor: those of the very memory of one before."""
    places: dict[object, str] = {}
    kept: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        place = (value.untyped_storage().data_ptr(), value.storage_offset(), value.shape)
        if (
            value.numel()
            and value.ndim > 1
            and not key.endswith(MASK)
            and places.setdefault(place, key) != key
        ):
            continue
        kept[key] = value
    return kept
