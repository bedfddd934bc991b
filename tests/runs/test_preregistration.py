"""Hypotheses are recorded before the first cell, and a change after it shows in every verdict of the family."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.simulated import claim
from support.study_kit import contents, run_tiny, tiny
from tombola.analysis.verdicts.of_run import verdicts_of
from tombola.cli.show.verdicts import print_sentences, print_verdicts
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.report.page.compose import write_reports
from tombola.runs.folder import Run
from tombola.runs.preregistration import Registration, hypotheses_digest
from tombola.runs.progress import Silent
from tombola.study.claims import Hypothesis
from tombola.study.spec import Study

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot be resolved with:tombola.errors.Notice")
"""The studies here are small: what they ask is more than their replicates can decide."""

A, B = claim("a", densities=[0.49]), claim("b", densities=[0.49], family="other")


def study(*claims: dict[str, Any], **changes: Any) -> Study:
    return tiny(hypothesis=list(claims), **{"levels": 1, "pruning": {"rate": 0.51}, **changes})


def record(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.path / "hypotheses.json").read_text())
    return found


def changed(run: Run) -> dict[str, int | None]:
    return {each.name: each.changed_after for each in verdicts_of(run).verdicts}


def test_they_are_recorded_before_the_first_cell(tmp_path: Path) -> None:
    seen = []

    class Watcher(Silent):
        def begin(self, total: int, done: int) -> None:
            seen.append((tmp_path / study(A).folder / "hypotheses.json").exists())

    before = datetime.now(UTC) - timedelta(seconds=1)
    run = run_tiny(tmp_path, study(A, B), progress=Watcher())
    found = record(run)
    [entry] = found["history"]
    assert datetime.fromisoformat(entry["recorded"]).utcoffset() == timedelta(0)
    assert before <= datetime.fromisoformat(entry["recorded"]) <= datetime.now(UTC)
    assert (entry["cells"], entry["replicates"]) == (0, 2)
    assert [each["name"] for each in entry["hypotheses"]] == ["a", "b"]
    assert entry["digest"] == hypotheses_digest(study(A, B).hypothesis)
    assert found["densities"][0] == 1.0
    assert len(found["densities"]) == 2
    assert changed(run) == {"a": None, "b": None}
    assert verdicts_of(run).notes == (
        "There are two replicates, too few for a difference to have an interval.",
    )


def test_a_run_again_records_nothing_and_a_run_without_has_no_record(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, study(A))
    before = (run.path / "hypotheses.json").read_bytes()
    run_tiny(tmp_path, study(A))
    assert (run.path / "hypotheses.json").read_bytes() == before
    assert not (run_tiny(tmp_path / "other", study()).path / "hypotheses.json").exists()


def test_a_change_is_kept_and_shown_for_its_family_alone(tmp_path: Path) -> None:
    cells = 2 * (1 + 3)
    run_tiny(tmp_path, study(A, B))
    run = run_tiny(tmp_path, study({**A, "direction": "less"}, B))
    assert [entry["cells"] for entry in record(run)["history"]] == [0, cells]
    assert [entry["hypotheses"][0]["direction"] for entry in record(run)["history"]] == ["greater", "less"]
    assert changed(run) == {"a": cells, "b": None}
    run = run_tiny(tmp_path, study(A, B))  # and back: the change stays
    assert len(record(run)["history"]) == 3
    assert changed(run) == {"a": cells, "b": None}


def test_dropping_one_of_a_family_is_a_change_of_the_others(tmp_path: Path) -> None:
    """Holm's correction gets milder by it."""
    run_tiny(tmp_path, study(A, {**B, "family": "claims"}))
    assert changed(run_tiny(tmp_path, study(A))) == {"a": 8}
    empty = run_tiny(tmp_path, study())
    assert record(empty)["history"][-1]["hypotheses"] == []
    assert not verdicts_of(empty).verdicts


def test_a_hypothesis_added_to_a_finished_run_is_shown(tmp_path: Path) -> None:
    run_tiny(tmp_path, study())
    assert changed(run_tiny(tmp_path, study(A))) == {"a": 8}


def test_an_edit_by_hand_is_shown(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, study(A))
    path = run.path / "study.toml"
    path.write_text(path.read_text().replace('direction = "greater"', 'direction = "less"'))
    found = verdicts_of(run)
    assert found.verdicts[0].changed_after == -1
    assert any("changed by hand" in note for note in found.notes)
    (run.path / "hypotheses.json").unlink()
    assert verdicts_of(run).verdicts[0].changed_after == -1


def test_replicates_added_after_a_look_are_noted(tmp_path: Path) -> None:
    run_tiny(tmp_path, study(A))
    run = run_tiny(tmp_path, study(A, replicates=3))
    assert [entry["replicates"] for entry in record(run)["history"]] == [2, 3]
    assert changed(run) == {"a": None}
    assert any(note.startswith("Replicates were added after 8 cells") for note in verdicts_of(run).notes)


@pytest.mark.parametrize("answers", [{}, {"answers": "wins"}])
def test_they_are_said_once_with_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answers: dict[str, str]
) -> None:
    run_tiny(tmp_path, study(A | answers))
    run = run_tiny(tmp_path, study(A | answers, replicates=3))
    found, note = verdicts_of(run), "Replicates were added after 8 cells"
    for shown in (print_sentences, print_verdicts):
        capsys.readouterr()
        shown(found)
        assert capsys.readouterr().out.count(note) == 1
    page = write_reports([run]).read_text()
    assert page.count(note) == 1
    assert (note in page.partition('id="findings"')[0]) == bool(answers)


def test_hypotheses_change_no_cell_and_their_record_alone_differs(tmp_path: Path) -> None:
    plain, with_one = run_tiny(tmp_path / "a", study()), run_tiny(tmp_path / "b", study(A))
    left, right = contents(plain.path), contents(with_one.path)
    assert {name for name in left.keys() | right.keys() if left.get(name) != right.get(name)} == {
        "study.toml",
        "hypotheses.json",
    }


def test_a_longer_ladder_keeps_its_densities_when_a_shorter_one_is_asked_for(tmp_path: Path) -> None:
    run_tiny(tmp_path, study(A, levels=2))
    run = run_tiny(tmp_path, study(A, levels=1))
    assert len(record(run)["densities"]) == 3


def test_a_broken_record_is_named_before_anything_is_written(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, study(A))
    path = run.path / "hypotheses.json"
    before = (run.path / "study.toml").read_bytes()
    for broken in ('{"history": 3}', "[]", "{", '{"densities": [], "history": [{}]}'):
        path.write_text(broken)
        with pytest.raises(UserError, match=r"hypotheses\.json"):
            verdicts_of(run)
        with pytest.raises(UserError, match=r"hypotheses\.json"):
            run_tiny(tmp_path, study())
        assert (run.path / "study.toml").read_bytes() == before


def test_the_digest_is_of_what_is_claimed(tmp_path: Path) -> None:
    a, same = Hypothesis(**A), Hypothesis(**{**A, "alpha": 0.05, "margin": 0.0})
    assert hypotheses_digest([a]) == hypotheses_digest([same])
    assert (
        len(
            {
                hypotheses_digest([Hypothesis(**{**A, key: value})])
                for key, value in (("alpha", 0.1), ("claim", "x"))
            }
        )
        == 2
    )
    assert Registration().changed_after([], "claims") == -1
    assert Registration().extended_after() is None


def test_cells_left_from_before_are_counted(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, study())
    assert run.has(Cell(0, 1, "ticket", 0))
    assert record(run_tiny(tmp_path, study(A)))["history"][0]["cells"] == len(run.cells()) == 8
