"""Early-bird tickets, as they are stored; early_bird.py draws them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tombola.errors import UserError
from tombola.files import digest_of, read_tensors, write_tensors
from tombola.masks.mask import Mask
from tombola.masks.structure import Floats
from tombola.seals import sealed, unsealed

EARLY_BIRD, SHORT_ROUNDS = "early-bird", "short-rounds"
"""The names of the modes: a dense training is watched for the masks of all levels, or each ticket's for the next."""


def seen_from(mode: str, level: int, levels: int) -> range:
    """The levels, of 1 to `levels`, whose masks are made while a ticket of a level trains; none in other modes."""
    if mode == EARLY_BIRD and level == 0:
        return range(1, levels + 1)
    return range(level + 1, min(level + 1, levels) + 1) if mode == SHORT_ROUNDS else range(0)


@dataclass(frozen=True)
class Bird:
    """The early-bird ticket of one level: its mask, the iteration that it was made at, whether it was `drawn` because
    masks stood still (else it is the last one), and the distances [n, n] between the masks of all `iterations`."""

    level: int
    mask: Mask
    iteration: int
    drawn: bool
    iterations: tuple[int, ...]
    distances: Floats

    def save(self, path: Path, place: str) -> None:
        """Write a safetensors file of packed bits and distances, sealed for its place in a run."""
        import torch

        shapes = {name: list(shape) for name, shape in self.mask.shapes.items()}
        about = {"level": self.level, "iteration": self.iteration, "drawn": self.drawn, "shapes": shapes}
        bits = {f"mask:{name}": packed for name, packed in self.mask.pack().items()}
        seen = {
            "iterations": torch.tensor(self.iterations),
            "distances": torch.from_numpy(self.distances),
        }
        tensors = {**seen, **bits}
        write_tensors(path, tensors, sealed(about, f"{place} {digest_of(tensors)}"))

    @classmethod
    def load(cls, path: Path, place: str) -> Bird:
        """What `save` wrote for a place. Raises UserError when the file is absent, damaged or something else."""
        tensors, about = read_tensors(path)
        try:
            shapes = {name: tuple(shape) for name, shape in about["shapes"].items()}
            bits = {name.removeprefix("mask:"): t for name, t in tensors.items() if name.startswith("mask:")}
            mask, seen = Mask.unpack(bits, shapes), tuple(tensors["iterations"].tolist())
            distances: Floats = tensors["distances"].numpy()
            level, iteration, drawn = about["level"], about["iteration"], about["drawn"]
            if type(level) is not int or type(iteration) is not int or type(drawn) is not bool:
                raise TypeError("a number was expected")
            found = cls(level, mask, iteration, drawn, seen, distances)
        except (KeyError, TypeError, AttributeError, ValueError, RuntimeError):
            raise UserError(f"{path}: not what was seen of an early-bird ticket") from None
        unsealed(path, about, f"{place} {digest_of(tensors)}")
        return found
