"""examples/your_own.py, as a program and as a plug-in: one's own of everything, from Python and on the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "your_own.py"


def called(*words: str, here: Path) -> str:
    """What a fresh process prints, which ends well."""
    environment = {**os.environ, "XDG_STATE_HOME": str(here / "state")}
    done = subprocess.run(
        [sys.executable, *words], cwd=here, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_from_python_and_again_from_the_command_line(tmp_path: Path) -> None:
    said = called(str(EXAMPLE), here=tmp_path)
    for arm in ("mirrored", "theirs", "ticket"):
        assert arm in said
    assert "by dead-in-both" in said
    (tmp_path / "mine.py").write_text(EXAMPLE.read_text())
    (tmp_path / "own.toml").write_text(
        """
name = "own-again"
imports = ["mine.py"]
replicates = 2
levels = 1
model = { name = "mine.py:Net" }
data = { name = "two-centres", validation = 50 }
recipe = { iterations = 60, evaluate_every = 20, optimizer = "torch.optim:RMSprop", loss = "mine:hinge" }
pruning = { criterion = "my-move" }
arms = [{ name = "mirrored" }, { name = "theirs", mask = "mask:theirs.pt" }]
compare = { measures = ["dead-in-both"] }
"""
    )
    said = called("-m", "tombola", "run", "own.toml", here=tmp_path)
    assert "theirs" in said
    (tmp_path / "mine.py").unlink()
    (tmp_path / "theirs.pt").unlink()
    for command in (["results"], ["verdicts"], ["report"], ["compare"]):
        called("-m", "tombola", *command, "own-again", here=tmp_path)
