"""Random numbers by counting: a hash of (key, iteration, place), which every device computes alike.

torch's own noise comes from one generator per device, so a network in a stack, alone, or on a GPU would see
other numbers. Here a counter is hashed (SplitMix64: Steele, Lea & Flood 2014) in 64-bit integers, so that any
iteration can be computed without those before it.
"""

from __future__ import annotations

from torch import Tensor

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
