"""The sparsest matching level: in sequence down the ladder, each held to the margin, and replicate by replicate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from support.simulated import ACCURACY, DENSITIES, claim, frame_of, row, study_of
from tombola.analysis.verdicts.matching_level import sparsest_match
from tombola.analysis.verdicts.wording import match
from tombola.runs.results import SCHEMA

RNG = np.random.default_rng
DENSE = [0.90, 0.91, 0.92, 0.93, 0.94]


def ladder(*falls: float | list[float]) -> Any:
    """Results whose tickets at levels 1, 2, ... are so far below dense, in all replicates or in each."""
    values = {(0, "ticket"): DENSE}
    for level, fall in enumerate(falls, start=1):
        each = fall if isinstance(fall, list) else [fall] * 5
        values[level, "ticket"] = [dense - down for dense, down in zip(DENSE, each, strict=True)]
    return frame_of(values)


def test_the_level_before_the_first_that_fails() -> None:
    found = sparsest_match(ladder(0.0, 0.001, 0.01), study_of())
    assert (found.level, found.density) == (2, 0.64)
    assert [step.holds for step in found.steps] == [True, True, False]
    assert found.of_replicate == dict.fromkeys(range(5), 0.64)
    assert found.typical == pytest.approx((0.64, 0.64, 0.64))
    assert not found.at_end
    assert not found.open_ended


def test_a_later_match_does_not_count() -> None:
    found = sparsest_match(ladder(0.0, 0.01, 0.0), study_of())
    assert found.level == 1
    assert found.of_replicate == dict.fromkeys(range(5), 0.8), "nor in a replicate alone"
    assert not found.open_ended


def test_none_matches() -> None:
    found = sparsest_match(ladder(0.01, 0.0), study_of())
    assert (found.level, found.why) == (None, "the first level below dense does not match already")
    never = sparsest_match(ladder(0.01, 0.01), study_of())
    assert never.of_replicate == dict.fromkeys(range(5), 1.0)


def test_the_margin_itself_still_matches_in_a_replicate() -> None:
    found = sparsest_match(ladder([0.002, 0.002, 0.0021, 0.0, 0.003], 0.01), study_of())
    assert found.of_replicate == {0: 0.8, 1: 0.8, 2: 1.0, 3: 0.8, 4: 1.0}
    logs = [math.log(0.8)] * 3 + [0.0] * 2
    half = 2.776445 * np.std(logs, ddof=1) / 5**0.5
    assert found.typical is not None
    assert np.mean(logs) + half > 0, "no density is above 1, so the interval is cut there"
    limits = [math.exp(np.mean(logs)), math.exp(np.mean(logs) - half), 1.0]
    assert found.typical == pytest.approx(limits, rel=1e-6)


def test_four_replicates_resolve_nothing_by_sign_flips() -> None:
    frame = ladder(0.0).filter(pl.col("replicate") < 4)
    found = sparsest_match(frame, study_of(replicates=4))
    assert (found.level, found.why) == (None, "n too small for this alpha")
    assert found.of_replicate == dict.fromkeys(range(4), 0.8)
    assert "not resolvable with this n (n too small for this alpha)" in match(found)


def test_a_ticket_that_is_clearly_worse_is_no_matter_of_n() -> None:
    frame = ladder([0.010, 0.011, 0.012, 0.013, 0.012]).filter(pl.col("replicate") < 4)
    found = sparsest_match(frame, study_of(replicates=4))
    assert found.why == "the first level below dense does not match already"
    assert "n = 4): none" in match(found)


def test_the_studys_own_hypothesis_sets_the_margin() -> None:
    own = claim(arms=["ticket", "dense"], margin=0.02, test="t", alpha=0.01)
    frame = ladder(*[[0.01, 0.011, 0.012, 0.013, 0.014]] * 3)
    found = sparsest_match(frame, study_of(own))
    assert (found.margin, found.alpha, found.test, found.level) == (0.02, 0.01, "t", 3)
    assert sparsest_match(frame, study_of()).level is None
    assert sparsest_match(frame, study_of(claim(arms=["ticket", "dense"]))).margin == 0.002, (
        "without a margin it is no match"
    )


def test_one_replicate_and_none() -> None:
    one = sparsest_match(ladder(0.0).filter(pl.col("replicate") == 0), study_of(replicates=1))
    assert one.of_replicate == {0: 0.8}
    assert one.typical == pytest.approx((0.8, None, None))
    assert one.open_ended == (0,)
    assert sparsest_match(ladder().clear(), study_of()).why == "no level below dense is done"
    no_dense = frame_of({(0, "ticket"): [None] * 5, (1, "ticket"): DENSE})
    assert sparsest_match(no_dense, study_of()).why.startswith("no replicate has both")


def test_a_ticket_that_collapsed_does_not_match() -> None:
    """Four of five match, the fifth has no number: neither it nor its level does, and n counts it."""
    frame = ladder(0.0, [0.0] * 5, [0.0] * 5)
    gone = (pl.col("replicate") == 2) & (pl.col("level") >= 2)
    frame = frame.with_columns(
        pl.when(gone).then(pl.lit("collapsed")).otherwise("status").alias("status"),
        pl.when(gone).then(None).otherwise(ACCURACY).alias(ACCURACY),
    ).filter(~((pl.col("replicate") == 2) & (pl.col("level") == 3)))  # its ladder ends there
    found = sparsest_match(frame, study_of(replicates=5))
    assert [(step.n, step.collapsed, step.holds) for step in found.steps][:2] == [(5, 0, True), (5, 1, False)]
    assert (found.level, found.at_end) == (1, False)
    assert found.of_replicate == {0: 0.512, 1: 0.512, 2: 0.8, 3: 0.512, 4: 0.512}
    assert found.open_ended == (0, 1, 3, 4)
    assert "80.0% (level 1), below which 1 of 5 collapsed; replicate by replicate ≤ 51.2%" in match(found)


def test_those_that_did_not_collapse_do_not_carry_a_level() -> None:
    """Five of six match by 1/32, but the sixth collapsed."""
    dense = [0.9] * 6
    values = {(0, "ticket"): dense, (1, "ticket"): [*dense[:5], None]}
    found = sparsest_match(frame_of(values), study_of(replicates=6))
    [step] = found.steps
    assert (step.found.p, step.holds, step.n, found.level) == (1 / 32, False, 6, None)


def test_n_is_that_of_the_level() -> None:
    """Twelve replicates have a dense network and level 1, six of them level 2."""
    dense = [0.9] * 12
    values = {(0, "ticket"): dense, (1, "ticket"): dense, (2, "ticket"): dense[:6]}
    found = sparsest_match(frame_of(values), study_of(replicates=12))
    assert (found.level, found.n, [step.n for step in found.steps]) == (2, 6, [12, 6])
    assert ", n = 6): at least down to 64.0% (level 2)" in match(found)
    values[2, "ticket"] = [0.8] * 6
    failing = sparsest_match(frame_of(values), study_of(replicates=12))
    assert (failing.level, failing.n) == (1, 12)
    assert ", n = 12): 80.0% (level 1)" in match(failing)
    values[1, "ticket"] = [0.8] * 6
    first = sparsest_match(frame_of(values), study_of(replicates=12))
    assert (first.level, first.n) == (None, 6)


def test_in_sequence_it_errs_at_alpha_over_the_whole_ladder() -> None:
    """Tickets at the margin everywhere: a level is claimed in alpha of the cases, however long the ladder (here by
    sign-flips of 6 replicates, p in steps of 1/64, so 3/64 at 0.05)."""
    rng, trials, claimed = RNG(5), 200, 0
    for _ in range(trials):
        dense = rng.normal(0.9, 0.01, 6)
        values = {(0, "ticket"): list(dense)}
        values |= {(level, "ticket"): list(dense - 0.002 + rng.normal(0, 0.01, 6)) for level in (1, 2, 3)}
        claimed += sparsest_match(frame_of(values), study_of(replicates=6)).level is not None
    assert claimed / trials == pytest.approx(3 / 64, abs=4 * np.sqrt(3 / 64 * 61 / 64 / trials))


def test_in_words() -> None:
    said = match(sparsest_match(ladder(0.0, 0.0), study_of()))
    assert said.startswith(
        "Sparsest matching level (early stop test accuracy not more than 0.20 pp below dense, sign-flip"
    )
    assert "n = 5): at least down to 64.0% (level 2); replicate by replicate ≤ 64.0%, ≤ 64.0%" in said
    assert said.endswith("on average at most 64.0%"), "where a ladder ends nobody knows how far it would go"
    ended = match(sparsest_match(ladder(0.0, 0.0, 0.01), study_of()))
    assert "n = 5): 64.0% (level 2); replicate by replicate 64.0%, 64.0%" in ended
    assert ended.endswith("on average 64.0% [64.0%, 64.0%]")
    table = sparsest_match(ladder(0.0), study_of()).table()
    assert (table["quantity"], table["level"], table["of_replicate"]["4"]) == (ACCURACY, 1, DENSITIES[1])


def test_a_ladder_that_ended_in_another_arm_does_not_match_either() -> None:
    """In `continued` the pruned arm collapses at level 1, in a search the search at level 2: no ticket at level 2."""
    below = {(0, "ticket"): DENSE, (1, "ticket"): DENSE}
    for mode, place in (("continued", (1, "continued")), ("gradual", (2, "gradual"))):
        study = study_of(pruning={"mode": mode}, arms=[])
        for lost in ([2], range(5)):
            other = [None if r in lost else 0.9 for r in range(5)]
            tickets = [value for r, value in enumerate(DENSE) if r not in lost]
            there = [row(r, (2, "ticket"), **{ACCURACY: DENSE[r]}) for r in range(5) if r not in lost]
            frame = pl.concat([frame_of({**below, place: other}), pl.DataFrame(there, schema=SCHEMA)])
            found = sparsest_match(frame, study)
            assert [(step.n, step.collapsed) for step in found.steps] == [(5, 0), (5, 5 - len(tickets))], mode
            assert (found.level, found.at_end) == (1, False)
            assert found.open_ended == tuple(r for r in range(5) if r not in lost)
