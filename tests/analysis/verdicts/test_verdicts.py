"""Verdicts of runs: measures beside decide, odd runs with a sentence each, what is stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tombola
from support.simulated import ACCURACY, claim
from support.study_kit import Notes, run_tiny, tiny
from tombola.analysis.exams import exams_of
from tombola.analysis.subjects import subjects_of
from tombola.analysis.verdicts.of_run import verdicts_of, write_verdicts
from tombola.analysis.verdicts.verdict import Verdict
from tombola.comparison.decisions import decide
from tombola.comparison.pairs import compare
from tombola.errors import UserError
from tombola.runs.check.damage import damages_of
from tombola.runs.folder import Run
from tombola.runs.results import results_of
from tombola.study.spec import Study

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot be resolved with:tombola.errors.Notice")
"""The studies here are small: what they ask is more than their replicates can decide."""

JACCARD = claim("m", quantity="measure:jaccard", arms=["ticket", "random-mask"], densities=[0.49], family="m")
A = claim("a", densities=[0.49])


def study(*claims: dict[str, Any], **changes: Any) -> Study:
    return tiny(
        hypothesis=list(claims), **{"replicates": 3, "levels": 1, "pruning": {"rate": 0.51}, **changes}
    )


@pytest.fixture(scope="module")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_tiny(tmp_path_factory.mktemp("finished"), study(A, JACCARD)).path


@pytest.fixture
def finished(_finished: Path, tmp_path: Path) -> Run:
    return Run(shutil.copytree(_finished, tmp_path / _finished.name))


def by_name(run: Run) -> dict[str, Verdict]:
    return {each.name: each for each in verdicts_of(run).verdicts}


def test_an_estimate_is_the_mean_difference_of_the_results(finished: Run) -> None:
    frame = results_of(finished)
    means = {arm: frame.filter(arm=arm, level=1)[ACCURACY].to_list() for arm in ("ticket", "reinit")}
    differences = [a - b for a, b in zip(means["ticket"], means["reinit"], strict=True)]
    found = by_name(finished)["a"]
    assert found.difference == pytest.approx(sum(differences) / 3)
    assert (found.n, found.level) == (3, 1)
    assert found.density == frame.filter(arm="ticket", level=1)["density"][0]
    assert (found.decision, found.n_needed) == ("not resolvable", 5)


def test_a_measure_is_decided_as_compare_decides_it(finished: Run) -> None:
    """Same difference and interval as the two-sided decision; the one-sided p counts the same ways."""
    subjects = subjects_of(finished, level=1, arms=["ticket", "random-mask"])
    pairs = compare(subjects, measures=["jaccard"], seed=0)
    row = decide(pairs, subjects, [("ticket", "random-mask")]).filter(layer="all").row(0, named=True)
    answer = by_name(finished)["m"]
    assert answer.difference == pytest.approx(row["difference"])
    assert (answer.low, answer.high) == pytest.approx((row["low"], row["high"]))
    assert (answer.n, answer.p_smallest) == (3, 1 / 8)
    assert row["p_smallest"] == 2 / 8
    assert answer.p is not None
    assert answer.p * 8 == round(answer.p * 8)


def test_verdicts_on_measures_leave_the_tables_of_compare_alone(finished: Run) -> None:
    before = sorted(path.name for path in finished.path.iterdir())
    verdicts_of(finished)
    assert sorted(path.name for path in finished.path.iterdir()) == sorted(
        [*before, "asked.json", "asked.parquet"]
    )
    assert damages_of(finished) == []


def test_a_layer_and_its_absence(finished: Run) -> None:
    text = (finished.path / "study.toml").read_text()
    (finished.path / "study.toml").write_text(text.replace("measure:jaccard", "measure:jaccard@fc1.weigt"))
    found = by_name(finished)["m"]
    assert found.decision == "not tested"
    assert "no layer 'fc1.weigt'" in found.why
    assert by_name(finished)["a"].n == 3


def test_an_aligned_measure_needs_the_data_and_says_so(finished: Run) -> None:
    text = (finished.path / "study.toml").read_text()
    (finished.path / "study.toml").write_text(text.replace("measure:jaccard", "measure:jaccard@mask"))
    found = by_name(finished)["m"]
    assert found.decision == "not tested"
    assert "arrays" in found.why


def test_an_aligned_measure_with_the_data(tmp_path: Path) -> None:
    aligned = {**JACCARD, "quantity": "measure:sign-similarity@end,weights@end"}
    run = run_tiny(
        tmp_path, study(aligned, replicates=2, data={"name": "digits", "validation": 0.1}), dataset=None
    )
    found = by_name(run)["m"]
    assert (found.decision, found.n) == ("not resolvable", 2)


def test_measures_can_wait(finished: Run) -> None:
    found = {each.name: each for each in verdicts_of(finished, measures=False).verdicts}
    assert found["m"].decision == "not tested"
    assert "tombola verdicts RUN" in found["m"].why
    assert found["a"].n == 3


def test_one_replicate(tmp_path: Path) -> None:
    found = verdicts_of(run_tiny(tmp_path, study(A, JACCARD, replicates=1)))
    assert any(note.startswith("There is one replicate") for note in found.notes)
    assert [each.decision for each in found.verdicts] == ["not resolvable", "not resolvable"]
    assert found.verdicts[1].why == "pairs of tickets take two replicates"
    assert found.verdicts[0].difference is not None


def test_one_level(tmp_path: Path) -> None:
    found = verdicts_of(run_tiny(tmp_path, study(A, levels=0)))
    assert [each.why for each in found.verdicts] == ["this study has no level below dense"]
    assert found.matching.why == "no level below dense is done"


def test_a_missing_arm(tmp_path: Path) -> None:
    found = verdicts_of(run_tiny(tmp_path, study(A, JACCARD, arms=[])))
    assert all(each.decision == "not tested" for each in found.verdicts)
    assert "does not train reinit at level 1" in found.verdicts[0].why
    assert "does not train random-mask at level 1" in found.verdicts[1].why


def test_a_run_that_was_stopped(tmp_path: Path) -> None:
    """Stopped in level 1: the dense networks are done, the level is chosen by the plan and not by what is there."""
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, study(A, JACCARD, levels=2), progress=Notes(stop_after=3 * 20 + 10))
    [folder] = tmp_path.iterdir()
    found = verdicts_of(Run(folder))
    assert any(note.startswith("This run is not finished: 0 of 3 replicates") for note in found.notes)
    assert [each.decision for each in found.verdicts] == ["not tested", "not tested"]
    assert [each.level for each in found.verdicts] == [1, 1]


def test_no_hypotheses(tmp_path: Path) -> None:
    found = verdicts_of(run_tiny(tmp_path, study()))
    assert not found.verdicts
    assert any(note.startswith("This study has no hypotheses") for note in found.notes)
    assert found.frame().is_empty()


def test_what_is_stored_is_the_same_for_equal_runs(finished: Run, tmp_path: Path) -> None:
    again = run_tiny(tmp_path / "again", study(A, JACCARD))
    first, second = (write_verdicts(run, verdicts_of(run)).read_bytes() for run in (finished, again))
    assert first == second
    stored = json.loads(first)
    assert stored["verdicts"][0]["name"] == "a"
    assert stored["sparsest_matching_level"]["margin"] == 0.002
    assert stored.keys() == {
        "answers",
        "digest",
        "verdicts",
        "sparsest_matching_level",
        "expectations",
        "notes",
        "seal",
    }
    assert stored["answers"] == [], "no hypothesis says which question it answers"


def test_expectations_stand_beside_them(tmp_path: Path) -> None:
    entry = {"quantity": ACCURACY, "value": 0.5, "tolerance": 0.5, "source": "Somebody 2019"}
    found = verdicts_of(run_tiny(tmp_path, study(A, expect=[entry])))
    table = found.table()["expectations"]
    assert [(row["paper"], row["agrees"], row["n"]) for row in table] == [(0.5, True, 3)]


def test_from_python(finished: Run) -> None:
    assert tombola.verdicts(finished).frame().equals(tombola.verdicts(str(finished.path)).frame())
    with pytest.raises(UserError, match="not a run folder"):
        tombola.verdicts(finished.path / "cells")


def test_what_networks_say_is_a_measure_too(tmp_path: Path) -> None:
    """The difference of `disagreement` less its chance, and of a barrier, which has none, as compare takes them."""
    arms = ["ticket", "random-mask"]
    asked = ("disagreement", "barrier")
    claims = [JACCARD | {"name": name, "quantity": f"measure:{name}"} for name in asked]
    run = run_tiny(
        tmp_path, study(*claims, replicates=2, data={"name": "digits", "validation": 0.1}), dataset=None
    )
    found = by_name(run)
    subjects = subjects_of(run, level=1, arms=arms)
    pairs = compare(subjects, exam=exams_of([run], None), measures=list(asked), seed=0)
    for name in asked:
        mine = pairs.filter(pl.col("measure") == name, pl.col("layer") == "all")
        row = decide(mine, subjects, [("ticket", "random-mask")]).row(0, named=True)
        assert found[name].n == 2
        assert found[name].difference == pytest.approx(row["difference"])
        # By hand: the one pair of each arm, value less chance where there is one.
        beyond = [
            (one["value"] - (one["expected"] or 0.0))
            for arm in arms
            for one in mine.filter(
                pl.col("a").str.contains(f"/{arm}/"), pl.col("b").str.contains(f"/{arm}/")
            ).to_dicts()
        ]
        assert row["difference"] == pytest.approx(beyond[0] - beyond[1])
