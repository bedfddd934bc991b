"""The table of what other ways to a ticket cost and lose, as rows of text."""

from __future__ import annotations

from collections.abc import Sequence

from tombola.analysis.costs import AMOUNTS
from tombola.analysis.savings import Saving
from tombola.lottery.arms.catalog import TICKET
from tombola.report.page.tables import Ledger
from tombola.report.tables import Tables
from tombola.text import listed, percent

TESTS = {
    "sign-flip": "exact sign-flip test",
    "t": "paired t-test, since so few replicates decide nothing among so many rows by turning signs",
}


def saving_ledgers(tables: Tables) -> list[Ledger]:
    """Every way to a ticket beside the ladder, in accuracy and cost: a table a run against its tickets and one against
    its dense networks; none where there is no other way."""
    ledgers = []
    for label, each in (tables.runs or {"": tables}).items():
        if len({one.arm for one in each.savings}) > 1:
            for against, what in (("ticket", "beside the ticket"), ("dense", "beside the dense network")):
                rows = [one for one in each.savings if one.against == against]
                if rows:
                    ledgers.append(saving_ledger(f"{label}, {what}" if label else what, rows))
    return ledgers


def saving_ledger(label: str, savings: Sequence[Saving]) -> Ledger:
    """The table of a run's arms beside its tickets, in accuracy and cost; there is one row at least."""
    heads = ["arm", "level", "accuracy, points", "as good", *AMOUNTS, "iterations alone"]
    rows = [
        [
            one.arm,
            f"{one.level} ({percent(one.density)})",
            "–" if one.arm == one.against else points(one),
            "–" if one.arm == one.against else f"{'yes' if one.as_good else 'not shown'}, p = {one.p:.2g}",
            *(cost_cell(one, amount) for amount in AMOUNTS),
            in_short(one.alone["iterations"]),
        ]
        for one in savings
    ]
    margin, counts = percent(savings[0].margin), sorted({one.n for one in savings})
    whose = "the ticket's" if savings[0].against == TICKET else "that of the dense network"
    tests = " and ".join(TESTS[test] for test in sorted({one.test for one in savings}))
    replicates = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return Ledger(
        label,
        heads,
        rows,
        "Whole cost of a ticket: of its training, and of the trainings that its mask and start took; in brackets the "
        "share of what the ordinary ladder took to that level, with Fieller's 95% interval where it varies. Operations "
        "are floating-point operations on living weights. Donors and sources that lend to several replicates are "
        "shared out evenly among these; alone, each would pay them whole. Accuracy is that at early stop less "
        f"{whose}, mean paired difference over {replicates} replicates with its 95% interval; as good is shown where "
        f"it is not below by {margin} or more ({tests}, p by Holm over this table).{_lenders(savings)}",
    )


def _lenders(savings: Sequence[Saving]) -> str:
    """A sentence on the arms whose replicates take from the same donors or sources; '' where there are none."""
    arms: dict[str, list[str]] = {}
    for one in savings:
        if one.lenders and one.arm not in arms.setdefault(one.lenders, []):
            arms[one.lenders].append(one.arm)
    said = "; ".join(f"{listed(names)} from {lenders}" for lenders, names in arms.items())
    return (
        f" Replicates take from the same: {said}; what is said of these holds for them, not in general."
        if said
        else ""
    )


def points(one: Saving) -> str:
    """A difference of accuracies in percentage points with its interval."""
    between = "" if one.low is None or one.high is None else f" [{100 * one.low:+.2f}, {100 * one.high:+.2f}]"
    return f"{100 * one.difference:+z.2f}{between}"


def cost_cell(one: Saving, amount: str) -> str:
    """A mean cost, and what share of the ladder's it is."""
    ratio = one.ratios[amount]
    if ratio is None or one.arm == TICKET:
        return in_short(one.means[amount])
    low, high = percent(ratio.low), percent(ratio.high)
    return f"{in_short(one.means[amount])} ({low if low == high else f'{low} to {high}'})"


def in_short(amount: float | None) -> str:
    """A cost at three figures: 1,250, 3.1e+09, – where it is not known."""
    if amount is None:
        return "–"
    return f"{amount:,.0f}" if 100 <= amount < 1e6 else f"{amount:.3g}"
