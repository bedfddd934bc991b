"""The tickets of runs, compared with each other and with masks made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import polars as pl

from tombola import html
from tombola.alignment.network import Network, chain
from tombola.alignment.subject import Subject
from tombola.alignment.words import RAW
from tombola.analysis.compared import COMPARED, compared_key, keep_tables, key_of
from tombola.analysis.exams import exams_of, network_of, run_of
from tombola.analysis.subjects import Several, listed, subjects_of
from tombola.analysis.verdicts.share import ALIGNMENT, CONTROLS, primary
from tombola.comparison.consensus import CONSENSUS, consensus
from tombola.comparison.decisions import DECISIONS, decide
from tombola.comparison.measures.base import MEASURES, Measure
from tombola.comparison.overlay import Overlay
from tombola.comparison.pairs import compare
from tombola.comparison.requests import check_exam, chosen, needs_network, unknown
from tombola.errors import UserError
from tombola.files import unless_read_only
from tombola.frames import pandas_of
from tombola.lottery.arms.catalog import TICKET
from tombola.plugins.load import load_imports
from tombola.runs.folder import Run
from tombola.runs.results import results_of
from tombola.text import counted


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    pairs: `table.SCHEMA`. decisions: `decisions.DECISIONS` after a column `run`, on the ticket against every arm that
    at least two replicates of a run share with it; None where there is none. consensus: `consensus.CONSENSUS` after
    `run, arm, density`, for every arm that at least two replicates of a run have at a density; None where there is
    none. subjects: what was compared.
    """

    pairs: pl.DataFrame
    decisions: pl.DataFrame | None
    consensus: pl.DataFrame | None
    subjects: Sequence[Subject]

    @property
    def tables(self) -> dict[str, pl.DataFrame | None]:
        """The tables by the names of their files."""
        return {"measures": self.pairs, "decisions": self.decisions, "consensus": self.consensus}

    def to_pandas(self) -> Any:
        """`pairs` as a pandas.DataFrame. Raises UserError where pandas is not installed."""
        return pandas_of(self.pairs)

    def __str__(self) -> str:
        """How much was compared, and by what."""
        measures = ", ".join(dict.fromkeys(self.pairs["measure"]))
        rows = counted(len(self.pairs), "row")
        return f"Comparison of {counted(len(self.subjects), 'ticket')} by {measures}: {rows} in .pairs"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """For notebooks: how much was compared, and the decisions where there are any, else the pairs."""
        table = self.pairs if self.decisions is None else self.decisions
        return html.card(str(self), html.table(table.columns, table.rows()))


class CompareKeywords(TypedDict, total=False):
    """The keywords of `compare_runs`."""

    level: Several[int]
    density: Several[float]
    arms: Collection[str]
    measures: Sequence[str]
    alignments: Sequence[str]
    nulls: Sequence[str]
    n_null: int
    same_density: bool
    seed: int
    data_dir: Path | None
    out: Path | None
    told: Callable[[int, int], None]


