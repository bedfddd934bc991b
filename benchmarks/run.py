"""`make bench`: every engine beside the baselines, side by side in one run; writes JSON and a picture.

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
from baselines import Plain, Tuned

from tombola.bench import DENSITIES, NETWORKS, Timed, images, lenet, measure_floors, sizes_of
from tombola.report import save
from tombola.study import prepare
from tombola.training import ENGINES

ROUNDS, STEPS = 7, 40


def rows(engine: str, density: float, floor_us: float) -> list[dict[str, Any]]:
    """One row a baseline for an engine at a density."""
    net, data, recipe = lenet()
    ours = Timed(engine, net, data, density, recipe)
    found = []
    for name, kind in (("plain", Plain), ("tuned", Tuned)):
        theirs = kind(net, images(), density, recipe.batch, recipe.lr)
        pairs = [(ours.seconds(STEPS), theirs.seconds(STEPS)) for _ in range(ROUNDS)]
        ratios = sorted(b / a for a, b in pairs)
        this_us, baseline_us = (1e6 * statistics.median(side) for side in zip(*pairs, strict=True))
        found.append(
            {
                "what": "training step",
                "network": net.name,
                "density": density,
                "engine": engine,
                "device": "cpu",
                "this_us": this_us,
                "baseline": name,
                "baseline_us": baseline_us,
                "ratio": {
                    "median": statistics.median(ratios),
                    "low": ratios[0],
                    "high": ratios[-1],
                    "n": ROUNDS,
                },
                "floor_us": floor_us,
                "floor_fraction": floor_us / this_us,
            }
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
    prepare()
    floors = measure_floors()
    print(f"matrix rate {floors.flops / 1e9:.0f} GFLOP/s, memory {floors.bandwidth / 1e9:.1f} GB/s")
    net, _, recipe = lenet()
    found = []
    for density in DENSITIES:
        floor_us = floors.microseconds(sizes_of(net), net.prunable[0], density, recipe.batch)
        for engine in ENGINES:
            for row in rows(engine, density, floor_us):
                found.append(row)
                ratio = row["ratio"]
                print(
                    f"{100 * density:5.1f}%  {engine:8} {row['this_us']:7.0f} us  {row['baseline']:6} "
                    f"{row['baseline_us']:7.0f} us  {ratio['median']:5.1f}x [{ratio['low']:.1f}, {ratio['high']:.1f}]"
                    f"  {100 * row['floor_fraction']:.0f}% of the floor",
                    flush=True,
                )
    out.mkdir(parents=True, exist_ok=True)
    (out / "lenet-cpu.json").write_text(json.dumps(found, indent=1) + "\n")
    save(picture(found), out / "lenet-cpu.png")
    print(f"{NETWORKS} networks a stack, {ROUNDS} rounds of {STEPS} steps; wrote {out}")


if __name__ == "__main__":
    main()
