"""connect_run: which pairs, copies from the same start with other noise, nothing trained twice, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from support.cases import also_slow
from support.study_kit import Notes, contents, no_leftovers, run_tiny, tiny, toy_data
from tombola.alignment.network import Network
from tombola.analysis.connection import (
    CONNECT,
    PATHS,
    Connection,
    connect_run,
    connection_estimates,
    connections_of,
    is_stable,
)
from tombola.analysis.pairing import KINDS
from tombola.errors import UserError
from tombola.files import read_tensors
from tombola.lottery.cell import Cell, Drawn
from tombola.masks.mask import Mask
from tombola.models.units import permute
from tombola.runs import stacks
from tombola.runs.beside.copies import Copy, CopyRun, start_of
from tombola.runs.folder import Ladders, Run
from tombola.seeds import NOISE, Seeds
from tombola.study.bind import bind
from tombola.training.checkpoint import Checkpoint

QUICK: dict[str, Any] = {"alphas": 3, "dataset": toy_data()}
REWOUND = tiny(pruning={"rewind": 5}, arms=[{"name": "random-mask", "draws": 2}])


def connected(folder: Run, **options: Any) -> Connection:
    return connect_run(folder, **{**QUICK, **options})


def at(found: pl.DataFrame, **where: Any) -> pl.DataFrame:
    return found.filter(split="test", **where)


@pytest.fixture
def rewound(tmp_path: Path) -> Run:
    return run_tiny(tmp_path, REWOUND)


def test_copies_have_other_noise_and_all_else_in_common() -> None:
    own, other = Seeds.replicate(3, 1), Seeds(Seeds.replicate(3, 1).root, copy=1)
    for purpose in ("init", "split", "reinit", "ties", *NOISE):
        same = own.stream(purpose, 2).random() == other.stream(purpose, 2).random()
        assert same == (purpose not in NOISE)
        assert (own.key(purpose, 2) == other.key(purpose, 2)) == (purpose not in NOISE)
    third = Seeds(own.root, copy=2)
    assert len({s.stream("order", 1).random() for s in (own, other, third)}) == 3
    assert Seeds(own.root, copy=0) == own


def test_a_copy_starts_where_its_cell_did(rewound: Run) -> None:
    for cell in (Cell(0, 2, "ticket", 0), Cell(1, 1, "random-mask", 1)):
        start = start_of(rewound, Copy(cell, 1))
        assert (start.iteration, start.level, start.seeds.copy) == (5, cell.level, 1)
        assert start.mask == rewound.mask(cell)
        mine, own = start.masked_state(), rewound.start(cell)
        assert all(torch.equal(mine[name], own[name]) for name in own)


def test_dense_copies_start_where_tickets_are_rewound_to(rewound: Run) -> None:
    snapshot = read_tensors(rewound.start_file(rewound.record(Cell(0, 0, "ticket", 0)).rewind))[0]
    for copy in (Copy(Cell(0, 0, "ticket", 0), 1), Copy(Cell(0, 2, "ticket", 0), dense=True)):
        start = start_of(rewound, copy)
        assert start.mask.density() == 1
        assert start.iteration == 5
        assert all(torch.equal(start.state[name], snapshot[name]) for name in snapshot)
    # The dense network beside a ticket has the ticket's noise.
    assert (start.level, start.seeds) == (2, Seeds.replicate(0, 0))


def test_a_copy_with_the_cells_own_noise_is_the_cell(tmp_path: Path) -> None:
    """What is trained as a copy is what the run would train: with number 0 it has the bits of the cell."""
    folder = run_tiny(tmp_path, tiny(arms=[], replicates=1))
    cell = Cell(0, 0, "ticket", 0)
    connected(folder, kinds=["pruning"], levels=[1])
    dense = CopyRun(folder, "dense").weights(Cell(0, 1, "dense", 0), "end")
    connected(folder, kinds=["instability"], levels=[0])
    other = CopyRun(folder, "copy-1").weights(cell, "end")
    own = folder.weights(cell, "end")
    assert any(not torch.equal(own[name], other[name]) for name in own)
    assert any(not torch.equal(own[name], dense[name]) for name in own)  # the ticket's noise, not level 0's


def test_all_kinds_of_pairs(rewound: Run) -> None:
    before = len(list((rewound.path / "starts").iterdir()))
    cells = {name: data for name, data in contents(rewound.path).items() if name.startswith("cells/")}
    own = [kind for kind in KINDS if not kind.startswith("donors")]
    found = connected(rewound, kinds=own, copies=3)
    assert dict(found.pairs.schema) == CONNECT
    assert dict(found.paths.schema) == PATHS
    counts = {kind: at(found.pairs, kind=kind).height for kind in own}
    # 2 replicates; 3 pairs of 3 copies at 3 levels; levels 1 and 2; 2 draws of random-mask at both
    assert counts == {"instability": 2 * 3 * 3, "levels": 4, "dense": 4, "pruning": 4, "arms": 8}
    assert found.paths.height == found.pairs.height * 3
    assert (
        len(list((rewound.path / "starts").iterdir())) == before
    )  # copies start from weights that are there
    after = {name: data for name, data in contents(rewound.path).items() if name.startswith("cells/")}
    assert after == cells
    kept = connections_of(rewound)
    assert kept is not None
    assert kept.pairs.equals(found.pairs)
    assert kept.paths.equals(found.paths)
    ends = (
        found.paths.filter(pl.col("alpha").is_in([0.0, 1.0]))
        .group_by("kind", "a", "b", "split")
        .agg(pl.col("error").mean())
    )
    joined = ends.join(found.pairs, on=["kind", "a", "b", "split"])
    assert (joined["error"] - joined["end_error"]).abs().max() < 1e-12  # type: ignore[operator]
    assert no_leftovers(rewound.path)


def test_ends_are_the_cells(rewound: Run) -> None:
    """The error at the ends is one minus the accuracy that the run itself has measured."""
    found = connected(rewound, kinds=["levels"]).paths
    row = found.filter(split="test", alpha=1.0, level=2, replicate=1).row(0, named=True)
    accuracy = rewound.record(Cell(1, 2, "ticket", 0)).final_test_accuracy
    assert row["error"] == pytest.approx(1 - accuracy)
    assert row["b"] == "r1/L02/ticket/0"
    assert row["a"] == "r1/L01/ticket/0"


def test_pruning_looks_at_the_dense_network_through_the_mask(rewound: Run) -> None:
    row = at(connected(rewound, kinds=["pruning"], levels=[2]).pairs, replicate=0).row(0, named=True)
    mask, ticket = (rewound.mask(Cell(0, 2, "ticket", 0)), rewound.weights(Cell(0, 2, "ticket", 0), "end"))
    dense = CopyRun(rewound, "dense").weights(Cell(0, 2, "dense", 0), "end")
    squares = sum(float(((dense[n] - ticket[n])[mask[n]].double() ** 2).sum()) for n in mask)
    assert row["l2"] == pytest.approx(squares**0.5)
    assert row["l2_shared"] == pytest.approx(row["l2"])


def test_arms_share_the_dense_network_of_their_level(rewound: Run) -> None:
    found = at(connected(rewound, kinds=["pruning"], levels=[1], arms=["ticket", "random-mask"]).pairs)
    assert found["arm"].to_list().count("random-mask") == 4  # two draws of two replicates
    assert set(found["a"]) == {"dense:r0/L01/ticket/0", "dense:r1/L01/ticket/0"}
    assert len(list((rewound.path / "connect").rglob("cell.json"))) == 2


@pytest.fixture(scope="module")
def taking(tmp_path_factory: pytest.TempPathFactory) -> Run:
    study = tiny(arms=[{"name": "donor"}], data={"split": "study"}, replicates=3, donors=2)
    return run_tiny(tmp_path_factory.mktemp("taking"), study)


def test_a_donor_is_the_same_network_whichever_order_its_units_are_in(taking: Run) -> None:
    found = at(connected(taking, kinds=["donors", "donors-apart"]).pairs)
    assert found.height == 2 * 3 * 3  # kinds, levels, replicates
    apart, matched = (found.filter(kind=kind).sort("level", "a") for kind in ("donors-apart", "donors"))
    assert apart["b"].to_list()[:3] == [f"donors:r{r}/L00/ticket/0" for r in (0, 1, 0)]
    assert apart["replicate"].to_list()[:3] == [0, 1, 2]
    assert matched["end_loss"].to_list() == pytest.approx(apart["end_loss"].to_list())
    assert all(a < b for a, b in zip(matched["l2"][:3], apart["l2"][:3], strict=True))
    assert not (taking.path / "connect").exists()  # nothing is trained for them


def test_a_donor_that_is_the_replicate_in_another_order_is_found_to_be(
    taking: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = bind(taking.study, None, toy_data())[2]
    network = net.ask(Network.of)
    order = tuple(np.arange(group.size)[::-1].copy() for group in network.groups)

    def turned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return permute(tensors, network.groups, order)

    monkeypatch.setattr(Ladders, "weights", lambda self, cell, which: turned(taking.weights(cell, which)))
    monkeypatch.setattr(Ladders, "mask", lambda self, cell: Mask(turned(taking.mask(cell))))
    found = at(connected(taking, kinds=["donors", "donors-apart"], levels=[0, 2]).pairs, replicate=0)
    for row in found.to_dicts():
        assert (row["l2"] == 0 and row["l2_shared"] == 0) == (row["kind"] == "donors"), row
        assert row["barrier_loss"] == pytest.approx(0, abs=1e-6) or row["kind"] == "donors-apart"


def test_nothing_is_trained_twice(rewound: Run) -> None:
    first = connected(rewound, levels=[1])
    notes = Notes()
    again = connected(rewound, levels=[1], progress=notes)
    assert notes.landed_cells == []
    assert notes.advanced == 0
    assert (notes.total, notes.done) == (2 * 15, 2 * 15)
    assert again.pairs.equals(first.pairs)
    more = Notes()
    connected(rewound, levels=[1, 2], copies=3, progress=more)
    assert len(more.landed_cells) == 2 * 3  # all but copy 1 at level 1


class Stop(Notes):
    """Stops in the second copy's training."""

    def landed(self, drawn: Sequence[Drawn]) -> None:
        super().landed(drawn)
        self.stop_after = self.advanced


