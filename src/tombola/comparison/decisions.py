"""Decisions: which measures separate which arms, over replicates, corrected for how much was asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tombola.alignment.subject import Subject
from tombola.errors import UserError, nearest
from tombola.seeds import stream
from tombola.stats.holm import judge
from tombola.stats.paired import together
from tombola.stats.permutation import Contrasted, Direction, Grouping, contrasted, opposites, smallest_p
from tombola.stats.verdict import decision
from tombola.text import draws_in_words

KEYS = ("measure", "layer", "side", "aligned", "null")
DECISIONS = {
    **dict.fromkeys(KEYS, pl.String),
    "arm_a": pl.String,
    "arm_b": pl.String,
    "density": pl.Float64,
    "replicates": pl.Int64,
    "primary": pl.Boolean,
    "mean_a": pl.Float64,
    "mean_b": pl.Float64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "effect": pl.Float64,
    "p": pl.Float64,
    "p_smallest": pl.Float64,
    "p_holm": pl.Float64,
    "p_opposite": pl.Float64,
    "p_opposite_holm": pl.Float64,
    "draws": pl.String,
    "verdict": pl.String,
}
"""Columns of the table of decisions and their types."""
Value = str | float | bool | None
Row = dict[str, Value]


def decide(
    pairs: pl.DataFrame,
    subjects: Sequence[Subject],
    contrasts: Sequence[tuple[str, str]],
    *,
    primary: Sequence[Mapping[str, Value]] = (),
    alpha: float = 0.05,
    direction: Direction = "different",
    margin: float = 0.0,
    seed: int = 0,
) -> pl.DataFrame:
    """Whether the measures of a table of pairs separate arms: a row per measure, contrast and density.

    `contrasts` are pairs of arms, `primary` the rows declared before looking, each as column -> value that a
    row must have (`{"measure": "jaccard", "layer": "all", "arm_b": "random-mask"}`). Densities are those of the
    subjects' levels; a replicate counts where it has both arms at that density.

    Columns beside the keys of the pairs: `arm_a, arm_b, density, replicates, primary`; `mean_a, mean_b`, the mean of
    value - expected over pairs of replicates, draws averaged first; `difference`, mean_a - mean_b, with its 95%
    interval `low, high`; `effect`, the difference in standard errors times the root of the replicates; `p`, two-sided
    unless a `direction` is given (`stats.permutation`, also for `margin`); `p_smallest`, the smallest p that so many
    replicates can give; `p_opposite`, that of the opposite of what the direction asks, null where it has none;
    `p_holm` and `p_opposite_holm`, as corrected over the primary rows, null for others; `draws`, where the arms have
    unequal numbers of them; `verdict`, one of `stats.verdict`: by the corrected p of primary rows, else by p.

    Raises UserError for an arm that no subject has, a subject without a replicate, a pair that the table lacks,
    a primary row that does not exist, and a margin where the direction is `different`.
    """
    if margin and direction == "different":
        raise UserError("a margin goes with direction 'greater', 'less' or 'same', found 'different'")
    _check(subjects, contrasts)
    rows: list[Row] = []
    for keys, frame in pairs.group_by(KEYS, maintain_order=True):
        scores = _Scores.of(frame)
        for arms in contrasts:
            for density, names, items in _levels(subjects, arms):
                rng = stream(seed, "compare", "decide", *arms, *(str(key) for key in keys), str(density))
                row: Row = dict(zip(KEYS, keys, strict=True))
                row |= {
                    "arm_a": arms[0],
                    "arm_b": arms[1],
                    "density": density,
                    "replicates": items.replicates,
                }
                rows.append({**row, **_answer(scores, names, items, arms, rng, direction, margin)})
    judged = _judged(_declared(rows, primary), alpha, bool(opposites(direction)))
    return pl.DataFrame(judged, schema=DECISIONS, orient="row")


@dataclass(frozen=True)
class _Scores:
    """value - expected of pairs by both orders of their names, of single subjects under (name, None)."""

    of_pair: Mapping[tuple[str, str | None], float]
    single: bool

    @classmethod
    def of(cls, frame: pl.DataFrame) -> _Scores:
        alone = frame["null"].null_count() > 0  # what has no null is taken as it is
        excess = (frame["value"] if alone else frame["value"] - frame["expected"]).fill_null(np.nan)
        found: dict[tuple[str, str | None], float] = {}
        for a, b, score in zip(frame["a"], frame["b"], excess, strict=True):
            found[a, b] = score
            if b is not None:
                found[b, a] = score
        return cls(found, single=frame["b"].null_count() > 0)

    def among(self, names: Sequence[str], items: Grouping) -> NDArray[np.float64]:
        """[items] for a measure of one subject, else [items, items], 0 within a replicate."""
        if self.single:
            return np.array([self._get(name, None) for name in names])
        between = items.replicate[:, None] != items.replicate[None, :]
        scores = np.zeros(between.shape)
        for i, j in zip(*np.nonzero(between), strict=True):
            scores[i, j] = self._get(names[i], names[j])
        return scores

    def _get(self, a: str, b: str | None) -> float:
        if (a, b) not in self.of_pair:
            raise UserError(
                f"the table of pairs lacks {a}{'' if b is None else f' with {b}'}, which a decision needs"
            )
        return self.of_pair[a, b]


def _levels(
    subjects: Sequence[Subject], arms: tuple[str, str]
) -> Iterator[tuple[float, list[str], Grouping]]:
    """For each density the names of both arms' subjects, of the replicates that have both, and their items."""
    for density in sorted({_density(subject) for subject in subjects}, reverse=True):
        here = [subject for subject in subjects if _density(subject) == density and subject.arm in arms]
        both = sorted(set.intersection(*({s.replicate for s in here if s.arm == arm} for arm in arms)))
        chosen = [subject for subject in here if subject.replicate in both]
        if chosen:
            numbers = np.array([both.index(subject.replicate) for subject in chosen], dtype=np.intp)
            items = Grouping(numbers, np.array([subject.arm == arms[0] for subject in chosen]))
            yield density, [subject.name for subject in chosen], items


