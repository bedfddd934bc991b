"""Masks: which prunable weights live. Immutable, with an algebra, a packed form and a file form."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tombola import html
from tombola.errors import UserError, nearest
from tombola.files import read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor


Shapes = Mapping[str, tuple[int, ...]]


class Mask(Mapping[str, "Tensor"]):
    """Parameter name -> bool tensor on the CPU, True where the weight lives.

    A mask holds copies and hands out copies, so nothing done to a tensor elsewhere changes it. Names are
    in sorted order, whatever the order they came in: a mask read from disk is the same in every respect
    as the one written. Operators need equal names and shapes, else they raise UserError.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        import torch

        self._tensors: dict[str, Tensor] = {}
        for name in sorted(tensors):
            if tensors[name].dtype != torch.bool:
                raise UserError(f"mask of '{name}' holds {tensors[name].dtype}, expected torch.bool")
            self._tensors[name] = tensors[name].detach().to("cpu", copy=True)
        self._counts = {name: int(tensor.count_nonzero()) for name, tensor in self._tensors.items()}

    @classmethod
    def dense(cls, shapes: Shapes) -> Mask:
        """Every weight lives."""
        import torch

        return cls({name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()})

    @classmethod
    def empty(cls, shapes: Shapes) -> Mask:
        """No weight lives."""
        import torch

        return cls({name: torch.zeros(shape, dtype=torch.bool) for name, shape in shapes.items()})

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[self._known(name)].clone()

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"Mask({self.count():,} of {self.size():,} weights in {len(self)} tensors)"

    def _repr_html_(self) -> str:
        """For notebooks: a row a tensor; the strip is the density of its output units, in order."""
        rows = []
        for name, tensor in self._tensors.items():
            units = (
                tensor.reshape(tensor.shape[0], -1) if tensor.dim() and tensor.numel() else tensor.view(-1, 1)
            )
            shares = html.strip(units.double().mean(1).tolist(), f"density of the output units of {name}")
            shape = " × ".join(map(str, tensor.shape))
            rows.append([name, shape, f"{self.count(name):,}", f"{100 * self.density(name):.2f}%", shares])
        heads = ["tensor", "shape", "weights alive", "density", "by output unit"]
        return html.card(f"{self!r}, {100 * self.density():.2f}% alive", html.table(heads, rows, raw=4))

    # Counts, of one tensor or overall.

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape."""
        return {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    def count(self, name: str | None = None) -> int:
        """How many weights live."""
        return sum(self._counts.values()) if name is None else self._counts[self._known(name)]

    def size(self, name: str | None = None) -> int:
        """How many weights there are, dead or alive."""
        if name is None:
            return sum(tensor.numel() for tensor in self._tensors.values())
        return self._tensors[self._known(name)].numel()

    def density(self, name: str | None = None) -> float:
        """The fraction that lives, 0..1 (0 where there are no weights at all)."""
        return self.count(name) / max(self.size(name), 1)

    def counts(self) -> dict[str, int]:
        """Name -> how many live."""
        return dict(self._counts)

    def empty_layers(self) -> list[str]:
        """Names of the tensors without a living weight."""
        return [name for name, count in self._counts.items() if count == 0]

    # Algebra. Operands never change.

    def __and__(self, other: Mask) -> Mask:
        import torch

        return self._combined(other, torch.logical_and)

    def __or__(self, other: Mask) -> Mask:
        import torch

        return self._combined(other, torch.logical_or)

    def __xor__(self, other: Mask) -> Mask:
        import torch

        return self._combined(other, torch.logical_xor)

    def __invert__(self) -> Mask:
        return Mask({name: ~tensor for name, tensor in self._tensors.items()})

    def __le__(self, other: Mask) -> bool:
        """Nested: every weight that lives here lives in the other mask."""
        return (self & ~other).count() == 0

    def __eq__(self, other: object) -> bool:
        import torch

        if not isinstance(other, Mask):
            return NotImplemented
        return self.shapes == other.shapes and all(
            torch.equal(tensor, other._tensors[name]) for name, tensor in self._tensors.items()
        )

    __hash__ = None  # type: ignore[assignment]  # equal masks are compared whole, never looked up

    # Weights under the mask.

    def apply(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A copy of the state with exactly +0.0 at the dead weights, also where they were negative or NaN."""
        import torch

        return {
            name: torch.where(living, value, torch.zeros_like(value)) if living is not None else value.clone()
            for name, value, living in self._over(state)
        }

    def living(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A copy with only the living values of masked tensors, 1-D in C order; `restore` is the way back."""
        return {
            name: value[living] if living is not None else value.clone()
            for name, value, living in self._over(state)
        }

    def _over(self, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        """Every name of the state, its value and its mask (None where it has none)."""
        for name, tensor in self._tensors.items():
            _require(name, state, tensor.shape)
        for name, value in state.items():
            mask = self._tensors.get(name)
            yield name, value.detach(), None if mask is None else mask.to(value.device)

    # Packed bits and files.

    def pack(self) -> dict[str, Tensor]:
        """Name -> uint8 bytes of eight weights each, in C order, the first weight in the lowest bit."""
        import torch

        return {
            name: torch.from_numpy(np.packbits(tensor.numpy().reshape(-1), bitorder="little"))
            for name, tensor in self._tensors.items()
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Tensor], shapes: Shapes) -> Mask:
        """The mask of packed bytes; a UserError for names, byte counts or padding `pack` does not make."""
        if packed.keys() != shapes.keys():
            odd = min(packed.keys() ^ shapes.keys())
            raise UserError(
                f"packed mask: '{odd}' has {'no shape' if odd in packed else 'a shape but no bits'}"
            )
        return cls({name: _bits(name, packed[name], tuple(shapes[name])) for name in packed})

    def save(self, path: Path) -> None:
        """Write a safetensors file of packed bits, shapes in the metadata."""
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        write_tensors(path, self.pack(), {"shapes": shapes})

    @classmethod
    def load(cls, path: Path) -> Mask:
        """The mask in a file. Raises UserError when the file is absent, broken or not a mask."""
        packed, metadata = read_tensors(path)
        shapes = metadata.get("shapes") if isinstance(metadata, dict) else None
        if not isinstance(shapes, dict) or not all(_is_shape(shape) for shape in shapes.values()):
            raise UserError(f"{path}: not a mask file (expected packed bits with shapes in the metadata)")
        try:
            return cls.unpack(packed, {name: tuple(shape) for name, shape in shapes.items()})
        except UserError as problem:
            raise UserError(f"{path}: not a mask file ({problem})") from None

    def _known(self, name: str) -> str:
        if name not in self._tensors:
            raise KeyError(f"mask has no '{name}'{nearest(name, self._tensors)}")
        return name

    def _combined(self, other: Mask, operation: Callable[[Tensor, Tensor], Tensor]) -> Mask:
        if not isinstance(other, Mask):
            return NotImplemented
        if self.shapes != other.shapes:
            mine, theirs = self.shapes, other.shapes
            odd = min(name for name in mine | theirs if mine.get(name) != theirs.get(name))
            raise UserError(
                f"masks of different networks: '{odd}' has shape {mine.get(odd, 'none')} in one "
                f"and {theirs.get(odd, 'none')} in the other"
            )
        return Mask({name: operation(tensor, other._tensors[name]) for name, tensor in self._tensors.items()})


def restore(
    packed_state: Mapping[str, Tensor], mask: Mask, dead: float | Mapping[str, Tensor] = 0.0
) -> dict[str, Tensor]:
    """The full state of `mask.living(state)`, with `dead` (a value, or tensors by name) at the dead weights.

    Raises UserError when a name is missing or does not hold as many values as the mask has living weights.
    """
    state: dict[str, Tensor] = {}
    for name in mask:
        _require(name, packed_state, (mask.count(name),))
    for name, value in packed_state.items():
        if name not in mask:
            state[name] = value.clone()
            continue
        living = mask[name].to(value.device)
        if isinstance(dead, Mapping):
            _require(name, dead, living.shape)
            full = dead[name].detach().to(value, copy=True)
        else:
            full = value.new_full(living.shape, dead)
        full[living] = value.detach()
        state[name] = full
    return state


def _require(name: str, state: Mapping[str, Tensor], shape: tuple[int, ...]) -> None:
    if name not in state:
        raise UserError(f"state lacks '{name}' of the mask{nearest(name, state)}")
    if tuple(state[name].shape) != tuple(shape):
        raise UserError(
            f"state: '{name}' has shape {tuple(state[name].shape)}, expected {tuple(shape)} for this mask"
        )


def _bits(name: str, packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    import torch

    size = math.prod(shape)
    expected = (size + 7) // 8
    if packed.dtype != torch.uint8 or packed.shape != (expected,):
        raise UserError(
            f"packed mask: '{name}' of shape {shape} holds {packed.dtype} {tuple(packed.shape)}, "
            f"expected {expected} bytes"
        )
    bits = np.unpackbits(packed.cpu().numpy(), bitorder="little").astype(bool)
    if bits[size:].any():
        raise UserError(f"packed mask: '{name}' of shape {shape} has bits set beyond its {size} weights")
    return torch.from_numpy(bits[:size].reshape(shape))


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(type(side) is int and side >= 0 for side in value)
