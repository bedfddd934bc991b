"""The claims of a study by family: whose tests are decided together, and how many came out how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tombola.analysis.verdict import Verdict
from tombola.analysis.wording import DECIDED
from tombola.stats.verdict import DECISIONS
from tombola.text import counted, listed


def families(verdicts: Sequence[Verdict]) -> list[list[Verdict]]:
    """The tests of each family, in the order of the study."""
    found: dict[str, list[Verdict]] = {}
    for each in verdicts:
        found.setdefault(each.family, []).append(each)
    return list(found.values())


def tally(verdicts: Sequence[Verdict]) -> str:
    """How many tests came out how."""
    return f"Of {counted(len(verdicts), 'test')} of the claims, {counts(verdicts)}."


def by_family(verdicts: Sequence[Verdict]) -> str:
    """How many tests of each family came out how: 'Of 3 tests of ‘answer’ 3 are “yes”; of 2 tests of ...'."""
    said = "; ".join(
        f"of {counted(len(family), 'test')} of ‘{family[0].family}’ {counts(family)}"
        for family in families(verdicts)
    )
    return f"{said[:1].upper()}{said[1:]}."


def counts(verdicts: Sequence[Verdict]) -> str:
    """'9 are “yes” and 1 is “too close to say”'."""
    number = Counter(each.decision for each in verdicts)
    return listed(
        f"{number[each]} {'is' if number[each] == 1 else 'are'} “{DECIDED[each]}”"
        for each in DECISIONS
        if number[each]
    )
