"""Tickets as files: a mask, the weights it starts from, the weights it trained to, and where it comes from."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from tombola import views
from tombola.errors import UserError, nearest
from tombola.files import read_tensors, write_bytes, write_tensors
from tombola.masks import Mask
from tombola.models import State

FORMAT = "tombola-ticket-1"
ExportForm = Literal["dense", "torch-prune"]


@dataclass(frozen=True)
class Ticket:
    """A mask with the weights it starts from and its provenance.

    `start` and `end` are whole states (every parameter and buffer; dead weights are zero in them): where training
    begins and where it ended. Either may be absent. `provenance` is JSON: model, data, seed, ...
    """

    mask: Mask
    start: State | None = field(default=None, repr=False)
    end: State | None = field(default=None, repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        """For notebooks: where it comes from, what it scored, which weights it holds, and its mask."""
        known = {name: value for name, value in self.provenance.items() if not isinstance(value, Mapping)}
        scores = self.provenance.get("scores")
        kept = [which for which, state in (("start", self.start), ("end", self.end)) if state is not None]
        facts = {
            **known,
            **(scores if isinstance(scores, Mapping) else {}),
            "weights": ", ".join(kept) or "none",
        }
        return views.card("Ticket", views.facts(facts), self.mask._repr_html_())

    def save(self, path: Path) -> None:
        """Write one `.safetensors`: trained weights under their own names, so that anybody can read them,
        `start/NAME` for the weights it starts from and `mask/NAME` for the packed bits."""
        tensors = dict(self.end or {})
        # A file holds each tensor for itself; end, start and the caller's network may share memory.
        tensors |= {f"start/{name}": tensor.clone() for name, tensor in (self.start or {}).items()}
        tensors |= {f"mask/{name}": bits for name, bits in self.mask.pack().items()}
        shapes = {name: list(bits.shape) for name, bits in self.mask.items()}
        write_tensors(
            path, tensors, {"format": FORMAT, "shapes": shapes, "provenance": dict(self.provenance)}
        )

    @classmethod
    def load(cls, path: Path) -> Ticket:
        """Read what `save` wrote. Raises UserError for any other file."""
        if not path.exists():
            raise UserError(f"{path}: no such file")
        tensors, metadata = read_tensors(path)
        if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
            raise UserError(f"{path}: not a ticket of Tombola (expected format '{FORMAT}' in its metadata)")
        parts: dict[str, dict[str, torch.Tensor]] = {"": {}, "start": {}, "mask": {}}
        for name, tensor in tensors.items():
            place, slash, rest = name.partition("/")
            own = slash and place in parts
            parts[place if own else ""][rest if own else name] = tensor
        try:
            shapes = {name: tuple(shape) for name, shape in metadata["shapes"].items()}
            mask = Mask.unpack(parts["mask"], shapes)
            return cls(mask, parts["start"] or None, parts[""] or None, metadata["provenance"])
        except (KeyError, TypeError, AttributeError, UserError) as problem:
            raise UserError(f"{path}: a broken ticket ({problem})") from None

    def weights(self, which: Literal["start", "end"]) -> State:
        """The start or end state, masked. Raises UserError when the ticket does not hold it."""
        state = self.start if which == "start" else self.end
        if state is None:
            raise UserError(f"this ticket holds no {which} weights")
        return self.mask.apply(state)

    def export(self, form: ExportForm = "dense", which: Literal["start", "end"] = "start") -> State:
        """A state dict for PyTorch.

        `dense`: plain names, zeros at dead weights. `torch-prune`: `NAME_orig` and `NAME_mask` (float 0/1) in
        place of each masked `NAME`, as torch.nn.utils.prune keeps them.
        """
        state = self.weights(which)
        if form == "dense":
            return state
        pruned: State = {}
        for name, tensor in state.items():
            if name in self.mask:
                pruned[f"{name}_orig"] = tensor
                pruned[f"{name}_mask"] = self.mask[name].to(tensor.dtype)
            else:
                pruned[name] = tensor
        return pruned

    def apply_to(self, checkpoint: Mapping[str, torch.Tensor]) -> State:
        """A copy of a foreign state dict with this ticket's mask put on it.

        Names may carry a prefix ("module.", "model."). Raises UserError when a masked parameter is missing
        or has another shape, and when the checkpoint has a mask of its own for it, which would contradict this one.
        """
        prefix = _prefix(list(self.mask), checkpoint)
        masked = {name: tensor.clone() for name, tensor in checkpoint.items()}
        for name, bits in self.mask.items():
            found = masked[prefix + name]
            if f"{prefix + name}_mask" in masked:
                raise UserError(
                    f"the checkpoint has a mask of its own, '{prefix + name}_mask', which this ticket's would "
                    "contradict; make its pruning permanent first (torch.nn.utils.prune.remove)"
                )
            if found.shape != bits.shape:
                raise UserError(
                    f"{prefix + name} has shape {tuple(found.shape)}, the mask expects {tuple(bits.shape)}"
                )
            masked[prefix + name] = torch.where(bits.to(found.device), found, torch.zeros_like(found))
        return masked


def _prefix(names: Sequence[str], checkpoint: Mapping[str, torch.Tensor]) -> str:
    """What the checkpoint puts before every one of these names ("" if nothing)."""
    first = names[0]
    candidates = {key.removesuffix(first) for key in checkpoint if key == first or key.endswith(f".{first}")}
    if not candidates:
        raise UserError(f"the checkpoint has no tensor '{first}'{nearest(first, checkpoint)}")
    fits = sorted(p for p in candidates if all(p + name in checkpoint for name in names))
    if "" in fits or len(fits) == 1:
        return "" if "" in fits else fits[0]
    if fits:
        raise UserError(f"the mask fits several parts of the checkpoint: {', '.join(map(repr, fits))}")
    closest = max(sorted(candidates), key=lambda p: sum(p + name in checkpoint for name in names))
    missing = next(closest + name for name in names if closest + name not in checkpoint)
    raise UserError(f"the checkpoint has no tensor '{missing}'{nearest(missing, checkpoint)}")


def read_checkpoint(path: Path) -> State:
    """A state dict from `.safetensors` or `torch.save` (plain tensors only, nothing is executed).

    A dict with a "state_dict" or "model" entry is unwrapped. Raises UserError for anything else.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return read_tensors(path)[0]
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # the unpickler meets broken bytes with almost any kind of exception
        first = str(problem).partition("\n")[0]
        raise UserError(f"{path}: not a checkpoint that torch.load reads safely ({first})") from None
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in loaded.items()
    ):
        raise UserError(f"{path}: expected a state dict (name -> tensor), found {type(loaded).__name__}")
    return dict(loaded)


def write_checkpoint(path: Path, state: State) -> None:
    """A state dict as `.safetensors`, or as torch.save for `.pt` and `.pth`; another suffix is a UserError."""
    if path.suffix == ".safetensors":
        write_tensors(path, state)
    elif path.suffix in (".pt", ".pth"):
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(path, buffer.getvalue())
    else:
        raise UserError(f"{path}: expected a name ending in .safetensors, .pt or .pth")
