"""Which networks of a run are paired, by kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from tombola.errors import UserError, nearest
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.runs.beside.copies import Copy
from tombola.runs.folder import Run

KINDS: Mapping[str, str] = {
    "instability": "two copies of one network, trained from one start with other noise (Frankle et al. 2020)",
    "levels": "the trained tickets of a level and of the level before",
    "dense": "the trained dense network, and the trained ticket",
    "pruning": "the dense network trained with the ticket's noise, then masked, and the ticket (Frankle et al. 2019)",
    "arms": "the trained ticket and the trained network of another arm, at one level",
    "donors": "a replicate's network and its donor's, units matched by the dense networks (Ainsworth et al. 2023)",
    "donors-apart": "the same, units as they come",
}
DEFAULT_KINDS = ("instability", "levels", "dense")


@dataclass(frozen=True)
class Pair:
    """Two networks of one replicate, or of one and its donor. `masked`: the first is looked at through the mask of the
    second. `matched`: the units of the second are put in the order of the first's, as arms are aligned."""

    kind: str
    a: Copy
    b: Copy
    masked: bool = False
    matched: bool = False


def pairs_of(
    run: Run,
    *,
    levels: Collection[int] = (),
    arms: Collection[str] = (),
    kinds: Sequence[str] = DEFAULT_KINDS,
    copies: int = 2,
) -> list[Pair]:
    """The pairs of the cells that are done, in the order of kinds, levels and replicates; see `connect_run`.

    Raises UserError for what is not there and for a request that no pair answers.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"there are no pairs of kind '{kind}'{nearest(kind, KINDS)}")
    study = run.study
    if study.store.keep == "masks":
        raise UserError(
            f"{run.path.name}: keeps masks only (store.keep = 'masks'), and connections are of weights"
        )
    if "instability" in kinds and copies < 2:
        raise UserError(f"copies is {copies}, expected 2 or more: the network itself and another")
    if "pruning" in kinds and study.pruning.after != "rewind":
        raise UserError(
            f"kind 'pruning' trains dense networks from where tickets are rewound to, and this run has pruning.after = "
            f"'{study.pruning.after}'"
        )
    if (taking := {"donors", "donors-apart"} & {*kinds}) and not any(
        each.kind == "donors" for each in run.ladders()
    ):
        raise UserError(
            f"{run.path.name}: has no donors, and pairs of kind '{min(taking)}' are of a replicate and its donor; "
            "expected a study with an arm that takes from donors"
        )
    cells = [c for c in run.cells() if c.arm != study.search_arm and run.record(c).status == "ok"]
    done = {
        level: [cell for cell in cells if cell.level == level] for level in sorted({c.level for c in cells})
    }
    for level in levels:
        if level not in done:
            raise UserError(f"{run.path.name}: no cell is done at level {level}, found levels {list(done)}")
    known = sorted({cell.arm for cell in cells})
    for arm in arms:
        if arm not in known:
            raise UserError(f"{run.path.name}: no arm '{arm}' is done{nearest(arm, known)}")
    chosen = sorted({*levels}) or list(done)
    found = [
        pair
        for kind in dict.fromkeys(kinds)
        for level in chosen
        for pair in (
            _lent_pairs(kind, run, done[level])
            if kind in ("donors", "donors-apart")
            else _pairs(kind, level, done, list(arms), copies, study.pruning.rewind > 0)
        )
    ]
    if not found:
        raise UserError(
            f"{run.path.name}: has no pair of kind {', '.join(map(repr, kinds))} at level "
            f"{', '.join(map(str, chosen)) or 'any'}"
        )
    return found


def _lent_pairs(kind: str, run: Run, done: Sequence[Cell]) -> Iterator[Pair]:
    """The ticket of each replicate at a level, at level 0 the dense network, and that of its donor."""
    donors = next(each for each in run.ladders() if each.kind == "donors")
    for cell in done:
        lent = replace(cell, replicate=cell.replicate % donors.study.donors)
        if cell.arm == TICKET and donors.has(lent) and donors.record(lent).status == "ok":
            yield Pair(kind, Copy(cell), Copy(lent, beside="donors"), matched=kind == "donors")


def _pairs(
    kind: str, level: int, done: Mapping[int, Sequence[Cell]], arms: Sequence[str], copies: int, rewinds: bool
) -> Iterator[Pair]:
    """The pairs of one kind at one level."""
    for cell in done[level]:
        ticket = Cell(cell.replicate, level, TICKET, 0)
        if kind == "instability" and cell.arm in (arms or [TICKET]):
            # The dense cell of a run that rewinds began earlier than its copies do.
            first = int(level == 0 and rewinds)
            for a, b in combinations(range(first, first + copies), 2):
                yield Pair(kind, Copy(cell, a), Copy(cell, b))
        elif (
            kind == "arms" and cell.arm != TICKET and (not arms or cell.arm in arms) and ticket in done[level]
        ):
            yield Pair(kind, Copy(ticket), Copy(cell))
        elif kind == "pruning" and level and cell.arm in (arms or [TICKET]) and ticket in done[level]:
            yield Pair(kind, Copy(ticket, dense=True), Copy(cell), masked=True)
        elif cell == ticket and kind in ("levels", "dense") and level:
            other = replace(cell, level=level - 1 if kind == "levels" else 0)
            if other in done.get(other.level, ()):
                yield Pair(kind, Copy(other), Copy(cell))
