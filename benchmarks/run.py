"""`make bench`: every engine beside the baselines, side by side in one run; writes JSON and pictures.

    python benchmarks/run.py [--seconds 270] [--shared] [--held-down avx2] [--only NETWORK ...] [--out FOLDER]

Networks whole and by layer. It ends within the seconds on any machine: rounds are sized by a first step, and what the
time does not last for, or what the processor lacks, is left out with a line that says so. With --shared, for a machine
that does other things too, both sides have one thread, and times are processor time. With --held-down every library
leaves newer instructions alone, as tests/held_down.py says; files get the level in their names.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import altair as alt
import torch
from layers import LAYERS, layer_rows
from networks import bfloat16_row, cases, network_rows
from turns import Budget

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from held_down import LEVELS
from held_down import environment as held_down
from tombola.bench import measure_floors
from tombola.report.figures.export import save
from tombola.training.device import prepare

HELD = "TOMBOLA_BENCH_HELD_DOWN"
"""Says that this process is held down already."""


def picture(found: list[dict[str, Any]]) -> alt.Chart:
    """Time per step of one network against density, with the floor."""
    lines = []
    for row in found:
        density = 100 * row["products"]
        sides = {row["engine"]: row["this_us"], row["baseline"]: row["baseline_us"], "floor": row["floor_us"]}
        lines += [{"density": density, "us": us, "who": who} for who, us in sides.items()]
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=lines))
        .mark_line(point=True)
        .encode(
            x=alt.X("density:Q", scale=alt.Scale(type="log", reverse=True), title="products left (%)"),
            y=alt.Y("median(us):Q", scale=alt.Scale(type="log"), title="µs a step of one network"),
            color=alt.Color("who:N", title=None),
            strokeDash=alt.StrokeDash("who:N", title=None),
        )
        .properties(
            title=found[0]["network"],
            width=420,
            height=280,
            description="Time of a training step against density, with the floor.",
        )
    )
    return chart


def tell(row: dict[str, Any], budget: Budget) -> None:
    """Print a row."""
    ratio = row["ratio"]
    more = f"{row['living_gflops']:.0f} GFLOP/s on living weights" if "living_gflops" in row else ""
    if "floor_us" in row:
        more = (
            f"{100 * row['floor_fraction']:.0f}% of the floor, {100 * row['products']:.1f}% of the products"
        )
    print(
        f"{budget.place()}  {row['network']} {row['density']}  {row['engine']} {row['this_us']:.0f} us  "
        f"{row['baseline']} {row['baseline_us']:.0f} us  "
        f"{ratio['median']:.1f}x [{ratio['low']:.1f}, {ratio['high']:.1f}] n = {ratio['n']}  {more}",
        flush=True,
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=270.0)
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--held-down", choices=sorted(LEVELS))
    given = parser.parse_args(arguments)
    if given.held_down and os.environ.get(HELD) != given.held_down:
        environment = os.environ | held_down(given.held_down) | {HELD: given.held_down}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    level = f"-{given.held_down}" if given.held_down else ""
    given.out.mkdir(parents=True, exist_ok=True)
    prepare(1 if given.shared else None)
    budget = Budget.of(given.seconds, 0)
    wanted = [
        c for c in cases(torch.get_num_threads()) if given.only is None or c.case.net.name in given.only
    ]
    whole = given.only is None
    budget.rows = sum(case.rows for case in wanted) + (len(LAYERS) + 1 if whole else 0)
    floors = measure_floors(min(1.0, given.seconds / 50))
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {precision}" for precision, rate in floors.flops.items())
    print(f"matrix products {rates}; memory {floors.bandwidth / 1e9:.0f} GB/s")
    facts = {"threads": torch.get_num_threads(), "shared": given.shared, "processor": platform.processor()}
    facts |= {"flops": dict(floors.flops), "bandwidth": floors.bandwidth}
    found: list[dict[str, Any]] = []

    def keep(row: dict[str, Any]) -> None:
        tell(row, budget)
        found.append(row)
        (given.out / f"bench-cpu{level}.json").write_text(
            json.dumps({**facts, "rows": found}, indent=1) + "\n"
        )

    for row in layer_rows(budget) if whole else ():
        keep(row)
    for case in wanted:
        for row in network_rows(case, floors, budget, given.shared):
            keep(row)
        own = [row for row in found if row["what"] != "layer" and row["network"] == case.case.net.name]
        if own:
            save(picture(own), given.out / f"{case.case.net.name}-cpu{level}.png")
    for row in bfloat16_row(floors, budget) if whole else ():
        keep(row)
    if budget.lost:
        print(f"left out, since the time was up, {len(budget.lost)} rows: {'; '.join(budget.lost)}")
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
