"""The tables of docs/findings.md, from the runs of the presets `findings-*`.

    python benchmarks/findings.py RUN... > findings-tables.md

For each run its answer in five sentences, then every claim by its family, one row each.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tombola.analysis.verdicts import wording
from tombola.analysis.verdicts.answers import sentences
from tombola.analysis.verdicts.of_run import Verdicts, verdicts_of
from tombola.analysis.verdicts.verdict import Verdict
from tombola.runs.folder import Run
from tombola.text import percent


def lines(run: Run, found: Verdicts) -> Iterator[str]:
    """The section of one run."""
    yield f"### {run.study.name}\n"
    for each in sentences(found.verdicts):
        yield f"- **{each.asked}** {each.said} {each.more}".rstrip()
    for family in dict.fromkeys(each.family for each in found.verdicts):
        own = [each for each in found.verdicts if each.family == family]
        yield f"\nFamily *{family}*, {own[0].tests} tests:\n"
        yield "| claim | what | at | difference [95%] | p | p (Holm) | verdict |\n|---|---|---|---|---|---|---|"
        yield from (row(each) for each in own)
    yield ""


def row(verdict: Verdict) -> str:
    """One claim."""
    density = verdict.density if verdict.density is not None else verdict.wanted
    p, holm = ("–" if each is None else wording.small(each) for each in (verdict.p, verdict.p_holm))
    where = percent(density) if density else "–"
    cells = (verdict.name, wording.contrast(verdict.arms), where, wording.difference(verdict), p, holm)
    return f"| {' | '.join(cells)} | {wording.decided(verdict)} |"


MARKS = {"yes": "**yes**", "no": "**no**", "too close": "close", "not resolvable": "–", "not tested": "–"}


def together(found: dict[str, Verdicts]) -> Iterator[str]:
    """One table of all runs: a row for each claim and whether it is the denser or the sparser level, a column a run."""
    yield "| claim | contrast | level | " + " | ".join(found) + " |"
    yield "|---|---|---|" + "---|" * len(found)
    first, *_ = found.values()
    for verdict in first.verdicts:
        cells = [
            next((e for e in v.verdicts if (e.name, e.level) == (verdict.name, verdict.level)), None)
            for v in found.values()
        ]
        told = ["" if e is None else f"{wording.difference(e)} {MARKS[e.decision]}" for e in cells]
        what = (verdict.name, wording.contrast(verdict.arms), str(verdict.level), *told)
        yield f"| {' | '.join(what)} |"


def main() -> None:
    """Print the sections of the runs that are named, and one table of all of them."""
    runs = [Run.open(Path(name)) for name in sys.argv[1:]]
    found = {run.study.name: verdicts_of(run) for run in runs}
    for run in runs:
        print("\n".join(lines(run, found[run.study.name])))
    print("\n".join(together(found)))


if __name__ == "__main__":
    main()
