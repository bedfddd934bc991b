"""transfer: tickets from cells and files, what is printed and kept, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.program import Tombola
from tombola.lottery.ticket import Ticket


def test_a_cell_is_widened_and_says_where_it_comes_from(tombola: Tombola, done: Path) -> None:
    cell = done / "cells/r0/L02/ticket/0"
    said = tombola("transfer", "widen", cell, "--to", "lenet-24-16", "--out", "wide.safetensors")
    assert said.code == 0, said.err
    assert "widths: [[24, 12], [16, 8]]" in said.out
    assert said.out.endswith("saved wide.safetensors\n")
    ticket = Ticket.load(Path("wide.safetensors"))
    assert ticket.mask.shapes["fc2.weight"] == (16, 24)
    known = ticket.provenance
    assert (known["route"], known["seed"], known["model"]["name"]) == ("widen", 0, "lenet-24-16")
    assert known["data"]["name"] == "digits"
    assert known["sources"][0]["cell"] == "r0/L02/ticket/0"
    shown = json.loads(tombola("ticket", "show", "wide.safetensors", "--json").out)
    assert shown["layers"]["fc1.weight"]["alive"] == ticket.mask.count("fc1.weight")


def test_a_file_of_a_route_is_a_source_and_the_seed_decides(tombola: Tombola, done: Path) -> None:
    cell, dense = done / "cells/r0/L02/ticket/0", done / "cells/r0/L00/ticket/0"
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        command = ("transfer", "refill", cell, dense, "--set", "mask=random", "--seed", seed)
        assert tombola(*command, "--out", f"{name}.safetensors").code == 0
    one, again, other = (Path(f"{name}.safetensors").read_bytes() for name in "abc")
    assert one == again
    assert one != other
    both = tombola("transfer", "votes", "a.safetensors", "c.safetensors", "--out", "v.safetensors", "--json")
    known = json.loads(both.out)
    assert known["file"] == "v.safetensors"
    assert [source["route"] for source in known["sources"]] == ["refill", "refill"]
    assert known["report"]["voters"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("elastik", "CELL"), "unknown route 'elastik'; did you mean 'elastic'?"),
        (("widen", "CELL", "--to", "lenet-24-16", "--set", "noise"), "--set noise: expected KEY=VALUE"),
        (
            ("widen", "CELL", "--to", "lenet-24-16", "--set", "nois=1"),
            "has no option 'nois'; did you mean 'noise'?",
        ),
        (("widen", "CELL", "--to", "lenet-24-16", "--set", "noise=much"), "option 'noise' is 'much'"),
        (("widen", "CELL", "--to", "lenet-6-16"), "expected as many or fewer"),
        (("votes", "CELL"), "route 'votes': it takes two tickets at least, found 1"),
        (("votes", "nowhere.safetensors"), "nowhere.safetensors: no such file"),
        (("refill", "CELL"), "give the dense network that it was drawn from"),
    ],
)
def test_mistakes_are_sentences(tombola: Tombola, done: Path, words: tuple[str, ...], said: str) -> None:
    cell = str(done / "cells/r0/L02/ticket/0")
    answer = tombola(
        "transfer", *(cell if word == "CELL" else word for word in words), "--out", "x.safetensors"
    )
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert not Path("x.safetensors").exists()


def test_nothing_is_overwritten(tombola: Tombola, done: Path) -> None:
    cell = done / "cells/r0/L02/ticket/0"
    Path("there.safetensors").write_text("mine")
    assert "exists already" in tombola("transfer", "widen", cell, "--out", "there.safetensors").err
    assert "expected a name ending in .safetensors" in tombola("transfer", "widen", cell, "--out", "x.pt").err
    assert Path("there.safetensors").read_text() == "mine"


def test_a_ticket_that_was_made_is_measured_masked_and_cut_out(tombola: Tombola, done: Path) -> None:
    cells = [done / f"cells/r0/L0{level}/ticket/0" for level in (2, 0)]
    assert tombola("transfer", "refill", *cells, "--out", "a.safetensors").code == 0
    said = tombola("ticket", "measure", "a.safetensors", "--batch", "4", "--repeats", "2")
    assert said.code == 0, said.err
    assert "masked, whole with zeros" in said.out
    assert "cut out" in said.out
    assert "2 measurements of each, in turns; batches of 4, threads: " in said.out
    told = json.loads(tombola("ticket", "measure", cells[0], "--repeats", "3", "--json").out)
    assert (told["batch"], told["forms"]["cut"]["n"]) == (64, 3)
    assert told["forms"]["cut"]["multiply_adds"] <= told["forms"]["masked"]["multiply_adds"]
    wrong = tombola("ticket", "measure", "a.safetensors", "--weights", "end")
    assert wrong.code != 0
    assert "holds no end weights" in wrong.err
