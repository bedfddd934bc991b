"""One subject laid over another, so that the units of the two stand at the same places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tombola.alignment.align import ALIGNMENTS, align, align_tensors
from tombola.alignment.network import Network, Permutations
from tombola.alignment.subject import Subject
from tombola.alignment.words import RAW, Side
from tombola.seeds import stream

Path = tuple[str | int, ...]
"""What names a stream of random numbers."""


def as_it_comes(alignment: str) -> bool:
    """Whether an alignment fits nothing that is then measured, so that what is known of chance where units are as they
    come holds under it too: `raw`, and those that are held out.

    A tensor of random places is as random in any order that does not depend on it. Over several tensors the sums of
    the closed forms take them for independent, which under a held-out alignment they are but for what the matching
    of one reads of another.
    """
    return alignment == RAW or ALIGNMENTS[alignment].held_out


@dataclass(frozen=True)
class Overlay:
    """Lays subjects over others, and keeps matchings that are needed again.

    Subjects of two replicates that came from the same two dense networks share one held-out matching of these, so that
    arms differ by their masks alone.
    """

    network: Network
    seed: int
    kept: dict[tuple[Any, ...], tuple[Subject, Subject, dict[str, Permutations]]] = field(
        default_factory=dict, repr=False
    )
    """Matchings by alignment and dense networks; the subjects are held so that no other network gets their id."""

    def laid(
        self, a: Subject, b: Subject, alignment: str, sides: Iterable[Side | None], path: Path
    ) -> dict[Side | None, Subject]:
        """b laid over a for each side: anew for each where the alignment reads signs, else once for all.

        Measures that read no weights go by the signs at the end, where both subjects have an end. `path` names the
        stream of random numbers.
        """
        sides = list(sides)
        if alignment == RAW:
            return dict.fromkeys(sides, b)
        last: Side = "end" if a.holds("end") and b.holds("end") else "start"
        read = {side: (side or last) if ALIGNMENTS[alignment].sided else last for side in sides}
        laid = {
            side: self.over(a, b, alignment, side, (alignment, side, *path))
            for side in sorted(set(read.values()))
        }
        return {side: laid[read[side]] for side in sides}

    def over(self, a: Subject, b: Subject, alignment: str, side: Side, path: Path) -> Subject:
        """b laid over a at one side; `path` names the stream of random numbers."""
        if not ALIGNMENTS[alignment].held_out:
            rng = stream(self.seed, "compare", "align", *path)
            return self.network.relabelled(b, align(a, b, self.network, alignment, side, rng))
        return self.network.collage(b, self._tensors(a, b, alignment, side, path))

    def _tensors(
        self, a: Subject, b: Subject, alignment: str, side: Side, path: Path
    ) -> dict[str, Permutations]:
        shared = ALIGNMENTS[alignment].dense and path[-1] == SEEN and a.replicate and b.replicate
        place: Path = (alignment, a.replicate, b.replicate) if shared else path
        key = (alignment, id(a.dense), id(b.dense))
        if not shared or key not in self.kept:
            rng = stream(self.seed, "compare", "align", *place)
            found = align_tensors(a, b, self.network, alignment, side, rng)
            if not shared:
                return found
            self.kept[key] = (a, b, found)
        return self.kept[key][2]


SEEN = "seen"
"""How the path ends of what is not a null."""
