"""catalog, data list, doctor."""

from __future__ import annotations

import json

import pytest

from support.program import Tombola
from tombola.cli import catalog
from tombola.cli.kinds import KINDS
from tombola.study.load import presets
from tombola.training import device


def test_catalog_lists_every_registered_part_with_a_line(tombola: Tombola) -> None:
    listed = json.loads(tombola("catalog", "--json").out)
    assert set(listed) == {*KINDS, "presets", "recipes"}
    for kind, registry in KINDS.items():
        assert set(listed[kind]) == set(registry)
        assert all(line.strip() for line in listed[kind].values()), kind
    assert set(listed["presets"]) == set(listed["recipes"]) == set(presets())
    for kind in listed:
        said = tombola("catalog", kind)
        assert said.code == 0
        assert all(name in said.out for name in listed[kind])


def test_data_list_knows_digits_and_says_what_is_missing(tombola: Tombola) -> None:
    listed = json.loads(tombola("data", "list", "--json").out)
    assert listed["digits"] == "built in"
    assert "missing" in listed["mnist"]


def test_doctor(tombola: Tombola, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = json.loads(tombola("doctor", "--json").out)
    assert facts["versions"]["torch"].startswith("2.13")
    assert all(us > 0 for us in facts["microseconds_per_network_iteration"].values())
    assert facts["free_bytes"] > 0
    monkeypatch.setattr(catalog, "_speeds", lambda: {"mlp": 1.0})
    for native, word in ((True, "native"), (False, "emulated")):
        monkeypatch.setattr(device, "bfloat16_is_native", lambda native=native: native)
        assert json.loads(tombola("doctor", "--json").out)["bfloat16"] == word
        said = tombola("doctor").out
        assert f"bfloat16 {word} on this processor\n" in said
        assert "engine" in said
