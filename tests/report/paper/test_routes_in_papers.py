"""Routes in papers: each is named with what it is, and what its sources have different."""

from __future__ import annotations

from support.paper_kit import material, study
from tombola.report.paper.document import Items, Paragraph
from tombola.report.paper.methods import arms
from tombola.report.paper.routes import drawn_at, routes


def test_arms_of_routes_stand_among_the_arms_and_sources_behind_them() -> None:
    spec = study(
        data={"name": "digits", "split": "study"},
        model={"name": "lenet-12-12-12"},
        route=[
            {"name": "deeper", "kind": "elastic", "from": "other", "levels": [1, 2], "controls": ["reinit"]},
            {"name": "late", "kind": "refill", "from": "tickets", "levels": [9]},
        ],
        sources={"other": {"model": {"name": "lenet-12-12"}, "replicates": 1}},
    )
    blocks = arms(material(of=spec))
    [items] = [block for block in blocks if isinstance(block, Items)]
    texts = ["".join(map(str, item)) for item in items.items]
    assert "deeper: route 'elastic' from other, at levels 1 and 2." in texts
    assert "deeper-reinit: route 'elastic' from other (weights = 'reinit'), at levels 1 and 2." in texts
    assert not any("late" in text for text in texts), "its level is not on the ladder"
    said = " ".join(str(part) for block in blocks if isinstance(block, Paragraph) for part in block.words)
    assert "Source other is 1 ladder beside the study's, the same but for model.name = lenet-12-12" in said
    assert "replicate r takes from ladder r (mod 1)" in said


def test_there_is_nothing_to_say_without_routes() -> None:
    assert routes(material()) == []
    assert drawn_at(1, None) == ""
    assert drawn_at(3, (2,)) == ", 3 draws, at level 2"