def _density(subject: Subject) -> float:
    return round(subject.level_density, 9)


def _answer(
    scores: _Scores,
    names: Sequence[str],
    items: Grouping,
    arms: tuple[str, str],
    rng: np.random.Generator,
    direction: Direction,
    margin: float,
) -> Row:
    """The columns that the test gives; without a value to test by, only the smallest p."""
    found = scores.among(names, items)
    answer, p_opposite = Contrasted(), None
    if not np.isnan(found).any():
        state = rng.bit_generator.state
        answer = contrasted(found, items, rng, direction, margin)
        others = []
        for other in opposites(direction, margin):
            rng.bit_generator.state = state  # by the same ways, where these are drawn
            others.append(contrasted(found, items, rng, *other).p)
        p_opposite = together(others)
    counts = [
        (arm, np.bincount(items.replicate[of]).tolist())
        for arm, of in zip(arms, (items.in_a, ~items.in_a), strict=True)
    ]
    return {
        **asdict(answer),
        "p_smallest": 1.0 if items.replicates < found.ndim else smallest_p(items.replicates, direction),
        "p_opposite": p_opposite,
        "draws": draws_in_words(counts),
    }


def _declared(rows: list[Row], primary: Sequence[Mapping[str, Value]]) -> list[Row]:
    """The rows, each marked whether it was declared primary."""
    for wanted in primary:
        for column in wanted:
            if column not in DECISIONS:
                raise UserError(f"a primary row is declared by '{column}'{nearest(column, DECISIONS)}")
        if not any(_fits(row, wanted) for row in rows):
            raise UserError(f"no decision fits the primary row {dict(wanted)}")
    return [{**row, "primary": any(_fits(row, wanted) for wanted in primary)} for row in rows]


def _fits(row: Row, wanted: Mapping[str, Value]) -> bool:
    return all(_same(row[key], value) for key, value in wanted.items())


def _same(found: Value, wanted: Value) -> bool:
    """Whether they are equal, numbers to six digits: densities are not written in full."""
    if isinstance(found, float) and isinstance(wanted, int | float):
        return abs(found - wanted) <= 1e-6
    return found == wanted


def _judged(rows: list[Row], alpha: float, opposed: bool) -> list[Row]:
    """The rows with p corrected over the primary ones, and verdicts. A primary row without p counts as 1."""
    families = [[row for row in rows if row["primary"]], *([row] for row in rows if not row["primary"])]
    for family in families:
        judged = judge([_number(row["p"]) for row in family], [_smallest(row) for row in family], alpha)
        p = [_number(row["p_opposite"]) for row in family]
        others = judge(p, [0.0] * len(p), alpha)
        for row, mine, other in zip(family, judged, others, strict=True):
            row["verdict"] = decision(mine, other if opposed else None)
            row["p_holm"] = mine.p if row["primary"] else None
            row["p_opposite_holm"] = other.p if row["primary"] and opposed else None
    return [{key: row[key] for key in DECISIONS} for row in rows]


def _number(value: Value) -> float | None:
    return None if value is None else float(value)


def _smallest(row: Row) -> float:
    smallest = row["p_smallest"]
    assert isinstance(smallest, float)
    return smallest


def _check(subjects: Sequence[Subject], contrasts: Sequence[tuple[str, str]]) -> None:
    arms = {subject.arm for subject in subjects}
    for arm in (arm for pair in contrasts for arm in pair):
        if arm not in arms:
            raise UserError(f"no subject is of the arm '{arm}'{nearest(arm, arms)}")
    for a, b in contrasts:
        if a == b:
            raise UserError(f"arm '{a}' is contrasted with itself")
    for subject in subjects:
        if not subject.replicate:
            raise UserError(f"{subject.name} belongs to no replicate; decisions are taken over replicates")
