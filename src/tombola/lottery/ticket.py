"""Tickets as files: a mask, the weights it starts from, the weights it trained to, and where it comes from."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import ValidationError

from tombola import html
from tombola.errors import UserError, nearest, notice
from tombola.files import read_arrays, read_object, read_tensors, write_tensors
from tombola.masks.mask import Mask
from tombola.models.spec import ModelSpec
from tombola.models.state import State
from tombola.plugins.source import Code
from tombola.plugins.trusted import name_stored

if TYPE_CHECKING:
    import torch


FORMAT = "tombola-ticket-1"
ExportForm = Literal["dense", "torch-prune"]
Weights = Literal["start", "end", "best"]
CONFIG, MODEL_FILE, MASK_FILE = "config.json", "model.safetensors", "mask.safetensors"
"""Files of a ticket as a folder for the Hugging Face Hub."""


@dataclass(frozen=True)
class Ticket:
    """A mask with the weights it starts from and its provenance.

    `start` and `end` are whole states (every parameter and buffer; dead weights are zero in them): where training
    begins and where it ended; so is `best`, those at the early stop. Any may be absent. `provenance` is JSON: model,
    data, seed, ... `keys` are those of the network's `state_dict()`, each with the name that a state has for its tensor
    (a shared one has several keys, a buffer that is not persistent has none); None where nobody noted them.
    """

    mask: Mask
    start: State | None = field(default=None, repr=False)
    end: State | None = field(default=None, repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, str] | None = field(default=None, repr=False)
    best: State | None = field(default=None, repr=False)

    def _repr_html_(self) -> str:
        """For notebooks: where it comes from, what it scored, which weights it holds, and its mask."""
        known = {name: value for name, value in self.provenance.items() if not isinstance(value, Mapping)}
        scores = self.provenance.get("scores")
        kept = self.held
        facts = {
            **known,
            **(scores if isinstance(scores, Mapping) else {}),
            "weights": ", ".join(kept) or "none",
        }
        return html.card("Ticket", html.facts(facts), self.mask._repr_html_())

    @property
    def held(self) -> list[str]:
        """Which weights it holds, of start, end and best."""
        return [which for which in ("start", "end", "best") if getattr(self, which) is not None]

    def save(self, path: Path) -> None:
        """Write one `.safetensors`: trained weights under their own names, so that anybody can read them,
        `start/NAME` for the weights it starts from, `best/NAME` for those at the early stop, and `mask/NAME` for the
        packed bits."""
        tensors = dict(self.end or {})
        # A file holds each tensor for itself; end, start and the caller's network may share memory.
        tensors |= {f"start/{name}": tensor.clone() for name, tensor in (self.start or {}).items()}
        tensors |= {f"best/{name}": tensor.clone() for name, tensor in (self.best or {}).items()}
        tensors |= {f"mask/{name}": bits for name, bits in self.mask.pack().items()}
        shapes = {name: list(bits.shape) for name, bits in self.mask.items()}
        keys = {} if self.keys is None else {"keys": dict(self.keys)}
        about = {"format": FORMAT, "shapes": shapes, "provenance": dict(self.provenance), **keys}
        write_tensors(path, tensors, about)

    @classmethod
    def load(cls, path: Path) -> Ticket:
        """Read what `save` wrote. Raises UserError for any other file."""
        if not path.exists():
            raise UserError(f"{path}: no such file")
        tensors, metadata = read_tensors(path)
        if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
            raise UserError(f"{path}: not a ticket of Tombola (expected format '{FORMAT}' in its metadata)")
        parts: dict[str, dict[str, torch.Tensor]] = {"": {}, "start": {}, "best": {}, "mask": {}}
        for name, tensor in tensors.items():
            place, slash, rest = name.partition("/")
            own = slash and place in parts
            parts[place if own else ""][rest if own else name] = tensor
        try:
            shapes = {name: tuple(shape) for name, shape in metadata["shapes"].items()}
            mask = Mask.unpack(parts["mask"], shapes)
            start, end, best = parts["start"] or None, parts[""] or None, parts["best"] or None
            _require_whole(mask, [state for state in (start, end, best) if state])
            keys = _keys(metadata.get("keys"), start or end or {}, mask)
            if not isinstance(metadata["provenance"], dict):
                raise TypeError(
                    f"its provenance is a {type(metadata['provenance']).__name__}, expected a table"
                )
            name_stored(_code(metadata["provenance"]), str(path))
            return cls(mask, start, end, metadata["provenance"], keys, best)
        except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as problem:
            raise UserError(f"{path}: a broken ticket ({problem})") from None

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Ticket:
        """Read a folder that `ticket export --form hf` wrote: its weights are `end`, or what config.json says.

        Raises UserError for another folder.
        """
        folder = Path(folder)
        config = read_object(folder / CONFIG) if (folder / CONFIG).is_file() else {}
        about = config.get("tombola")
        if not isinstance(about, dict) or about.get("weights") not in get_args(Weights):
            raise UserError(
                f"{folder}: no ticket in it (expected a {CONFIG} that `ticket export --form hf` wrote)"
            )
        mask = Mask.load(folder / MASK_FILE)
        held, keys, provenance = (
            read_tensors(folder / MODEL_FILE)[0],
            about.get("keys"),
            about.get("provenance"),
        )
        try:
            names = {key: key for key in held} if keys is None else dict(keys)
            state = {names[key]: tensor for key, tensor in held.items()}
            if not isinstance(provenance, dict):
                raise TypeError("it has no provenance")
            _require_whole(mask, [state])
            found = _keys(keys, state, mask)
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"{folder}: a broken ticket ({problem})") from None
        name_stored(_code(provenance), str(folder))
        states: dict[str, State] = {about["weights"]: state}
        return cls(mask, provenance=provenance, keys=found, **states)

    def weights(self, which: Weights) -> State:
        """The state at the start, the end or the early stop ("best"), masked. Raises UserError when the ticket does not
        hold it."""
        state: State | None = getattr(self, which)
        if state is None:
            raise UserError(f"this ticket holds no {which} weights{nearest(which, self.held)}")
        return self.mask.apply(state)

    def export(self, form: ExportForm = "dense", which: Weights = "start") -> State:
        """A state dict for PyTorch, with exactly the keys of the network's `state_dict()`.

        `dense`: plain names, zeros at dead weights. `torch-prune`: `NAME_orig` and `NAME_mask` (float 0/1) in
        place of each masked `NAME`, as torch.nn.utils.prune keeps them; a shared weight has them under each name.
        Where the ticket does not know the keys they are those of its state, and a notice says so.
        """
        state = self.weights(which)
        if self.keys is None:
            notice(
                "this ticket does not say which keys its network's state_dict() has, so the second names of shared "
                "weights are missing here, and buffers that are not persistent are in it"
            )
        pruned: State = {}
        for key, name in (self.keys or {name: name for name in state}).items():
            if form == "torch-prune" and name in self.mask:
                pruned[f"{key}_orig"] = state[name]
                pruned[f"{key}_mask"] = self.mask[name].to(state[name].dtype)
            else:
                pruned[key] = state[name]
        return pruned

    def apply_to(self, checkpoint: Mapping[str, torch.Tensor]) -> State:
        """A copy of a foreign state dict with this ticket's mask put on it: on every name of a masked weight, and
        on whatever shares memory with it there; tensors that share memory go on to share it.

        Names may carry a prefix ("module.", "model."). Raises UserError when a masked parameter is missing
        or has another shape, when the checkpoint has a mask of its own for it, which would contradict this one, and
        for two that share memory and have different masks.
        """
        names = {name: [name] for name in self.mask}
        for key, name in (self.keys or {}).items():
            if name in names and key != name:
                names[name].append(key)
        prefix = _prefix(names, checkpoint)
        found = {
            prefix + key: name for name, keys in names.items() for key in keys if prefix + key in checkpoint
        }
        masked: State = copy.deepcopy({key: tensor.detach() for key, tensor in checkpoint.items()})
        for key, name in found.items():
            if f"{key}_mask" in masked:
                raise UserError(
                    f"the checkpoint has a mask of its own, '{key}_mask', which this ticket's would contradict; make "
                    "its pruning permanent first (torch.nn.utils.prune.remove)"
                )
            if masked[key].shape != self.mask[name].shape:
                expected = tuple(self.mask[name].shape)
                raise UserError(f"{key} has shape {tuple(masked[key].shape)}, the mask expects {expected}")
            masked[key].masked_fill_(~self.mask[name].to(masked[key].device), 0)
        for key, name in found.items():
            living = self.mask[name].to(masked[key].device)
            before, after = checkpoint[key][living], masked[key][living]
            if not bool(((before == after) | (before.isnan() & after.isnan())).all()):
                raise UserError(
                    f"the checkpoint has '{key}' in the memory of another masked weight, and their masks differ"
                )
        if self.keys is None:
            pruned = [key for key, name in found.items() if self.mask.count(name) < self.mask.size(name)]
            _say_what_looks_shared(pruned, checkpoint, masked)
        return masked


def is_ticket(path: Path) -> bool:
    """Whether a `.safetensors` file is a ticket. Raises UserError for one that cannot be read."""
    metadata = read_arrays(path, "nothing of it/")[2]
    return isinstance(metadata, dict) and metadata.get("format") == FORMAT


def _code(provenance: Mapping[str, Any]) -> list[Code]:
    """The code that a ticket names; none where its model is broken, which is said when it is built."""
    try:
        return ModelSpec.model_validate(provenance.get("model")).code
    except ValidationError:
        return []


def _require_whole(mask: Mask, states: Sequence[State]) -> None:
    """Raise ValueError unless all states have tensors of the same names, among them the masked ones in their shapes."""
    for state in states:
        if odd := sorted(state.keys() ^ states[0].keys()):
            raise ValueError(f"one of its states holds '{odd[0]}' and another does not")
        for name, shape in mask.shapes.items():
            if name not in state or tuple(state[name].shape) != tuple(shape):
                raise ValueError(f"its weights hold no '{name}' of shape {tuple(shape)}, which is masked")


def _keys(keys: Any, state: State, mask: Mask) -> dict[str, str] | None:
    """The keys in a ticket's metadata, whole. Raises UserError for names that the ticket does not hold."""
    if keys is None:
        return None
    for key, name in keys.items():
        if not isinstance(name, str) or name not in (state or mask):
            raise UserError(f"key '{key}' stands for '{name}', which it does not hold")
    return dict(keys)


