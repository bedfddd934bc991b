"""The numbers of docs/concepts/engines.md, from what `benchmarks/run.py` has stored.

    python benchmarks/tables.py

A test holds the page to them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
NETWORKS = ("lenet-5", "conv-2", "conv-4", "conv-6", "resnet-20")
BASELINES = ("plain", "plain-per-core", "tuned")
Row = dict[str, Any]


def convolutions() -> Iterator[str]:
    """The cells of a row for each network with convolutions and density, but its name: milliseconds of the engine and
    of the plain loop beside it, and how much faster it is than that and than the tuned loop."""
    rows = _rows("bench-cpu.json")
    for network in NETWORKS:
        own = [r for r in rows if (r["network"], r["engine"]) == (network, "sparse-conv")]
        for plain in _sorted(r for r in own if r["baseline"] == "plain"):
            [tuned] = [r for r in own if (r["baseline"], r["density"]) == ("tuned", plain["density"])]
            times = (_milli(plain[key]) for key in ("this_us", "baseline_us"))
            yield " | ".join([plain["density"], *times, _faster(plain), _faster(tuned)])


def linear() -> Iterator[str]:
    """A row of the table of LeNet-300-100 for each density."""
    rows = [r for r in _rows("bench-cpu.json") if r["engine"] == "sparse"]
    for plain in _sorted(r for r in rows if r["baseline"] == "plain"):
        beside = [
            next(r for r in rows if (r["baseline"], r["density"]) == (name, plain["density"]))
            for name in BASELINES
        ]
        floor = f"{plain['floor_fraction']:.0%}"
        yield " | ".join([plain["density"], f"{plain['this_us']:.0f} µs", *map(_faster, beside), floor])


def another_day() -> str:
    """How much faster LeNet-300-100 was than the plain loop in an older run, density by density."""
    rows = [r for r in _rows("lenet-cpu.json") if (r["engine"], r["baseline"]) == ("sparse", "plain")]
    *first, last = [r["ratio"] for r in sorted(rows, key=lambda row: -row["density"])]
    return ", ".join(f"{each['median']:.1f}x" for each in first) + f" and {_times(last)}"


def _rows(name: str) -> list[Row]:
    found = json.loads((RESULTS / name).read_text())
    rows: list[Row] = found["rows"] if isinstance(found, dict) else found
    return [row for row in rows if row["what"] == "training step"]


def _sorted(rows: Any) -> list[Row]:
    """The densest first."""
    return sorted(rows, key=lambda row: -row["products"])


def _milli(micro: float) -> str:
    return f"{micro / 1000:.2f}" if micro < 10_000 else f"{micro / 1000:.1f}"


def _faster(row: Row) -> str:
    return _times(row["ratio"])


def _times(ratio: Row) -> str:
    return f"{ratio['median']:.1f}x [{ratio['low']:.1f}, {ratio['high']:.1f}]"


if __name__ == "__main__":
    print(*linear(), another_day(), *convolutions(), sep="\n")