@pytest.mark.parametrize("seconds", also_slow([0.0], [60.0]))
def test_a_stopped_run_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(stacks, "Checkpoint", partial(Checkpoint, seconds=seconds))
    whole, torn = (run_tiny(tmp_path / name, REWOUND) for name in ("whole", "torn"))
    connected(whole, arms=["ticket", "random-mask"])
    with pytest.raises(KeyboardInterrupt):
        connected(torn, arms=["ticket", "random-mask"], progress=Stop())
    assert len(list((torn.path / "connect").rglob("cell.json"))) == 2
    connected(torn, arms=["ticket", "random-mask"])
    assert contents(torn.path) == contents(whole.path)


def test_estimates_are_over_replicates() -> None:
    keys = {"kind": "instability", "level": 1, "arm": "ticket", "density": 0.5, "split": "test"}
    values = [(0, 0.01), (0, 0.03), (1, 0.04), (2, 0.03)]  # two pairs of replicate 0: it counts once, as 0.02
    frame = pl.DataFrame([{**keys, "replicate": r, "barrier_error": value} for r, value in values])
    row = connection_estimates(frame, "barrier_error").row(0, named=True)
    assert (row["n"], row["mean"]) == (3, pytest.approx(0.03))
    # deviation 0.01, half 4.302653 * 0.01 / sqrt(3); no barrier is below 0
    assert row["high"] - row["mean"] == pytest.approx(0.0248414, rel=1e-4)
    assert row["low"] == pytest.approx(0.0051586, rel=1e-4)
    assert is_stable(0.0199)
    assert not is_stable(0.02)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kinds": ["instabilty"]}, "kind 'instabilty'.*'instability'"),
        ({"levels": [7]}, "no cell is done at level 7"),
        ({"arms": ["random-msk"]}, "no arm 'random-msk' is done.*'random-mask'"),
        ({"copies": 1}, "copies is 1, expected 2 or more"),
        ({"alphas": 1}, "alphas is 1"),
        ({"kinds": ["levels"], "levels": [0]}, "no pair of kind 'levels' at level 0"),
        ({"kinds": []}, "no pair of kind"),
        ({"kinds": ["donors-apart"]}, "has no donors, and pairs of kind 'donors-apart'"),
        ({"device": "gpu"}, "unknown device"),
        ({"dataset": toy_data(1)}, "digest"),
    ],
)
def test_refused(rewound: Run, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        connected(rewound, **options)
    assert not (rewound.path / "connect").exists()
    assert connections_of(rewound) is None


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        ({"store": {"keep": "masks"}}, {}, "keeps masks only"),
        ({"pruning": {"after": "learning-rate"}}, {"kinds": ["pruning"]}, "pruning.after"),
        (
            {"arms": [{"name": "odd", "dead": "freeze"}]},
            {"arms": ["odd"], "levels": [1]},
            "freezes dead weights",
        ),
    ],
)
def test_runs_that_cannot_be(
    tmp_path: Path, change: dict[str, Any], options: dict[str, Any], sentence: str
) -> None:
    study = tiny(**{"arms": [], **change})
    folder = run_tiny(tmp_path, study, engine="modules")
    with pytest.raises(UserError, match=sentence):
        connected(folder, **options)


def test_broken_tables_are_named(rewound: Run) -> None:
    connected(rewound, kinds=["levels"])
    (rewound.path / "paths.parquet").write_bytes(b"no")
    with pytest.raises(UserError, match=r"paths\.parquet"):
        connections_of(rewound)
