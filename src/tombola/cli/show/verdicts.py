"""Printing what came of the hypotheses of a run, and what a plan could decide at all."""

from __future__ import annotations

from typing import Any

from rich.padding import Padding
from rich.text import Text

from tombola.analysis.verdicts import wording
from tombola.analysis.verdicts.answers import sentences
from tombola.analysis.verdicts.of_run import Verdicts
from tombola.cli.show.tables import console
from tombola.study.prospects import prospects
from tombola.study.spec import Study
from tombola.text import percent


def print_verdicts(found: Verdicts, published: bool = True) -> None:
    """The answers and notes, then each claim with its estimate, its test and its decision; what was published comes
    last."""
    print_sentences(found)
    for verdict in found.verdicts:
        print(f"\n{verdict.claim}")
        for line in (wording.estimate(verdict), wording.test_of(verdict), wording.changed(verdict)):
            if line:
                print(f"  {line}")
        print(f"  {verdict.name}: {wording.decision(verdict)}")
    print(f"\n{wording.match(found.matching)}")
    if found.verdicts:
        print("\nWhat the verdicts say")
        for word, meaning in wording.BOX:
            print(f"  {word}: {meaning}")
    if found.expected and published:
        print("\nPublished numbers")
        for line in map(str, found.expected):
            print(f"  {line}")


def print_sentences(found: Verdicts) -> None:
    """The answer: each question of the study in a sentence; then what a reader has to know."""
    for number, each in enumerate(sentences(found.verdicts), start=1):
        console().print(f"{number}. {each.asked}", style="bold", markup=False, highlight=False)
        for text in filter(None, (each.said, each.more)):
            console().print(Padding(Text(text), (0, 0, 0, 3)))
    for note in found.notes:
        print(note)


def prospect_rows(spec: Study, densities: list[float]) -> list[dict[str, Any]]:
    """For each test that a study would decide: its level, the smallest p it could give, and whether that would do."""
    return [
        {
            "name": each.asked.hypothesis.name,
            "wanted": each.asked.wanted,
            "level": each.asked.level,
            "density": each.asked.density,
            "why": each.asked.why,
            "test": each.asked.hypothesis.test,
            "alpha": each.asked.hypothesis.alpha,
            "family": each.asked.hypothesis.family,
            "replicates": spec.replicates,
            "p_smallest": each.p_smallest,
            "p_holm_smallest": each.p_holm,
            "resolvable": each.resolvable,
            "n_needed": each.n_needed,
        }
        for each in prospects(spec, densities)
    ]


def print_prospects(rows: list[dict[str, Any]]) -> None:
    """One line a test."""
    if rows:
        print(f"\nhypotheses, with the smallest p that {rows[0]['replicates']} replicates can give")
    for row in rows:
        if row["level"] is None:
            where = f" at {percent(row['wanted'], 1)}" if row["wanted"] else ""
            print(f"  {row['name']}{where}: WARNING: not tested, {row['why']}")
            continue
        said = f"  {row['name']} at {percent(row['density'], 1)} (level {row['level']}): {row['test']}"
        if row["test"] == "sign-flip":
            corrected = f"{row['p_holm_smallest']:.2g} by Holm in '{row['family']}'"
            said += f", p >= {row['p_smallest']:.2g}, {corrected}, alpha {row['alpha']:g}"
        if not row["resolvable"]:
            needed = (
                f"it takes {row['n_needed']} replicates"
                if row["n_needed"]
                else "more replicates alone do not help"
            )
            said += f": WARNING: cannot be resolved, {needed}"
        print(said)
