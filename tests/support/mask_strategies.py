"""Random masks for property tests."""

from __future__ import annotations

import math

import torch
from hypothesis import strategies as st

from tombola.masks.mask import Mask

shapes = st.dictionaries(
    st.sampled_from(["a.weight", "b.weight", "c"]),
    st.lists(st.integers(1, 5), max_size=3).map(tuple),
    min_size=1,
)


@st.composite
def masks(draw: st.DrawFn, number: int = 1) -> tuple[Mask, ...]:
    """`number` masks of one network."""
    sides = draw(shapes)

    def mask() -> Mask:
        bits = {
            name: draw(st.lists(st.booleans(), min_size=math.prod(shape), max_size=math.prod(shape)))
            for name, shape in sides.items()
        }
        return Mask({name: torch.tensor(bits[name]).reshape(shape) for name, shape in sides.items()})

    return tuple(mask() for _ in range(number))
