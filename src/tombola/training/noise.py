"""Random numbers by counting: a hash of (key, iteration, place), which every device computes alike.

torch's own noise comes from one generator per device, so a network in a stack, alone, or on a GPU would see
other numbers. Here a counter is hashed (SplitMix64: Steele, Lea & Flood 2014) in 64-bit integers, so that any
iteration can be computed without those before it.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from tombola.errors import UserError

# Constants of SplitMix64, as signed 64-bit integers (torch has no unsigned multiply).
GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
MIX_2 = 0x94D049BB133111EB - (1 << 64)
UNIFORM_BITS = 24


def hash64(counter: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64 tensors; sums and products wrap, shifts are made logical by masking."""
    z = counter * GOLDEN
    z = (z ^ ((z >> 30) & ((1 << 34) - 1))) * MIX_1
    z = (z ^ ((z >> 27) & ((1 << 37) - 1))) * MIX_2
    return z ^ ((z >> 31) & ((1 << 33) - 1))


def uniform(hashed: Tensor, high: int = 64) -> Tensor:
    """UNIFORM_BITS of each hash, those below bit `high`, as whole numbers 0 <= u < 2**UNIFORM_BITS."""
    return (hashed >> (high - UNIFORM_BITS)) & ((1 << UNIFORM_BITS) - 1)


class Noise:
    """Where the dropout layers of one network find their key and the iteration they are in.

    Both are int64 scalars on the device, so that a step needs no value from the host. `calls` counts how
    often each layer was called in this step, so that a layer used in two places draws twice.
    """

    key: Tensor
    iteration: Tensor
    calls: Counter[int]

    first: int
    """The place in the whole batch of the first example that is computed here,"""
    part: int | None
    """and how many are, where other processes compute the rest of the batch."""

    def __init__(self, key: int, device: torch.device, first: int = 0, part: int | None = None) -> None:
        self.first, self.part = first, part
        self.key = torch.tensor(key, dtype=torch.int64, device=device)
        self.iteration = torch.zeros((), dtype=torch.int64, device=device)
        self.calls = Counter()

    def begin(self, iteration: int | Tensor) -> None:
        """The step that leads from `iteration` begins; a tensor is an int64 scalar on the device."""
        self.iteration.fill_(iteration)
        self.calls.clear()

    def stem(self, layer: int) -> Tensor:
        """What the next call of a layer counts from, an int64 scalar."""
        place = layer + (self.calls[layer] << 32)
        self.calls[layer] += 1
        return hash64(hash64(self.key + place) + self.iteration)


class CounterDropout(nn.Module):
    """Stands in for nn.Dropout, Dropout1d, Dropout2d and Dropout3d: zeroes entries (or whole channels)
    with probability p and scales the rest by 1/(1-p). Input [batch, ...], output the same shape.

    Where units were cut out before it, `kept` says which of how many are left: they keep their own noise. An input of
    `unbatched` axes is one example to torch, whose channels lie along its first axis.
    """

    kept: tuple[Tensor, int] | None = None
    unbatched: int = 0

    def __init__(self, p: float, by_channel: bool, layer: int, noise: Noise, inplace: bool = False) -> None:
        super().__init__()
        self.p, self.by_channel, self.layer, self.noise, self.inplace = p, by_channel, layer, noise, inplace

    @classmethod
    def take(cls, part: nn.Module, layer: int, noise: Noise) -> None:
        """Turn one of torch's dropout layers into one of these where it is: whoever holds it, a plain list for one,
        holds this then."""
        by_channel, unbatched = type(part) in CHANNELS, UNBATCHED.get(type(part), 0)
        part.__class__ = cls
        for name, value in (
            ("by_channel", by_channel),
            ("layer", layer),
            ("noise", noise),
            ("unbatched", unbatched),
        ):
            setattr(part, name, value)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if self.noise.part not in (None, x.shape[0]):
            raise UserError(
                f"dropout is given an input of shape {tuple(x.shape)}, whose first axis is not the {self.noise.part} "
                "examples of a process; expected the batch there, since each process draws for its own examples"
            )
        shape = x.shape[: 1 if x.dim() == self.unbatched else 2] if self.by_channel else x.shape
        stem = self.noise.stem(self.layer)
        drawn = uniform(hash64(stem + self._places(shape, x.device)))
        keep = (drawn >= round(self.p * (1 << UNIFORM_BITS))).view(shape)
        keep = keep.view(*shape, *(1,) * (x.dim() - len(shape)))
        out = x * keep / (1 - self.p) if self.p < 1 else x * 0
        return x.copy_(out) if self.inplace else out  # the network may read x again

    def _places(self, shape: torch.Size, device: torch.device) -> Tensor:
        """The number of each entry in the input as it would be with every unit."""
        first = self.noise.first
        if self.kept is None or len(shape) == 1:
            return torch.arange(shape.numel(), device=device) + first * shape[1:].numel()
        units, size = self.kept
        each = shape[1:].numel() // len(units)  # entries of a unit: pixels of a channel, also when flattened
        example = (units.unsqueeze(1) * each + torch.arange(each, device=device)).view(-1)
        examples = torch.arange(first, first + shape[0], device=device)
        return (examples.unsqueeze(1) * (size * each) + example).view(-1)

    def extra_repr(self) -> str:
        return f"p={self.p}"


PLAIN, CHANNELS = (nn.Dropout,), (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
UNBATCHED: dict[type, int] = {nn.Dropout1d: 2, nn.Dropout3d: 4}
"""How many axes an input has that these take for one example; nn.Dropout2d takes none."""


def dropouts(module: nn.Module) -> dict[nn.Module, int]:
    """torch's dropout layers inside a module, each with its number. A layer that stands in several places stays one
    layer; subclasses are left alone: what they do is theirs."""
    found: dict[nn.Module, int] = {}
    for _, part in module.named_modules(remove_duplicate=False):
        if type(part) in (*PLAIN, *CHANNELS):
            found.setdefault(part, len(found))
    return found


def swap_dropout(module: nn.Module, noise: Noise) -> nn.Module:
    """Replace the `dropouts` inside `module` (in place) by counter-based ones that read `noise`."""
    for part, number in dropouts(module).items():
        CounterDropout.take(part, number, noise)
    return module
