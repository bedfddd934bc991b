"""[[route]] and [sources] tables: what they stand for, what is refused, and what enters a study's identity."""

from __future__ import annotations

from typing import Any

import pytest

from support.route_parts import ROUTE_TABLES, by, travelling
from support.study_kit import tiny
from tombola import parts
from tombola.errors import UserError
from tombola.study.ladders import ladder_seeds, ladders_of
from tombola.study.load import load_study, parse_study


def test_every_route_is_tried() -> None:
    assert set(ROUTE_TABLES) == set(parts.names("route"))
    for kind, table in ROUTE_TABLES.items():
        assert set(table["controls"]) == set(parts.facts("route", kind)["controls"])


def test_a_route_is_an_arm_and_so_is_each_of_its_controls() -> None:
    study = travelling(by("elastic", levels=[2], controls=["reinit", {"name": "own", "start": "own"}]))
    assert study.arms_at(1) == []
    assert study.arms_at(2) == [("by-elastic", 1), ("by-elastic-reinit", 1), ("by-elastic-own", 1)]
    plain, reinit, own = study.route_arms
    assert plain.options == {}
    assert reinit.options == {"weights": "reinit"}
    assert (plain.start, reinit.start, own.start) == ("route", "route", "own")
    assert {cell.arm for cell in study.cells()} == {
        "ticket",
        "by-elastic",
        "by-elastic-reinit",
        "by-elastic-own",
    }


def test_a_control_changes_its_options_and_keeps_the_others() -> None:
    study = travelling(by("widen", controls=["random", {"name": "still", "options": {"noise": 0.0}}]))
    assert [arm.options for arm in study.route_arms] == [
        {"noise": 0.1},
        {"noise": 0.1, "mask": "random"},
        {"noise": 0.0},
    ]


def test_a_source_is_the_study_but_for_what_its_table_says() -> None:
    table = {
        "model": {"name": "lenet-8-8"},
        "recipe": {"iterations": 30},
        "pruning": {"mode": "early-bird"},
        "data": {"name": "digits"},
        "seed": 7,
    }
    study = travelling(by("elastic", levels=[1], **{"from": "other"}), sources={"other": table}, seed=5)
    beside = ladders_of(study)["sources/other"]
    assert (beside.model.name, beside.recipe.iterations, beside.seed) == ("lenet-8-8", 30, 7)
    assert (beside.recipe.batch, beside.pruning.rate, beside.pruning.mode) == (10, 0.3, "early-bird")
    assert (beside.levels, beside.replicates) == (1, 2)  # as deep as an arm takes from it
    assert beside.route_arms == beside.arms == ()


def test_a_source_has_the_seeds_of_the_replicate() -> None:
    study = travelling(by("elastic"))
    beside = ladders_of(study)["sources/narrow"]
    assert ladder_seeds(beside, "sources/narrow", 1) == study.seeds(1)


def test_routes_from_what_the_study_has_leave_its_id_and_sources_do_not() -> None:
    bare = travelling()
    assert bare.identity() == tiny(model={"name": "lenet-8-8-8"}, data={"split": "study"}, arms=[]).identity()
    assert travelling(by("refill")).identity() == bare.identity()
    assert travelling(by("votes"), donors=2).identity() == travelling(donors=2).identity()
    narrow = travelling(by("elastic"))
    assert narrow.identity() != bare.identity()
    assert narrow.identity() == travelling(by("elastic", controls=[], levels=[1])).identity()
    again = travelling(by("elastic"), sources={"narrow": {"model": {"name": "lenet-8-8", "options": {}}}})
    assert narrow.identity() == again.identity()  # what is spelled and is so anyway
    assert (
        narrow.identity()
        != travelling(by("elastic"), sources={"narrow": {"model": {"name": "lenet-8"}}}).identity()
    )


def test_tables_are_written_and_read_again() -> None:
    study = travelling(by("votes", **{"from": ["narrow", "donors"]}), by("elastic"))
    assert parse_study(study.to_toml(), "here") == study
    assert parse_study(study.to_toml(defaults=False), "here") == study


def test_an_extension_has_the_routes_of_both() -> None:
    one, other = (
        travelling(by("refill", levels=[1], controls=["random"])),
        travelling(by("refill", levels=[2], draws=1)),
    )
    both = one.widened(other)
    assert [route.levels for route in both.route] == [(1, 2)]
    assert {arm.name for arm in both.route_arms} >= {"by-refill", "by-refill-random", "by-refill-reinit"}
    with pytest.raises(
        UserError, match=r"arm 'by-refill' is route 'refill' from tickets \(rate = 0.5\), but the run has"
    ):
        travelling(by("refill", options={"rate": 0.5})).widened(one)


