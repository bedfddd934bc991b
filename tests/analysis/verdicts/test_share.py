"""What a comparison comes to: the control, the primary decision, and the few rows of an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl
import pytest

from support.study_kit import run_tiny, tiny, toy_data
from tombola.analysis import compare_runs as comparing
from tombola.analysis import exams
from tombola.analysis.compare_runs import compare_runs
from tombola.analysis.verdicts import measured
from tombola.analysis.verdicts.of_run import verdicts_of
from tombola.analysis.verdicts.share import ALIGNMENT, answers, control, in_words
from tombola.analysis.verdicts.wording import DECIDED
from tombola.comparison import overlay
from tombola.comparison.decisions import DECISIONS
from tombola.runs.folder import Run
from tombola.stats.verdict import CLOSE, UNRESOLVED, YES
from tombola.study.bind import bind
from tombola.study.claims import Hypothesis

ARMS = [{"name": "reinit"}, {"name": "random-mask"}, {"name": "rewire"}]

CLAIM = {
    "name": "share",
    "claim": "Tickets share wiring beyond degrees.",
    "quantity": f"measure:jaccard@{ALIGNMENT},fc1.weight",
    "arms": ["ticket", "rewire"],
    "densities": [0.49],
    "alpha": 0.2,
    "direction": "greater",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_tiny(tmp_path_factory.mktemp("runs"), tiny(arms=ARMS, replicates=3, hypothesis=[CLAIM]))


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy data, wherever a comparison looks for those of the run."""
    monkeypatch.setattr(exams, "bind", lambda study, _: bind(study, dataset=toy_data()))


def row(**changes: object) -> dict[str, object]:
    given = {
        "measure": "jaccard", "layer": "all", "side": None, "aligned": ALIGNMENT, "null": "layer-shuffle",
        "arm_a": "ticket", "arm_b": "rewire", "density": 0.1, "replicates": 8, "primary": False, "mean_a": 0.2,
        "mean_b": 0.1, "difference": 0.1, "low": 0.05, "high": 0.15, "effect": 2.0, "p": 0.01, "p_smallest": 0.01,
        "p_holm": None, "p_opposite": None,
        "p_opposite_holm": None, "draws": "", "verdict": YES,
    }  # fmt: skip
    return {"run": "R", **given, **changes}


def table(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={"run": pl.String, **DECISIONS}, orient="row")


def test_the_control_is_the_rewired_ticket_else_random_masks_and_never_a_reinit() -> None:
    assert control(["reinit", "random-mask", "rewire"]) == "rewire"
    assert control(["reinit", "random-mask", "partner"]) == "random-mask"
    assert control(["reinit", "partner"]) == "partner"
    assert control(["reinit"]) is None
    own = ["constant", "continued", "gradual", "flip-shared", "freeze", "noise-1", "reinit-signs", "ticket"]
    assert control(own) is None, "arms that keep the ticket's mask, and the search for it"
    assert control([*own, "twin"]) == "twin"


@pytest.mark.usefixtures("data")
def test_the_primary_decision_is_of_whole_tickets_held_out_against_the_control(run: Run) -> None:
    found = compare_runs([run], measures=["jaccard", "sign-agreement"], n_null=2)
    assert found.decisions is not None
    assert set(found.decisions["aligned"]) == {"raw", ALIGNMENT}
    [one] = found.decisions.filter("primary").rows(named=True)
    sparsest = min(subject.level_density for subject in found.subjects)
    assert (one["measure"], one["layer"], one["aligned"], one["arm_b"]) == (
        "jaccard",
        "all",
        ALIGNMENT,
        "rewire",
    )
    assert one["density"] == pytest.approx(sparsest)
    assert one["p_holm"] == one["p"]
    few = compare_runs([run], measures=["jaccard"], arms=["ticket", "random-mask"], level=1)
    assert few.decisions is not None
    assert few.decisions.filter("primary")["arm_b"].to_list() == ["random-mask"]


@pytest.mark.usefixtures("data")
def test_a_hypothesis_under_a_held_out_matching_is_what_the_comparison_decides(run: Run) -> None:
    [verdict] = verdicts_of(run).verdicts
    found = compare_runs([run], measures=["jaccard"], level=2)
    assert found.decisions is not None
    [one] = found.decisions.filter(layer="fc1.weight", aligned=ALIGNMENT, arm_b="rewire").rows(named=True)
    assert (verdict.n, verdict.difference, verdict.low) == (3, one["difference"], one["low"])
    assert verdict.difference is not None


