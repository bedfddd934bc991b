"""Extending a run: more levels, replicates, draws and arms, without redoing a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from support.cases import also_slow
from support.rounding import assert_same_in_double
from support.study_kit import Notes, cells_of, contents, run_tiny, times, tiny
from tombola.runs.results import results_of

EXTENSIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "levels": ({"levels": 1}, {"levels": 3}),
    "replicates": ({"replicates": 1}, {"replicates": 3}),
    "draws": ({"arms": [{"name": "reinit"}]}, {"arms": [{"name": "reinit", "draws": 3}]}),
    "an arm": ({"arms": [{"name": "reinit"}]}, {"arms": [{"name": "reinit"}, {"name": "random-mask"}]}),
    "an arm at more levels": (
        {"arms": [{"name": "reinit", "levels": [2]}]},
        {"arms": [{"name": "reinit", "levels": [1]}]},
    ),
    "all at once": (
        {"levels": 1, "replicates": 1, "arms": []},
        {"levels": 3, "replicates": 2, "arms": [{"name": "random-mask-global", "draws": 2}]},
    ),
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("what", "rewind"),
    also_slow(
        [*((what, 5) for what in EXTENSIONS), ("levels", 0), ("an arm", 0)],
        [(what, rewind) for what in EXTENSIONS for rewind in (0, 5)],
    ),
)
def test_an_extension_redoes_no_cell_and_starts_where_one_run_would(
    what: str, rewind: int, tmp_path: Path
) -> None:
    brief = {"iterations": 8, "evaluate_every": 4, "curve_every": 8}
    small, large = (tiny(pruning={"rewind": rewind}, recipe=brief, **change) for change in EXTENSIONS[what])
    run = run_tiny(tmp_path / "extended", small)
    before, bits = cells_of(times(run.path)), cells_of(contents(run.path))
    assert run_tiny(tmp_path / "extended", large).path == run.path
    wide = large.widened(small)
    assert set(run.cells()) == set(wide.cells())
    assert {name: cells_of(times(run.path))[name] for name in before} == before
    assert {name: cells_of(contents(run.path))[name] for name in bits} == bits
    assert len(results_of(run)) == len(wide.cells())

    whole = run_tiny(tmp_path / "whole", wide)
    for cell in run.cells():
        ours, theirs = run.start(cell), whole.start(cell)
        assert run.mask(cell) == whole.mask(cell)
        # Rewound weights rest on stacks of another make-up: equal to rounding only.
        assert_same_in_double(ours, theirs)
        if cell.level < 2 and not rewind:
            assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        ours, theirs = run.weights(cell, "end"), whole.weights(cell, "end")
        assert_same_in_double(ours, theirs)


def test_a_narrower_request_changes_nothing_but_what_it_lacks(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(levels=3))
    before = times(run.path)
    run_tiny(tmp_path, tiny(levels=1, replicates=1, arms=[]))
    assert times(run.path) == before
    assert run.study.levels == 3


@pytest.mark.parametrize("keep", ["living", "masks"])
def test_a_narrower_request_after_a_stop_leaves_the_rest_for_later(keep: str, tmp_path: Path) -> None:
    study, narrow = (tiny(levels=levels, store={"keep": keep}) for levels in (3, 1))
    whole = contents(run_tiny(tmp_path / "whole", study).path)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, study, progress=Notes(stop_after=1))
    run = run_tiny(tmp_path, narrow)
    assert max(cell.level for cell in run.cells()) == 1
    run_tiny(tmp_path, study)
    assert contents(run.path) == whole


def test_a_new_title_is_written_down(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    run_tiny(tmp_path, tiny(title="a better title"))
    assert run.study.title == "a better title"
