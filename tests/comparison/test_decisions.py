"""Decisions over replicates: calibration on masks, Holm, verdicts, what cannot be resolved."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from support.compare_parts import random_subject
from tombola.alignment.subject import Subject
from tombola.comparison.bulk import overlaps
from tombola.comparison.decisions import decide
from tombola.comparison.pairs import compare
from tombola.comparison.table import SCHEMA
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.stats.holm import holm, judge

RNG = np.random.default_rng


def exchangeable_masks(rng: np.random.Generator) -> list[Subject]:
    """Six replicates of two arms that do not differ; those of a replicate share a third of their weights."""
    subjects = []
    for r in range(6):
        base = rng.permutation(150)
        for arm, own in (("a", base[10:30]), ("b", base[30:50])):
            living = np.zeros(150, dtype=bool)
            living[base[:10]] = living[own] = True
            mask = Mask({"fc1.weight": torch.from_numpy(living)})
            subjects.append(Subject(f"R:r{r}/L07/{arm}/0", mask, replicate=f"R:r{r}", arm=arm))
    return subjects


def test_decisions_on_masks_are_calibrated_where_arms_do_not_differ():
    rng, trials, p = RNG(11), 250, []
    for _ in range(trials):
        subjects = exchangeable_masks(rng)
        table = decide(overlaps(subjects, ["kept-by-both"]), subjects, [("a", "b")])
        p.append(table.filter(layer="all")["p"].item())
    for level in (0.05, 0.1, 0.5):
        reached = np.floor(level * 32) / 32  # p comes in steps of 1/32
        error = np.sqrt(reached * (1 - reached) / trials)
        hits = np.mean(np.array(p) <= level)
        assert hits <= reached + 4 * error
        assert hits >= reached - 4 * error - 0.05  # counts of shared weights have ties, which are not extreme


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02, 0.005]) == pytest.approx([0.02, 0.01])
    assert holm([]) == []


def test_a_family_is_judged_together():
    first, second, third = judge([0.01, 0.04, None], [0.01, 0.01, 0.01], 0.05)
    assert (first.p, first.rejected, first.resolvable) == (pytest.approx(0.03), True, True)
    assert (second.p, second.rejected) == (pytest.approx(0.08), False)
    assert (third.p, third.rejected, third.resolvable) == (1.0, False, False), "without a p it counts as 1"
    assert [one.resolvable for one in judge([0.02, 0.02], [0.02, 0.03], 0.05)] == [True, True]
    assert [one.resolvable for one in judge([0.5, 0.5], [0.03, 0.03], 0.05)] == [False, False]
    assert judge([], [], 0.05) == []


def test_a_direction_halves_the_p_of_a_clear_case():
    subjects, pairs = planted(6)
    arms = [("ticket", "random-mask")]
    two, one, other = (
        decide(pairs, subjects, arms, direction=direction)
        .filter(measure="jaccard", layer="all")
        .row(0, named=True)
        for direction in ("different", "greater", "less")
    )
    assert (two["p"], one["p"], other["p"]) == (2 / 64, 1 / 64, 1.0)
    assert (two["p_smallest"], one["p_smallest"]) == (2 / 64, 1 / 64)
    assert two["difference"] == one["difference"]
    assert [row["verdict"] for row in (two, one, other)] == ["yes", "yes", "no"]
    assert [row["p_opposite"] for row in (two, one, other)] == [None, 1.0, 1 / 64]
    with pytest.raises(UserError, match="a margin goes with direction"):
        decide(pairs, subjects, arms, margin=0.1)


def planted(replicates: int) -> tuple[list[Subject], pl.DataFrame]:
    """Tickets that share half of their living weights, controls that share nothing."""
    core = RNG(99).permutation(400)[:40]
    subjects = []
    for r in range(replicates):
        for arm in ("ticket", "random-mask"):
            rng = RNG((r, arm == "ticket"))
            living = np.zeros(400, dtype=bool)
            rest = np.setdiff1d(np.arange(400), core if arm == "ticket" else [])
            living[rng.permutation(rest)[: 40 if arm == "ticket" else 80]] = True
            living[core if arm == "ticket" else []] = True
            mask = Mask({"fc1.weight": torch.from_numpy(living.reshape(20, 20))})
            subjects.append(Subject(f"R:r{r}/L07/{arm}/0", mask, replicate=f"R:r{r}", arm=arm))
    return subjects, compare(subjects, measures=["jaccard", "kept-by-both"])


def test_a_planted_structure_is_found_over_replicates():
    subjects, pairs = planted(7)
    table = decide(
        pairs, subjects, [("ticket", "random-mask")], primary=[{"measure": "jaccard", "layer": "all"}]
    )
    row = table.row(by_predicate=(pl.col("measure") == "jaccard") & (pl.col("layer") == "all"), named=True)
    assert row["verdict"] == "yes"
    assert (row["replicates"], row["density"]) == (7, 0.2)
    assert row["primary"]
    assert row["p"] == row["p_holm"] == row["p_smallest"] == 2 / 2**7
    assert row["difference"] == pytest.approx(row["mean_a"] - row["mean_b"])
    assert 0 < row["low"] < row["difference"] < row["high"]
    assert abs(row["mean_b"]) < 0.05
    other = table.row(
        by_predicate=(pl.col("measure") == "kept-by-both") & (pl.col("layer") == "all"), named=True
    )
    assert other["p_holm"] is None
    assert not other["primary"]


def test_too_few_replicates_resolve_nothing():
    subjects, pairs = planted(5)
    table = decide(pairs, subjects, [("ticket", "random-mask")])
    assert set(table["verdict"]) == {"not resolvable"}
    assert set(table["p_smallest"]) == {2 / 2**5}


def test_holm_decides_what_can_be_resolved():
    """6 replicates reach p = 1/32: enough for one primary row, not for two."""
    subjects, pairs = planted(6)
    whole = {"layer": "all"}
    one = decide(pairs, subjects, [("ticket", "random-mask")], primary=[{"measure": "jaccard", **whole}])
    two = decide(pairs, subjects, [("ticket", "random-mask")], primary=[whole])
    assert one.filter("primary")["verdict"].to_list() == ["yes"]
    assert two.filter("primary")["verdict"].to_list() == ["not resolvable"] * 2
    assert two.filter("primary")["p_holm"].to_list() == [2 / 32] * 2


def test_same_arm_twice_does_not_separate():
    subjects, _ = planted(8)
    random = [subject for subject in subjects if subject.arm == "random-mask"]
    twins = [
        Subject(s.name.replace("random-mask", "b"), (~s.mask), replicate=s.replicate, arm="b", density=0.2)
        for s in random
    ]
    frame = compare([*random, *twins], measures=["kept-by-both"])
    row = decide(frame, [*random, *twins], [("random-mask", "b")]).row(0, named=True)
    # a mask and its complement overlap their likes alike beyond chance: k - mean is the same for both
    assert row["difference"] == pytest.approx(0, abs=1e-12)
    assert (row["p"], row["verdict"]) == (1.0, "too close")


def test_undefined_values_are_not_resolved():
    subjects, pairs = planted(8)
    broken = pairs.with_columns(
        expected=pl.when(pl.col("a").str.contains("r0/")).then(None).otherwise(pl.col("expected"))
    )
    row = decide(broken, subjects, [("ticket", "random-mask")]).row(0, named=True)
    assert (row["p"], row["difference"], row["verdict"]) == (None, None, "not resolvable")


def test_measures_of_one_subject_and_levels_apart():
    subjects = [
        random_subject(2 * r + (arm == "b"), (6, 5, 3), density, arm, r)
        for r in range(3)
        for arm in ("a", "b")
        for density in (0.6, 0.4)
    ]
    named = [
        Subject(
            f"{s.name}@{i}",
            s.mask,
            s.start,
            s.end,
            replicate=s.replicate,
            arm=s.arm,
            density=0.6 - 0.2 * (i % 2),
        )
        for i, s in enumerate(subjects)
    ]
    table = decide(compare(named, measures=["positive-share"]), named, [("a", "b")])
    assert set(table["density"].round(6)) == {0.6, 0.4}
    assert set(table["side"]) == {"start", "end"}
    assert set(table["replicates"]) == {3}
    shares = {
        s.name: float((s.signs("end")["fc1.weight"] > 0).sum() / s.mask.count("fc1.weight")) for s in named
    }
    dense = [s for s in named if s.density == 0.6]
    expected = np.mean([shares[s.name] for s in dense if s.arm == "a"]) - np.mean(
        [shares[s.name] for s in dense if s.arm == "b"]
    )
    row = table.filter(density=0.6, side="end", layer="fc1.weight").row(0, named=True)
    assert row["difference"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("contrasts", "primary", "sentence"),
    [
        ([("ticket", "random")], [], "no subject is of the arm 'random'; did you mean 'random-mask'?"),
        ([("ticket", "ticket")], [], "contrasted with itself"),
        ([("ticket", "random-mask")], [{"meassure": "jaccard"}], "did you mean 'measure'?"),
        ([("ticket", "random-mask")], [{"measure": "hamming"}], "no decision fits the primary row"),
    ],
)
def test_mistakes(contrasts, primary, sentence):
    subjects, pairs = planted(2)
    with pytest.raises(UserError) as caught:
        decide(pairs, subjects, contrasts, primary=primary)
    assert sentence in str(caught.value)


def test_missing_pairs_and_replicates_are_named():
    subjects, pairs = planted(3)
    kept = ~(pl.col("a").str.contains("r0/L07/ticket") & pl.col("b").str.contains("r1/L07/random"))
    with pytest.raises(UserError, match=r"lacks R:r0/L07/ticket/0 with R:r1/L07/random-mask/0"):
        decide(pairs.filter(kept), subjects, [("ticket", "random-mask")])
    with pytest.raises(UserError, match="belongs to no replicate"):
        decide(pl.DataFrame(schema=SCHEMA), [Subject("x", subjects[0].mask, arm="a")] * 2, [])
