"""Several inputs of a network, kept as one row of numbers an example, one input after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Several:
    """The shapes of the inputs, and which of them a network is given as whole numbers (int64), such as token ids."""

    shapes: tuple[Shape, ...]
    whole: tuple[bool, ...]

    def apart(self, x: Tensor) -> tuple[Tensor, ...]:
        """The inputs that rows [n, numbers] stand for, [n, *shape] each."""
        parts = torch.split(x, [prod(shape) for shape in self.shapes], dim=1)
        return tuple(
            (part.to(torch.int64) if whole else part).reshape(part.shape[0], *shape)
            for part, shape, whole in zip(parts, self.shapes, self.whole, strict=True)
        )

    def table(self) -> dict[str, Any]:
        """As JSON."""
        return {"shapes": [list(shape) for shape in self.shapes], "whole": list(self.whole)}

    @classmethod
    def read(cls, table: Mapping[str, Any] | None) -> Several | None:
        """What `table` gave; None for None."""
        return None if table is None else cls(tuple(map(tuple, table["shapes"])), tuple(table["whole"]))

    def __str__(self) -> str:
        return " and ".join(map(str, self.shapes))


def side_by_side(inputs: Sequence[Tensor]) -> Tensor:
    """Inputs [n, *shape] as rows [n, numbers]: uint8 where all of them are, else float32."""
    kind = torch.uint8 if all(each.dtype == torch.uint8 for each in inputs) else torch.float32
    return torch.cat([each.flatten(1).to(kind) for each in inputs], 1)
