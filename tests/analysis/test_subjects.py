"""Subjects of a comparison: each has what its own replicate left, and nothing of another's."""

from __future__ import annotations

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
