"""The verdicts of a run: its hypotheses decided, the sparsest matching level, and published numbers beside its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from tombola.alignment.align import RAW
from tombola.analysis import wording
from tombola.analysis.comparison import exams_of, network_of
from tombola.analysis.decide import VERDICTS, Answer, Verdict, decided, densities_of
from tombola.analysis.matching_level import Matching, sparsest_match
from tombola.analysis.published import Checked, expectations
from tombola.analysis.subjects import subjects_of
from tombola.comparison.decisions import decide
from tombola.comparison.measures.base import MEASURES
from tombola.comparison.pairs import compare
from tombola.errors import UserError, nearest
from tombola.files import write_json
from tombola.runs.folder import Run
from tombola.runs.preregistration import Registration, digest_of
from tombola.runs.progress import missing
from tombola.runs.results import results_of
from tombola.stats.intervals import FEWEST
from tombola.stats.paired import together
from tombola.stats.permutation import Contrasted, Direction, opposites
from tombola.study.claims import Hypothesis


@dataclass(frozen=True)
class Verdicts:
    """What came of a study's claims: a verdict for each test, the sparsest matching level, published numbers beside
    those found, what a reader has to know before them, and the digest of the hypotheses."""

    verdicts: tuple[Verdict, ...]
    matching: Matching
    expected: tuple[Checked, ...]
    notes: tuple[str, ...]
    digest: str

    def frame(self) -> pl.DataFrame:
        """One row a test, with the columns of `VERDICTS` and `said`, the decision as people read it."""
        rows = [each.row() | {"said": wording.decision(each)} for each in self.verdicts]
        return pl.DataFrame(rows, schema={**VERDICTS, "said": pl.String}, orient="row")

    def table(self) -> dict[str, Any]:
        """All of it as JSON, the contents of verdicts.json."""
        return {
            "digest": self.digest,
            "verdicts": self.frame().to_dicts(),
            "sparsest_matching_level": self.matching.table(),
            "expectations": [each.table() for each in self.expected],
            "notes": list(self.notes),
        }


def verdicts_of(run: Run, *, measures: bool = True, data_dir: Path | None = None) -> Verdicts:
    """The verdicts of a run, finished or not.

    Without `measures`, hypotheses on measures, which take their time, are not tested. Raises UserError where the
    folder cannot be read; what cannot be tested is said in its verdict.
    """
    study, frame, known = run.study, results_of(run, timed=False), Registration.of(run)

    def by_measure(claim: Hypothesis, level: int) -> Answer:
        if not measures:
            raise UserError("measures are not taken here; `tombola verdicts RUN` takes them")
        return _measured(run, claim, level, data_dir)

    found = [
        replace(each, changed_after=known.changed_after(study.hypothesis, each.hypothesis.family))
        for each in decided(study, frame, known.densities or densities_of(frame), by_measure)
    ]
    return Verdicts(
        tuple(found),
        sparsest_match(frame, study),
        tuple(expectations(frame, study.expect)),
        tuple(_notes(run, frame, found, known)),
        digest_of(study.hypothesis),
    )


def write_verdicts(run: Run, found: Verdicts) -> Path:
    """Store verdicts in verdicts.json of the run; returns its path."""
    path = run.path / "verdicts.json"
    write_json(path, found.table())
    return path


def _measured(run: Run, claim: Hypothesis, level: int, data_dir: Path | None) -> Answer:
    """What a measure says of a hypothesis at a level: the decision over replicates of `compare.decide`."""
    at = claim.measure
    assert at is not None
    subjects = subjects_of(run, level=level, arms=claim.arms)
    measure = MEASURES[at.registered]
    pairs = compare(
        subjects,
        network=network_of([run], data_dir) if at.aligned != RAW or measure.wired else None,
        measures=[at.registered],
        alignments=[at.aligned],
        seed=run.study.seed,
        exam=exams_of([run], data_dir),
    ).filter(
        pl.col("measure") == at.name,
        pl.col("side").eq_missing(pl.lit(at.side)),
        pl.col("null").eq_missing(pl.lit(measure.null)),
    )
    layers = pairs["layer"].unique().to_list()
    if at.layer not in layers:
        raise UserError(f"measure '{at.name}' has no layer '{at.layer}'{nearest(at.layer, layers)}")
    pairs = pairs.filter(pl.col("layer") == at.layer)

    def decision(direction: Direction, margin: float) -> dict[str, Any]:
        rows = decide(pairs, subjects, [claim.arms], direction=direction, margin=margin, seed=run.study.seed)
        if rows.is_empty():
            raise UserError(f"no replicate has both arms at level {level}")
        return rows.row(0, named=True)

    row = decision(claim.direction, claim.margin)
    others = [decision(*other)["p"] for other in opposites(claim.direction, claim.margin)]
    found = Contrasted(**{name: row[name] for name in Contrasted.__dataclass_fields__})
    why = ""
    if found.p is None:
        pair = measure.subjects == 2 and row["replicates"] < 2
        why = (
            "pairs of tickets take two replicates"
            if pair
            else f"measure '{at.name}' has no value for some of them"
        )
    return Answer(found, row["replicates"], row["p_smallest"], why=why, p_opposite=together(others))


def _notes(run: Run, frame: pl.DataFrame, found: list[Verdict], known: Registration) -> list[str]:
    """What a reader has to know before the verdicts."""
    study, notes = run.study, list[str]()
    if not study.hypothesis:
        notes.append(
            "This study has no hypotheses: [[hypothesis]] entries, written before it is run, are decided here."
        )
    undone = missing(run, study)
    if undone:
        whole = study.replicates - len({cell.replicate for cell in undone})
        going = "is still going" if run.is_locked() else "is not finished"
        notes.append(
            f"This run {going}: {whole} of {study.replicates} replicates have all their cells, and what is decided "
            "here may change."
        )
    if frame["replicate"].n_unique() == 1:
        notes.append("There is one replicate: no difference has an interval, and nothing can be decided.")
    elif frame["replicate"].n_unique() < FEWEST and not frame.is_empty():
        notes.append("There are two replicates, too few for a difference to have an interval.")
    if any(each.changed_after == -1 for each in found):
        notes.append(
            "The hypotheses are not those recorded when the study was last run (study.toml or hypotheses.json was "
            "changed by hand), so nothing says that they came before the results."
        )
    grown = known.extended_after()
    if grown is not None and found:
        notes.append(
            f"Replicates were added after {grown} cells: a p is what it says only where this did not depend on the "
            "results."
        )
    return notes
