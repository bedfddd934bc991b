"""The verdicts of a run: its hypotheses decided, the sparsest matching level, and published numbers beside its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from tombola import html
from tombola.analysis.verdicts import wording
from tombola.analysis.verdicts.answers import sentences
from tombola.analysis.verdicts.decide import Measured, decided, densities_of
from tombola.analysis.verdicts.matching_level import Matching, sparsest_match
from tombola.analysis.verdicts.published import Checked, expectations
from tombola.analysis.verdicts.verdict import VERDICTS, Verdict
from tombola.errors import UserError
from tombola.files import sweep, unless_read_only, write_json
from tombola.frames import pandas_of
from tombola.runs.folder import Run
from tombola.runs.preregistration import Registration, hypotheses_digest
from tombola.runs.progress import missing
from tombola.runs.results import results_of, with_donor_tickets
from tombola.seals import sealed
from tombola.stats.intervals import FEWEST
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

    def __str__(self) -> str:
        """The answers, then a line a claim, as `tombola verdicts` has them."""
        answers = [f"{each.asked} {each.said}" for each in sentences(self.verdicts)]
        claims = [f"{each.name}: {wording.decision(each)}" for each in self.verdicts]
        return "\n".join([*answers, *claims, wording.match(self.matching)])

    def _repr_html_(self) -> str:
        """For notebooks: the answers, each claim with its estimate and decision, and the sparsest matching level."""
        answers = [html.card(f"{each.asked} {each.said}") for each in sentences(self.verdicts)]
        rows = [[each.claim, wording.estimate(each), wording.decision(each)] for each in self.verdicts]
        claims = html.table(["claim", "estimate", "decision"], rows)
        return html.card("Verdicts", *answers, claims, html.card(wording.match(self.matching)))

    def frame(self) -> pl.DataFrame:
        """One row a test, with the columns of `VERDICTS` and `said`, the decision as people read it."""
        rows = [each.row() | {"said": wording.decision(each)} for each in self.verdicts]
        return pl.DataFrame(rows, schema={**VERDICTS, "said": pl.String}, orient="row")

    def to_pandas(self) -> Any:
        """`frame()` as a pandas.DataFrame. Raises UserError where pandas is not installed."""
        return pandas_of(self.frame())

    def table(self) -> dict[str, Any]:
        """All of it as JSON, the contents of verdicts.json."""
        return {
            "digest": self.digest,
            "answers": [each.table() for each in sentences(self.verdicts)],
            "verdicts": self.frame().to_dicts(),
            "sparsest_matching_level": self.matching.table(),
            "expectations": [each.table() for each in self.expected],
            "notes": list(self.notes),
        }


def verdicts_of(
    run: Run,
    *,
    measures: bool = True,
    data_dir: Path | None = None,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Verdicts:
    """The verdicts of a run, finished or not. Where pairs of tickets have to be measured for one, `told` hears how many
    are done, of how many.

    Without `measures`, hypotheses on measures, which take their time, are not tested. Raises UserError where the
    folder cannot be read; what cannot be tested is said in its verdict.
    """
    study, frame, known = run.study, results_of(run, timed=False), Registration.of(run)

    @cache
    def taken() -> Measured:
        from tombola.analysis.verdicts.measured import measuring  # with torch, which few verdicts need

        return measuring(run, data_dir, told)

    def by_measure(claim: Hypothesis, blank: Verdict) -> Verdict:
        if not measures:
            raise UserError("measures are not taken here; `tombola verdicts RUN` takes them")
        return taken()(claim, blank)

    every, densities = with_donor_tickets(run, frame), known.densities or densities_of(frame)
    found = [
        replace(each, changed_after=known.changed_after(study.hypothesis, each.family))
        for each in decided(study, every, densities, by_measure)
    ]
    return Verdicts(
        tuple(found),
        sparsest_match(frame, study),
        tuple(expectations(frame, study.expect)),
        tuple(_notes(run, frame, found, known)),
        hypotheses_digest(study.hypothesis),
    )


def write_verdicts(run: Run, found: Verdicts) -> Path | None:
    """Store verdicts in verdicts.json of the run; returns its path, None where nobody may write to the run."""
    path = run.path / "verdicts.json"
    with unless_read_only(run.path, "the verdicts"):
        sweep(run.path, ".*.tmp")
        write_json(path, sealed(found.table(), path.name))
        return path
    return None


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
