"""`make bench`: every engine beside the baselines, side by side in one run; writes JSON and pictures.

    python benchmarks/run.py [OUT]

Rounds go A B A B ..., so that whatever else the machine does meets both alike; a ratio is taken within a round,
and its median and spread over rounds are reported.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import altair as alt
from baselines import BASELINES, PlainPerCore

from tombola.bench import DENSITIES, Floors, Timed, Workload, conv2, lenet, measure_floors
from tombola.report.figures.export import save
from tombola.training.device import prepare

ROUNDS = 7


def rows(
    what: str, engine: str, case: Workload, density: float, floors: Floors, steps: int
) -> list[dict[str, Any]]:
    """One row a baseline for an engine at a density; prints each."""
    ours, floor_us, found = Timed(engine, case, density), floors.microseconds(case, density), []
    for name, kind in BASELINES.items():
        theirs = kind(case, density)
        pairs = [(ours.seconds(4 * steps), theirs.seconds(steps)) for _ in range(ROUNDS)]
        if isinstance(theirs, PlainPerCore):
            theirs.close()
        ratios = sorted(b / a for a, b in pairs)
        this_us, baseline_us = (1e6 * statistics.median(side) for side in zip(*pairs, strict=True))
        spread = {"median": statistics.median(ratios), "low": ratios[0], "high": ratios[-1], "n": ROUNDS}
        row = {"what": what, "network": case.net.name, "density": density, "engine": engine, "device": "cpu"}
        row |= {"this_us": this_us, "baseline": name, "baseline_us": baseline_us, "ratio": spread}
        found.append(row | {"floor_us": floor_us, "floor_fraction": floor_us / this_us})
        print(
            f"{case.net.name} {100 * density:5.1f}%  {engine:8} {this_us:8.0f} us  {name:14} {baseline_us:8.0f} us  "
            f"{spread['median']:6.1f}x [{spread['low']:.1f}, {spread['high']:.1f}]  "
            f"{100 * floor_us / this_us:.0f}% of the floor",
            flush=True,
        )
    return found


def picture(found: list[dict[str, Any]]) -> alt.Chart:
    """Time per iteration against density, with the floor."""
    lines = [{"density": 100 * r["density"], "us": r["this_us"], "who": r["engine"]} for r in found]
    lines += [{"density": 100 * r["density"], "us": r["baseline_us"], "who": r["baseline"]} for r in found]
    lines += [{"density": 100 * r["density"], "us": r["floor_us"], "who": "floor"} for r in found]
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=lines))
        .mark_line(point=True)
        .encode(
            x=alt.X("density:Q", scale=alt.Scale(type="log", reverse=True), title="density (%)"),
            y=alt.Y("median(us):Q", scale=alt.Scale(type="log"), title="µs per network-iteration"),
            color=alt.Color("who:N", title=None),
            strokeDash=alt.StrokeDash("who:N", title=None),
        )
        .properties(
            width=420, height=280, description="Time of a training step against density, with the floor."
        )
    )
    return chart


def main() -> None:
    """Measure, print, write."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "benchmarks/results")
    out.mkdir(parents=True, exist_ok=True)
    prepare()
    floors = measure_floors()
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {precision}" for precision, rate in floors.flops.items())
    print(f"matrix products {rates}; memory {floors.bandwidth / 1e9:.0f} GB/s")
    found = [
        row
        for density in DENSITIES
        for engine in ("sparse", "mlp")
        for row in rows("training step", engine, lenet(), density, floors, 40)
    ]
    save(picture(found), out / "lenet-cpu.png")
    (out / "lenet-cpu.json").write_text(json.dumps(found, indent=1) + "\n")
    convolutions = [
        row
        for precision in ("float32", "bfloat16")
        for row in rows(f"training step, {precision}", "modules", conv2(precision), 1.0, floors, 4)
    ]
    (out / "conv2-cpu.json").write_text(json.dumps(convolutions, indent=1) + "\n")
    print(f"{ROUNDS} rounds each; wrote {out}")


if __name__ == "__main__":
    main()
