"""The script for a machine with a GPU goes through on a CPU, at a tiny size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def through(out: Path, seconds: str) -> list[dict[str, object]]:
    command = [
        sys.executable,
        str(SCRIPT),
        "--device",
        "cpu",
        "--tiny",
        "--seconds",
        seconds,
        "--out",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows: list[dict[str, object]] = json.loads((out / "gpu.json").read_text())["rows"]
    assert (out / "gpu.md").read_text().count("\n| ") == len(rows) + 1
    return rows


def test_it_checks_and_measures(tmp_path: Path) -> None:
    rows = through(tmp_path, "300")
    assert len(rows) == 6 + 1 + 1 + 6 + 3
    assert [row["what"] for row in rows if row.get("passed")] == [
        f"{check}, {name}"
        for name in ("lenet-300-100", "conv-2", "resnet-20")
        for check in ("captured steps", "stopped and gone on")
    ]
    assert [row["what"] for row in rows if "left out" in row] == ["tests"]
    # Five tickets, three draws of reinit for each, and five random masks; and the same of the other two presets.
    levels = {str(row["what"]): row for row in rows if str(row["what"]).startswith("one level")}
    assert levels["one level of lenet-mnist"]["networks"] == 25
    assert levels["one level of conv2-cifar10"]["networks"] == 25
    assert all(float(str(row["minutes of the level"])) > 0 for row in levels.values())


def test_without_time_it_says_what_it_left_out(tmp_path: Path) -> None:
    rows = through(tmp_path, "0")
    assert len(rows) == 17
    assert all("left out" in row for row in rows if row["what"] != "floors")
