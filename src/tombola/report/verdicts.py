"""The verdicts of a run as the page shows them: rows of text, nothing to work out in a template."""

from __future__ import annotations

from dataclasses import dataclass

from tombola.study import Checked, Run, Verdict, verdicts, wording
from tombola.study.deciding import NO, OPPOSITE, UNRESOLVED, UNTESTED, YES

MARKS = {YES: "✓", OPPOSITE: "✗", NO: "○", UNRESOLVED: "?", UNTESTED: "–"}
"""A sign beside each decision, so that it does not hang on a colour."""


@dataclass(frozen=True)
class VerdictRow:
    """One verdict in words: the claim, the estimate with its interval, the test with p, the decision, and whether the
    hypothesis was changed after the first cell (empty where it was not). `kind` is the decision's first words, for
    its style, `mark` a sign for it."""

    name: str
    claim: str
    estimate: str
    test: str
    decision: str
    kind: str
    mark: str
    changed: str


@dataclass(frozen=True)
class PublishedRow:
    """A published number beside what was found: `agrees` is yes, no, or empty where it was not measured."""

    what: str
    paper: str
    here: str
    agrees: str


@dataclass(frozen=True)
class VerdictSection:
    """What templates/verdicts.html.j2 shows, as `verdicts`."""

    rows: list[VerdictRow]
    matching: str
    published: list[PublishedRow]
    notes: list[str]
    digest: str
    meaning: str = wording.MEANING


def verdict_rows(run: Run) -> list[VerdictRow]:
    """The verdicts of a run, finished or not."""
    return verdict_section(run).rows


def verdict_section(run: Run) -> VerdictSection:
    """All that the page says of a run's claims. Measures are not taken while the run goes on."""
    found = verdicts(run, measures=not run.is_locked())
    return VerdictSection(
        rows=[_row(verdict) for verdict in found.verdicts],
        matching=wording.match(found.matching),
        published=[_published(checked) for checked in found.expected],
        notes=list(found.notes),
        digest=found.digest,
    )


def _row(verdict: Verdict) -> VerdictRow:
    return VerdictRow(
        name=verdict.hypothesis.name,
        claim=verdict.hypothesis.claim,
        estimate=wording.estimate(verdict),
        test=wording.test_of(verdict),
        decision=wording.decision(verdict),
        kind=verdict.decision.replace(" ", "-"),
        mark=MARKS[verdict.decision],
        changed=wording.changed(verdict),
    )


def _published(checked: Checked) -> PublishedRow:
    what, paper, here = checked.parts
    agrees = {True: "yes", False: "no", None: ""}[checked.agrees]
    return PublishedRow(what, paper, here.removeprefix("here "), agrees)