@pytest.mark.usefixtures("data")
def test_hypotheses_share_the_matchings_of_their_networks_and_the_tables_of_their_layers(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [
        CLAIM | {"name": name, "quantity": f"measure:{quantity}{ALIGNMENT}{layer}"}
        for name, quantity, layer in (
            ("one", "jaccard@", ",fc1.weight"),
            ("two", "jaccard@", ",out.weight"),
            ("three", "sign-agreement@start,", ""),
        )
    ]
    alone = []
    for claim in claims:
        with claiming(run, [claim]):
            alone += verdicts_of(run).verdicts
    matched, tables = Counter[tuple[int, int]](), list[list[str]]()
    align_tensors, compare = overlay.align_tensors, measured.compare

    def matching(a: Any, b: Any, *given: Any) -> Any:
        matched[id(a.dense), id(b.dense)] += 1
        return align_tensors(a, b, *given)

    def comparing_once(*given: Any, **named: Any) -> pl.DataFrame:
        tables.append(named["measures"])
        return compare(*given, **named)

    monkeypatch.setattr(overlay, "align_tensors", matching)
    monkeypatch.setattr(measured, "compare", comparing_once)
    with claiming(run, claims):
        together = verdicts_of(run).verdicts
    assert tables == [["jaccard"], ["sign-agreement"]]
    assert len(matched) == 6, "of three networks two by two, and of each with itself"
    assert set(matched.values()) == {1}
    assert [each.difference for each in together] == [each.difference for each in alone]
    assert all(each.difference is not None for each in together)
    with claiming(run, claims):
        assert verdicts_of(run).verdicts == together
        assert len(tables) == 2, "they are stored"
        (run.path / "asked.parquet").write_bytes(b"no")
        assert {each.difference for each in verdicts_of(run).verdicts} == {None}
        assert "remove asked.json" in verdicts_of(run).verdicts[0].why
        (run.path / "asked.json").unlink()
        assert verdicts_of(run).verdicts == together
        (run.path / "asked.json").unlink()


@contextmanager
def claiming(run: Run, claims: Sequence[dict[str, Any]]) -> Iterator[None]:
    """The run with other hypotheses in its study."""
    claimed = tuple(Hypothesis.model_validate(claim) for claim in claims)
    study = run.study.model_copy(update={"hypothesis": claimed})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "study", property(lambda _: study))
        yield


@pytest.mark.usefixtures("data")
def test_a_matching_nobody_asked_for_is_left_out_where_it_says_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"arms": ["ticket", "rewire"], "level": 1, "n_null": 2}
    assert set(compare_runs([run], measures=["in-degree-mean"], **options).pairs["aligned"]) == {"raw"}
    assert set(compare_runs([run], measures=["jaccard", "nnstd"], **options).pairs["aligned"]) == {"raw"}
    assert set(compare_runs([run], measures=["jaccard"], **options).pairs["aligned"]) == {"raw", ALIGNMENT}
    monkeypatch.setattr(comparing, "QUICK", 10)
    claimed = compare_runs([run], measures=["jaccard"], **options)
    assert set(claimed.pairs["aligned"]) == {"raw", ALIGNMENT}, "a hypothesis of the study asks for it"
    with claiming(run, []):
        found = compare_runs([run], measures=["jaccard"], **options)
    assert set(found.pairs["aligned"]) == {"raw"}
    assert found.decisions is not None
    assert not found.decisions["primary"].any()


def test_where_the_data_are_not_there_units_are_compared_as_they_come(run: Run) -> None:
    found = compare_runs([run], measures=["jaccard"], arms=["ticket", "rewire"], level=1)
    assert set(found.pairs["aligned"]) == {"raw"}


def test_an_answer_goes_from_the_whole_to_layers_to_another_arm_to_other_levels() -> None:
    rows = [
        row(layer=layer, arm_b=arm, density=density, difference=density)
        for density in (0.8, 0.6, 0.4, 0.2, 0.1)
        for arm in ("random-mask", "reinit", "rewire")
        for layer in ("a.weight", "b.weight", "all")
    ]
    [answer] = answers(table(*rows))
    assert (answer.aligned, answer.arm, answer.measures) == (ALIGNMENT, "rewire", [("jaccard", None)])
    assert list(answer.rows) == [
        ("all", "rewire", 0.1),
        ("a.weight", "rewire", 0.1),
        ("b.weight", "rewire", 0.1),
        ("all", "random-mask", 0.1),
        ("all", "rewire", 0.2),
        ("all", "rewire", 0.6),
        ("all", "rewire", 0.8),
    ]
    assert all(one["difference"] == density for (_, _, density), [one] in answer.rows.items())
    assert answer.left_out == 45 - 7


def test_a_deep_network_has_four_layers_from_first_to_last() -> None:
    layers = [f"layer{number:02}.weight" for number in range(10)]
    [answer] = answers(table(*(row(layer=layer) for layer in [*layers, "all"])))
    assert [layer for layer, _, _ in answer.rows] == ["all", *(layers[i] for i in (0, 3, 6, 9))]


def test_near_duplicates_are_folded_and_both_sides_of_signs_stand_side_by_side() -> None:
    rows = [row(measure=name) for name in ("cohen-kappa", "hamming", "jaccard", "kept-by-both")]
    rows += [
        row(measure=name, side=side)
        for name in ("cohen-kappa", "sign-agreement")
        for side in ("start", "end")
    ]
    rows += [row(measure="jaccard", aligned="raw", difference=9.0), row(run="S", arm_b="reinit")]
    [answer] = answers(table(*rows))
    assert answer.measures == [("jaccard", None), ("sign-agreement", "start"), ("sign-agreement", "end")]
    [(overlap, start, end)] = answer.rows.values()
    assert overlap is not None
    assert overlap["difference"] == 0.1
    assert start is not None
    assert end is not None
    assert (start["side"], end["side"]) == ("start", "end")


def test_words_of_a_decision() -> None:
    assert in_words(row()) == "yes"
    assert in_words(row(difference=-0.1)) == "no, less"
    assert in_words(row(measure="hamming", difference=-0.1)) == "yes"  # a distance
    assert in_words(row(verdict=CLOSE)) == DECIDED[CLOSE]
    assert in_words(row(verdict=UNRESOLVED)) == DECIDED[UNRESOLVED]
