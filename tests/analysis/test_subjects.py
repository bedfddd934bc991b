"""Subjects of a comparison: each has what its own replicate left, and nothing of another's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from support.study_kit import run_tiny, tiny
from tombola.analysis.subjects import subjects_of
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.runs.beside.copies import rewound
from tombola.runs.folder import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_tiny(Path(tmp_path_factory.mktemp("subjects")), tiny(replicates=3, levels=1))


def equal(a: object, b: object) -> bool:
    assert isinstance(a, dict)
    assert isinstance(b, dict)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_everyone_is_aligned_by_the_dense_network_of_its_own_replicate(run: Run) -> None:
    subjects = subjects_of(run, level=1)
    dense = [run.weights(Cell(r, 0, TICKET, 0), "end") for r in range(3)]
    assert not equal(dense[0], dense[1])
    assert len(subjects) == 9
    for subject in subjects:
        r = int(str(subject.replicate).rpartition("r")[2])
        assert [equal(subject.dense, each) for each in dense] == [other == r for other in range(3)]
        assert equal(subject.dense_start, rewound(run, r))


def test_everyone_has_its_own_mask_start_and_end(run: Run) -> None:
    for subject in subjects_of(run, level=1):
        r = int(str(subject.replicate).rpartition("r")[2])
        cell = Cell(r, 1, str(subject.arm), subject.draw)
        assert subject.name.endswith(str(cell))
        assert equal(dict(subject.mask.items()), dict(run.mask(cell).items()))
        assert equal(subject.start, run.start(cell))
        assert equal(subject.end, run.weights(cell, "end"))


def test_arms_of_one_replicate_share_its_dense_network(run: Run) -> None:
    assert len({id(subject.dense) for subject in subjects_of(run, level=1)}) == 3


def test_a_density_is_that_of_the_ticket_not_of_an_arm_that_has_another(tmp_path: Path) -> None:
    """Tickets of 49% and 24%: at level 1 the inverted mask has 51%, at level 2 it has 76%."""
    rates = {"rate": 0.51, "rates": {"output": 0.51}}
    found = run_tiny(tmp_path, tiny(replicates=1, pruning=rates, arms=[{"name": "invert"}]))
    for wanted, level in ((0.76, 1), (0.49, 1), (0.24, 2)):
        names = {subject.name.partition(":")[2] for subject in subjects_of(found, density=wanted)}
        assert names == {str(Cell(0, level, arm, 0)) for arm in (TICKET, "invert")}
    inverted = subjects_of(found, density=0.24, arms=["invert"])
    assert [subject.mask.density() for subject in inverted] == [pytest.approx(0.76, abs=0.01)]


def test_without_tickets_a_density_is_that_of_the_arms(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / run.path.name)
    alone = Run(tmp_path / run.path.name)
    for r in range(3):
        shutil.rmtree(alone.folder(Cell(r, 1, TICKET, 0)))
    alone = Run(alone.path)
    found = subjects_of(alone, density=0.7, arms=["random-mask"])
    assert [(subject.arm, subject.density) for subject in found] == [("random-mask", None)] * 3
