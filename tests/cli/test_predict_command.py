"""predict and seeding: a table for people, JSON for programs, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

from support.program import TINY, Tombola


def test_predicting_on_the_command_line(tombola: Tombola, tmp_path: Path) -> None:
    (tmp_path / "three.toml").write_text(TINY.replace("replicates = 2", "replicates = 3"))
    assert tombola("run", "three.toml", "--set", "levels=1", "--set", "arms=[]").code == 0
    said = tombola("predict", "tiny", "--steps", "4")
    assert said.code == 0, said.err
    assert "Who lives at level 1: AUC (0.5 is chance), each of 3 replicates told from the others" in said.out
    for words in ("|w| after k", "shuffled labels", "out.weight", "Brier", "What boosting rests on"):
        assert words in said.out
    known = json.loads(tombola("predict", "tiny", "--steps", "0", "--json").out)
    assert {row["by"] for row in known["auc"]} == {
        "|w| at start",
        "logistic",
        "boosting",
        "shuffled labels",
    }
    assert {row["feature"] for row in known["importance"]} >= {"votes", "input mean", "snip"}

    said = tombola("seeding", "tiny", "--times", "3")
    assert (
        "Weights that were seeded before training, and pruning once to level 1 after it (n = 3)" in said.out
    )
    assert [line.split()[:2] for line in said.out.splitlines()[3:6]] == [
        ["predicted", how] for how in ("none", "scaled", "signs")
    ]


def test_two_replicates_are_refused(tombola: Tombola, done: Path) -> None:
    said = tombola("predict", done, "--steps", "0")
    assert said.code == 2
    assert said.err.startswith("tombola: prediction needs 3 replicates")
    said = tombola("predict", done, "--steps", "x")
    assert said.err.startswith("tombola: --steps takes whole numbers with commas between")