def compare_runs(
    runs: Sequence[Run],
    others: Sequence[Subject] = (),
    *,
    level: Several[int] = None,
    density: Several[float] = None,
    arms: Collection[str] = (),
    measures: Sequence[str] = (),
    alignments: Sequence[str] = (),
    nulls: Sequence[str] = (),
    n_null: int = 20,
    same_density: bool = True,
    seed: int = 0,
    data_dir: Path | None = None,
    out: Path | None = None,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Comparison:
    """Compare the cells of runs, and other subjects, in pairs; the tables are stored in `out`, else in the first run.

    See `subjects_of` for `level`, `density` and `arms`, `pairs.compare` for the rest; `same_density` leaves out pairs
    of cells from levels of different density. Without `alignments`, units are compared as they come and, where that can
    be done quickly, under `share.ALIGNMENT`; there the overlap of whole tickets, against rewired ones or else random
    masks, at the sparsest level, is the primary decision. Each run is decided on by itself: replicates of two runs may
    share their seeds. Of one run, where no level, density, arm, measure, alignment or null is named, what its study's
    `[compare]` table asks for is compared. `told` hears how many pairs are done, of how many. Raises UserError.
    """
    named = any(len(each) for each in (listed(level), listed(density), arms, measures, alignments, nulls))
    own = asked_by_study(runs[0]) if len(runs) == 1 and not others and not named else None
    if own is not None:
        mine: CompareKeywords = {
            "n_null": n_null,
            "seed": seed,
            "same_density": same_density,
            "data_dir": data_dir,
            "out": out,
            "told": told,
        }
        return compare_runs(runs, **own | mine)
    names = list(measures) or None
    for run in runs if unknown(measures) else ():
        load_imports(run.study.imports)
    check_exam(chosen(names), bool(runs))
    subjects = [
        *(s for run in runs for s in subjects_of(run, level=level, density=density, arms=arms)),
        *others,
    ]
    if len(subjects) < 2:
        raise UserError(f"a comparison takes two tickets at least, found {len(subjects)}")
    alignments = list(alignments) or _usual(runs, subjects, names, data_dir)
    overlay = Overlay(_network(runs, subjects, names, alignments, data_dir) or Network(), seed)

    def among(a: Subject, b: Subject) -> bool:
        if not same_density or a.density is None or b.density is None:
            return True
        return round(a.density, DIGITS) == round(b.density, DIGITS)

    pairs = compare(
        subjects,
        measures=names,
        alignments=alignments,
        nulls=list(nulls) or None,
        n_null=n_null,
        among=among,
        exam=exams_of(runs, data_dir) if runs else None,
        overlay=overlay,
        told=told,
    )
    found = Comparison(
        pairs,
        _decisions(runs, subjects, pairs, seed),
        _consensus(runs, subjects, overlay, alignments, n_null),
        subjects,
    )
    place = out or (runs[0].path if runs else None)
    if place is not None:
        with unless_read_only(place, "the tables"):
            keep_tables(place, COMPARED, found.tables)
    return found


def compare_study(
    run: Run, data_dir: Path | None = None, told: Callable[[int, int], None] = lambda done, of: None
) -> bool:
    """Compare the tickets of a run as its study's `[compare]` table says, unless that was done of these very cells;
    returns whether there is such a table, and an arm to hold the ticket against. `told` hears how many pairs are done,
    of how many. Raises UserError."""
    if run.study.compare is not None and compared_key(run) == key_of(run):
        return True
    asked = asked_by_study(run)
    if asked is None:
        return False
    found = compare_runs([run], **asked | {"data_dir": data_dir, "told": told})
    keep_tables(run.path, COMPARED, found.tables, key_of(run))
    return True


def asked_by_study(run: Run) -> CompareKeywords | None:
    """What the `[compare]` table of a run's study asks for; None where there is none, or no arm beside the ticket."""
    study, table = run.study, run.study.compare
    if table is None:
        return None
    densities = table.densities or tuple(
        sorted({density for each in study.hypothesis if each.measure for density in each.densities})
    )
    frame = results_of(run, timed=False)
    there = set(frame.filter(pl.col("level") > 0, pl.col("status") == "ok")["arm"])
    arms = [arm for arm in table.arms or (TICKET, *CONTROLS, "reinit") if arm in there]
    beside = frame.filter(
        pl.col("arm").is_in(set(arms) - {TICKET}), pl.col("status") == "ok", pl.col("level") > 0
    )
    if beside.is_empty():
        return None
    sparsest = int(beside["level"].max())  # type: ignore[arg-type]  # polars types it broadly
    return CompareKeywords(
        level=None if densities else sparsest,
        density=list(densities) or None,
        arms=arms,
        measures=table.measures,
        alignments=table.alignments,
        n_null=table.nulls,
        seed=study.seed,
    )


DIGITS = 9
"""To which densities are one: means over more or fewer replicates differ in the last bits."""
QUICK = 2**21
"""Prunable weights up to which dense networks are matched unasked: a tensor of LeNet-300-100 in 0.05 s."""


def _usual(
    runs: Sequence[Run], subjects: Sequence[Subject], measures: Sequence[str] | None, data_dir: Path | None
) -> list[str]:
    """Units as they come, and matched by what is not measured where all hold dense networks, small or claimed of, and a
    measure can be read so; as they come alone where units cannot be followed, or the data are not there."""
    asked = [MEASURES[name] for name, _ in chosen(measures).items() if MEASURES[name].subjects == 2]
    wholes = [name for name, demanded in chosen(measures).items() if demanded and _reads_all(MEASURES[name])]
    alike = bool(runs) and all(run.study.model == runs[0].study.model for run in runs)
    claims = [claim.measure for run in runs for claim in run.study.hypothesis if claim.measure]
    wanted = subjects[0].mask.size() <= QUICK or any(claim.aligned == ALIGNMENT for claim in claims)
    if not (alike and wanted and all(subject.holds("dense") for subject in subjects)) or wholes:
        return [RAW]
    if not any(measure.tensorwise for measure in asked):
        return [RAW]
    try:
        network = network_of(runs, data_dir)
    except UserError:  # nobody asked for it; what is printed says that units are as they come
        return [RAW]
    return [RAW, ALIGNMENT] if network.groups else [RAW]


def _reads_all(measure: Measure) -> bool:
    """Whether a measure of pairs depends on the order of units, and on more than a tensor at a time."""
    return measure.subjects == 2 and measure.ordered and not measure.tensorwise


def _network(
    runs: Sequence[Run],
    subjects: Sequence[Subject],
    measures: Sequence[str] | None,
    alignments: Sequence[str],
    data_dir: Path | None,
) -> Network | None:
    """The network, where an alignment or a measure asks for it; that of masks made elsewhere is a chain of layers."""
    aligns = any(alignment != RAW for alignment in alignments)
    if not runs:
        return chain(subjects[0].mask) if aligns else None
    seen = {(run.study.data.name, run.study.data.normalisation) for run in runs}
    if len(seen) > 1 and "activations@dense" in alignments:
        raise UserError("activations are compared on the same inputs; these runs differ in their data table")
    return network_of(runs, data_dir) if aligns or needs_network(measures) else None


def _decisions(
    runs: Sequence[Run], subjects: Sequence[Subject], pairs: pl.DataFrame, seed: int
) -> pl.DataFrame | None:
    """The ticket against the other arms, each run by itself."""
    frames = []
    for run in runs:
        own = [subject for subject in subjects if run_of(subject) == run.path.name]
        names = [subject.name for subject in own]
        replicates = {arm: {s.replicate for s in own if s.arm == arm} for arm in {s.arm for s in own}}
        shared = replicates.get(TICKET, set())
        contrasts = [
            (TICKET, arm) for arm in sorted(replicates) if arm != TICKET and len(replicates[arm] & shared) > 1
        ]
        if contrasts:
            inside = pl.col("a").is_in(names) & (pl.col("b").is_null() | pl.col("b").is_in(names))
            mine = pairs.filter(inside)
            declared = primary(mine, own, [arm for _, arm in contrasts])
            frame = decide(mine, own, contrasts, primary=declared, seed=seed)
            frames.append(frame.select(pl.lit(run.path.name).alias("run"), *DECISIONS))
    return pl.concat(frames) if frames else None


def _consensus(
    runs: Sequence[Run],
    subjects: Sequence[Subject],
    overlay: Overlay,
    alignments: Sequence[str],
    n_null: int,
) -> pl.DataFrame | None:
    """How many replicates keep each weight, for every run, arm and density."""
    frames = []
    for run in runs:
        own = [subject for subject in subjects if run_of(subject) == run.path.name]
        for arm, density, tickets in _alike(own):
            found = consensus(tickets, alignments=alignments, n_null=n_null, overlay=overlay)
            keys = {"run": run.path.name, "arm": arm, "density": density}
            frames.append(found.select(*(pl.lit(key).alias(name) for name, key in keys.items()), *CONSENSUS))
    return pl.concat(frames) if frames else None


def _alike(subjects: Sequence[Subject]) -> Iterator[tuple[str, float, list[Subject]]]:
    """Arms and densities that several replicates have, with one subject for each: the first draw, since draws of one
    replicate may share their mask."""
    groups: dict[tuple[str, float], dict[str, Subject]] = {}
    for subject in subjects:
        key = (subject.arm, subject.level_density)
        groups.setdefault(key, {}).setdefault(subject.replicate, subject)
    for (arm, density), tickets in groups.items():
        if len(tickets) > 1:
            yield arm, density, list(tickets.values())
