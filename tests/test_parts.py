"""What validation asks of parts: from a table, and of parts that are one's own."""

from __future__ import annotations

import pytest
from torch import Tensor

from support.registries import put_back
from tombola import parts
from tombola.errors import UserError
from tombola.masks.criteria import CRITERIA, Weights
from tombola.masks.rule import PruneRule


def test_facts_of_the_house() -> None:
    assert parts.facts("criterion", "synflow") == {"probe": True, "rounds": 100}
    assert parts.facts("weights action", "reinit") == {"traits": ["random", "initialiser"]}
    barrier = {
        "adjusted": False,
        "null": None,
        "of_outputs": True,
        "ordered": True,
        "reads": "outputs",
        "subjects": 2,
        "tensorwise": False,
    }
    assert parts.facts("measure", "barrier") == barrier


def test_an_unknown_name() -> None:
    with pytest.raises(UserError, match=r"^unknown criterion 'snipp'; did you mean 'snip'\?$"):
        parts.facts("criterion", "snipp")


def test_a_part_of_ones_own_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    put_back(monkeypatch, CRITERIA)

    @CRITERIA.register("largest", rounds=2)
    def largest(weights: Weights) -> Tensor:
        """The reverse of magnitude."""
        return -weights.final.abs()

    assert "largest" in parts.names("criterion")
    assert parts.facts("criterion", "largest") == {"probe": False, "rounds": 2}
    with pytest.raises(ValueError, match="prunes little by little"):
        PruneRule(criterion="largest", structure="2:4")
    monkeypatch.undo()
    assert "largest" not in parts.names("criterion")