def test_a_source_may_be_a_preset_or_a_file_with_changes(tmp_path: Any) -> None:
    home = tmp_path / "home.toml"
    own = tiny(model={"name": "lenet-8-8"}, recipe={"iterations": 40}, data={"split": "study"}, seed=3)
    home.write_text(own.to_toml(defaults=False))
    text = travelling(by("elastic"), sources={"narrow": {}}, seed=3).to_toml(defaults=False)
    assert "[sources.narrow]\n" in text
    text = text.replace(
        "[sources.narrow]\n", f'[sources.narrow]\nstudy = "{home}"\nrecipe = {{ batch = 20 }}\n'
    )
    found = parse_study(text, "here").source("narrow")
    assert (found.model.name, found.recipe.iterations, found.recipe.batch, found.seed) == (
        "lenet-8-8",
        40,
        20,
        3,
    )
    with pytest.raises(
        UserError, match=r"here: \[sources.narrow\] study: .*unknown preset 'quik'; did you mean 'quick'"
    ):
        parse_study(text.replace(str(home), "quik"), "here")


WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"kind": "refil", "name": "x", "from": "tickets"}, {}, "unknown route 'refil'; did you mean 'refill'"),
    (by("refill", name="reinit"), {}, "route 'reinit' has the name of a registered arm"),
    (by("refill", **{"from": "narow"}), {}, r"there is no \[sources.narow\] to take from"),
    (by("refill", **{"from": []}), {}, "at least 1 item"),
    (by("refill", **{"from": ["tickets", "donors"]}), {}, "'refill' takes one ticket, found from = "),
    (by("refill", controls=["randon"]), {}, "'refill' has no control 'randon'; did you mean 'random'"),
    (by("refill"), {"sources": {"narrow": {}}}, r"\[sources.narrow\] is a source of no route"),
    (by("elastic"), {"store": {"keep": "masks"}}, r"\[sources.narrow\] lends its start weights"),
    (by("elastic"), {"sources": {"narrow": {"recipe": {"batch": -1}}}}, r"\[sources.narrow\] recipe.batch: "),
    (by("elastic"), {"sources": {"narrow": {"recipes": {}}}}, "sources.narrow.recipes"),
    (
        by("elastic"),
        {"sources": {"narrow": {"data": {"validation": 20}}}},
        "another validation set; leave that out",
    ),
    (
        by("elastic"),
        {"sources": {"narrow": {"seed": 9}}, "data": {"split": "replicate"}},
        'expected \\[data\\] split = "study"',
    ),
    (
        by("elastic"),
        {"sources": {"narrow": {"seed": 9}}, "seed": 5},
        r"\[sources.narrow\] has the study's data and seed 9.*expected the study's seed, 5, or other data",
    ),
    (by("votes"), {"data": {"split": "replicate"}}, "arm 'by-votes' takes from donors"),
    (by("refill"), {"pruning": {"after": "fine-tune"}}, "from which route 'by-refill' could not learn"),
    (
        by("refill"),
        {"pruning": {"after": "learning-rate"}},
        "route 'by-refill' is route 'refill' from tickets",
    ),
    (
        by("elastic", controls=[{"name": "own", "start": "own"}]),
        {"pruning": {"after": "learning-rate"}},
        "route 'by-elastic-own' is .*expected after = 'rewind', or tickets of others",
    ),
    (by("refill", name="ticket"), {}, "registered arm"),
    (by("refill", name="rigl"), {}, "has the name of a mode"),
]


@pytest.mark.parametrize(("table", "changes", "words"), WRONG, ids=[words for _, _, words in WRONG])
def test_what_cannot_be(table: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        travelling(table, **changes)


def test_routes_from_others_go_with_trained_weights() -> None:
    assert travelling(by("elastic"), pruning={"after": "learning-rate"}).route_arms


def test_hypotheses_may_be_about_routes() -> None:
    claim = {
        "name": "as-good",
        "claim": "A refilled ticket is as good.",
        "quantity": "early_stop_test_accuracy",
        "arms": ["by-refill", "ticket"],
        "direction": "greater",
        "margin": 0.01,
    }
    assert travelling(by("refill"), hypothesis=[claim]).hypothesis[0].arms == ("by-refill", "ticket")
    with pytest.raises(ValueError, match="unknown arm 'by-refill'"):
        travelling(hypothesis=[claim])


def test_presets_have_their_ids_still() -> None:
    assert load_study("quick").deciding().keys() == {"model", "data", "recipe", "pruning", "donors"}