def _say_what_looks_shared(
    pruned: Sequence[str], checkpoint: Mapping[str, torch.Tensor], masked: Mapping[str, torch.Tensor]
) -> None:
    """Give a notice of a tensor that has the very values of a pruned weight and was left as it is: a second name of
    it, maybe, of which the ticket does not know. Constant tensors tell nothing."""
    import torch

    for key in pruned:
        one = checkpoint[key]
        varied = bool((one != one.flatten()[:1]).any())
        for other, two in checkpoint.items():
            alike = varied and other != key and two.shape == one.shape and torch.equal(one, two)
            if alike and torch.equal(two, masked[other]):
                notice(
                    f"the checkpoint's '{other}' has the very values of '{key}' and was left unmasked; if the two "
                    "are one weight of the network, it has to be masked as well"
                )


def _prefix(names: Mapping[str, Sequence[str]], checkpoint: Mapping[str, torch.Tensor]) -> str:
    """What the checkpoint puts before these names ("" if nothing), each of which may have several forms."""
    first = next(iter(names))
    forms = names[first]
    candidates = {
        key.removesuffix(form)
        for form in forms
        for key in checkpoint
        if key == form or key.endswith(f".{form}")
    }
    if not candidates:
        _require_no_mask_of_its_own(first, checkpoint)
        raise UserError(f"the checkpoint has no tensor '{first}'{nearest(first, checkpoint)}")

    def there(prefix: str) -> int:
        """How many of the names are there, in any form."""
        return sum(any(prefix + form in checkpoint for form in each) for each in names.values())

    fits = sorted(p for p in candidates if there(p) == len(names))
    if "" in fits or len(fits) == 1:
        return "" if "" in fits else fits[0]
    if fits:
        raise UserError(f"the mask fits several parts of the checkpoint: {', '.join(map(repr, fits))}")
    closest = max(sorted(candidates), key=there)
    missing = next(
        closest + name
        for name, each in names.items()
        if not any(closest + form in checkpoint for form in each)
    )
    raise UserError(f"the checkpoint has no tensor '{missing}'{nearest(missing, checkpoint)}")


def _require_no_mask_of_its_own(name: str, checkpoint: Mapping[str, torch.Tensor]) -> None:
    """Raise UserError where a checkpoint has a weight under the name that pruning or a parametrization gives it."""
    module, dot, leaf = name.rpartition(".")
    for form in (f"{name}_orig", f"{module}{dot}parametrizations.{leaf}.original"):
        for key in checkpoint:
            if key == form or key.endswith(f".{form}"):
                raise UserError(
                    f"the checkpoint has '{key}' in the place of '{name}', from which its network computes the weight; "
                    "make that permanent first (torch.nn.utils.prune.remove, or parametrize.remove_parametrizations)"
                )
