"""docs/transplants.md names every arm that takes from donors or twins, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from tombola.lottery.arms.catalog import ARMS
from tombola.study.claims import DONOR_TICKET

PAGE = (Path(__file__).parents[1] / "docs" / "transplants.md").read_text()
NAMES = {
    name
    for line in PAGE.splitlines()
    if line.startswith("| `")
    for cell in line.split("|")[1:3]
    for name in re.findall(r"`([a-z0-9-]+)`", cell)
}
SHORT = {"-2", "-25", "-50", "-75"}
"""Ends of names that stand after one in full."""


def test_every_arm_of_the_tables_is_registered() -> None:
    assert NAMES - SHORT - {DONOR_TICKET} - {*ARMS} == set()


def test_every_arm_that_takes_from_others_is_in_a_table() -> None:
    taking = {name for name in ARMS if ARMS[name].traits & {"donor", "twin"}}
    layers = {name for name in taking if name.startswith("donor-layer-")}
    assert len(taking) > 15
    assert taking - layers - NAMES == set()
