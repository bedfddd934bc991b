"""Studies whose layers are as dense as those of another ticket, which a path names."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.study_kit import run_tiny, tiny
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.study.load import load_study, parse_study

TOML = """
levels = 2
model = {{ name = "lenet-8-6" }}
data = {{ name = "digits" }}
[pruning]
allocation = "like:{path}"
rate = 0.3
"""


def test_a_study_takes_over_the_layer_counts_of_a_ticket(tmp_path: Path) -> None:
    """A global ladder's counts, taken over by a ladder of the same sizes: level 2 has them, to the weight."""
    shared = {"recipe": {"lr": 0.05}, "pruning": {"allocation": "global"}, "replicates": 1}
    run = run_tiny(tmp_path, tiny(**shared))
    found = Cell(0, 2, "ticket", 0)
    text = TOML.format(path=run.folder(found))
    study = parse_study(text, "like.toml")
    assert "=" in study.pruning.allocation, "the layers are in the study, not the path"
    assert str(tmp_path) not in study.to_toml()
    assert parse_study(study.to_toml(), "study.toml") == study
    other = tiny(**{**shared, "pruning": {"allocation": study.pruning.allocation}}, name="like")
    again = run_tiny(tmp_path, other)
    assert again.mask(found).counts() == run.mask(found).counts()
    assert again.mask(Cell(0, 1, "ticket", 0)).count() == run.mask(Cell(0, 1, "ticket", 0)).count()
    run.ticket(found).save(tmp_path / "ticket.safetensors")
    assert parse_study(TOML.format(path=tmp_path / "ticket.safetensors"), "like.toml") == study
    settings = ["pruning.rates={}", f"pruning.allocation=like:{run.folder(found)}"]
    assert load_study("quick", settings).pruning.allocation == study.pruning.allocation
    assert study.identity() != tiny().identity()


def test_a_path_that_holds_no_ticket_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(UserError, match=str(path)):
            parse_study(TOML.format(path=path), "like.toml")
