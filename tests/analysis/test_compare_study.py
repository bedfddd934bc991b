"""The comparison that a study asks for: of what, once, anew where something changed, and what verdicts take from it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.simulated import claim
from support.study_kit import run_tiny, times, tiny
from tombola.alignment.subject import Subject
from tombola.analysis import compare_runs as room_of_runs
from tombola.analysis.compare_runs import compare_runs, compare_study
from tombola.analysis.compared import COMPARED, compared_key, keep_tables, key_of
from tombola.analysis.verdicts import measured as room
from tombola.analysis.verdicts.of_run import verdicts_of
from tombola.analysis.verdicts.verdict import Verdict
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.runs.folder import Run
from tombola.study.spec import Study

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot be resolved with:tombola.errors.Notice")
"""The studies here are small: what they ask is more than their replicates can decide."""

CLAIM = claim("m", quantity="measure:jaccard", arms=["ticket", "random-mask"], densities=[0.49])
ARMS = [{"name": "reinit"}, {"name": "random-mask"}, {"name": "permute-mask", "levels": [1]}]


def study(**changes: Any) -> Study:
    """Three replicates, levels 1 and 2 of 49% and 24%."""
    rates = {"rate": 0.51, "rates": {"output": 0.51}}
    table = {"replicates": 3, "pruning": rates, "arms": ARMS, "compare": {}, "hypothesis": [CLAIM]}
    return tiny(**{**table, **changes})


@pytest.fixture(scope="module")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_tiny(tmp_path_factory.mktemp("trained"), study()).path


@pytest.fixture
def run(_trained: Path, tmp_path: Path) -> Run:
    return Run(shutil.copytree(_trained, tmp_path / _trained.name))


def asks(run: Run, **changes: Any) -> Run:
    """The same cells, of a study that asks for something else."""
    run.write_study(study(**changes).model_copy(update={"data": run.study.data}))
    return Run(run.path)


def subjects(run: Run) -> set[tuple[int, str]]:
    """Levels and arms of what was compared."""
    frame = pl.read_parquet(run.path / "measures.parquet")
    cells = [name.split("/") for name in {*frame["a"], *frame["b"].drop_nulls()}]
    return {(int(level.removeprefix("L")), arm) for _, level, arm, _ in cells}


def test_a_study_without_a_table_is_not_compared(run: Run) -> None:
    assert compare_study(asks(run, compare=None)) is False
    assert not (run.path / "measures.parquet").exists()
    assert compared_key(run) is None


def test_left_out_densities_are_those_of_claims_on_measures_and_arms_the_controls(run: Run) -> None:
    assert compare_study(run) is True
    assert subjects(run) == {(1, arm) for arm in ("ticket", "random-mask", "reinit")}
    assert set(pl.read_parquet(run.path / "measures.parquet")["measure"]) == {"jaccard", "sign-agreement"}
    assert compared_key(run) == key_of(run)


def test_without_such_claims_it_is_the_sparsest_level_with_a_control(run: Run) -> None:
    accuracy = claim("a", arms=["ticket", "random-mask"], densities=[0.49])
    compare_study(asks(run, hypothesis=[accuracy]))
    assert subjects(run) == {(2, arm) for arm in ("ticket", "random-mask", "reinit")}


def test_what_a_table_names_is_compared(run: Run) -> None:
    compare_study(asks(run, compare={"arms": ["ticket", "permute-mask"], "measures": ["hamming"]}))
    assert subjects(run) == {(1, "ticket"), (1, "permute-mask")}
    assert set(pl.read_parquet(run.path / "measures.parquet")["measure"]) == {"hamming"}
    compare_study(asks(run, compare={"densities": [0.24]}))
    assert {level for level, _ in subjects(run)} == {2}


def test_arms_are_named_in_any_order_and_without_one_beside_the_ticket_nothing_is_compared(run: Run) -> None:
    accuracy = claim("a", arms=["ticket", "permute-mask"], densities=[0.49])
    compare_study(asks(run, hypothesis=[accuracy], compare={"arms": ["permute-mask", "ticket"]}))
    assert subjects(run) == {(1, "ticket"), (1, "permute-mask")}
    assert compare_study(asks(run, compare={"arms": ["ticket"]})) is False


def test_it_is_done_once_and_again_where_table_claims_or_cells_change(run: Run) -> None:
    compare_study(run)
    first, key = times(run.path), key_of(run)
    compare_study(run)
    assert times(run.path) == first
    other = claim("m", quantity="measure:jaccard", arms=["ticket", "random-mask"], densities=[0.24])
    for changes in ({"compare": {"measures": ["hamming"]}}, {"hypothesis": [other]}):
        changed = asks(run, **changes)
        assert key_of(changed) != key == compared_key(changed)
        compare_study(changed)
        assert compared_key(changed) == key_of(changed)
        assert times(run.path)["measures.parquet"] > first["measures.parquet"]
        compare_study(asks(run))
    shutil.rmtree(run.folder(Cell(2, 2, "reinit", 0)))
    assert key_of(run) != compared_key(run)


def test_a_comparison_by_hand_takes_the_place_of_that_of_the_study(run: Run) -> None:
    compare_study(run)
    compare_runs([run], level=2, measures=["hamming"])
    assert compared_key(run) is None
    compare_study(run)
    assert compared_key(run) == key_of(run)
    assert set(pl.read_parquet(run.path / "measures.parquet")["measure"]) == {"jaccard", "sign-agreement"}


def verdict(run: Run) -> Verdict:
    [found] = verdicts_of(run).verdicts
    return found


def never(*_: object, **__: object) -> pl.DataFrame:
    raise UserError("computed anew")


@pytest.mark.parametrize("measure", ["jaccard", "weight-correlation@end"], ids=["exact", "by-draws"])
def test_a_verdict_takes_the_rows_that_are_there_and_says_what_it_says_without(
    run: Run, measure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"measures": ["jaccard", "weight-correlation"], "nulls": 5}
    run = asks(run, compare=table, hypothesis=[CLAIM | {"quantity": f"measure:{measure}"}])
    anew = verdict(run)
    assert (anew.n, anew.difference is None) == (3, False)
    compare_study(run)
    monkeypatch.setattr(room, "compare", never)
    assert verdict(run) == anew


def test_rows_that_do_not_hold_every_pair_or_are_of_other_cells_are_not_taken(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare_study(run)
    anew = verdict(run)
    monkeypatch.setattr(room, "compare", never)
    path = run.path / "measures.parquet"
    whole = pl.read_parquet(path)
    own = pl.col("a").str.contains("/ticket/") & pl.col("b").str.contains("/random-mask/")
    one = whole.filter(own).select("a", "b").row(0)
    less = whole.filter((pl.col("a") != one[0]) | (pl.col("b") != one[1]))
    keep_tables(run.path, COMPARED, {"measures": less}, key_of(run))
    assert verdict(run).why == "computed anew"
    keep_tables(run.path, COMPARED, {"measures": whole}, key_of(run))
    assert verdict(run) == anew
    assert verdict(asks(run, compare={"nulls": 3})).why == "computed anew"
    assert verdict(asks(run)) == anew
    (run.path / COMPARED).unlink()
    assert verdict(run).why == "computed anew"


def test_a_claim_on_a_measure_is_tested_with_its_margin(run: Run) -> None:
    """Within 5 of each other all three replicates are, whichever way they are swapped: p is 1/2^3."""
    same = CLAIM | {"direction": "same", "margin": 5.0}
    assert verdict(asks(run, hypothesis=[same])).p == 1 / 8


def test_a_comparison_of_one_run_that_names_nothing_is_what_its_study_asks_for(run: Run) -> None:
    alone = compare_runs([run])
    assert subjects(run) == {(1, "ticket"), (1, "reinit"), (1, "random-mask")}
    assert set(alone.pairs["measure"]) >= {"jaccard", "sign-agreement"}
    assert compared_key(run) is None, "it may be of other nulls than the study's"
    compare_runs([run], level=2)
    assert {level for level, _ in subjects(run)} == {2}


def test_levels_of_two_runs_are_one_where_their_mean_densities_differ_in_the_last_bits(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Means over another number of replicates: (x + x + x) / 3 may not be x."""
    other = Run(shutil.copytree(run.path, tmp_path / "other"))
    of = room_of_runs.subjects_of

    def nearly(one: Run, **asked: Any) -> list[Subject]:
        last = 1e-16 if one.path == other.path else 0.0
        return [replace(each, density=(each.density or 0) + last) for each in of(one, **asked)]

    monkeypatch.setattr(room_of_runs, "subjects_of", nearly)
    pairs = compare_runs(
        [run, other], level=2, arms=["ticket"], measures=["hamming"], alignments=["raw"]
    ).pairs
    across = pl.col("a").str.starts_with("other") != pl.col("b").str.starts_with("other")
    assert len(pairs.filter(across, layer="all")) == 9
