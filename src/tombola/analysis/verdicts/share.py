"""Whether tickets share structure: by which measure, alignment and control it is asked, and the answer in few rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from tombola import parts
from tombola.alignment.subject import Subject
from tombola.alignment.words import RAW, WHOLE
from tombola.analysis.verdicts.wording import DECIDED
from tombola.comparison.measures.base import MEASURES
from tombola.lottery.arms.catalog import ARMS, TICKET
from tombola.stats.verdict import YES

MEASURE = "jaccard"
ALIGNMENT = "weights@dense-held-out"
"""Tickets are the large weights of their dense networks, and a matching fitted to these fits that noise too: two that
share nothing overlap more than masks of their degrees do. Under a matching that has not read a tensor they do not."""
CONTROLS = ("rewire", "random-mask")
"""Arms that the ticket is held against, the first that there is: random wiring of the ticket's degrees, else of its
counts."""
FAMILIES: Mapping[str, str] = {"overlap": MEASURE, "signs": "sign-agreement"}
"""Of measures that say nearly the same, the one that speaks for them."""
LAYERS = 4
"""The most layers that an answer has rows for."""
Row = Mapping[str, Any]


def has_own_mask(arm: str) -> bool:
    """Whether an arm has the ticket's own masks, so that measures of masks cannot tell it from the ticket: those that
    keep them, and the search that found them."""
    return (arm in ARMS and ARMS[arm].mask == "keep") or arm in parts.names("search")


def control(arms: Collection[str]) -> str | None:
    """The arm that the ticket is held against: the first of the controls, else any other that has masks of its own."""
    others = sorted(arm for arm in arms if not has_own_mask(arm))
    return next((arm for arm in CONTROLS if arm in arms), others[0] if others else None)


def primary(
    pairs: pl.DataFrame, subjects: Sequence[Subject], arms: Collection[str]
) -> list[dict[str, str | float | bool | None]]:
    """The decision declared before looking, for `decide`: the overlap of whole tickets at the sparsest level, against
    the control, under the matching that is held out, judged by the measure's own null; none where that was not
    measured. One, since a correction over all levels would leave few replicates nothing to decide."""
    here = pairs.filter(pl.col("measure") == MEASURE, pl.col("aligned") == ALIGNMENT)
    null, against = MEASURES[MEASURE].null, next((arm for arm in CONTROLS if arm in arms), None)
    if against is None or null is None or null not in here["null"].to_list():
        return []
    arms_of: dict[float, set[str]] = {}
    for subject in subjects:
        arms_of.setdefault(subject.level_density, set()).add(subject.arm)
    levels = [density for density, there in arms_of.items() if {TICKET, against} <= there]
    keys = {"measure": MEASURE, "layer": WHOLE, "aligned": ALIGNMENT, "null": null}
    return [{**keys, "arm_a": TICKET, "arm_b": against, "density": min(levels)}] if levels else []


@dataclass(frozen=True)
class Answer:
    """What a run's comparison comes to.

    aligned, arm: the alignment and the control that the rows are of. measures: (measure, side) of the columns. rows:
    (layer, arm, density) -> for each of the measures the row of `DECISIONS`, None where there is none. left_out: what
    was decided too and has no place here.
    """

    run: str
    aligned: str
    arm: str
    measures: Sequence[tuple[str, str | None]]
    rows: Mapping[tuple[str, str, float], Sequence[Row | None]]
    left_out: int

    @property
    def verdict(self) -> str:
        """Of whole tickets at the sparsest level, by the first measure."""
        [(_, (first, *_))] = list(self.rows.items())[:1]
        return "nothing to decide by" if first is None else in_words(first)


def in_words(row: Row) -> str:
    """A decision on how alike tickets are in a word or two; a distance is small where they are alike."""
    if row["verdict"] == YES:
        return "yes" if row["difference"] * MEASURES[registered(row["measure"])].alike > 0 else "no, less"
    return DECIDED[row["verdict"]]


def registered(name: str) -> str:
    """The measure that computes a row: its name without `-adjusted`."""
    return name if name in MEASURES else name.removesuffix("-adjusted")


def answers(decisions: pl.DataFrame, most: int = 7) -> Iterator[Answer]:
    """The answer of each run in at most so many rows: whole tickets at the sparsest level, layer by layer, and against
    other arms; then whole tickets at other levels.

    Of near-duplicates one is taken, of alignments the one that is held out where there is one, and arms that have the
    ticket's own masks have no rows.
    """
    for (run,), frame in decisions.group_by("run", maintain_order=True):
        arm = control(set(frame["arm_b"]))
        if arm is None:
            continue
        known = dict.fromkeys(frame["aligned"])
        aligned = ALIGNMENT if ALIGNMENT in known else next(iter(known))
        measures = list(_measures(frame))[:3]
        found: dict[tuple[str, str, float], dict[tuple[str, str | None], Row]] = {}
        for row in frame.iter_rows(named=True):
            own = row["aligned"] == aligned or (row["aligned"] == RAW and not _ordered(row["measure"]))
            if own and not has_own_mask(row["arm_b"]) and (row["measure"], row["side"]) in measures:
                place = (row["layer"], row["arm_b"], row["density"])
                found.setdefault(place, {}).setdefault((row["measure"], row["side"]), row)
        rows = {key: [found[key].get(measure) for measure in measures] for key in _in_order(found, arm, most)}
        shown = sum(row is not None for each in rows.values() for row in each)
        yield Answer(str(run), aligned, arm, measures, rows, len(frame) - shown)


def _measures(frame: pl.DataFrame) -> Iterator[tuple[str, str | None]]:
    """Measures and their sides, one of each family of near-duplicates; measures of one subject last."""
    seen = dict.fromkeys(frame.select("measure", "side").iter_rows())
    families = {name: MEASURES[registered(name)].family for name, _ in seen}
    names = {name for name, _ in seen}
    spoken = {
        family: FAMILIES[family]
        if FAMILIES[family] in names
        else next(n for n in families if families[n] == family)
        for family in set(families.values()) & FAMILIES.keys()
    }
    kept = [(name, side) for name, side in seen if spoken.get(families[name], name) == name]
    yield from sorted(kept, key=lambda each: MEASURES[registered(each[0])].subjects == 1)


def _ordered(name: str) -> bool:
    return MEASURES[registered(name)].ordered and MEASURES[registered(name)].subjects == 2


def _in_order(
    found: Mapping[tuple[str, str, float], Any], arm: str, most: int
) -> Iterator[tuple[str, str, float]]:
    """Keys of at most so many rows: the whole at the sparsest level, its layers, another arm, other levels."""
    sparsest = min((density for _, _, density in found), default=1.0)
    here = [key for key in found if key[2] == sparsest]
    whole = sorted((key for key in here if key[0] == WHOLE), key=lambda key: _rank(key[1], arm))
    layers = [key for key in here if key[0] != WHOLE and key[1] == arm]
    levels = sorted(key for key in found if key[:2] == (WHOLE, arm) and key[2] != sparsest)
    first = [*whole[:1], *_spaced(layers, LAYERS), *whole[1:2]]
    yield from (*first, *_spaced(levels, most - len(first)))


def _rank(arm: str, first: str) -> tuple[bool, bool, str]:
    return (arm != first, arm not in CONTROLS, arm)


def _spaced(keys: Sequence[tuple[str, str, float]], most: int) -> list[tuple[str, str, float]]:
    """At most so many of them, from the first to the last at equal steps."""
    if len(keys) <= most:
        return list(keys)
    last = len(keys) - 1
    return [keys[round(index * last / max(most - 1, 1))] for index in range(most)]
