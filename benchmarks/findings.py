"""The tables of docs/findings.md, from the runs of the presets `findings-*`.

    python benchmarks/findings.py RUN... > findings-tables.md

For each run its answer in five sentences, its controls and every other claim, one row each, as the verdicts in its
folder have them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tombola.analysis import wording
from tombola.analysis.answers import label, sentences
from tombola.analysis.verdict import Verdict
from tombola.analysis.verdicts import Verdicts, verdicts_of
from tombola.runs.folder import Run
from tombola.text import percent


def lines(run: Run, found: Verdicts) -> Iterator[str]:
    """The section of one run."""
    yield f"### {run.study.name}\n"
    for each in sentences(found.verdicts):
        yield f"- **{each.asked}** {each.said}"
    for family in dict.fromkeys(each.family for each in found.verdicts):
        own = [each for each in found.verdicts if each.family == family]
        yield f"\nFamily *{family}*, {own[0].tests} tests:\n"
        yield "| claim | at | difference [95%] | n | p (Holm) | verdict |\n|---|---|---|---|---|---|"
        yield from (row(each) for each in own)
    yield ""


def row(verdict: Verdict) -> str:
    """One claim."""
    density = verdict.density if verdict.density is not None else verdict.wanted
    p = "–" if verdict.p_holm is None else wording.small(verdict.p_holm)
    what = label(verdict).replace(f" at {percent(density)}", "") if density else label(verdict)
    cells = (
        what,
        percent(density) if density else "–",
        wording.difference(verdict),
        str(verdict.n),
        p,
        wording.decided(verdict),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    for name in sys.argv[1:]:
        run = Run.open(Path(name))
        print("\n".join(lines(run, verdicts_of(run))))


if __name__ == "__main__":
    main()
