"""What measures say of hypotheses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import polars as pl

from tombola import parts
from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.alignment.words import RAW, WHOLE
from tombola.analysis.compared import ASKED, COMPARED, compared_key, keep_tables, key_of, stored_table
from tombola.analysis.exams import exams_of, network_of
from tombola.analysis.subjects import Subjects
from tombola.analysis.verdicts.verdict import Verdict
from tombola.comparison.decisions import decide
from tombola.comparison.measures.base import MEASURES
from tombola.comparison.overlay import Overlay
from tombola.comparison.pairs import compare
from tombola.comparison.table import SCHEMA
from tombola.errors import UserError, nearest
from tombola.files import unless_read_only
from tombola.plugins.load import load_imports
from tombola.runs.folder import Run
from tombola.stats.permutation import Contrasted
from tombola.study.claims import Hypothesis, MeasureAt

NULLS = 100
"""How many nulls are drawn for a pair, where chance has no closed form and the study has no `[compare]` table."""


def measuring(
    run: Run, data_dir: Path | None, told: Callable[[int, int], None]
) -> Callable[[Hypothesis, Verdict], Verdict]:
    """What measures of a run's tickets say of hypotheses, one after another: each ticket is read once, two networks are
    matched once, and the layers of a measure are taken together. `told` hears how many pairs are done, of how many,
    where they are not stored."""
    return partial(_measured, _Pairs(Subjects(run), data_dir, told))


@dataclass(frozen=True)
class _Pairs:
    """The tables of pairs that hypotheses ask for, each taken once."""

    known: Subjects
    data_dir: Path | None
    told: Callable[[int, int], None]
    taken: dict[tuple[str, ...], pl.DataFrame] = field(default_factory=dict)
    """By the measure, the alignment and the subjects."""

    @cached_property
    def network(self) -> Network:
        """The network of the run."""
        return network_of([self.known.run], self.data_dir)

    @cached_property
    def overlay(self) -> Overlay:
        """Matchings of dense networks, which hypotheses share."""
        return Overlay(self.network, self.known.run.study.seed)

    @cached_property
    def key(self) -> str:
        """What decides the stored tables, see `key_of`."""
        return key_of(self.known.run)

    @cached_property
    def stored(self) -> dict[str, pl.DataFrame]:
        """What is stored of the run's cells as they are: the comparison that its study asks for, `measures`, and what
        hypotheses asked for before, `asked`."""
        run, found = self.known.run, dict[str, pl.DataFrame]()
        for name, index in (("measures", COMPARED), ("asked", ASKED)):
            if compared_key(run, index) == self.key:
                advice = f"remove {index}, and it is measured again"
                table = stored_table(run.path / f"{name}.parquet", index, SCHEMA, advice)
                found |= {} if table is None else {name: table}
        return found

    def of(self, at: MeasureAt, subjects: Sequence[Subject]) -> pl.DataFrame:
        """The rows of a measure for all pairs of the subjects: those stored, or else taken now, and stored."""
        run, key = self.known.run, (at.registered, at.aligned, *(subject.name for subject in subjects))
        for table in self.stored.values():
            rows = _of_all_pairs(table, at, subjects)
            if rows is not None:
                return rows
        if key not in self.taken:
            load_imports(run.study.imports)
            asked, laid = run.study.compare, at.aligned != RAW or MEASURES[at.registered].wired
            self.taken[key] = compare(
                subjects,
                measures=[at.registered],
                alignments=[at.aligned],
                n_null=asked.nulls if asked else NULLS,
                seed=run.study.seed,
                exam=exams_of([run], self.data_dir),
                overlay=self.overlay if laid else None,
                told=self.told,
            )
            before = [self.stored["asked"]] if "asked" in self.stored else []
            rows = pl.concat([*before, *self.taken.values()]).unique(maintain_order=True)
            with unless_read_only(run.path, "what hypotheses asked for"):
                keep_tables(run.path, ASKED, {"asked": rows}, self.key)
        return self.taken[key]


def _measured(pairs_of: _Pairs, claim: Hypothesis, blank: Verdict) -> Verdict:
    """A verdict with what a measure says of a hypothesis at its level: the decision over replicates of `decide`."""
    run = pairs_of.known.run
    at = claim.measure
    assert at is not None
    assert blank.level is not None
    subjects = pairs_of.known.of(level=blank.level, arms=claim.arms)
    facts = parts.facts(MEASURES.kind, at.registered)
    pairs = pairs_of.of(at, subjects)
    pairs = pairs.filter(
        pl.col("measure") == at.name,
        pl.col("side").eq_missing(pl.lit(at.side)),
        pl.col("null").eq_missing(pl.lit(facts["null"])),
    )
    layers = pairs["layer"].unique().to_list()
    if at.layer not in layers:
        raise UserError(f"measure '{at.name}' has no layer '{at.layer}'{nearest(at.layer, layers)}")
    rows = decide(
        pairs.filter(pl.col("layer") == at.layer),
        subjects,
        [(claim.arms[0], claim.arms[1])],
        direction=claim.direction,
        margin=claim.margin,
        seed=run.study.seed,
    )
    if rows.is_empty():
        raise UserError(f"no replicate has both arms at level {blank.level}")
    row = rows.row(0, named=True)
    why = ""
    if row["p"] is None:
        pair = facts["subjects"] == 2 and row["replicates"] < 2
        why = (
            "pairs of tickets take two replicates"
            if pair
            else f"measure '{at.name}' has no value for some of them"
        )
    found = {
        name: row[name] for name in (*Contrasted.__dataclass_fields__, "p_smallest", "p_opposite", "draws")
    }
    return replace(blank, **found, n=row["replicates"], why=why)


def _of_all_pairs(table: pl.DataFrame, at: MeasureAt, subjects: Sequence[Subject]) -> pl.DataFrame | None:
    """The rows of a table on the subjects, where it has the measure of every pair of them; else None."""
    names = [subject.name for subject in subjects]
    rows = table.filter(
        pl.col("aligned") == at.aligned,
        pl.col("a").is_in(names),
        pl.col("b").is_null() | pl.col("b").is_in(names),
    )
    mine = rows.filter(
        pl.col("measure") == at.name, pl.col("layer") == WHOLE, pl.col("side").eq_missing(pl.lit(at.side))
    )
    pairs = mine.select("a", "b").unique()
    alone = parts.facts(MEASURES.kind, at.registered)["subjects"] == 1
    wanted = len(names) if alone else len(names) * (len(names) - 1) // 2
    return rows if len(pairs) == wanted else None
